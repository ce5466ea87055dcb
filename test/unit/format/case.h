/*
 * case.h: a CSV text with a small schema in words, read by csv_reader with given options, and what came out as text.
 *
 *   schema: a:string b:int? c:decimal(10,2) d:enum(RED,GREEN)     ? = nullable
 *   key: a
 *   dialect: sep=; quote=' escape=\\ header=false null=NA,NULL
 *   limits: max_cell=100 max_row=1000
 *
 * One line a record: "1: "text" 7 -" or "2: rejected" with a line a defect, then warnings, or the error.
 */
#ifndef TEST_CASE_H
#define TEST_CASE_H

#include "base/buf.h"
#include "format/csv.h"

struct csv_case {
	struct arena arena;
	const char *name;
	struct schema schema;
	struct csv_plan plan;
	struct csv_options limits;
	const char *charset;
	struct buf input, expect;
};

/* Fill c from the lines of a case; fails the test when they make no sense. */
void case_parse_schema(struct csv_case *c, char *words);
void case_parse_key(struct csv_case *c, char *words);
void case_parse_dialect(struct csv_case *c, char *words);
void case_parse_limits(struct csv_case *c, char *words);
void case_done(struct csv_case *c);

/* Read the case's input with opt (limits are added) and describe what came out. */
void case_run(const struct csv_case *c, struct csv_options opt, struct buf *out);

#endif
