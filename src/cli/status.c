/* status.c: `mysimbdp status`: the server and all tenants at a glance. */
#include "base/clock.h"
#include "cli/client.h"
#include "cli/term.h"

#include <inttypes.h>
#include <string.h>

static int64_t files_in(const struct json *files, const char *const *states)
{
	int64_t n = 0;
	for (; *states; states++)
		n += json_get_int(files, *states, 0);
	return n;
}

static void count_cell(struct table *t, const char *sgr, int64_t n)
{
	char text[32];
	if (n)
		table_style(t, sgr);
	table_cell(t, "%s", n ? human_count((uint64_t)n, text) : "-");
}

static void state_cell(struct table *t, const struct style *s, const struct json *tenant)
{
	bool paused = json_get_bool(tenant, "paused", false), suspended = json_get_bool(tenant, "suspended", false);
	table_style(t, paused || suspended ? s->yellow : s->green);
	table_cell(t, "%s", paused ? "paused" : suspended ? "suspended" : "active");
}

static void run_cells(struct table *t, const struct style *s, const struct json *tenant, int64_t now)
{
	const struct json *run = json_get(tenant, "last_run"), *apps = json_get(tenant, "apps");
	char text[40];
	if (run && run->type == JN_OBJECT) {
		const char *state = json_get_str(run, "state", "");
		int64_t at = json_time(run, "started");
		if (!at)
			at = json_time(run, "scheduled");
		bool bad = strcmp(state, "failed") == 0 || strcmp(state, "lost") == 0;
		table_style(t, bad ? s->red : strcmp(state, "succeeded") == 0 ? s->green : s->dim);
		table_cell(t, "%s %s, %s", json_get_str(run, "id", ""), state, human_ago(at, now, text));
	} else {
		table_cell(t, "-");
	}
	int64_t next = 0;
	for (const struct json *a = apps ? apps->child : NULL; a; a = a->next) {
		int64_t at = json_time(a, "next");
		next = at && (!next || at < next) ? at : next;
	}
	bool never = json_get_bool(tenant, "paused", false) || json_get_bool(tenant, "suspended", false);
	if (next && !never)
		table_cell(t, "in %s", human_duration(next > now ? (double)(next - now) / 1e6 : 0, text));
	else
		table_cell(t, "-");
}

static void tenant_row(struct table *t, const struct style *s, const struct json *tenant, int64_t now)
{
	static const char *const waiting[] = {"received", "staged", NULL};
	static const char *const working[] = {"assigned", "processed", "checked", NULL};
	static const char *const done[] = {"delivered", "expired", NULL};
	static const char *const bad[] = {"refused", "failed", NULL};
	const struct json *counts = json_get(tenant, "counts"), *files = json_get(counts, "files");
	char text[40];
	table_style(t, s->bold);
	table_cell(t, "%s", json_get_str(tenant, "id", ""));
	state_cell(t, s, tenant);
	count_cell(t, s->cyan, files_in(files, waiting));
	count_cell(t, s->yellow, files_in(files, working));
	count_cell(t, s->green, files_in(files, done));
	count_cell(t, s->red, files_in(files, bad));
	int64_t backlog = json_get_int(counts, "backlog_bytes", 0), oldest = json_time(counts, "oldest");
	table_cell(t, "%s", backlog ? human_bytes((uint64_t)backlog, text) : "-");
	table_cell(t, "%s", oldest ? human_ago(oldest, now, text) : "-");
	count_cell(t, "", json_get_int(counts, "delivered", 0));
	count_cell(t, s->red, json_get_int(counts, "rejected", 0));
	run_cells(t, s, tenant, now);
}

static void print_server(const struct cli *cli, const struct json *server)
{
	const struct style *s = style_get(cli->colour_out);
	const char *state = json_get_str(server, "state", ""), *manager = json_get_str(server, "manager", NULL);
	bool good = strcmp(state, "ok") == 0 && (!manager || strcmp(manager, "sick") != 0);
	char up[32], bytes[32];
	int64_t now = json_time(server, "now");
	printf("%smysimbdp %s%s at %s, %s%s%s, up %s", s->bold, json_get_str(server, "version", ""), s->reset,
	       json_get_str(server, "url", ""), good ? s->green : s->red,
	       good					 ? "healthy"
	       : manager && strcmp(manager, "sick") == 0 ? "its manager is stuck"
							 : state,
	       s->reset, human_duration((double)(now - json_time(server, "started")) / 1e6, up));
	const struct json *disk = json_get(server, "disk");
	if (disk && disk->type == JN_OBJECT) {
		int64_t left = json_get_int(disk, "free_bytes", 0),
			keep = json_get_int(disk, "must_stay_free_bytes", 0);
		printf(", %s%s free%s", left < 2 * keep ? s->red : "", human_bytes((uint64_t)left, bytes), s->reset);
	}
	printf("\n\n");
}

static enum err_code show(const struct cli *cli, struct client *c, struct err *e)
{
	static const char *const heads[] = {"TENANT",  "STATE",	 "WAITING",   "IN WORK",  "DONE",     "REFUSED",
					    "BACKLOG", "OLDEST", "DELIVERED", "REJECTED", "LAST RUN", "NEXT RUN"};
	static const enum table_align align[] = {TABLE_LEFT,  TABLE_LEFT,  TABLE_RIGHT, TABLE_RIGHT,
						 TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT,
						 TABLE_RIGHT, TABLE_RIGHT, TABLE_LEFT,	TABLE_LEFT};
	struct json *answer = NULL;
	struct span text = {0};
	enum err_code code = client_call(c, "GET", "/v1/status", NULL, cli->arena, &answer, &text, e);
	if (code)
		return code;
	if (cli->json) {
		cli_print_json(cli, text);
		return ERR_OK;
	}
	const struct json *server = json_get(answer, "server"), *tenants = json_get(answer, "tenants");
	print_server(cli, server);
	if (!tenants || !tenants->count) {
		printf("no tenants yet: `mysimbdp tenant add DIR` adds one (DIR/data-file.json, "
		       "DIR/service-agreement.json)\n");
		return ERR_OK;
	}
	struct table *t = table_new(cli->arena, 12, heads, align);
	for (const struct json *v = tenants->child; v; v = v->next)
		tenant_row(t, style_get(cli->colour_out), v, json_time(server, "now"));
	table_print(t, stdout, table_width(cli), cli->colour_out);
	return ERR_OK;
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct client *c;
	enum err_code code = client_open(cli, &c, e);
	if (!code)
		code = show(cli, c, e);
	client_close(c);
	return code;
}

const struct verb verb_status = {
    .name = "status",
    .usage = "",
    .summary = "the server and all tenants at a glance",
    .help = "WAITING: received and staged files. IN WORK: with an app, or between app and store. DONE: delivered (and\n"
	    "expired) files. DELIVERED and REJECTED count records; rejected ones are in quarantine, none is lost.",
    .run = run,
};
