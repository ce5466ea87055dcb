/*
 * ledger.c: `mysimbdp ledger check`: does the ledger balance? Recounted from files, store and quarantine.
 *
 * Exit code 0: balanced; 1: not, and each equation that fails is told with its numbers.
 */
#include "base/fd.h"
#include "cli/client.h"
#include "cli/documents.h"
#include "cli/ledger_check.h"
#include "cli/term.h"
#include "manager/manager.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define JSON_MAX ((size_t)512 << 20)

struct check {
	const struct cli *cli;
	struct table *table;
	struct jsonw *w;     /* NULL: for people */
	struct buf problems; /* for people, one a line */
	uint64_t outputs, unbalanced, reread, records, accepted, rejected, delivered, rows;
};

static void json_output(struct jsonw *w, const struct recounted *c)
{
	const struct catalog_output *o = &c->out;
	char id[24];
	snprintf(id, sizeof id, "o%" PRId64, o->id);
	jsonw_begin(w, '{');
	jsonw_kstr(w, "id", id);
	jsonw_key(w, "file");
	jsonw_span(w, span_str(o->name));
	jsonw_kstr(w, "state", output_state_name(o->state));
	jsonw_kint(w, "records", (int64_t)o->records);
	jsonw_kint(w, "accepted", (int64_t)o->accepted);
	jsonw_kint(w, "rejected", (int64_t)o->rejected);
	jsonw_kint(w, "delivered", (int64_t)o->delivered);
	jsonw_kint(w, "refused_by_sink", (int64_t)o->refused_by_sink);
	jsonw_key(w, "evidence");
	jsonw_begin(w, '{');
	jsonw_kbool(w, "file_read", c->reread);
	if (c->reread) {
		jsonw_kint(w, "parsed", (int64_t)c->parsed);
		jsonw_kint(w, "accepted", (int64_t)c->accepted);
		jsonw_kint(w, "rejected", (int64_t)c->rejected);
	}
	jsonw_kint(w, "quarantine_open", (int64_t)c->q.open);
	jsonw_kint(w, "quarantine_replayed", (int64_t)c->q.replayed);
	jsonw_kint(w, "quarantine_erased", (int64_t)c->q.erased);
	jsonw_kint(w, "store_position", (int64_t)c->position);
	jsonw_kint(w, "store_rows", (int64_t)c->rows);
	jsonw_end(w, '}');
	jsonw_kstr(w, "note", c->note);
	jsonw_kbool(w, "balanced", c->nproblems == 0);
	jsonw_key(w, "problems");
	jsonw_begin(w, '[');
	for (unsigned i = 0; i < c->nproblems; i++)
		jsonw_str(w, c->problem[i]);
	jsonw_end(w, ']');
	jsonw_end(w, '}');
}

static void count_cell(struct table *t, bool known, uint64_t n)
{
	char text[32];
	table_cell(t, "%s", known ? human_count(n, text) : "-");
}

static void table_row(struct check *k, const struct recounted *c)
{
	const struct style *s = style_get(k->cli->colour_out);
	const struct catalog_output *o = &c->out;
	table_style(k->table, s->bold);
	table_cell(k->table, "o%" PRId64, o->id);
	table_cell(k->table, "%s", plain_text(k->cli->arena, o->name));
	table_cell(k->table, "%s", output_state_name(o->state));
	count_cell(k->table, c->reread, c->parsed);
	count_cell(k->table, true, o->records);
	count_cell(k->table, true, o->accepted);
	count_cell(k->table, true, c->q.open + c->q.erased);
	count_cell(k->table, true, o->delivered);
	count_cell(k->table, true, c->rows);
	table_style(k->table, c->nproblems ? s->red : c->note[0] ? s->dim : s->green);
	table_cell(k->table, "%s", c->nproblems ? "no" : c->note[0] ? c->note : "yes");
}

static enum err_code take(void *ctx, const struct recounted *c, struct err *e)
{
	struct check *k = ctx;
	k->outputs++;
	k->unbalanced += c->nproblems != 0;
	k->reread += c->reread;
	k->records += c->out.records;
	k->accepted += c->out.accepted;
	k->rejected += c->out.rejected;
	k->delivered += c->out.delivered;
	k->rows += c->rows;
	if (k->w) {
		json_output(k->w, c);
		return k->w->b->failed ? err_oom(e) : ERR_OK;
	}
	table_row(k, c);
	for (unsigned i = 0; i < c->nproblems; i++)
		buf_printf(&k->problems, "o%" PRId64 " %.200s: %s\n", c->out.id, plain_text(k->cli->arena, c->out.name),
			   c->problem[i]);
	return ERR_OK;
}

static void json_end(struct check *k, const struct recounted_files *f)
{
	struct jsonw *w = k->w;
	jsonw_end(w, ']');
	jsonw_key(w, "originals");
	jsonw_begin(w, '{');
	jsonw_kint(w, "kept", (int64_t)f->kept);
	jsonw_kint(w, "missing", (int64_t)f->missing);
	jsonw_kint(w, "wrong_size", (int64_t)f->wrong_size);
	jsonw_end(w, '}');
	jsonw_kint(w, "records", (int64_t)k->records);
	jsonw_kint(w, "accepted", (int64_t)k->accepted);
	jsonw_kint(w, "rejected", (int64_t)k->rejected);
	jsonw_kint(w, "delivered", (int64_t)k->delivered);
	jsonw_kint(w, "files_read", (int64_t)k->reread);
	jsonw_key(w, "problems");
	jsonw_begin(w, '[');
	for (unsigned i = 0; i < f->nproblems; i++)
		jsonw_str(w, f->problem[i]);
	jsonw_end(w, ']');
	jsonw_kbool(w, "balanced", !k->unbalanced && !f->nproblems);
	jsonw_end(w, '}');
}

static void print_people(struct check *k, const struct recounted_files *f)
{
	const struct style *s = style_get(k->cli->colour_out);
	char n[6][32];
	if (k->outputs) {
		table_print(k->table, stdout, table_width(k->cli), k->cli->colour_out);
		putchar('\n');
	}
	if (k->problems.n)
		printf("%s%s%s", s->red, buf_cstr(&k->problems), s->reset);
	for (unsigned i = 0; i < f->nproblems; i++)
		printf("%s%s%s\n", s->red, plain_text(k->cli->arena, f->problem[i]), s->reset);
	bool good = !k->unbalanced && !f->nproblems;
	printf(
	    "%s%s%s: %s output%s, %s read again; %s records = %s accepted + %s rejected; %s delivered, %s rows now\n",
	    good ? s->green : s->red, good ? "balanced" : "not balanced", s->reset, human_count(k->outputs, n[0]),
	    k->outputs == 1 ? "" : "s", human_count(k->reread, n[1]), human_count(k->records, n[2]),
	    human_count(k->accepted, n[3]), human_count(k->rejected, n[4]), human_count(k->delivered, n[5]),
	    human_count(k->rows, (char[32]){0}));
	if (f->kept + f->missing + f->wrong_size)
		printf("originals on disk: %s of %s\n", human_count(f->kept, n[0]),
		       human_count(f->kept + f->missing + f->wrong_size, n[1]));
}

/* One tenant, or the stand-alone outputs. */
static enum err_code check_one(const struct cli *cli, struct recount *r, struct jsonw *w, struct err *e)
{
	static const char *const heads[] = {"OUTPUT",	"FILE",	      "STATE",	   "IN FILE",  "RECORDS",
					    "ACCEPTED", "QUARANTINE", "DELIVERED", "ROWS NOW", "BALANCED"};
	static const enum table_align align[] = {TABLE_LEFT,  TABLE_LEFT,  TABLE_LEFT,	TABLE_RIGHT, TABLE_RIGHT,
						 TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT, TABLE_LEFT};
	struct check k = {.cli = cli, .w = w};
	struct recounted_files f = {0};
	k.table = table_new(cli->arena, 10, heads, align);
	buf_init(&k.problems, 1 << 20);
	if (w) {
		jsonw_begin(w, '{');
		jsonw_kstr(w, "tenant", r->tenant[0] ? r->tenant : NULL);
		jsonw_key(w, "outputs");
		jsonw_begin(w, '[');
	}
	enum err_code code = k.table ? recount_run(r, take, &k, e) : err_oom(e);
	if (!code && r->data)
		code = recount_files(r, &f, e);
	if (!code && w)
		json_end(&k, &f);
	else if (!code)
		print_people(&k, &f);
	if (!code && (k.unbalanced || f.nproblems))
		*cli->exit_code = 1;
	buf_done(&k.problems);
	return code;
}

/* ---- the verb */

static enum err_code ledger_at(const char *dir, struct catalog **ret, struct err *e)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/ledger.db", dir);
	if (access(path, F_OK) != 0) {
		err_set(e, ERR_NOT_FOUND, "\"%s\" holds no ledger", dir);
		return err_hint(e, "give --data DIR of a platform, or --db DIR of `mysimbdp ingest --to sqlite:DIR`");
	}
	return catalog_open_sqlite(dir, ret, e);
}

static enum err_code check_db(const struct cli *cli, const char *dir, struct jsonw *w, struct err *e)
{
	struct documents d;
	struct recount r = {
	    .cli = cli, .tenant = "", .coredms = dir, .files = cli->argv + 1, .quick = cli_has(cli, "quick")};
	enum err_code code = documents_load(cli, &d, e);
	if (code)
		return code;
	r.plan = d.plan;
	code = recount_open(&r, e);
	if (!code)
		code = ledger_at(dir, &r.catalog, e);
	if (!code)
		code = check_one(cli, &r, w, e);
	recount_close(&r);
	cli_documents_done(&d);
	return code;
}

static enum err_code check_tenant(const struct cli *cli, const char *data, const char *tenant, struct jsonw *w,
				  struct err *e)
{
	struct recount r = {.cli = cli, .tenant = tenant, .data = data, .quick = cli_has(cli, "quick")};
	struct catalog_tenant t;
	if (!(r.coredms = path_coredms(cli->arena, data, tenant)))
		return err_oom(e);
	enum err_code code = recount_open(&r, e);
	if (!code)
		code = ledger_at(data, &r.catalog, e);
	if (!code)
		code = catalog_tenant_get(r.catalog, tenant, cli->arena, &t, e);
	if (!code)
		code = check_one(cli, &r, w, e);
	recount_close(&r);
	return code;
}

static enum err_code check_tenants(const struct cli *cli, const char *data, struct jsonw *w, struct err *e)
{
	struct catalog *c = NULL;
	struct catalog_tenant *t;
	size_t n = 0;
	enum err_code code = ledger_at(data, &c, e);
	if (!code)
		code = catalog_tenants(c, cli->arena, &t, &n, e);
	catalog_close(c);
	if (w) {
		jsonw_begin(w, '{');
		jsonw_key(w, "tenants");
		jsonw_begin(w, '[');
	}
	for (size_t i = 0; !code && i < n; i++) {
		if (!w)
			printf("%s%s%s\n", style_get(cli->colour_out)->bold, t[i].id,
			       style_get(cli->colour_out)->reset);
		code = check_tenant(cli, data, t[i].id, w, e);
		if (!w)
			putchar('\n');
	}
	if (w) {
		jsonw_end(w, ']');
		jsonw_kbool(w, "balanced", *cli->exit_code <= 0);
		jsonw_end(w, '}');
	} else if (!code && n == 0) {
		printf("balanced: there is no tenant yet\n");
	}
	return code;
}

static enum err_code dispatch(const struct cli *cli, struct jsonw *w, struct err *e)
{
	const char *db = cli_get(cli, "db"), *data;
	if (db)
		return check_db(cli, db, w, e);
	if (cli->argc > 2)
		return err_set(e, ERR_USAGE, "\"%.60s\" is one argument too many", cli->argv[2]);
	if (cli->argc == 2 && (strchr(cli->argv[1], '/') || cli->argv[1][0] == '.'))
		return err_set(e, ERR_USAGE, "\"%.60s\" is no tenant; a directory is given with --db", cli->argv[1]);
	enum err_code code = cli_data_dir(cli, &data, e);
	if (code)
		return code;
	return cli->argc == 2 ? check_tenant(cli, data, cli->argv[1], w, e) : check_tenants(cli, data, w, e);
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct buf b;
	struct jsonw w;
	if (strcmp(cli->argv[0], "check") != 0) {
		err_set(e, ERR_USAGE, "\"%.40s\" is nothing that ledger does", cli->argv[0]);
		return err_hint(e, "mysimbdp ledger check [TENANT]");
	}
	buf_init(&b, JSON_MAX);
	jsonw_init(&w, &b);
	enum err_code code = dispatch(cli, cli->json ? &w : NULL, e);
	if (!code && cli->json)
		cli_print_json(cli, (struct span){b.p, b.n});
	buf_done(&b);
	return code;
}

static const struct cli_option options[] = {
    {"db", 0, "DIR", "without a platform: the DIR of `mysimbdp ingest --to sqlite:DIR`", "dir"},
    {"config", 'c', "FILE", "with --db: the data file configuration", "file"},
    {"agreement", 'a', "FILE", "with --db: the service agreement, for its quality rules", "file"},
    {"quick", 0, NULL, "do not read the files again; store and quarantine only", NULL},
    {0},
};

const struct verb verb_ledger = {
    .name = "ledger",
    .usage = "check [TENANT] | check --db DIR --config DATA-FILE.json [FILE...]",
    .summary = "does the ledger balance? recounted from files, store and quarantine",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .help =
	"For every output: parsed = accepted + rejected, and accepted = delivered + refused by the sink. The retained\n"
	"file is read again through the gate, rows are counted by their lineage in the store, rejected records in\n"
	"the quarantine; no counter is compared with itself. Needs the data directory (--data).\n"
	"With --db, files that were ingested may be named to be read again.\n\n"
	"exit code: 0 balanced, 1 not (each equation that fails is told with its numbers)\n\n"
	"  mysimbdp ledger check\n"
	"  mysimbdp ledger check client_a\n"
	"  mysimbdp ledger check --db out --config data-file.json reviews.csv",
    .run = run,
};
