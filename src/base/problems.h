/*
 * problems.h: everything that is wrong or odd in a document, collected so that all of it is told at once.
 *
 *   struct problems p;
 *   problems_init(&p, "data-file.json", &arena);
 *   problem_add(&p, PROBLEM_ERROR, node, "$.schema.fields[3].type",
 *               "\"integer\"", "one of int, long, double ...", "did you mean \"int\"?");
 *   if (p.errors) ...
 *
 * Strings are copied into the arena. The list stops growing at PROBLEMS_MAX and says so.
 */
#ifndef BASE_PROBLEMS_H
#define BASE_PROBLEMS_H

#include "base/arena.h"
#include "base/json.h"

#define PROBLEMS_MAX 200

enum problem_level { PROBLEM_ERROR, PROBLEM_WARNING };

struct problem {
	enum problem_level level;
	const char *document; /* file name */
	const char *path;     /* JSON path: $.schema.fields[3].type */
	uint32_t line, col;   /* 0 when the thing is missing */
	const char *found;    /* as written, shortened; "" when missing */
	const char *allowed;
	const char *suggestion; /* what to do; "" when nothing better is known */
	struct problem *next;
};

struct problems {
	struct arena *arena;
	const char *document; /* put into each new problem */
	struct problem *first, **tail;
	unsigned errors, warnings, dropped;
};

void problems_init(struct problems *p, const char *document, struct arena *a);

/* node may be NULL (something is missing). found NULL: the node's own text. */
void problem_add(struct problems *p, enum problem_level level, const struct json *node, const char *path,
		 const char *found, const char *allowed, const char *suggestion);

/* Put those behind *from (a tail remembered before they came) into the order of their places. */
void problems_sort(struct problems *p, struct problem **from);

/* One line each: "data-file.json:12:9: error: $.schema... : found ..., allowed ...; suggestion". */
void problems_print(const struct problems *p, struct buf *out, bool colour);
void problems_json(const struct problems *p, struct jsonw *w); /* an array */

/* The candidate nearest to s (edit distance at most a third of its length), or NULL. */
const char *nearest_name(const char *s, const char *const *candidates, size_t n);

#endif
