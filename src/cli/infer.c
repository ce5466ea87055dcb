/*
 * infer.c: `mysimbdp infer FILE`: a data file configuration from a file. The document alone goes to stdout.
 */
#include "quality/infer.h"

#include "cli/term.h"

#include <stdio.h>

static void tick(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct progress *p = ctx;

	p->total = total;
	progress_update(p, done, phase);
}

static void tell_columns(const struct cli *cli, const struct infer_result *r)
{
	static const char *const heads[] = {"column", "type", "nulls", "example", ""};
	static const enum table_align align[] = {TABLE_LEFT, TABLE_LEFT, TABLE_RIGHT, TABLE_LEFT, TABLE_LEFT};
	const struct style *st = style_get(cli->colour_err);
	struct table *t = table_new(cli->arena, 5, heads, align);
	char n[32];

	for (uint32_t i = 0; i < r->ncolumns; i++) {
		const struct infer_column *c = &r->column[i];
		table_style(t, c->left_out ? st->yellow : c->key ? st->bold : "");
		table_cell(t, "%s", c->name);
		table_cell(t, "%s", c->left_out ? "" : c->type);
		table_cell(t, "%s", c->nulls ? human_count(c->nulls, n) : "");
		table_style(t, st->dim);
		table_cell(t, "%s", c->example);
		table_style(t, c->left_out ? st->yellow : st->green);
		table_cell(t, "%s", c->left_out ? "left out" : c->key ? "key" : "");
	}
	table_print(t, stderr, cli->width, cli->colour_err);
}

static void tell_key(const struct cli *cli, const struct infer_result *r)
{
	const struct style *st = style_get(cli->colour_err);
	unsigned n = 0;
	char count[32];

	for (uint32_t i = 0; i < r->ncolumns; i++) {
		if (r->column[i].key)
			fprintf(stderr, "%s%s", n++ ? ", " : "key: ", r->column[i].name);
	}
	if (n)
		fprintf(stderr, "%s, different in all %s records%s\n", st->dim,
			human_count(r->records - r->hopeless, count), st->reset);
	else
		fprintf(stderr, "key: %snone of up to 4 columns; records are appended%s\n", st->dim, st->reset);
}

static void tell(const struct cli *cli, const char *path, const struct infer_result *r)
{
	const struct style *st = style_get(cli->colour_err);
	char n[32], m[32];

	if (cli->quiet)
		return;
	fprintf(stderr, "%s%s%s: %s records, %s columns: %s\n", st->bold, path, st->reset, human_count(r->records, n),
		human_count(r->ncolumns, m), r->dialect);
	tell_columns(cli, r);
	tell_key(cli, r);
	for (uint32_t i = 0; i < r->ncolumns; i++) {
		const struct infer_column *c = &r->column[i];
		if (c->left_out)
			fprintf(stderr, "%swarning:%s column %u \"%s\" is left out: %s%s\n", st->yellow, st->reset,
				i + 1, c->name, c->name[0] ? "allowed is " : "", c->left_out);
	}
	for (uint32_t i = 0; i < r->nnotes; i++)
		fprintf(stderr, "%snote:%s %s\n", st->cyan, st->reset, r->notes[i]);
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct infer_result r;
	struct progress bar;
	struct infer_options o = {.spill_dir = cli_get(cli, "spill-dir"), .stop = cli->stop, .tick = tick, .ctx = &bar};

	progress_start(&bar, cli, cli->argv[0], 0);
	enum err_code c = infer_file(cli->argv[0], &o, &r, e);
	progress_end(&bar);
	if (!c) {
		tell(cli, cli->argv[0], &r);
		fputs(r.document, stdout);
	}
	infer_result_done(&r);
	return c;
}

static const struct cli_option options[] = {
    {"spill-dir", 0, "DIR", "where sorts put what does not fit (default $TMPDIR or /tmp)", "dir"},
    {0},
};

const struct verb verb_infer = {
    "infer",
    "FILE",
    "write a data file configuration for a CSV file",
    options,
    1,
    1,
    "Reads the whole file: separator, quote, charset and header; for each column the narrowest type that every value\n"
    "fits without losing a digit (int, long, double, boolean, date, timestamp, string); nulls and words for them; and "
    "as\n"
    "key the smallest set of at most four columns that differs in every record. The document alone goes to stdout, "
    "what\n"
    "was found to stderr. `check` with it accepts every record of that file.\n\n"
    "  mysimbdp infer reviews.csv > data-file.json\n"
    "  mysimbdp check --config data-file.json reviews.csv",
    run,
    false,
};
