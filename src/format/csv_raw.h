/*
 * csv_raw.h: rows of cells as written, before any type: for sniffing a file's types, and for passing records on.
 *
 *   csv_raw_open(source, &dialect, NULL, &raw, &err);
 *   struct raw_row row;
 *   while (csv_raw_next(raw, &row, &more, &err) == ERR_OK && more)
 *       if (!row.rule && row.ncell == n) use(row.cell[0].text, row.cell[0].quoted);
 *   csv_raw_close(raw);
 *
 * The same grammar, line ends and recovery as format/csv.h (it is the same scanner): every row that a csv_reader makes
 * a record of comes out here, in the same order. The header line is the first row like any other; dialect.header,
 * null_words and charset are not looked at. Spans are valid until the next call. One thread.
 */
#ifndef FORMAT_CSV_RAW_H
#define FORMAT_CSV_RAW_H

#include "format/csv.h"

struct csv_raw;

struct raw_cell {
	struct span text; /* without quotes, doubled quotes made one */
	bool quoted;
};

struct raw_row {
	const struct raw_cell *cell;
	uint32_t ncell;	   /* as written: ragged rows are for the caller to judge */
	uint64_t row;	   /* from 1, the header line included */
	uint64_t line;	   /* physical line where it starts, from 1 */
	struct span raw;   /* as written, without its line end */
	struct span whole; /* with it */
	const char *rule;  /* NULL, or what is wrong: RULE_BAD_QUOTE, RULE_UNCLOSED_QUOTE, RULE_NUL ... */
};

enum err_code csv_raw_open(struct source *src, const struct csv_dialect *dialect, const struct csv_options *opt,
			   struct csv_raw **ret, struct err *e) MUST_USE;
/* *ret_more false: the end. */
enum err_code csv_raw_next(struct csv_raw *r, struct raw_row *ret, bool *ret_more, struct err *e) MUST_USE;
void csv_raw_close(struct csv_raw *r);

#endif
