/*
 * runs.c: `mysimbdp runs [TENANT]`: what was started, what it did and why something was not started; and
 * `mysimbdp runs show ID`: one run with its files, limits and, with --log, what the program printed.
 */
#include "base/clock.h"
#include "cli/client.h"
#include "cli/term.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static const char *state_style(const struct style *s, const char *state)
{
	if (strcmp(state, "succeeded") == 0)
		return s->green;
	if (strcmp(state, "failed") == 0 || strcmp(state, "lost") == 0)
		return s->red;
	return strcmp(state, "skipped") == 0 ? s->dim : s->yellow;
}

static uint64_t member(const struct json *r, const char *key)
{
	int64_t v = json_get_int(r, key, 0);
	return v > 0 ? (uint64_t)v : 0;
}

static double seconds(const struct json *r)
{
	int64_t from = json_time(r, "started"), to = json_time(r, "ended");
	return from && to > from ? (double)(to - from) / 1e6 : 0;
}

/* "6 -> 5", or nothing where the app's files were not counted. */
static const char *records(const struct json *r, char out[80])
{
	char in[32], kept[32];
	out[0] = 0;
	if (json_get(r, "records_in") && json_get(r, "records_out"))
		snprintf(out, 80, "%s -> %s", human_count(member(r, "records_in"), in),
			 human_count(member(r, "records_out"), kept));
	return out;
}

static void add_row(const struct cli *cli, struct table *t, const struct json *r, int64_t now)
{
	const struct style *s = style_get(cli->colour_out);
	char ago[40], took[32], counts[80], peak[32];
	const char *state = json_get_str(r, "state", "");
	int64_t at = json_time(r, "started") ? json_time(r, "started") : json_time(r, "scheduled");
	table_style(t, s->bold);
	table_cell(t, "%s", json_get_str(r, "id", ""));
	table_cell(t, "%s", json_get_str(r, "tenant", ""));
	table_cell(t, "%s", json_get_str(r, "app", ""));
	table_cell(t, "%s", json_get_str(r, "trigger", ""));
	table_style(t, state_style(s, state));
	table_cell(t, "%s", state);
	table_cell(t, "%s", at ? human_ago(at, now, ago) : "");
	table_cell(t, "%s", seconds(r) > 0 ? human_duration(seconds(r), took) : "");
	table_cell(t, "%" PRIu64 " -> %" PRIu64, member(r, "files_in"), member(r, "files_out"));
	table_cell(t, "%s", records(r, counts));
	table_cell(t, "%s", member(r, "peak_bytes") ? human_bytes(member(r, "peak_bytes"), peak) : "");
	table_style(t, s->dim);
	if (member(r, "repeats"))
		table_cell(t, "%s (%" PRIu64 " times more)", json_get_str(r, "reason", ""), member(r, "repeats"));
	else
		table_cell(t, "%s", json_get_str(r, "reason", ""));
}

static enum err_code list(const struct cli *cli, struct client *c, struct err *e)
{
	static const char *const heads[] = {"ID",   "TENANT", "APP",	 "TRIGGER", "STATE", "STARTED",
					    "TOOK", "FILES",  "RECORDS", "PEAK",    "REASON"};
	static const enum table_align align[] = {TABLE_LEFT,  TABLE_LEFT,  TABLE_LEFT,	TABLE_LEFT,
						 TABLE_LEFT,  TABLE_LEFT,  TABLE_RIGHT, TABLE_RIGHT,
						 TABLE_RIGHT, TABLE_RIGHT, TABLE_LEFT};
	struct arena *a = cli->arena;
	const char *tenant = cli->argc ? cli->argv[0] : NULL, *cursor = cli_get(cli, "cursor");
	const char *limit = cli_get(cli, "limit");
	struct json *answer;
	struct span text;
	const char *path = arena_printf(a, "/v1/runs?limit=%s%s%s%s%s", url_escape(a, limit ? limit : "20"),
					tenant ? "&tenant=" : "", tenant ? url_escape(a, tenant) : "",
					cursor ? "&cursor=" : "", cursor ? url_escape(a, cursor) : "");
	enum err_code code = path ? client_call(c, "GET", path, NULL, a, &answer, &text, e) : err_oom(e);
	if (code)
		return code;
	if (cli->json) {
		cli_print_json(cli, text);
		return ERR_OK;
	}
	const struct json *runs = json_get(answer, "runs");
	if (!runs || !runs->count) {
		fprintf(stderr, "no runs yet: `mysimbdp run TENANT` starts one, and so does the schedule\n");
		return ERR_OK;
	}
	struct table *t = table_new(a, 11, heads, align);
	for (const struct json *r = runs->child; r; r = r->next)
		add_row(cli, t, r, clock_now_us());
	table_print(t, stdout, table_width(cli), cli->colour_out);
	const char *next = json_get_str(answer, "next", NULL);
	if (next && !cli->quiet)
		fprintf(stderr, "more: --cursor %s\n", next);
	return ERR_OK;
}

/* "  cpu     cgroup v1 quota 500m", one line a limit. */
static void print_limits(const struct json *r)
{
	const struct json *limits = json_get(r, "limits");
	for (const struct json *l = limits ? limits->child : NULL; l; l = l->next)
		printf("  limit     %.*s: %s\n", (int)l->key.n, l->key.p, json_get_str(limits, l->key.p, ""));
}

static void print_run(const struct cli *cli, const struct json *r)
{
	const struct style *s = style_get(cli->colour_out);
	char took[32], counts[80], in[32], out[32], peak[32];
	const char *state = json_get_str(r, "state", ""),
		   *reason = plain_text(cli->arena, json_get_str(r, "reason", ""));
	printf("%s%s%s  %s%s%s%s%s\n", s->bold, json_get_str(r, "id", ""), s->reset, state_style(s, state), state,
	       s->reset, *reason ? ": " : "", reason);
	printf("  app       %s of %s, started by %s at %s\n", json_get_str(r, "app", ""), json_get_str(r, "tenant", ""),
	       json_get_str(r, "trigger", ""), json_get_str(r, "started", "-"));
	const struct json *cpu = json_get(r, "cpu_seconds");
	printf("  took      %s, %.3f s of CPU, peak %s\n", human_duration(seconds(r), took), cpu ? cpu->d : 0,
	       human_bytes(member(r, "peak_bytes"), peak));
	printf("  files     %" PRIu64 " in (%s), %" PRIu64 " out (%s)\n", member(r, "files_in"),
	       human_bytes(member(r, "bytes_in"), in), member(r, "files_out"),
	       human_bytes(member(r, "bytes_out"), out));
	if (*records(r, counts))
		printf("  records   %s\n", counts);
	printf("  ended     exit code %" PRId64 ", signal %" PRId64 "\n", json_get_int(r, "exit_code", 0),
	       json_get_int(r, "signal", 0));
	print_limits(r);
	const struct json *files = json_get(r, "files"), *outputs = json_get(r, "outputs");
	for (const struct json *f = files ? files->child : NULL; f; f = f->next)
		printf("  in        %s  %s\n", json_get_str(f, "id", ""),
		       plain_text(cli->arena, json_get_str(f, "name", "")));
	for (const struct json *o = outputs ? outputs->child : NULL; o; o = o->next)
		printf("  out       %s  %s  %s\n", json_get_str(o, "id", ""),
		       plain_text(cli->arena, json_get_str(o, "name", "")), json_get_str(o, "state", ""));
}

/* What a tenant's program printed: as it is into a file or pipe, without control characters to a terminal. */
static void print_log(struct span text)
{
	bool terminal = isatty(STDOUT_FILENO);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool control = (c < ' ' && c != '\n' && c != '\t') || c == 127;
		/* C1: two bytes in UTF-8, one on terminals of old; a byte inside another character is neither. */
		if (c >= 0x80 && c < 0xa0)
			control = i == 0 || (unsigned char)text.p[i - 1] < 0x80 || (unsigned char)text.p[i - 1] == 0xc2;
		putchar(terminal && control ? '?' : c);
	}
}

static enum err_code show(const struct cli *cli, struct client *c, struct err *e)
{
	const char *id = url_escape(cli->arena, cli->argv[1]);
	bool log = cli_has(cli, "log");
	struct json *answer;
	struct span text;
	const char *path = arena_printf(cli->arena, "/v1/runs/%s%s", id ? id : "", log ? "/output" : "");
	if (!path)
		return err_oom(e);
	enum err_code code = client_call(c, "GET", path, NULL, cli->arena, log ? NULL : &answer, &text, e);
	if (code)
		return code;
	if (cli->json && !log)
		cli_print_json(cli, text);
	else if (log)
		print_log(text);
	else
		print_run(cli, answer);
	return ERR_OK;
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	bool one = cli->argc == 2 && strcmp(cli->argv[0], "show") == 0;
	if (cli->argc == 2 && !one)
		return err_set(e, ERR_USAGE, "usage: mysimbdp runs [TENANT], or mysimbdp runs show ID");
	struct client *c;
	enum err_code code = client_open(cli, &c, e);
	if (!code)
		code = one ? show(cli, c, e) : list(cli, c, e);
	client_close(c);
	return code;
}

static const struct cli_option options[] = {
    {"limit", 'l', "N", "rows, 1 to 1000 (20)", NULL},
    {"cursor", 0, "CURSOR", "continue a listing", NULL},
    {"log", 0, NULL, "show: what the program printed, as it is", NULL},
    {0},
};

const struct verb verb_runs = {
    .name = "runs",
    .usage = "[TENANT] | show ID",
    .summary = "runs of tenants' apps, newest first, and why one did not start",
    .options = options,
    .min_args = 0,
    .max_args = 2,
    .help =
	"FILES and RECORDS are what the app was given and what it wrote; a start that did not happen is a row with\n"
	"its reason, and the same reason again is counted there.\n\n"
	"  mysimbdp runs client_b\n"
	"  mysimbdp runs show r5\n"
	"  mysimbdp runs show r5 --log",
    .run = run,
};
