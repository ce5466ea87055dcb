/*
 * tenant_check.c: `mysimbdp tenant check DIR...`: every problem of both documents at once, before anything is
 * registered. Exit code 0 when they can be used (warnings included), 78 when not.
 */
#include "cli/tenant_check.h"

#include "base/fd.h"
#include "base/problems.h"
#include "cli/term.h"
#include "quality/gate.h"
#include "tenant/agreement.h"
#include "tenant/data_file.h"

#include <stdio.h>

/* What the documents say in a few words, so that a reader sees that they were understood. */
static void summary(const struct tenant_documents *d, FILE *out)
{
	const struct data_file *df = d->data_file;
	const struct agreement *g = d->agreement;
	char what[160] = "";
	cron_describe(&g->schedule, what);
	fprintf(out, "%s: %s.%s, %u fields, key of %u, ", g->client, df->key_space, df->schema->name,
		df->schema->nfields, df->nkey);
	if (g->has_schedule)
		fprintf(out, "starts %s (%s)", what, g->time_zone);
	else
		fputs("no schedule", out);
	fprintf(out, ", %u app%s\n", g->napps, g->napps == 1 ? "" : "s");
}

static void print_json(const struct cli *cli, const char *dir, const struct problems *p,
		       const struct tenant_documents *d, struct buf *out)
{
	struct jsonw w;
	jsonw_init(&w, out);
	jsonw_begin(&w, '{');
	jsonw_kstr(&w, "directory", dir);
	jsonw_kstr(&w, "client", d->agreement ? d->agreement->client : NULL);
	jsonw_kbool(&w, "valid", p->errors == 0);
	jsonw_kint(&w, "errors", p->errors);
	jsonw_kint(&w, "warnings", p->warnings);
	jsonw_key(&w, "problems");
	problems_json(p, &w);
	jsonw_end(&w, '}');
	buf_char(out, '\n');
}

static enum err_code check_one(const struct cli *cli, const char *dir, unsigned *errors, struct err *e)
{
	struct problems p;
	struct tenant_documents d = {0};
	struct buf out;
	problems_init(&p, dir, cli->arena);
	enum err_code c = tenant_documents_read(dir, cli->arena, &p, &d, e);
	if (c)
		return c;
	if (d.data_file && d.agreement) {
		p.document = path_join(cli->arena, dir, "service-agreement.json");
		(void)quality_plan_new(d.data_file, d.agreement->quality, cli->arena, &p);
	}
	*errors += p.errors;
	buf_init(&out, 4 << 20);
	if (cli->json)
		print_json(cli, dir, &p, &d, &out);
	else
		problems_print(&p, &out, cli->colour_out);
	fwrite(out.p ? out.p : "", 1, out.n, stdout);
	buf_done(&out);
	if (!cli->json && !cli->quiet) {
		const struct style *st = style_get(cli->colour_err);
		fflush(stdout);
		if (!p.errors && d.data_file && d.agreement)
			summary(&d, stderr);
		fprintf(stderr, "%s%s%s: %u error%s, %u warning%s\n", p.errors ? st->red : st->green, dir, st->reset,
			p.errors, p.errors == 1 ? "" : "s", p.warnings, p.warnings == 1 ? "" : "s");
	}
	data_file_done(d.data_file);
	return ERR_OK;
}

enum err_code tenant_check_run(const struct cli *cli, struct err *e)
{
	unsigned errors = 0;
	if (cli->argc < 2)
		return err_set(e, ERR_USAGE,
			       "`tenant check` needs a directory with data-file.json and service-agreement.json");
	for (int i = 1; i < cli->argc; i++) {
		enum err_code c = check_one(cli, cli->argv[i], &errors, e);
		if (c)
			return c;
	}
	if (errors)
		*cli->exit_code = err_info(ERR_DOCUMENT)->exit;
	return ERR_OK;
}
