/*
 * automaton_parse.h: a regular expression's text as a tree; between automaton_parse.c and automaton.c only.
 */
#ifndef QUALITY_AUTOMATON_PARSE_H
#define QUALITY_AUTOMATON_PARSE_H

#include "quality/automaton.h"

#define RUNE_MAX 0x10ffffu
#define REPEAT_MAX 255
#define REPEAT_INFINITE UINT32_MAX

struct rune_range {
	uint32_t lo, hi;
};

enum node_kind { NODE_EMPTY, NODE_SET, NODE_CAT, NODE_ALT, NODE_REPEAT };

struct node {
	enum node_kind kind;
	struct node *a, *b;		/* CAT, ALT; REPEAT: a */
	uint32_t min, max;		/* REPEAT */
	const struct rune_range *range; /* SET: sorted, disjoint */
	uint32_t nrange;
};

/* NULL: wrong tells why. */
struct node *automaton_parse(struct span text, struct arena *a, char wrong[AUTOMATON_ERROR_MAX]);

#endif
