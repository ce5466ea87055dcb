/*
 * check.c: `mysimbdp check`: files against the documents; nothing is written. `ingest` decides the same on every
 * record.
 */
#include "cli/documents.h"
#include "cli/rejects.h"
#include "cli/show.h"
#include "cli/term.h"

#include <stdio.h>
#include <string.h>

static void tick(void *ctx, const char *phase, uint64_t done, uint64_t total, uint64_t records)
{
	struct progress *p = ctx;
	char n[32], note[64];

	(void)phase;
	p->total = total;
	snprintf(note, sizeof(note), "%s records", human_count(records, n));
	progress_update(p, done, note);
}

static void check_file(const struct cli *cli, const struct documents *d, struct show *s, const char *path)
{
	struct progress bar;
	struct ingest_progress ip = {tick, &bar};
	struct ingest_result r = {0};
	struct err e = {0};

	warn_size(cli, d, path);
	progress_start(&bar, cli, strcmp(path, "-") == 0 ? "stdin" : path, 0);
	enum err_code c = ingest_check(&d->plan, path, &ip, &r, &e);
	progress_end(&bar);
	show_file(s, path, "", &r, c, &e);
	ingest_result_done(&r);
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct documents d;
	struct rejects rejects;
	struct show s;

	if (documents_load(cli, &d, e))
		return e->code;
	enum err_code c = rejects_open(cli, &rejects, &d.plan.options, e);
	if (!c)
		c = show_init(&s, cli, false, e);
	for (int i = 0; !c && i < cli->argc && !s.interrupted; i++) {
		rejects_file(&rejects, cli->argv[i]);
		check_file(cli, &d, &s, cli->argv[i]);
	}
	if (!c)
		show_end(&s);
	struct err late = {0};
	if (rejects_close(&rejects, &late) && !c) {
		c = (*e = late).code;
		*cli->exit_code = -1; /* the error's own */
	}
	cli_documents_done(&d);
	return c;
}

static const struct cli_option options[] = {DOCUMENT_OPTIONS, {0}};

const struct verb verb_check = {
    "check",
    "--config DATA-FILE.json [--agreement SERVICE-AGREEMENT.json] FILE|-...",
    "check files against the documents: types, nulls, quality rules; nothing is written",
    options,
    1,
    -1,
    "Reads CSV files (also gzip and zstd) as the data file configuration describes them, converts every cell to its\n"
    "type, and applies the agreement's quality rules (docs/quality.md). The first defects are shown with their cell.\n"
    "With --json one object is printed: records, accepted, rejected, bytes, seconds, defects, files.\n\n"
    "exit code: 0 all accepted, 1 some records rejected, 2 a file refused, 3 fatal, 4 interrupted, 78 bad documents\n\n"
    "  mysimbdp infer reviews.csv > data-file.json\n"
    "  mysimbdp check --config data-file.json reviews.csv\n"
    "  zcat reviews.csv.gz | mysimbdp check --config data-file.json --json -",
    run,
    false,
};
