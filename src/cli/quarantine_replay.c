/*
 * quarantine_replay.c: `quarantine replay` and `quarantine propose`: by the tenant's worker through the REST API, or
 * here on a directory of `mysimbdp ingest` (--db), which is locked against another ingest meanwhile.
 */
#include "base/fd.h"
#include "cli/documents.h"
#include "cli/quarantine.h"
#include "cli/term.h"
#include "sink/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define JOB_WAIT_S 3600
#define JSON_MAX ((size_t)64 << 20)

/* ---- here, on a directory */

struct here {
	struct documents d;
	struct ingest_target t;
	int lock;
};

static void here_close(struct here *h)
{
	if (h->t.sink)
		h->t.sink_class->close(h->t.sink);
	quarantine_close(h->t.quarantine);
	catalog_close(h->t.catalog);
	fd_close(&h->lock);
	cli_documents_done(&h->d);
}

static enum err_code take_lock(const struct cli *cli, const char *dir, struct here *h, struct err *e)
{
	const char *path = path_join(cli->arena, dir, "ingest.lock");
	if (!path)
		return err_oom(e);
	enum err_code code = fd_open(path, O_RDWR | O_CREAT, 0600, &h->lock, e);
	if (code)
		return code;
	if (flock(h->lock, LOCK_EX | LOCK_NB) == 0)
		return ERR_OK;
	if (errno != EWOULDBLOCK)
		return err_sys(e, errno, "lock \"%s\"", path);
	err_set(e, ERR_BUSY, "another process writes to \"%s\"", dir);
	return err_hint(e, "wait until `mysimbdp ingest` has ended");
}

/* The table as the documents have it now; a changed schema is the usual reason for a replay. */
static enum err_code sink_ready(const struct cli *cli, const char *dir, struct here *h, struct err *e)
{
	uint64_t rows;
	enum err_code code = h->t.sink_class->open(dir, h->d.data_file, &h->t.sink, e);
	if (!code)
		code = h->t.sink_class->table(h->t.sink, e);
	if (code != ERR_CONFLICT)
		return code;
	h->t.sink_class->close(h->t.sink);
	h->t.sink = NULL;
	code = sqlite_rebuild(dir, h->d.data_file, &rows, e);
	if (code)
		return err_prefix(e, "rebuild table \"%s\"", h->d.data_file->schema->name);
	if (!cli->quiet)
		fprintf(stderr, "table \"%s\" rebuilt for the changed documents: %" PRIu64 " rows\n",
			h->d.data_file->schema->name, rows);
	code = h->t.sink_class->open(dir, h->d.data_file, &h->t.sink, e);
	return code ? code : h->t.sink_class->table(h->t.sink, e);
}

static enum err_code dir_exists(const char *dir, struct err *e)
{
	const char *ledger = "ledger.db";
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, ledger);
	if (access(path, F_OK) == 0)
		return ERR_OK;
	err_set(e, ERR_NOT_FOUND, "\"%s\" holds no ledger", dir);
	return err_hint(e, "--db takes the DIR of `mysimbdp ingest --to sqlite:DIR`");
}

static enum err_code replay_here(const struct cli *cli, const char *dir, struct replay_result *ret, struct err *e)
{
	struct here h = {.lock = -1, .t = {.sink_class = &sink_sqlite, .sink_name = "coredms"}};
	struct quarantine_filter f;
	bool dry = cli_has(cli, "dry-run");
	enum err_code code = dir_exists(dir, e);
	if (!code)
		code = origin_filter(cli, &f, e);
	if (!code)
		code = documents_load(cli, &h.d, e);
	if (code)
		return code;
	if (!(code = take_lock(cli, dir, &h, e)) && !(code = catalog_open_sqlite(dir, &h.t.catalog, e)))
		code = quarantine_open(dir, &h.t.quarantine, e);
	if (!code && !dry)
		code = sink_ready(cli, dir, &h, e);
	if (!code && !dry)
		code = catalog_epoch_next(h.t.catalog, "", &h.t.epoch, e);
	if (!code)
		code = ingest_replay(&h.d.plan, &h.t, &f, dry, ret, e);
	here_close(&h);
	return code;
}

/* ---- replay */

static enum err_code print_replay(const struct cli *cli, const struct replay_result *r, struct err *e)
{
	bool dry = cli_has(cli, "dry-run");
	if (cli->json) {
		struct buf b;
		struct jsonw w;
		buf_init(&b, 4096);
		jsonw_init(&w, &b);
		jsonw_begin(&w, '{');
		jsonw_kint(&w, "tried", (int64_t)r->tried);
		jsonw_kint(&w, "passed", (int64_t)r->passed);
		jsonw_kint(&w, "still_bad", (int64_t)r->still_bad);
		jsonw_kint(&w, "delivered", (int64_t)r->delivered);
		jsonw_kbool(&w, "dry_run", dry);
		jsonw_end(&w, '}');
		cli_print_json(cli, (struct span){b.p, b.n});
		bool failed = b.failed;
		buf_done(&b);
		return failed ? err_oom(e) : ERR_OK;
	}
	const struct style *s = style_get(cli->colour_out);
	char a[32], b[32], c[32];
	printf("%s record%s tried: %s%s %s%s, %s%s still bad%s\n", human_count(r->tried, a), r->tried == 1 ? "" : "s",
	       r->passed ? s->green : "", human_count(r->passed, b), dry ? "would pass" : "delivered", s->reset,
	       r->still_bad ? s->yellow : "", human_count(r->still_bad, c), s->reset);
	return ERR_OK;
}

/* The result of a job: the API gives it as an object. */
static const struct json *job_result(const struct json *job)
{
	const struct json *v = json_get(job, "result");
	return v ? v : job;
}

static const char *replay_body(const struct cli *cli, const struct quarantine_filter *f)
{
	struct buf b;
	struct jsonw w;
	char output[24];
	buf_init(&b, 1 << 16);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	if (f->rule)
		jsonw_kstr(&w, "rule", f->rule);
	if (f->field)
		jsonw_kstr(&w, "field", f->field);
	snprintf(output, sizeof output, "o%" PRId64, f->output);
	if (f->output)
		jsonw_kstr(&w, "output", output);
	jsonw_kbool(&w, "dry_run", cli_has(cli, "dry-run"));
	jsonw_end(&w, '}');
	const char *text = arena_strdup(cli->arena, buf_cstr(&b));
	buf_done(&b);
	return text;
}

static enum err_code ask_job(const struct cli *cli, const char *what, const char *body, const struct json **ret,
			     struct err *e)
{
	struct client *c;
	struct json *job;
	struct span text;
	enum err_code code = client_open(cli, &c, e);
	if (code)
		return code;
	const char *path = arena_printf(cli->arena, "/v1/tenants/%s/%s", url_escape(cli->arena, cli->argv[1]), what);
	code = path ? client_job(c, path, body, JOB_WAIT_S, cli->arena, &job, &text, e) : err_oom(e);
	client_close(c);
	if (!code)
		*ret = job_result(job);
	return code;
}

static enum err_code one_target(const struct cli *cli, struct err *e)
{
	bool db = cli_get(cli, "db") != NULL;
	if (cli->argc == (db ? 1 : 2))
		return ERR_OK;
	if (db || cli->argc > 2)
		return err_set(e, ERR_USAGE, "\"%.60s\" is one argument too many", cli->argv[cli->argc - 1]);
	err_set(e, ERR_USAGE, "whose quarantine?");
	return err_hint(e, "name a tenant, or --db DIR of `mysimbdp ingest --to sqlite:DIR`");
}

enum err_code quarantine_run_replay(const struct cli *cli, struct err *e)
{
	struct replay_result r = {0};
	struct quarantine_filter f;
	const struct json *v;
	const char *dir = cli_get(cli, "db");
	enum err_code code = one_target(cli, e);
	if (code)
		return code;
	if (dir) {
		code = replay_here(cli, dir, &r, e);
		return code ? code : print_replay(cli, &r, e);
	}
	code = origin_filter(cli, &f, e);
	if (!code)
		code = ask_job(cli, "quarantine/replay", replay_body(cli, &f), &v, e);
	if (code)
		return code;
	r = (struct replay_result){.tried = (uint64_t)json_get_int(v, "tried", 0),
				   .passed = (uint64_t)json_get_int(v, "passed", 0),
				   .still_bad = (uint64_t)json_get_int(v, "still_bad", 0),
				   .delivered = (uint64_t)json_get_int(v, "delivered", 0)};
	return print_replay(cli, &r, e);
}

/* ---- propose */

static enum err_code propose_here(const struct cli *cli, const char *dir, struct proposal *ret, struct err *e)
{
	struct documents d;
	struct quarantine *q = NULL;
	enum err_code code = documents_load(cli, &d, e);
	if (code)
		return code;
	code = quarantine_open_readonly(dir, &q, e);
	if (code == ERR_NOT_FOUND) {
		err_set(e, code, "\"%s\" holds no quarantine: nothing was rejected there", dir);
	} else if (!code) {
		code = ingest_propose(q, d.data_file, d.plan.quality, cli->arena, ret, e);
	}
	quarantine_close(q);
	cli_documents_done(&d);
	return code;
}

static enum err_code propose_there(const struct cli *cli, struct proposal *ret, struct err *e)
{
	const struct json *v;
	enum err_code code = ask_job(cli, "proposal", NULL, &v, e);
	if (code)
		return code;
	const struct json *changes = json_get(v, "changes");
	struct proposal p = {.data_file = json_get_str(v, "data_file", NULL),
			     .helped = (uint64_t)json_get_int(v, "helped", 0),
			     .left = (uint64_t)json_get_int(v, "left", 0)};
	p.changes = arena_array(cli->arena, changes ? changes->count : 0, sizeof *p.changes);
	if (!p.changes)
		return err_oom(e);
	for (const struct json *c = changes ? changes->child : NULL; c; c = c->next)
		p.changes[p.nchanges++] = (struct proposal_change){
		    json_get_str(c, "field", ""), json_get_str(c, "from", ""), json_get_str(c, "to", ""),
		    json_get_str(c, "because", ""), (uint64_t)json_get_int(c, "records", 0)};
	*ret = p;
	return ERR_OK;
}

static enum err_code propose_json(const struct cli *cli, const struct proposal *p, struct err *e)
{
	struct buf b;
	struct jsonw w;
	buf_init(&b, JSON_MAX);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	jsonw_key(&w, "changes");
	jsonw_begin(&w, '[');
	for (size_t i = 0; i < p->nchanges; i++) {
		jsonw_begin(&w, '{');
		jsonw_kstr(&w, "field", p->changes[i].field);
		jsonw_kstr(&w, "from", p->changes[i].from);
		jsonw_kstr(&w, "to", p->changes[i].to);
		jsonw_kstr(&w, "because", p->changes[i].because);
		jsonw_kint(&w, "records", (int64_t)p->changes[i].records);
		jsonw_end(&w, '}');
	}
	jsonw_end(&w, ']');
	jsonw_kint(&w, "helped", (int64_t)p->helped);
	jsonw_kint(&w, "left", (int64_t)p->left);
	jsonw_kstr(&w, "data_file", p->data_file);
	jsonw_end(&w, '}');
	bool failed = b.failed;
	if (!failed)
		cli_print_json(cli, (struct span){b.p, b.n});
	buf_done(&b);
	return failed ? err_oom(e) : ERR_OK;
}

static void tell_changes(const struct cli *cli, const struct proposal *p)
{
	const struct style *s = style_get(cli->colour_err);
	char n[32];
	for (size_t i = 0; i < p->nchanges; i++) {
		const struct proposal_change *c = &p->changes[i];
		fprintf(stderr, "%s%s%s: %s%s%s becomes %s%s%s: %s (%s record%s)\n", s->bold, c->field, s->reset,
			s->red, c->from, s->reset, s->green, c->to, s->reset, plain_text(cli->arena, c->because),
			human_count(c->records, n), c->records == 1 ? "" : "s");
	}
	fprintf(stderr, "%s quarantined record%s would pass", human_count(p->helped, n), p->helped == 1 ? "" : "s");
	if (p->left)
		fprintf(stderr, ", %s would not", human_count(p->left, n));
	fputc('\n', stderr);
}

enum err_code quarantine_run_propose(const struct cli *cli, struct err *e)
{
	struct proposal p = {0};
	const char *dir = cli_get(cli, "db"), *out = cli_get(cli, "out");
	enum err_code code = one_target(cli, e);
	if (!code)
		code = dir ? propose_here(cli, dir, &p, e) : propose_there(cli, &p, e);
	if (code)
		return code;
	if (cli->json)
		return propose_json(cli, &p, e);
	if (!p.data_file) {
		if (!cli->quiet)
			fprintf(stderr, "no change of the schema would help: %" PRIu64 " open record%s\n", p.left,
				p.left == 1 ? "" : "s");
		return ERR_OK;
	}
	if (!cli->quiet)
		tell_changes(cli, &p);
	if (out)
		return file_write_atomic(out, p.data_file, strlen(p.data_file), 0644, e);
	fputs(p.data_file, stdout);
	return ERR_OK;
}
