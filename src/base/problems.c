/* problems.c: collects, prints, suggests. Edit distance: Wagner and Fischer (1974), with adjacent swaps as one edit. */
#include "base/problems.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void problems_init(struct problems *p, const char *document, struct arena *a)
{
	*p = (struct problems){.arena = a, .document = document};
	p->tail = &p->first;
}

/* A node as the user wrote it, short enough for a message. */
static const char *node_text(struct arena *a, const struct json *v)
{
	struct buf b;
	struct jsonw w;
	buf_init(&b, 1 << 20);
	jsonw_init(&w, &b);
	jsonw_json(&w, v);
	const char *s;
	if (b.n > 60) {
		size_t n = 57;
		while (n > 0 && ((unsigned char)b.p[n] & 0xc0) == 0x80)
			n--;
		s = arena_printf(a, "%.*s...", (int)n, b.p);
	} else {
		s = arena_strdup(a, buf_cstr(&b));
	}
	buf_done(&b);
	return s;
}

void problem_add(struct problems *p, enum problem_level level, const struct json *node, const char *path,
		 const char *found, const char *allowed, const char *suggestion)
{
	if (level == PROBLEM_ERROR)
		p->errors++;
	else
		p->warnings++;
	if (p->errors + p->warnings > PROBLEMS_MAX) {
		p->dropped++;
		return;
	}
	struct problem *n = arena_alloc(p->arena, sizeof *n);
	if (!n) {
		p->dropped++;
		return;
	}
	*n = (struct problem){
	    .level = level, .document = p->document, .line = node ? node->line : 0, .col = node ? node->col : 0};
	n->path = arena_strdup(p->arena, path ? path : "$");
	n->found = found ? arena_strdup(p->arena, found) : node ? node_text(p->arena, node) : "";
	n->allowed = allowed ? arena_strdup(p->arena, allowed) : "";
	n->suggestion = suggestion ? arena_strdup(p->arena, suggestion) : "";
	if (!n->path || !n->found || !n->allowed || !n->suggestion) {
		p->dropped++;
		return;
	}
	*p->tail = n;
	p->tail = &n->next;
}

static bool before(const struct problem *a, const struct problem *b)
{
	return a->line != b->line ? a->line < b->line : a->col < b->col;
}

void problems_sort(struct problems *p, struct problem **from)
{
	struct problem *sorted = NULL, *next;
	for (struct problem *n = *from; n; n = next) { /* at most PROBLEMS_MAX: insertion, stable */
		struct problem **at = &sorted;
		next = n->next;
		while (*at && !before(n, *at))
			at = &(*at)->next;
		n->next = *at;
		*at = n;
	}
	*from = sorted;
	p->tail = from;
	while (*p->tail)
		p->tail = &(*p->tail)->next;
}

void problems_print(const struct problems *p, struct buf *out, bool colour)
{
	const char *bold = colour ? "\033[1m" : "", *reset = colour ? "\033[0m" : "";
	for (const struct problem *n = p->first; n; n = n->next) {
		bool error = n->level == PROBLEM_ERROR;
		const char *tint = !colour ? "" : error ? "\033[1;31m" : "\033[1;33m";
		buf_printf(out, "%s%s", bold, n->document ? n->document : "");
		if (n->line)
			buf_printf(out, ":%u:%u", n->line, n->col);
		buf_printf(out, ":%s %s%s:%s %s", reset, tint, error ? "error" : "warning", reset, n->path);
		if (*n->found)
			buf_printf(out, ": found %s", n->found);
		else if (error)
			buf_str(out, ": missing");
		if (*n->allowed)
			buf_printf(out, "; %s: %s", error ? "allowed" : "usual", n->allowed);
		if (*n->suggestion)
			buf_printf(out, "; %s", n->suggestion);
		buf_char(out, '\n');
	}
	if (p->dropped)
		buf_printf(out, "... and %u more\n", p->dropped);
}

void problems_json(const struct problems *p, struct jsonw *w)
{
	jsonw_begin(w, '[');
	for (const struct problem *n = p->first; n; n = n->next) {
		jsonw_begin(w, '{');
		jsonw_kstr(w, "level", n->level == PROBLEM_ERROR ? "error" : "warning");
		jsonw_kstr(w, "document", n->document);
		jsonw_kstr(w, "path", n->path);
		jsonw_key(w, "line");
		jsonw_uint(w, n->line);
		jsonw_key(w, "column");
		jsonw_uint(w, n->col);
		jsonw_kstr(w, "found", n->found);
		jsonw_kstr(w, "allowed", n->allowed);
		jsonw_kstr(w, "suggestion", n->suggestion);
		jsonw_end(w, '}');
	}
	jsonw_end(w, ']');
}

#define NAME_MAX_LEN 64

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;
	return m < c ? m : c;
}

static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned rows[3][NAME_MAX_LEN + 1];
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *cur = rows[i % 3], *prev = rows[(i + 2) % 3], *prev2 = rows[(i + 1) % 3];
		cur[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
			cur[j] = min3(prev[j] + 1, cur[j - 1] + 1, prev[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
			    y == tolower((unsigned char)a[i - 2]) && prev2[j - 2] + 1 < cur[j])
				cur[j] = prev2[j - 2] + 1;
		}
	}
	return rows[na % 3][nb];
}

const char *nearest_name(const char *s, const char *const *candidates, size_t n)
{
	size_t ns = strlen(s);
	const char *best = NULL;
	unsigned best_d = (unsigned)ns / 3 + 1;
	for (size_t i = 0; ns <= NAME_MAX_LEN && i < n; i++) {
		size_t nc = strlen(candidates[i]);
		if (nc > NAME_MAX_LEN)
			continue;
		unsigned d = distance(s, ns, candidates[i], nc);
		if (d < best_d) {
			best_d = d;
			best = candidates[i];
		}
	}
	return best;
}
