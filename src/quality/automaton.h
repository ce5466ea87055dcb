/*
 * automaton.h: regular expressions that a tenant may write: matched in one pass over the cell, whatever the pattern.
 *
 *   char wrong[AUTOMATON_ERROR_MAX];
 *   const struct automaton *p = automaton_compile(SPAN_LIT("[A-Z]{2}[0-9]+"), &arena, wrong);
 *   if (automaton_match(p, cell, n)) ...
 *
 * Syntax: POSIX extended (IEEE 1003.1, 9.4): . [] [^] [:alpha:] * + ? {n} {n,} {n,m} | (), and \d \D \w \W \s \S \t \n
 * \r, (?:...); a backslash makes the next sign ordinary, inside brackets too. It always matches the whole cell: a ^ at
 * the start and a $ at the end are allowed and change nothing. Characters are UTF-8 characters; there is no locale.
 * Not there, because they would need more than one pass: back-references, look-around, lazy quantifiers.
 *
 * The pattern becomes a deterministic automaton when the document is read (Thompson 1968; subset construction; UTF-8
 * ranges as byte ranges). A pattern whose automaton would be too large is refused there, so a match costs one table
 * look-up a byte and no memory. Const afterwards; any thread.
 */
#ifndef QUALITY_AUTOMATON_H
#define QUALITY_AUTOMATON_H

#include "base/arena.h"

#include <stdint.h>

#define AUTOMATON_TEXT_MAX 1000
#define AUTOMATON_ERROR_MAX 160

struct automaton {
	uint8_t cls[256]; /* byte -> class */
	uint32_t ncls, nstate;
	const uint16_t *next;  /* [state * ncls + class]; state 0 is dead, 1 the start */
	const uint8_t *accept; /* per state */
};

/* NULL: wrong tells why. The automaton lives in the arena. */
const struct automaton *automaton_compile(struct span text, struct arena *a, char wrong[AUTOMATON_ERROR_MAX]);

static inline bool automaton_match(const struct automaton *p, const char *s, size_t n)
{
	uint32_t at = 1;

	for (size_t i = 0; i < n; i++) {
		at = p->next[at * p->ncls + p->cls[(unsigned char)s[i]]];
		if (at == 0)
			return false;
	}
	return p->accept[at];
}

#endif
