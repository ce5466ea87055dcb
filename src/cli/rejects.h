/*
 * rejects.h: --rejects FILE of check and ingest: what was rejected, to be mended and given again.
 *
 * A name that ends in .csv gets the header line and the records verbatim; any other one JSON object a line: file, row,
 * line, column, offset, rule, field, reason, record. Everything that was rejected is there, not only what is shown.
 */
#ifndef CLI_REJECTS_H
#define CLI_REJECTS_H

#include "cli/verb.h"
#include "ingest/ingest.h"

#include <stdio.h>

struct rejects {
	FILE *out; /* NULL: not asked for */
	const char *path, *file;
	bool csv, header;
	struct buf line;
};

/* Looks at --rejects and hooks into the options. r must outlive the plan. */
enum err_code rejects_open(const struct cli *cli, struct rejects *r, struct ingest_options *o, struct err *e) MUST_USE;
/* Name of the file that is read from now on. */
void rejects_file(struct rejects *r, const char *path);
enum err_code rejects_close(struct rejects *r, struct err *e) MUST_USE;

#endif
