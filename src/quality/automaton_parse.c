/* automaton_parse.c: recursive descent over a regular expression; see automaton.h for the syntax. */
#include "quality/automaton_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 50
#define RANGES_MAX 256

struct parser {
	const unsigned char *p, *start, *end;
	struct arena *a;
	char *wrong;
	int depth;
};

struct ranges {
	struct rune_range r[RANGES_MAX];
	uint32_t n;
	bool full;
};

static const struct rune_range digit[] = {{'0', '9'}};
static const struct rune_range word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct rune_range space[] = {{'\t', '\r'}, {' ', ' '}};
static const struct rune_range alpha[] = {{'A', 'Z'}, {'a', 'z'}};
static const struct rune_range alnum[] = {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}};
static const struct rune_range upper[] = {{'A', 'Z'}};
static const struct rune_range lower[] = {{'a', 'z'}};
static const struct rune_range xdigit[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
static const struct rune_range punct[] = {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}};
static const struct rune_range blank[] = {{'\t', '\t'}, {' ', ' '}};
static const struct rune_range cntrl[] = {{0, 0x1f}, {0x7f, 0x7f}};
static const struct rune_range graph[] = {{'!', '~'}};
static const struct rune_range print[] = {{' ', '~'}};

static const struct {
	const char *name;
	const struct rune_range *r;
	uint32_t n;
} classes[] = {
    {"digit", digit, 1}, {"alpha", alpha, 2}, {"alnum", alnum, 3},   {"upper", upper, 1}, {"lower", lower, 1},
    {"space", space, 2}, {"punct", punct, 4}, {"xdigit", xdigit, 3}, {"blank", blank, 2}, {"cntrl", cntrl, 2},
    {"graph", graph, 1}, {"print", print, 1}, {"word", word, 4},
};

__attribute__((format(printf, 2, 3))) static struct node *fail(struct parser *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->wrong[0]) {
		va_start(ap, fmt);
		vsnprintf(s->wrong, AUTOMATON_ERROR_MAX, fmt, ap);
		va_end(ap);
	}
	return NULL;
}

static struct node *node_new(struct parser *s, enum node_kind kind, struct node *a, struct node *b)
{
	struct node *n = arena_alloc(s->a, sizeof(*n));

	if (!n)
		return fail(s, "a simpler pattern: this one needs too much memory");
	*n = (struct node){.kind = kind, .a = a, .b = b};
	return n;
}

static void add_range(struct ranges *g, uint32_t lo, uint32_t hi)
{
	if (g->n == RANGES_MAX)
		g->full = true;
	else
		g->r[g->n++] = (struct rune_range){lo, hi};
}

static int range_order(const void *a, const void *b)
{
	const struct rune_range *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Sort and merge; then the complement when asked. */
static void normalise(struct ranges *g, bool negate)
{
	struct ranges out = {.n = 0};
	uint32_t n = 0, next = 0;

	qsort(g->r, g->n, sizeof(g->r[0]), range_order);
	for (uint32_t i = 0; i < g->n; i++) {
		if (n && g->r[i].lo <= g->r[n - 1].hi + 1)
			g->r[n - 1].hi = g->r[i].hi > g->r[n - 1].hi ? g->r[i].hi : g->r[n - 1].hi;
		else
			g->r[n++] = g->r[i];
	}
	g->n = n;
	if (!negate)
		return;
	for (uint32_t i = 0; i < n; i++) {
		if (g->r[i].lo > next)
			add_range(&out, next, g->r[i].lo - 1);
		next = g->r[i].hi + 1;
	}
	if (next <= RUNE_MAX)
		add_range(&out, next, RUNE_MAX);
	*g = out;
}

static struct node *set_node(struct parser *s, struct ranges *g, bool negate)
{
	normalise(g, negate);
	if (g->full || g->n == 0)
		return fail(s, g->full ? "fewer ranges in brackets" : "brackets that some character fits");
	struct node *n = node_new(s, NODE_SET, NULL, NULL);
	struct rune_range *r = n ? arena_array(s->a, g->n, sizeof(*r)) : NULL;
	if (!r)
		return fail(s, "a simpler pattern: this one needs too much memory");
	memcpy(r, g->r, g->n * sizeof(*r));
	n->range = r;
	n->nrange = g->n;
	return n;
}

/* The text is valid UTF-8 (JSON was checked); a broken end reads as its byte. */
static uint32_t next_rune(struct parser *s)
{
	uint32_t c = *s->p++;
	int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

	if (more)
		c &= 0x3fu >> more;
	for (; more && s->p < s->end; more--)
		c = c << 6 | (*s->p++ & 0x3f);
	return c;
}

/* What \d \W ... stand for; false: an ordinary character in *rune. */
static bool escape(struct parser *s, uint32_t c, struct ranges *g, uint32_t *rune)
{
	static const struct {
		char letter;
		const struct rune_range *r;
		uint32_t n;
	} sets[] = {{'d', digit, 1}, {'w', word, 4}, {'s', space, 2}};

	for (size_t i = 0; i < 3; i++) {
		if ((c | 0x20) != (uint32_t)sets[i].letter)
			continue;
		struct ranges part = {.n = 0};
		for (uint32_t k = 0; k < sets[i].n; k++)
			add_range(&part, sets[i].r[k].lo, sets[i].r[k].hi);
		normalise(&part, c != (uint32_t)sets[i].letter);
		for (uint32_t k = 0; k < part.n; k++)
			add_range(g, part.r[k].lo, part.r[k].hi);
		return true;
	}
	*rune = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
	bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
	if (letter && *rune == c)
		fail(s,
		     c >= '1' && c <= '9' ? "no back-references (\\%c)"
					  : "no \\%c here: \\d \\w \\s \\t \\n \\r are known",
		     (char)c);
	return false;
}

/* [:alpha:] behind the '['. */
static bool named_class(struct parser *s, struct ranges *g)
{
	const unsigned char *from = s->p + 1, *to = from;

	while (to + 1 < s->end && !(to[0] == ':' && to[1] == ']'))
		to++;
	if (to + 1 >= s->end)
		return false;
	size_t n = (size_t)(to - from);
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strlen(classes[i].name) != n || memcmp(classes[i].name, from, n) != 0)
			continue;
		for (uint32_t k = 0; k < classes[i].n; k++)
			add_range(g, classes[i].r[k].lo, classes[i].r[k].hi);
		s->p = to + 2;
		return true;
	}
	fail(s, "one of [:alpha:] [:digit:] [:alnum:] [:upper:] [:lower:] [:space:] [:punct:] [:xdigit:] [:blank:]");
	return true;
}

/* One end of a range; true when it was a whole set instead. */
static bool bracket_item(struct parser *s, struct ranges *g, uint32_t *rune)
{
	uint32_t c = next_rune(s);

	if (c == '[' && s->p < s->end && *s->p == ':' && named_class(s, g))
		return true;
	*rune = c;
	if (c != '\\')
		return false;
	if (s->p == s->end) {
		fail(s, "something behind the last backslash");
		return true;
	}
	return escape(s, next_rune(s), g, rune);
}

static struct node *parse_bracket(struct parser *s)
{
	struct ranges g = {.n = 0};
	bool negate = s->p < s->end && *s->p == '^';
	bool first = true;

	s->p += negate;
	for (; s->p < s->end && (*s->p != ']' || first); first = false) {
		uint32_t lo, hi;
		if (bracket_item(s, &g, &lo)) {
			if (s->wrong[0])
				return NULL;
			continue;
		}
		hi = lo;
		if (s->end - s->p > 1 && s->p[0] == '-' && s->p[1] != ']') {
			s->p++;
			if (bracket_item(s, &g, &hi))
				return fail(s, "a range between two characters");
		}
		if (s->wrong[0])
			return NULL;
		if (hi < lo)
			return fail(s, "a range from the lower character to the higher");
		add_range(&g, lo, hi);
	}
	if (s->p == s->end)
		return fail(s, "a ] for every [");
	s->p++;
	return set_node(s, &g, negate);
}

static struct node *parse_alt(struct parser *s);

static struct node *parse_group(struct parser *s)
{
	struct node *n;

	if (s->p < s->end && *s->p == '?') {
		if (s->end - s->p < 2 || s->p[1] != ':')
			return fail(s, "no look-around and no flags, only (...) and (?:...)");
		s->p += 2;
	}
	if (++s->depth > DEPTH_MAX)
		return fail(s, "at most %d parentheses within each other", DEPTH_MAX);
	n = parse_alt(s);
	s->depth--;
	if (n && (s->p == s->end || *s->p != ')'))
		return fail(s, "a ) for every (");
	s->p++;
	return n;
}

static struct node *parse_atom(struct parser *s)
{
	struct ranges g = {.n = 0};
	uint32_t c = next_rune(s);

	switch (c) {
	case '(':
		return parse_group(s);
	case '[':
		return parse_bracket(s);
	case '.':
		add_range(&g, 0, RUNE_MAX);
		return set_node(s, &g, false);
	case '*':
	case '+':
	case '?':
	case '{':
		return fail(s, "something in front of %c, or \\%c for the sign itself", (char)c, (char)c);
	case '^':
	case '$':
		return fail(s, "no %c inside: the pattern is for the whole cell; \\%c for the sign itself", (char)c,
			    (char)c);
	case '\\':
		if (s->p == s->end)
			return fail(s, "something behind the last backslash");
		if (!escape(s, next_rune(s), &g, &c))
			add_range(&g, c, c);
		return s->wrong[0] ? NULL : set_node(s, &g, false);
	default:
		add_range(&g, c, c);
		return set_node(s, &g, false);
	}
}

static bool parse_number(struct parser *s, uint32_t *ret)
{
	const unsigned char *from = s->p;
	uint32_t v = 0;

	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9' && v <= REPEAT_MAX; s->p++)
		v = v * 10 + (*s->p - '0');
	*ret = v;
	return s->p > from && v <= REPEAT_MAX;
}

/* {n} {n,} {n,m} behind the '{'. */
static bool parse_braces(struct parser *s, uint32_t *min, uint32_t *max)
{
	if (!parse_number(s, min))
		return false;
	*max = *min;
	if (s->p < s->end && *s->p == ',') {
		s->p++;
		*max = REPEAT_INFINITE;
		if (s->p < s->end && *s->p != '}' && !parse_number(s, max))
			return false;
	}
	if (s->p == s->end || *s->p != '}' || *max < *min)
		return false;
	s->p++;
	return true;
}

static struct node *parse_repeat(struct parser *s)
{
	struct node *n = parse_atom(s);
	int times = 0;

	while (n && s->p < s->end && memchr("*+?{", *s->p, 4)) {
		unsigned char c = *s->p++;
		uint32_t min = c == '+', max = c == '?' ? 1 : REPEAT_INFINITE;
		if (c == '{' && !parse_braces(s, &min, &max))
			return fail(s, "{n}, {n,} or {n,m} with numbers up to %d", REPEAT_MAX);
		if (++times > 1)
			return fail(s, "one quantifier behind a thing; there are no lazy ones");
		n = node_new(s, NODE_REPEAT, n, NULL);
		if (n) {
			n->min = min;
			n->max = max;
		}
	}
	return n;
}

static struct node *parse_cat(struct parser *s)
{
	struct node *n = NULL;

	while (s->p < s->end && *s->p != '|' && *s->p != ')') {
		if (*s->p == '$' && s->p + 1 == s->end) {
			s->p++;
			break;
		}
		struct node *one = parse_repeat(s);
		if (!one)
			return NULL;
		n = n ? node_new(s, NODE_CAT, n, one) : one;
		if (!n)
			return NULL;
	}
	return n ? n : node_new(s, NODE_EMPTY, NULL, NULL);
}

static struct node *parse_alt(struct parser *s)
{
	struct node *n = parse_cat(s);

	while (n && s->p < s->end && *s->p == '|') {
		s->p++;
		struct node *other = parse_cat(s);
		n = other ? node_new(s, NODE_ALT, n, other) : NULL;
	}
	return n;
}

struct node *automaton_parse(struct span text, struct arena *a, char wrong[AUTOMATON_ERROR_MAX])
{
	const unsigned char *p = (const unsigned char *)text.p;
	struct parser s = {p, p, p + text.n, a, wrong, 0};

	wrong[0] = 0;
	if (text.n == 0 || text.n > AUTOMATON_TEXT_MAX)
		return fail(&s, "a regular expression of 1 to %d bytes", AUTOMATON_TEXT_MAX);
	if (*s.p == '^')
		s.p++;
	struct node *n = parse_alt(&s);
	if (n && s.p < s.end)
		return fail(&s, "a ( for every )");
	return n;
}
