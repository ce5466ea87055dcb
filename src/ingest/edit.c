/* edit.c: changing a JSON text in a few places. Lines and columns (characters) of base/json.h become byte offsets. */
#include "ingest/edit.h"

#include <stdlib.h>
#include <string.h>

#define NOWHERE ((size_t)-1)

static size_t offset_of(struct span text, uint32_t line, uint32_t col)
{
	size_t i = text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	for (; line > 1; line--) {
		const char *nl = memchr(text.p + i, '\n', text.n - i);
		if (!nl)
			return NOWHERE;
		i = (size_t)(nl - text.p) + 1;
	}
	for (; col > 1 && i < text.n; col--) {
		do
			i++;
		while (i < text.n && ((unsigned char)text.p[i] & 0xc0) == 0x80);
	}
	return i < text.n ? i : NOWHERE;
}

static size_t string_end(struct span text, size_t i)
{
	for (i++; i < text.n && text.p[i] != '"'; i++)
		i += text.p[i] == '\\';
	return i < text.n ? i + 1 : text.n;
}

/* Behind the value that begins at i; the text is known to be well formed. */
static size_t value_end(struct span text, size_t i)
{
	int depth = 0;
	if (text.p[i] == '"')
		return string_end(text, i);
	if (text.p[i] != '{' && text.p[i] != '[') {
		while (i < text.n && !strchr(",]} \t\r\n", text.p[i]))
			i++;
		return i;
	}
	while (i < text.n) {
		char c = text.p[i];
		if (c == '"') {
			i = string_end(text, i);
			continue;
		}
		i++;
		depth += (c == '{' || c == '[') - (c == '}' || c == ']');
		if (depth == 0)
			break;
	}
	return i;
}

static void add(struct edits *ed, size_t at, size_t end, const char *with)
{
	if (ed->n == ed->cap) {
		size_t cap = ed->cap ? ed->cap * 2 : 16;
		struct edit *more = arena_array(ed->arena, cap, sizeof *more);
		if (!more) {
			ed->failed = true;
			return;
		}
		if (ed->n)
			memcpy(more, ed->list, ed->n * sizeof *more);
		ed->list = more;
		ed->cap = cap;
	}
	ed->list[ed->n++] = (struct edit){at, end - at, with};
}

struct span edit_value_text(const struct edits *ed, const struct json *node)
{
	size_t at = offset_of(ed->text, node->line, node->col);
	if (at == NOWHERE)
		return (struct span){"", 0};
	return (struct span){ed->text.p + at, value_end(ed->text, at) - at};
}

void edit_replace(struct edits *ed, const struct json *node, const char *with)
{
	struct span s = edit_value_text(ed, node);
	if (s.n == 0 || !with) {
		ed->failed = true;
		return;
	}
	size_t at = (size_t)(s.p - ed->text.p);
	add(ed, at, at + s.n, with);
}

void edit_remove_member(struct edits *ed, const struct json *node)
{
	size_t at = offset_of(ed->text, node->key_line, node->key_col);
	struct span value = edit_value_text(ed, node);
	if (at == NOWHERE || value.n == 0) {
		ed->failed = true;
		return;
	}
	size_t end = (size_t)(value.p - ed->text.p) + value.n, before = at;
	while (before > 0 && strchr(" \t\r\n", ed->text.p[before - 1]))
		before--;
	if (before > 0 && ed->text.p[before - 1] == ',') {
		at = before - 1;
	} else {
		while (end < ed->text.n && strchr(" \t\r\n", ed->text.p[end]))
			end++;
		if (end < ed->text.n && ed->text.p[end] == ',')
			end++;
	}
	add(ed, at, end, "");
}

static int by_place(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

struct span edits_apply(struct edits *ed)
{
	size_t size = ed->text.n + 1, at = 0, n = 0;
	for (size_t i = 0; i < ed->n; i++)
		size += strlen(ed->list[i].with);
	char *out = ed->failed ? NULL : arena_alloc(ed->arena, size);
	if (!out)
		return (struct span){NULL, 0};
	if (ed->n)
		qsort(ed->list, ed->n, sizeof *ed->list, by_place);
	for (size_t i = 0; i < ed->n; i++) {
		const struct edit *x = &ed->list[i];
		if (x->at < at)
			return (struct span){NULL, 0};
		memcpy(out + n, ed->text.p + at, x->at - at);
		n += x->at - at;
		memcpy(out + n, x->with, strlen(x->with));
		n += strlen(x->with);
		at = x->at + x->len;
	}
	memcpy(out + n, ed->text.p + at, ed->text.n - at);
	n += ed->text.n - at;
	out[n] = 0;
	return (struct span){out, n};
}
