/*
 * tenant.c: `mysimbdp tenant add|check|list|show|change|preview|propose|pause|resume|token`.
 *
 * Documents come from a directory (data-file.json, service-agreement.json), or, for a tenant that exists, one of them
 * from a file and the other one as it is. They are sent as texts, so that places in messages are those of the files.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "cli/client.h"
#include "cli/tenant_check.h"
#include "cli/term.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define DOCUMENT_MAX (1u << 20)
#define JOB_WAIT_S 600
#define REBUILD_WAIT_S 60

struct session {
	const struct cli *cli;
	struct client *client;
	struct arena *a;
	const char *tenant; /* of the documents, or as given */
	const char *body;   /* {"data_file": text, "agreement": text} */
};

static const char *tenant_path(struct session *s, const char *rest)
{
	const char *id = url_escape(s->a, s->tenant);
	return id ? arena_printf(s->a, "/v1/tenants/%s%s", id, rest) : NULL;
}

static enum err_code call(struct session *s, const char *method, const char *path, const char *body, struct json **ret,
			  struct span *ret_text, struct err *e)
{
	return path ? client_call(s->client, method, path, body, s->a, ret, ret_text, e) : err_oom(e);
}

/* ---- documents */

static enum err_code read_document(struct session *s, const char *path, struct span *ret, struct err *e)
{
	enum err_code code = file_read(path, DOCUMENT_MAX, s->a, ret, e);
	if (code == ERR_NOT_FOUND)
		err_hint(e, "a tenant's directory holds data-file.json and service-agreement.json");
	return code;
}

/* "client" of an agreement; a text that is no JSON is the server's to explain, under the name of its directory. */
static const char *client_of(struct session *s, struct span agreement)
{
	struct json *root;
	if (json_parse(agreement, s->a, &root, NULL))
		return NULL;
	return json_get_str(root, "client", NULL);
}

/* arg: a directory with both, or a tenant's id with --data-file and --agreement for what changes. */
static enum err_code read_documents(struct session *s, const char *arg, struct err *e)
{
	const char *df = cli_get(s->cli, "data-file"), *ag = cli_get(s->cli, "agreement");
	struct stat st;
	struct span data_file = {0}, agreement = {0};
	enum err_code code = ERR_OK;
	bool dir = stat(arg, &st) == 0 && S_ISDIR(st.st_mode);
	if (dir) {
		df = df ? df : path_join(s->a, arg, "data-file.json");
		ag = ag ? ag : path_join(s->a, arg, "service-agreement.json");
	} else if (!df && !ag) {
		err_set(e, ERR_USAGE, "\"%s\" is no directory", arg);
		return err_hint(e, "name a directory with data-file.json and service-agreement.json, or a tenant with "
				   "--data-file FILE or "
				   "--agreement FILE");
	}
	if (df)
		code = read_document(s, df, &data_file, e);
	if (!code && ag)
		code = read_document(s, ag, &agreement, e);
	if (code)
		return code;
	s->tenant = dir ? client_of(s, agreement) : arg;
	if (!s->tenant) {
		err_set(e, ERR_DOCUMENT, "\"%s\" names no client", ag);
		return err_hint(e, "`mysimbdp tenant check %s` lists everything that is wrong", arg);
	}
	struct json *now = NULL;
	if (!df || !ag)
		code = call(s, "GET", tenant_path(s, ""), NULL, &now, NULL, e);
	if (code)
		return code;
	struct buf b;
	struct jsonw w;
	buf_init(&b, 8 * DOCUMENT_MAX);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	jsonw_key(&w, "data_file");
	df ? jsonw_span(&w, data_file) : jsonw_str(&w, json_get_str(now, "data_file", ""));
	jsonw_key(&w, "agreement");
	ag ? jsonw_span(&w, agreement) : jsonw_str(&w, json_get_str(now, "agreement", ""));
	jsonw_end(&w, '}');
	s->body = b.failed ? NULL : arena_strndup(s->a, b.p, b.n);
	buf_done(&b);
	return s->body ? ERR_OK : err_oom(e);
}

/* Problems of an answer, one line each, as `tenant check` prints them. */
static void print_problems(const struct session *s, const struct json *answer)
{
	const struct style *st = style_get(s->cli->colour_err);
	const struct json *list = json_get(answer, "problems");
	for (const struct json *p = list ? list->child : NULL; p; p = p->next) {
		const char *level = json_get_str(p, "level", "error");
		const char *sgr = strcmp(level, "error") == 0 ? st->red : st->yellow;
		const char *found = json_get_str(p, "found", ""), *allowed = json_get_str(p, "allowed", "");
		const char *suggestion = json_get_str(p, "suggestion", "");
		fprintf(stderr, "%s%s", st->bold, json_get_str(p, "document", ""));
		if (json_get_int(p, "line", 0))
			fprintf(stderr, ":%" PRId64 ":%" PRId64, json_get_int(p, "line", 0),
				json_get_int(p, "column", json_get_int(p, "col", 0)));
		fprintf(stderr, "%s: %s%s%s: %s", st->reset, sgr, level, st->reset, json_get_str(p, "path", ""));
		if (*found)
			fprintf(stderr, ": found %s", plain_text(s->a, found));
		if (*allowed)
			fprintf(stderr, "%s allowed: %s", *found ? ";" : ":", plain_text(s->a, allowed));
		if (*suggestion)
			fprintf(stderr, "; %s", plain_text(s->a, suggestion));
		fputc('\n', stderr);
	}
}

/* ---- the actions */

/* New documents are in force at once; the table's new shape is its worker's work. */
static enum err_code follow_rebuild(struct session *s, const char *job, struct err *e)
{
	struct json *answer = NULL;
	enum err_code code = client_job_wait(s->client, job, REBUILD_WAIT_S, s->a, &answer, NULL, e);
	if (!code)
		printf(", its table has the new shape");
	else if (code == ERR_TIMEOUT || code == ERR_INTERRUPTED)
		printf("; its table follows (job %s)", job);
	else
		return err_prefix(e, "the documents are changed, but not the table (job %s)", job);
	return ERR_OK;
}

static enum err_code put(struct session *s, bool may_exist, bool must_exist, struct err *e)
{
	struct json *answer = NULL, *now = NULL;
	struct span text = {0};
	enum err_code code = read_documents(s, s->cli->argv[1], e);
	if (code)
		return code;
	code = call(s, "GET", tenant_path(s, ""), NULL, &now, NULL, e);
	bool exists = !code;
	if (code && (code != ERR_NOT_FOUND || must_exist))
		return code;
	struct json *mine;
	bool same = exists && json_parse(span_str(s->body), s->a, &mine, NULL) == ERR_OK &&
		    strcmp(json_get_str(mine, "data_file", ""), json_get_str(now, "data_file", "")) == 0 &&
		    strcmp(json_get_str(mine, "agreement", ""), json_get_str(now, "agreement", "")) == 0;
	if (exists && !may_exist && !same) {
		err_set(e, ERR_CONFLICT, "tenant \"%s\" is there already, with other documents", s->tenant);
		return err_hint(e, "`mysimbdp tenant change %s` gives it these", s->cli->argv[1]);
	}
	code = call(s, "PUT", tenant_path(s, ""), s->body, &answer, &text, e);
	if (code && s->cli->json && text.n)
		cli_print_json(s->cli, text);
	if (!s->cli->json)
		print_problems(s, answer);
	if (code)
		return code;
	if (s->cli->json) {
		cli_print_json(s->cli, text);
		return ERR_OK;
	}
	const struct style *st = style_get(s->cli->colour_out);
	bool added = json_get_bool(answer, "added", false), changed = json_get_bool(answer, "changed", false);
	printf("%s%-8s%s %s%s%s  documents version %" PRId64, changed ? st->green : st->cyan,
	       added	 ? "added"
	       : changed ? "changed"
			 : "same",
	       st->reset, st->bold, s->tenant, st->reset, json_get_int(answer, "version", 0));
	const char *job = json_get_str(answer, "job", NULL);
	if (job)
		code = follow_rebuild(s, job, e);
	printf("\n");
	fflush(stdout);
	if (added && !s->cli->quiet) {
		fflush(stdout);
		fprintf(stderr, "next: mysimbdp upload %s FILE, or a token of its own: mysimbdp tenant token %s\n",
			s->tenant, s->tenant);
	}
	return code;
}

static enum err_code add(struct session *s, struct err *e)
{
	return put(s, false, false, e);
}

static enum err_code change(struct session *s, struct err *e)
{
	return put(s, true, true, e);
}

static void list_row(struct table *t, const struct style *st, const struct json *v)
{
	const struct json *apps = json_get(v, "apps"), *counts = json_get(v, "counts");
	char text[40];
	bool paused = json_get_bool(v, "paused", false);
	table_style(t, st->bold);
	table_cell(t, "%s", json_get_str(v, "id", ""));
	table_style(t, paused ? st->yellow : st->green);
	table_cell(t, "%s", paused ? "paused" : "active");
	table_cell(t, "%" PRId64, json_get_int(v, "version", 0));
	table_cell(t, "%s", json_get_str(v, "table", ""));
	table_cell(t, "%s", apps && apps->child ? json_get_str(apps->child, "means", "-") : "-");
	table_cell(t, "%s", human_count((uint64_t)json_get_int(counts, "delivered", 0), text));
	table_cell(t, "%s", human_ago(json_time(v, "updated"), clock_now_us(), text));
}

static enum err_code list(struct session *s, struct err *e)
{
	static const char *const heads[] = {"TENANT", "STATE", "DOCUMENTS", "TABLE", "RUNS", "DELIVERED", "CHANGED"};
	static const enum table_align align[] = {TABLE_LEFT, TABLE_LEFT,  TABLE_RIGHT, TABLE_LEFT,
						 TABLE_LEFT, TABLE_RIGHT, TABLE_LEFT};
	struct json *answer = NULL;
	struct span text = {0};
	enum err_code code = call(s, "GET", "/v1/tenants?limit=1000", NULL, &answer, &text, e);
	if (code)
		return code;
	if (s->cli->json) {
		cli_print_json(s->cli, text);
		return ERR_OK;
	}
	const struct json *tenants = json_get(answer, "tenants");
	if (!tenants || !tenants->count) {
		fprintf(stderr, "no tenants yet: `mysimbdp tenant add DIR` adds one\n");
		return ERR_OK;
	}
	struct table *t = table_new(s->a, 7, heads, align);
	for (const struct json *v = tenants->child; v; v = v->next)
		list_row(t, style_get(s->cli->colour_out), v);
	table_print(t, stdout, table_width(s->cli), s->cli->colour_out);
	return ERR_OK;
}

static enum err_code show(struct session *s, struct err *e)
{
	struct json *answer = NULL;
	struct span text = {0};
	enum err_code code = call(s, "GET", tenant_path(s, ""), NULL, &answer, &text, e);
	if (code)
		return code;
	if (s->cli->json) {
		cli_print_json(s->cli, text);
		return ERR_OK;
	}
	const struct style *st = style_get(s->cli->colour_out);
	printf("%s%s%s  %s, documents version %" PRId64 ", table %s\n", st->bold, s->tenant, st->reset,
	       json_get_bool(answer, "paused", false) ? "paused" : "active", json_get_int(answer, "version", 0),
	       json_get_str(answer, "table", "?"));
	const struct json *apps = json_get(answer, "apps");
	for (const struct json *v = apps ? apps->child : NULL; v; v = v->next) {
		char in[32];
		int64_t next = json_time(v, "next");
		printf("app %s (%s): %s", json_get_str(v, "name", ""), json_get_str(v, "mode", ""),
		       json_get_str(v, "means", "no schedule"));
		if (next)
			printf(", next in %s", human_duration((double)(next - clock_now_us()) / 1e6, in));
		putchar('\n');
	}
	printf("\n%sdata-file.json%s\n%s\n\n%sservice-agreement.json%s\n%s\n", st->cyan, st->reset,
	       json_get_str(answer, "data_file", ""), st->cyan, st->reset, json_get_str(answer, "agreement", ""));
	return ERR_OK;
}

static enum err_code simple_post(struct session *s, const char *rest, struct json **ret, struct err *e)
{
	struct span text = {0};
	enum err_code code = call(s, "POST", tenant_path(s, rest), NULL, ret, &text, e);
	if (!code && s->cli->json)
		cli_print_json(s->cli, text);
	return code;
}

static enum err_code pause_or_resume(struct session *s, struct err *e)
{
	struct json *answer = NULL;
	bool paused = strcmp(s->cli->argv[0], "pause") == 0;
	enum err_code code = simple_post(s, paused ? "/pause" : "/resume", &answer, e);
	if (!code && !s->cli->json)
		printf("%-8s %s  %s\n", paused ? "paused" : "resumed", s->tenant, json_get_str(answer, "status", ""));
	return code;
}

static enum err_code token(struct session *s, struct err *e)
{
	struct json *answer = NULL;
	enum err_code code = simple_post(s, "/token", &answer, e);
	if (code || s->cli->json)
		return code;
	puts(json_get_str(answer, "token", ""));
	if (!s->cli->quiet)
		fprintf(stderr, "%s\ncurl -H \"Authorization: Bearer TOKEN\" -F file=@NAME %s/upload-file/%s\n",
			json_get_str(answer, "status", ""), client_url(s->client), s->tenant);
	return ERR_OK;
}

/* ---- jobs */

static enum err_code job(struct session *s, const char *rest, const char *body, const struct json **ret,
			 bool *ret_shown, struct err *e)
{
	struct json *answer = NULL;
	struct span text = {0};
	const char *path = tenant_path(s, rest);
	enum err_code code = path ? client_job(s->client, path, body, JOB_WAIT_S, s->a, &answer, &text, e) : err_oom(e);
	if (code == ERR_DOCUMENT)
		print_problems(s, answer);
	*ret_shown = !code && s->cli->json;
	if (*ret_shown)
		cli_print_json(s->cli, text);
	*ret = json_get(answer, "result");
	return code;
}

static enum err_code propose(struct session *s, struct err *e)
{
	const struct json *r = NULL;
	bool shown = false;
	enum err_code code = job(s, "/proposal", NULL, &r, &shown, e);
	if (code || shown)
		return code;
	const struct style *st = style_get(s->cli->colour_err);
	const struct json *changes = json_get(r, "changes");
	char n[2][32];
	if (!changes || !changes->count) {
		fprintf(stderr, "no change of the schema would help what is in quarantine\n");
		return ERR_OK;
	}
	for (const struct json *v = changes->child; v; v = v->next)
		fprintf(stderr, "%s%s%s: %s -> %s%s%s  (%s records; %s)\n", st->bold, json_get_str(v, "field", ""),
			st->reset, json_get_str(v, "from", ""), st->green, json_get_str(v, "to", ""), st->reset,
			human_count((uint64_t)json_get_int(v, "records", 0), n[0]),
			plain_text(s->a, json_get_str(v, "because", "")));
	fprintf(stderr, "%s quarantined records would pass, %s would not\n",
		human_count((uint64_t)json_get_int(r, "helped", 0), n[0]),
		human_count((uint64_t)json_get_int(r, "left", 0), n[1]));
	puts(json_get_str(r, "data_file", ""));
	fflush(stdout);
	if (!s->cli->quiet)
		fprintf(stderr,
			"%snext: save it (> new.json), then mysimbdp tenant preview %s --data-file new.json%s\n",
			st->dim, s->tenant, st->reset);
	return ERR_OK;
}

static enum err_code preview(struct session *s, struct err *e)
{
	const struct json *r = NULL;
	bool shown = false;
	enum err_code code = read_documents(s, s->cli->argv[1], e);
	if (!code)
		code = job(s, "/preview", s->body, &r, &shown, e);
	if (code || shown)
		return code;
	char n[4][32];
	printf("%s staged files: %s records, %s accepted, %s rejected\n",
	       human_count((uint64_t)json_get_int(r, "files", 0), n[0]),
	       human_count((uint64_t)json_get_int(r, "records", 0), n[1]),
	       human_count((uint64_t)json_get_int(r, "accepted", 0), n[2]),
	       human_count((uint64_t)json_get_int(r, "rejected", 0), n[3]));
	printf("quarantine: %s of %s records would pass\n",
	       human_count((uint64_t)json_get_int(r, "would_pass", 0), n[0]),
	       human_count((uint64_t)json_get_int(r, "quarantined", 0), n[1]));
	const struct json *rules = json_get(r, "rules");
	for (const struct json *v = rules ? rules->child : NULL; v; v = v->next)
		printf("  %s %s: %s records\n", json_get_str(v, "rule", ""), json_get_str(v, "field", ""),
		       human_count((uint64_t)json_get_int(v, "records", 0), n[0]));
	fflush(stdout);
	if (!s->cli->quiet)
		fprintf(stderr, "nothing was changed; `mysimbdp tenant change` with the same arguments does it\n");
	return ERR_OK;
}

static const struct action {
	const char *name;
	int args; /* behind the name */
	enum err_code (*run)(struct session *s, struct err *e);
	const char *usage;
} actions[] = {
    {"add", 1, add, "DIR"},
    {"list", 0, list, ""},
    {"show", 1, show, "TENANT"},
    {"change", 1, change, "DIR, or TENANT --data-file FILE"},
    {"preview", 1, preview, "DIR, or TENANT --data-file FILE"},
    {"propose", 1, propose, "TENANT"},
    {"pause", 1, pause_or_resume, "TENANT"},
    {"resume", 1, pause_or_resume, "TENANT"},
    {"token", 1, token, "TENANT"},
};

static enum err_code run(const struct cli *cli, struct err *e)
{
	const char *name = cli->argv[0];
	if (strcmp(name, "check") == 0)
		return tenant_check_run(cli, e);
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
		const struct action *act = &actions[i];
		if (strcmp(act->name, name) != 0)
			continue;
		if (cli->argc != act->args + 1)
			return err_set(e, ERR_USAGE, "usage: mysimbdp tenant %s %s", act->name, act->usage);
		struct session s = {.cli = cli, .a = cli->arena, .tenant = cli->argc > 1 ? cli->argv[1] : NULL};
		enum err_code code = client_open(cli, &s.client, e);
		if (!code)
			code = act->run(&s, e);
		client_close(s.client);
		return code;
	}
	err_set(e, ERR_USAGE, "tenant: \"%s\" is no action", name);
	return err_hint(e, "allowed: add, check, list, show, change, preview, propose, pause, resume, token");
}

static const struct cli_option options[] = {
    {"data-file", 0, "FILE", "change, preview: a new data file configuration; the agreement stays", "file"},
    {"agreement", 0, "FILE", "change, preview: a new service agreement; the data file configuration stays", "file"},
    {0},
};

const struct verb verb_tenant = {
    .name = "tenant",
    .usage = "add|check|list|show|change|preview|propose|pause|resume|token [DIR|TENANT]",
    .summary = "onboard tenants, check and change their documents",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .help = "A tenant is two documents in a directory: data-file.json and service-agreement.json.\n\n"
	    "  check DIR...       everything that is wrong with both documents, without a server\n"
	    "  add DIR            onboard the tenant that the agreement names\n"
	    "  list, show TENANT  who is there, with which documents\n"
	    "  propose TENANT     a data file configuration that takes what is in quarantine, on stdout\n"
	    "  preview DIR        what new documents would do to staged and quarantined records; changes nothing\n"
	    "  change DIR         give a tenant new documents; a table whose types or key change is rebuilt\n"
	    "  pause, resume      stop and start its runs; uploads are taken in both cases\n"
	    "  token TENANT       make its token (shown once; the old one is no longer valid)\n\n"
	    "preview and change also take TENANT --data-file FILE or --agreement FILE.",
    .run = run,
};
