/*
 * term.h: what people see: aligned tables, progress bars, colours. Nothing here is for scripts (they use --json).
 */
#ifndef CLI_TERM_H
#define CLI_TERM_H

#include "cli/verb.h"

#include <stdio.h>

/* SGR codes that are "" when colour is off. */
struct style {
	const char *bold, *dim, *red, *green, *yellow, *blue, *cyan, *reverse, *reset;
};
const struct style *style_get(bool colour);

/* Columns align by display width (UTF-8 aware); numbers right. Rows are buffered until table_print. */
enum table_align { TABLE_LEFT, TABLE_RIGHT };
struct table;
struct table *table_new(struct arena *a, int ncols, const char *const *heads, const enum table_align *align);
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* row by row */
void table_style(struct table *t, const char *sgr);					      /* of the next cell */
/* Long cells are cut with an ellipsis so that a line fits `width` (0: never). */
void table_print(const struct table *t, FILE *out, int width, bool colour);

/* A bar on stderr, redrawn at most 10 times a second; does nothing when cli->progress is false. */
struct progress {
	const struct cli *cli;
	const char *label;
	uint64_t done, total;
	int64_t started_ns, drawn_ns;
	bool drawn;
};
void progress_start(struct progress *p, const struct cli *cli, const char *label, uint64_t total);
void progress_update(struct progress *p, uint64_t done, const char *note);
void progress_end(struct progress *p); /* clears the line */

/* "1.2 GB", "3 min ago", "1,234,567". */
const char *human_bytes(uint64_t n, char out[32]);
const char *human_count(uint64_t n, char out[32]);
const char *human_duration(double seconds, char out[32]);
const char *human_ago(int64_t us, int64_t now_us, char out[40]);

/* Foreign text must not steer the terminal: control characters, also those of C1, become blanks. */
void make_plain(char *s);
/* Columns a text takes on a terminal. */
size_t display_width(const char *s, size_t n);

#endif
