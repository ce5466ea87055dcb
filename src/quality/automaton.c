/*
 * automaton.c: a tree becomes an automaton over bytes (Thompson's construction), that becomes a table (subset
 * construction). Both have limits, so that a hostile pattern is refused instead of burning time or memory.
 */
#include "quality/automaton.h"

#include "base/hash.h"
#include "quality/automaton_parse.h"

#include <stdio.h>
#include <stdlib.h>

#define NFA_MAX 8192
#define DFA_MAX 4000
#define WORK_MAX 30000000u
#define SCRATCH_MAX (64u << 20)

enum state_kind { ST_RANGE, ST_SPLIT, ST_MATCH };

struct state {
	uint8_t kind, lo, hi;
	uint16_t out, out2;
};

struct nfa {
	struct state *s;
	uint32_t n;
	bool full;
};

static uint16_t add_state(struct nfa *m, uint8_t kind, uint8_t lo, uint8_t hi, uint16_t out, uint16_t out2)
{
	if (m->n == NFA_MAX) {
		m->full = true;
		return 0;
	}
	m->s[m->n] = (struct state){kind, lo, hi, out, out2};
	return (uint16_t)m->n++;
}

/* ---- sets of characters as sequences of byte ranges (as in RE2 and the utf8-ranges crate) */

struct set_build {
	struct nfa *m;
	uint16_t next, start;
	bool any;
	uint16_t cont[4]; /* shared: n continuation bytes of any value, then next; 0 not made */
};

static void set_alternative(struct set_build *b, uint16_t first)
{
	b->start = b->any ? add_state(b->m, ST_SPLIT, 0, 0, first, b->start) : first;
	b->any = true;
}

static uint16_t any_continuation(struct set_build *b, int n)
{
	if (n == 0)
		return b->next;
	if (!b->cont[n])
		b->cont[n] = add_state(b->m, ST_RANGE, 0x80, 0xbf, any_continuation(b, n - 1), 0);
	return b->cont[n];
}

static int encode(uint32_t r, uint8_t out[4])
{
	if (r < 0x80) {
		out[0] = (uint8_t)r;
		return 1;
	}
	int n = r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;
	for (int i = n - 1; i > 0; i--, r >>= 6)
		out[i] = (uint8_t)(0x80 | (r & 0x3f));
	out[0] = (uint8_t)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | r);
	return n;
}

/* lo and hi have the same length and differ so that each byte's range is independent of the others. */
static void add_sequence(struct set_build *b, uint32_t lo, uint32_t hi)
{
	uint8_t l[4], h[4];
	int n = encode(lo, l);

	encode(hi, h);
	int plain = n;
	while (plain > 1 && l[plain - 1] == 0x80 && h[plain - 1] == 0xbf)
		plain--;
	uint16_t at = any_continuation(b, n - plain);
	for (int i = plain - 1; i >= 0; i--)
		at = add_state(b->m, ST_RANGE, l[i], h[i], at, 0);
	set_alternative(b, at);
}

static void add_runes(struct set_build *b, uint32_t lo, uint32_t hi)
{
	static const uint32_t last[] = {0x7f, 0x7ff, 0xffff};

	if (b->m->full)
		return;
	for (int i = 0; i < 3; i++) {
		if (lo <= last[i] && hi > last[i]) {
			add_runes(b, lo, last[i]);
			add_runes(b, last[i] + 1, hi);
			return;
		}
	}
	int more = hi < 0x80 ? 0 : hi < 0x800 ? 1 : hi < 0x10000 ? 2 : 3;
	for (int i = 1; i <= more; i++) {
		uint32_t m = (1u << (6 * i)) - 1;
		if ((lo & ~m) == (hi & ~m))
			continue;
		if (lo & m) {
			add_runes(b, lo, lo | m);
			add_runes(b, (lo | m) + 1, hi);
			return;
		}
		if ((hi & m) != m) {
			add_runes(b, lo, (hi & ~m) - 1);
			add_runes(b, hi & ~m, hi);
			return;
		}
	}
	add_sequence(b, lo, hi);
}

static uint16_t emit_set(struct nfa *m, const struct node *n, uint16_t next)
{
	struct set_build b = {.m = m, .next = next};

	for (uint32_t i = 0; i < n->nrange; i++) {
		uint32_t lo = n->range[i].lo, hi = n->range[i].hi;
		/* Cells are valid UTF-8, so that everything above ASCII needs no exact borders. */
		if (hi == RUNE_MAX && lo <= 0x80) {
			if (lo < 0x80)
				add_runes(&b, lo, 0x7f);
			set_alternative(&b, add_state(m, ST_RANGE, 0xc0, 0xdf, any_continuation(&b, 1), 0));
			set_alternative(&b, add_state(m, ST_RANGE, 0xe0, 0xef, any_continuation(&b, 2), 0));
			set_alternative(&b, add_state(m, ST_RANGE, 0xf0, 0xff, any_continuation(&b, 3), 0));
		} else {
			add_runes(&b, lo, hi);
		}
	}
	return b.start;
}

static uint16_t emit(struct nfa *m, const struct node *n, uint16_t next);

static uint16_t emit_repeat(struct nfa *m, const struct node *n, uint16_t next)
{
	uint16_t at = next;

	if (n->max == REPEAT_INFINITE) {
		uint16_t loop = add_state(m, ST_SPLIT, 0, 0, 0, next);
		uint16_t body = emit(m, n->a, loop);
		m->s[loop].out = body;
		at = loop;
	} else {
		for (uint32_t i = n->min; i < n->max && !m->full; i++)
			at = add_state(m, ST_SPLIT, 0, 0, emit(m, n->a, at), next);
	}
	for (uint32_t i = 0; i < n->min && !m->full; i++)
		at = emit(m, n->a, at);
	return at;
}

/* The first state of n, with next behind it. */
static uint16_t emit(struct nfa *m, const struct node *n, uint16_t next)
{
	if (m->full)
		return 0;
	switch (n->kind) {
	case NODE_EMPTY:
		return next;
	case NODE_SET:
		return emit_set(m, n, next);
	case NODE_CAT:
		return emit(m, n->a, emit(m, n->b, next));
	case NODE_ALT: {
		uint16_t b = emit(m, n->b, next);
		return add_state(m, ST_SPLIT, 0, 0, emit(m, n->a, next), b);
	}
	default:
		return emit_repeat(m, n, next);
	}
}

/* ---- subset construction */

struct subset {
	const uint16_t *s; /* RANGE and MATCH states, ascending */
	uint32_t n;
};

struct dfa {
	const struct nfa *m;
	struct arena *scratch;
	struct subset *set;
	uint32_t nset, work;
	uint32_t *slot; /* hash table of set index + 1 */
	uint16_t *stack, *list;
	uint32_t *mark;
	uint32_t stamp, nlist;
	bool full;
};

#define SLOTS 16384u

static void closure(struct dfa *d, uint16_t from)
{
	uint32_t n = 0;

	d->stack[n++] = from;
	while (n) {
		uint16_t at = d->stack[--n];
		if (d->mark[at] == d->stamp)
			continue;
		d->mark[at] = d->stamp;
		d->work++;
		const struct state *s = &d->m->s[at];
		if (s->kind != ST_SPLIT) {
			d->list[d->nlist++] = at;
			continue;
		}
		d->stack[n++] = s->out;
		d->stack[n++] = s->out2;
	}
}

static int u16_order(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* The number of the set in list; made when new. */
static uint32_t intern(struct dfa *d)
{
	qsort(d->list, d->nlist, sizeof(*d->list), u16_order);
	uint32_t h = (uint32_t)hash64(d->list, d->nlist * sizeof(*d->list), 0) & (SLOTS - 1);
	for (; d->slot[h]; h = (h + 1) & (SLOTS - 1)) {
		const struct subset *s = &d->set[d->slot[h] - 1];
		if (s->n == d->nlist && memcmp(s->s, d->list, s->n * sizeof(*s->s)) == 0)
			return d->slot[h] - 1;
	}
	uint16_t *copy = arena_array(d->scratch, d->nlist + 1, sizeof(*copy));
	if (d->nset == DFA_MAX || !copy) {
		d->full = true;
		return 0;
	}
	memcpy(copy, d->list, d->nlist * sizeof(*copy));
	d->set[d->nset] = (struct subset){copy, d->nlist};
	d->slot[h] = ++d->nset;
	return d->nset - 1;
}

static void byte_classes(const struct nfa *m, struct automaton *p, uint8_t first[256])
{
	bool border[257] = {true};

	for (uint32_t i = 0; i < m->n; i++) {
		if (m->s[i].kind == ST_RANGE) {
			border[m->s[i].lo] = true;
			border[m->s[i].hi + 1] = true;
		}
	}
	int c = -1;
	for (int i = 0; i < 256; i++) {
		if (border[i])
			first[++c] = (uint8_t)i;
		p->cls[i] = (uint8_t)c;
	}
	p->ncls = (uint32_t)c + 1;
}

static uint32_t step(struct dfa *d, uint32_t from, uint8_t byte)
{
	const struct subset *s = &d->set[from];

	d->stamp++;
	d->nlist = 0;
	d->work += s->n;
	for (uint32_t i = 0; i < s->n; i++) {
		const struct state *st = &d->m->s[s->s[i]];
		if (st->kind == ST_RANGE && st->lo <= byte && byte <= st->hi)
			closure(d, st->out);
	}
	return intern(d);
}

static const struct automaton *determine(struct dfa *d, uint16_t start, struct arena *a)
{
	struct automaton *p = arena_alloc(a, sizeof(*p));
	uint16_t *next = arena_array(d->scratch, (size_t)DFA_MAX * 256, sizeof(*next));
	uint8_t first[256];

	if (!p || !next)
		return NULL;
	byte_classes(d->m, p, first);
	intern(d); /* the empty set: dead */
	d->stamp++;
	closure(d, start);
	intern(d);
	for (uint32_t at = 1; at < d->nset; at++) {
		for (uint32_t c = 0; c < p->ncls; c++)
			next[at * p->ncls + c] = (uint16_t)step(d, at, first[c]);
		if (d->full || d->work > WORK_MAX)
			return NULL;
	}
	p->nstate = d->nset;
	size_t cells = (size_t)p->nstate * p->ncls;
	uint16_t *table = arena_array(a, cells, sizeof(*table));
	uint8_t *accept = arena_array(a, p->nstate, 1);
	if (!table || !accept)
		return NULL;
	memcpy(table, next, cells * sizeof(*table));
	for (uint32_t i = 0; i < p->nstate; i++) {
		for (uint32_t k = 0; k < d->set[i].n; k++)
			accept[i] |= d->m->s[d->set[i].s[k]].kind == ST_MATCH;
	}
	p->next = table;
	p->accept = accept;
	return p;
}

static const struct automaton *build(const struct node *tree, struct arena *scratch, struct arena *a)
{
	struct nfa m = {.s = arena_array(scratch, NFA_MAX, sizeof(struct state))};
	struct dfa d = {.m = &m, .scratch = scratch};

	d.set = arena_array(scratch, DFA_MAX, sizeof(*d.set));
	d.slot = arena_array(scratch, SLOTS, sizeof(*d.slot));
	d.stack = arena_array(scratch, 2 * NFA_MAX + 2, sizeof(*d.stack));
	d.list = arena_array(scratch, NFA_MAX, sizeof(*d.list));
	d.mark = arena_array(scratch, NFA_MAX, sizeof(*d.mark));
	if (!m.s || !d.set || !d.slot || !d.stack || !d.list || !d.mark)
		return NULL;
	uint16_t match = add_state(&m, ST_MATCH, 0, 0, 0, 0);
	uint16_t start = emit(&m, tree, match);
	return m.full ? NULL : determine(&d, start, a);
}

const struct automaton *automaton_compile(struct span text, struct arena *a, char wrong[AUTOMATON_ERROR_MAX])
{
	struct arena scratch;
	const struct automaton *p = NULL;

	arena_init(&scratch, SCRATCH_MAX);
	const struct node *tree = automaton_parse(text, &scratch, wrong);
	if (tree)
		p = build(tree, &scratch, a);
	if (tree && !p)
		snprintf(wrong, AUTOMATON_ERROR_MAX,
			 "a simpler pattern: this one needs too many states (shorter "
			 "repetitions, fewer alternatives)");
	arena_done(&scratch);
	return p;
}
