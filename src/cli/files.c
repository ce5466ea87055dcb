/*
 * files.c: `mysimbdp files [TENANT]`, a table of uploads, and `mysimbdp file ID|NAME`, the time line of one.
 */
#include "base/clock.h"
#include "cli/client.h"
#include "cli/term.h"

#include <inttypes.h>
#include <string.h>

static const char *state_style(const struct style *s, const char *state)
{
	if (strcmp(state, "delivered") == 0)
		return s->green;
	if (strcmp(state, "refused") == 0 || strcmp(state, "failed") == 0)
		return s->red;
	if (strcmp(state, "deleted") == 0 || strcmp(state, "expired") == 0)
		return s->dim;
	if (strcmp(state, "received") == 0 || strcmp(state, "staged") == 0)
		return s->cyan;
	return s->yellow;
}

static void add_rows(const struct cli *cli, struct table *t, const struct json *files, bool tenants)
{
	const struct style *s = style_get(cli->colour_out);
	int64_t now = clock_now_us();
	for (const struct json *f = files ? files->child : NULL; f; f = f->next) {
		char size[32], ago[40];
		const char *state = json_get_str(f, "state", "");
		table_style(t, s->bold);
		table_cell(t, "%s", json_get_str(f, "id", ""));
		if (tenants)
			table_cell(t, "%s", json_get_str(f, "tenant", ""));
		table_cell(t, "%s", json_get_str(f, "name", ""));
		table_cell(t, "%s", human_bytes((uint64_t)json_get_int(f, "size", 0), size));
		table_style(t, state_style(s, state));
		table_cell(t, "%s", state);
		table_cell(t, "%s", json_get_str(f, "run", NULL) ? json_get_str(f, "run", "") : "");
		table_cell(t, "%s", human_ago(json_time(f, "received"), now, ago));
		table_style(t, s->dim);
		table_cell(t, "%s", json_get_str(f, "status", ""));
	}
}

static const char *files_path(const struct cli *cli, const char *tenant, const char *cursor)
{
	struct arena *a = cli->arena;
	const char *state = cli_get(cli, "state"), *name = cli_get(cli, "name"), *limit = cli_get(cli, "limit");
	char *base = tenant ? arena_printf(a, "/v1/tenant/%s", url_escape(a, tenant)) : arena_strdup(a, "/v1/files");
	return arena_printf(a, "%s?limit=%s%s%s%s%s%s%s", base, url_escape(a, limit ? limit : "50"),
			    state ? "&state=" : "", state ? url_escape(a, state) : "", name ? "&name=" : "",
			    name ? url_escape(a, name) : "", cursor ? "&cursor=" : "",
			    cursor ? url_escape(a, cursor) : "");
}

static enum err_code list(const struct cli *cli, struct client *c, struct err *e)
{
	static const char *const heads[] = {"ID", "TENANT", "NAME", "SIZE", "STATE", "RUN", "RECEIVED", "STATUS"};
	static const enum table_align align[] = {TABLE_LEFT, TABLE_LEFT,  TABLE_LEFT, TABLE_RIGHT,
						 TABLE_LEFT, TABLE_RIGHT, TABLE_LEFT, TABLE_LEFT};
	const char *tenant = cli->argc ? cli->argv[0] : NULL, *h[8];
	enum table_align al[8];
	int n = 0;
	for (int i = 0; i < 8; i++) {
		if (tenant && i == 1)
			continue;
		al[n] = align[i];
		h[n++] = heads[i];
	}
	struct json *answer = NULL;
	struct span text = {0};
	const char *path = files_path(cli, tenant, cli_get(cli, "cursor"));
	enum err_code code = path ? client_call(c, "GET", path, NULL, cli->arena, &answer, &text, e) : err_oom(e);
	if (code)
		return code;
	if (cli->json) {
		cli_print_json(cli, text);
		return ERR_OK;
	}
	const struct json *files = json_get(answer, "files");
	if (!files || !files->count) {
		fprintf(stderr, "no files%s\n", cli_has(cli, "state") || cli_has(cli, "name") ? " that fit" : " yet");
		return ERR_OK;
	}
	struct table *t = table_new(cli->arena, n, h, al);
	add_rows(cli, t, files, !tenant);
	table_print(t, stdout, table_width(cli), cli->colour_out);
	const char *next = json_get_str(answer, "next", NULL);
	if (next && !cli->quiet)
		fprintf(stderr, "more: --cursor %s\n", next);
	return ERR_OK;
}

static enum err_code run_files(const struct cli *cli, struct err *e)
{
	struct client *c;
	enum err_code code = client_open(cli, &c, e);
	if (!code)
		code = list(cli, c, e);
	client_close(c);
	return code;
}

/* ---- file ID|NAME */

static bool looks_like_id(const char *s)
{
	s += *s == 'f';
	size_t n = strspn(s, "0123456789");
	return n && n < 19 && !s[n];
}

/* The newest file of that name. */
static enum err_code find_name(const struct cli *cli, struct client *c, const char *name, const char **ret_id,
			       struct err *e)
{
	struct json *answer = NULL;
	const char *tenant = cli_get(cli, "tenant");
	const char *path = arena_printf(cli->arena, "/v1/files?limit=1&name=%s%s%s", url_escape(cli->arena, name),
					tenant ? "&tenant=" : "", tenant ? url_escape(cli->arena, tenant) : "");
	enum err_code code = path ? client_call(c, "GET", path, NULL, cli->arena, &answer, NULL, e) : err_oom(e);
	if (code)
		return code;
	const struct json *files = json_get(answer, "files");
	if (!files || !files->child) {
		err_set(e, ERR_NOT_FOUND, "no file is called \"%s\"", name);
		return err_hint(e, "`mysimbdp files` lists them; an id looks like f17");
	}
	*ret_id = json_get_str(files->child, "id", "");
	return ERR_OK;
}

static const char *clock_text(int64_t us, char out[24])
{
	char full[40];
	rfc3339(us, full);
	snprintf(out, 24, "%.12s", full + 11);
	return out;
}

static void print_head(const struct cli *cli, const struct json *f)
{
	const struct style *s = style_get(cli->colour_out);
	char size[32], ago[40], full[40];
	const char *state = json_get_str(f, "state", ""), *sha = json_get_str(f, "sha256", NULL);
	int64_t received = json_time(f, "received");
	printf("%s%s%s  %s%s%s\n", s->bold, json_get_str(f, "id", ""), s->reset, s->bold,
	       plain_text(cli->arena, json_get_str(f, "name", "")), s->reset);
	printf("     %s, %s, %s%s%s\n", json_get_str(f, "tenant", ""),
	       human_bytes((uint64_t)json_get_int(f, "size", 0), size), state_style(s, state), state, s->reset);
	printf("     %sreceived %s UTC (%s)%s%s%s\n\n", s->dim, rfc3339(received, full),
	       human_ago(received, clock_now_us(), ago), sha ? ", sha256 " : "", sha ? sha : "", s->reset);
}

/* One line an event: the clock, how long after the one before, what, and its sentence. */
static void print_events(const struct cli *cli, const struct json *events, bool open_end)
{
	const struct style *s = style_get(cli->colour_out);
	int64_t before = 0;
	for (const struct json *v = events ? events->child : NULL; v; v = v->next) {
		char at[24], took[32] = "";
		int64_t us = json_time(v, "at");
		const char *what = json_get_str(v, "what", ""),
			   *text = plain_text(cli->arena, json_get_str(v, "text", ""));
		if (before)
			human_duration((double)(us - before) / 1e6, took);
		bool last = !v->next;
		const char *mark = last && open_end ? "○" : "●";
		printf("  %s%s%s  %s%9s%s  %s%s %-10s%s  %s\n", s->dim, clock_text(us, at), s->reset, s->dim, took,
		       s->reset, state_style(s, what), mark, what, s->reset, text);
		if (!last)
			printf("  %12s  %9s  %s│%s\n", "", "", s->dim, s->reset);
		before = us;
	}
}

static void print_outputs(const struct cli *cli, const struct json *outputs)
{
	const struct style *s = style_get(cli->colour_out);
	for (const struct json *o = outputs ? outputs->child : NULL; o; o = o->next) {
		char n[4][32];
		printf("\n  %s%s%s  out/%s  %s%s%s\n", s->bold, json_get_str(o, "id", ""), s->reset,
		       plain_text(cli->arena, json_get_str(o, "name", "")),
		       state_style(s, json_get_str(o, "state", "")), json_get_str(o, "state", ""), s->reset);
		int64_t rejected = json_get_int(o, "rejected", 0);
		printf("       %s records = %s accepted + %s%s rejected%s; %s delivered\n",
		       human_count((uint64_t)json_get_int(o, "records", 0), n[0]),
		       human_count((uint64_t)json_get_int(o, "accepted", 0), n[1]), rejected ? s->red : "",
		       human_count((uint64_t)rejected, n[2]), s->reset,
		       human_count((uint64_t)json_get_int(o, "delivered", 0), n[3]));
		const char *reason = plain_text(cli->arena, json_get_str(o, "reason", ""));
		if (*reason)
			printf("       %s%s%s\n", s->red, reason, s->reset);
	}
}

static bool is_final(const char *state)
{
	return strcmp(state, "delivered") == 0 || strcmp(state, "expired") == 0 || strcmp(state, "refused") == 0 ||
	       strcmp(state, "failed") == 0 || strcmp(state, "deleted") == 0;
}

/* What happens next: the file's own sentence, and when its tenant's app runs. */
static void print_next(const struct cli *cli, struct client *c, const struct json *f)
{
	const struct style *s = style_get(cli->colour_out);
	const char *state = json_get_str(f, "state", ""),
		   *status = plain_text(cli->arena, json_get_str(f, "status", ""));
	if (is_final(state)) {
		printf("\n%s%s%s%s\n", state_style(s, state), *status ? status : state, s->reset, "");
		return;
	}
	printf("\n%snext:%s %s", s->bold, s->reset, *status ? status : "it goes on by itself");
	struct json *t = NULL;
	const char *path = arena_printf(cli->arena, "/v1/tenants/%s", json_get_str(f, "tenant", ""));
	bool waiting = strcmp(state, "received") == 0 || strcmp(state, "staged") == 0;
	if (waiting && path && client_call(c, "GET", path, NULL, cli->arena, &t, NULL, NULL) == ERR_OK) {
		const struct json *apps = json_get(t, "apps");
		int64_t next = apps && apps->child ? json_time(apps->child, "next") : 0;
		char in[32];
		if (json_get_bool(t, "paused", false))
			printf("; the tenant is paused: `mysimbdp tenant resume %s`", json_get_str(f, "tenant", ""));
		else if (next > clock_now_us())
			printf("; the app runs in %s", human_duration((double)(next - clock_now_us()) / 1e6, in));
	}
	putchar('\n');
}

static enum err_code show(const struct cli *cli, struct client *c, struct err *e)
{
	const char *id = cli->argv[0];
	struct json *answer = NULL;
	struct span text = {0};
	enum err_code code = looks_like_id(id) ? ERR_OK : find_name(cli, c, id, &id, e);
	if (code)
		return code;
	const char *path = arena_printf(cli->arena, "/v1/files/%s", url_escape(cli->arena, id));
	bool erase = cli_has(cli, "delete");
	code = path ? client_call(c, erase ? "DELETE" : "GET", path, NULL, cli->arena, &answer, &text, e) : err_oom(e);
	if (code)
		return code;
	if (cli->json) {
		cli_print_json(cli, text);
		return ERR_OK;
	}
	if (erase) {
		printf("deleted  %s  %s\n", json_get_str(answer, "id", ""),
		       plain_text(cli->arena, json_get_str(answer, "name", "")));
		return ERR_OK;
	}
	const struct json *f = answer;
	print_head(cli, f);
	print_events(cli, json_get(answer, "events"), !is_final(json_get_str(f, "state", "")));
	print_outputs(cli, json_get(answer, "outputs"));
	print_next(cli, c, f);
	return ERR_OK;
}

static enum err_code run_file(const struct cli *cli, struct err *e)
{
	struct client *c;
	enum err_code code = client_open(cli, &c, e);
	if (!code)
		code = show(cli, c, e);
	client_close(c);
	return code;
}

static const struct cli_option files_options[] = {
    {"state", 's', "STATES", "only these states, with commas: received, staged, ... refused, failed", NULL},
    {"name", 'n', "NAME", "only this file name", NULL},
    {"limit", 'l', "N", "rows, 1 to 1000 (50)", NULL},
    {"cursor", 0, "CURSOR", "continue a listing", NULL},
    {0},
};

const struct verb verb_files = {
    .name = "files",
    .usage = "[TENANT]",
    .summary = "uploaded files, newest first, and what became of them",
    .options = files_options,
    .min_args = 0,
    .max_args = 1,
    .help = "  mysimbdp files client_b\n  mysimbdp files client_b --state refused,failed",
    .run = run_files,
};

static const struct cli_option file_options[] = {
    {"tenant", 't', "TENANT", "whose, when a name is given", "tenant"},
    {"delete", 0, NULL, "forget the file; possible until a run took it", NULL},
    {0},
};

const struct verb verb_file = {
    .name = "file",
    .usage = "ID|NAME",
    .summary = "the time line of one file: each stage, when, how long, what is next",
    .options = file_options,
    .min_args = 1,
    .max_args = 1,
    .help = "  mysimbdp file f17\n  mysimbdp file reviews.csv --tenant client_b",
    .run = run_file,
};
