/*
 * schedule.c: `mysimbdp schedule preview TENANT|DIR`: the next starts of a tenant's apps in local time and in UTC, with
 * the clock changes between them, or why there are none.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/problems.h"
#include "cli/client.h"
#include "cli/term.h"
#include "cli/verb.h"
#include "tenant/agreement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STARTS_DEFAULT 10
#define STARTS_MAX 10000
#define DOCUMENT_MAX (1 << 20)
#define CHANGES_MAX 2 /* of the clock, shown between two starts and explained below */

/* What is looked at: the agreement of a directory or of a running platform, or one schedule of the command line. */
struct preview {
	const struct cli *cli;
	const char *name;
	const struct agreement *agreement;
	bool paused;
	int64_t from;
	int starts;
};

static const char *local_text(struct arena *a, const struct timezone_rules *tz, int64_t utc, char separator)
{
	char text[40];
	int offset = timezone_offset(tz, utc), minutes = abs(offset) / 60;
	size_t n = timestamp_format((utc + offset) * US_PER_S, 0, text);
	text[n - 1] = '\0'; /* the Z */
	char *t = strchr(text, 'T');
	if (t)
		*t = separator;
	const char *s = arena_printf(a, "%s%s%c%02d:%02d", text, separator == 'T' ? "" : " ", offset < 0 ? '-' : '+',
				     minutes / 60, minutes % 60);
	return s ? s : "";
}

static const char *utc_text(struct arena *a, int64_t utc)
{
	char text[40];
	size_t n = timestamp_format(utc * US_PER_S, 0, text);
	const char *s = arena_strndup(a, text, n);
	return s ? s : "";
}

/* Why an app has no starts; NULL when it has some. */
static const char *why_none(const struct preview *v, const struct app *app)
{
	if (!app->has_schedule)
		return "it has no schedule: runs start only by `mysimbdp run`";
	if (v->agreement->suspend)
		return "\"suspend\" is true in its agreement";
	if (v->paused)
		return "the tenant is paused: `mysimbdp tenant resume` ends that";
	if (cron_next(&app->schedule, v->from) == INT64_MAX)
		return "no day within five years matches its schedule";
	return NULL;
}

static const char *change_text(struct arena *a, const struct timezone_rules *tz, int64_t at)
{
	int by = timezone_offset(tz, at) - timezone_offset(tz, at - 1), minutes = abs(by) / 60;
	const char *s = arena_printf(a, "the clock goes %s by %d:%02d to %s: local times in between %s",
				     by > 0 ? "forward" : "back", minutes / 60, minutes % 60,
				     local_text(a, tz, at, ' '), by > 0 ? "are left out" : "come twice");
	return s ? s : "";
}

/* ---- for scripts */

static void app_json(const struct preview *v, const struct app *app, struct jsonw *w)
{
	struct arena *a = v->cli->arena;
	const char *why = why_none(v, app);
	char means[160] = "";
	if (app->has_schedule)
		cron_describe(&app->schedule, means);
	jsonw_begin(w, '{');
	jsonw_kstr(w, "app", app->name);
	jsonw_kstr(w, "schedule", app->has_schedule ? app->schedule.text : NULL);
	jsonw_kstr(w, "means", app->has_schedule ? means : NULL);
	jsonw_kstr(w, "none_because", why);
	jsonw_key(w, "starts");
	jsonw_begin(w, '[');
	int64_t t = v->from, last = v->from;
	for (int i = 0; !why && i < v->starts && (t = cron_next(&app->schedule, t)) != INT64_MAX; i++) {
		jsonw_begin(w, '{');
		jsonw_kstr(w, "utc", utc_text(a, t));
		jsonw_kstr(w, "local", local_text(a, app->schedule.tz, t, 'T'));
		jsonw_kint(w, "epoch", t);
		jsonw_end(w, '}');
		last = t;
	}
	jsonw_end(w, ']');
	jsonw_key(w, "clock_changes");
	jsonw_begin(w, '[');
	for (t = v->from; !why && (t = timezone_change(app->schedule.tz, t, last)) <= last;) {
		jsonw_begin(w, '{');
		jsonw_kstr(w, "utc", utc_text(a, t));
		jsonw_kstr(w, "before", local_text(a, app->schedule.tz, t - 1, 'T'));
		jsonw_kstr(w, "after", local_text(a, app->schedule.tz, t, 'T'));
		jsonw_end(w, '}');
	}
	jsonw_end(w, ']');
	jsonw_end(w, '}');
}

static enum err_code print_json(const struct preview *v, struct err *e)
{
	struct buf out;
	struct jsonw w;
	buf_init(&out, 64 << 20);
	jsonw_init(&w, &out);
	w.pretty = true;
	jsonw_begin(&w, '{');
	jsonw_kstr(&w, "tenant", v->name);
	jsonw_kstr(&w, "time_zone", v->agreement->time_zone);
	jsonw_kstr(&w, "from", utc_text(v->cli->arena, v->from));
	jsonw_key(&w, "apps");
	jsonw_begin(&w, '[');
	for (uint32_t i = 0; i < v->agreement->napps; i++)
		app_json(v, &v->agreement->apps[i], &w);
	jsonw_end(&w, ']');
	jsonw_end(&w, '}');
	buf_char(&out, '\n');
	enum err_code c = out.failed ? err_oom(e) : ERR_OK;
	if (!c)
		fwrite(out.p, 1, out.n, stdout);
	buf_done(&out);
	return c;
}

/* ---- for people */

/* The clock changes between two starts; of many (a start a year) the last ones. */
static void change_rows(const struct preview *v, struct table *t, const struct timezone_rules *tz, int64_t before,
			int64_t at)
{
	const struct style *st = style_get(v->cli->colour_out);
	int64_t last[CHANGES_MAX], change = before;
	size_t n = 0;
	while ((change = timezone_change(tz, change, at)) <= at)
		last[n++ % CHANGES_MAX] = change;
	for (size_t i = n > CHANGES_MAX ? n - CHANGES_MAX : 0; i < n; i++) {
		change = last[i % CHANGES_MAX];
		bool forward = timezone_offset(tz, change) > timezone_offset(tz, change - 1);
		table_style(t, st->yellow);
		table_cell(t, "!");
		table_style(t, st->yellow);
		table_cell(t, "%s", local_text(v->cli->arena, tz, change, ' '));
		table_cell(t, "%s", utc_text(v->cli->arena, change));
		table_cell(t, "clock %s", forward ? "forward" : "back");
	}
}

static enum err_code app_table(const struct preview *v, const struct app *app, struct err *e)
{
	static const char *const days[] = {"Thu", "Fri", "Sat", "Sun",
					   "Mon", "Tue", "Wed"}; /* 1970-01-01 was Thursday */
	const char *heads[] = {"", arena_printf(v->cli->arena, "local (%s)", v->agreement->time_zone), "utc", "in"};
	static const enum table_align align[] = {TABLE_LEFT, TABLE_LEFT, TABLE_LEFT, TABLE_RIGHT};
	const struct style *st = style_get(v->cli->colour_out);
	struct table *t = heads[1] ? table_new(v->cli->arena, 4, heads, align) : NULL;
	const struct timezone_rules *tz = app->schedule.tz;
	if (!t)
		return err_oom(e);
	int64_t at = v->from, last = v->from;
	for (int i = 0; i < v->starts; i++) {
		int64_t before = at;
		char in[32];
		if ((at = cron_next(&app->schedule, at)) == INT64_MAX)
			break;
		change_rows(v, t, tz, before, at);
		last = at;
		int64_t local = at + timezone_offset(tz, at);
		table_cell(t, "%s", days[((local / 86400) % 7 + 7) % 7]);
		table_cell(t, "%s", local_text(v->cli->arena, tz, at, ' '));
		table_cell(t, "%s", utc_text(v->cli->arena, at));
		table_cell(t, "%s", human_duration((double)(at - v->from), in));
	}
	table_print(t, stdout, 0, v->cli->colour_out);
	int64_t change = v->from;
	for (int i = 0; i < CHANGES_MAX && (change = timezone_change(tz, change, last)) <= last; i++)
		printf("%s! %s%s\n", st->yellow, change_text(v->cli->arena, tz, change), st->reset);
	return ERR_OK;
}

static enum err_code print_people(const struct preview *v, struct err *e)
{
	const struct style *st = style_get(v->cli->colour_out);
	for (uint32_t i = 0; i < v->agreement->napps; i++) {
		const struct app *app = &v->agreement->apps[i];
		const char *why = why_none(v, app);
		char means[160] = "no schedule";
		if (app->has_schedule)
			cron_describe(&app->schedule, means);
		printf("%s%s%s%s, app %s: %s%s%s%s\n", i ? "\n" : "", st->bold, v->name, st->reset, app->name, means,
		       app->has_schedule ? " (" : "", app->has_schedule ? app->schedule.text : "",
		       app->has_schedule ? ")" : "");
		if (why) {
			printf("  no starts: %s\n", why);
			continue;
		}
		enum err_code c = app_table(v, app, e);
		if (c)
			return c;
	}
	return ERR_OK;
}

/* ---- where the agreement comes from */

static enum err_code parse(struct preview *v, struct span text, const char *document, struct err *e)
{
	struct problems p;
	problems_init(&p, document, v->cli->arena);
	v->agreement = agreement_parse(text, document, v->cli->arena, &p);
	if (v->agreement)
		return ERR_OK;
	struct buf out;
	buf_init(&out, 1 << 20);
	problems_print(&p, &out, v->cli->colour_err);
	fputs(buf_cstr(&out), stderr);
	buf_done(&out);
	return err_set(e, ERR_DOCUMENT, "%s has %u error%s", document, p.errors, p.errors == 1 ? "" : "s");
}

static enum err_code from_directory(struct preview *v, const char *dir, struct err *e)
{
	struct span text = {0};
	const char *path = path_join(v->cli->arena, dir, "service-agreement.json");
	enum err_code c = path ? file_read(path, DOCUMENT_MAX, v->cli->arena, &text, e) : err_oom(e);
	if (c)
		return c;
	c = parse(v, text, path, e);
	if (!c)
		v->name = v->agreement->client;
	return c;
}

static enum err_code from_platform(struct preview *v, const char *tenant, struct err *e)
{
	struct client *client = NULL;
	struct json *answer = NULL;
	enum err_code c = client_open(v->cli, &client, e);
	if (c)
		return c;
	const char *escaped = url_escape(v->cli->arena, tenant);
	const char *path = escaped ? arena_printf(v->cli->arena, "/v1/tenants/%s", escaped) : NULL;
	c = path ? client_call(client, "GET", path, NULL, v->cli->arena, &answer, NULL, e) : err_oom(e);
	if (!c) {
		v->name = tenant;
		v->paused = json_get_bool(answer, "paused", false);
		c = parse(v, span_str(json_get_str(answer, "agreement", "")), "service-agreement.json", e);
	}
	client_close(client);
	return c;
}

/* --cron and --time-zone: a schedule that is in no document yet. */
static enum err_code from_options(struct preview *v, struct err *e)
{
	struct agreement *g = arena_alloc(v->cli->arena, sizeof *g);
	struct app *app = arena_alloc(v->cli->arena, sizeof *app);
	const char *zone = cli_get(v->cli, "time-zone");
	const struct timezone_rules *tz = NULL;
	if (!g || !app)
		return err_oom(e);
	const char *why = cron_parse(span_str(cli_get(v->cli, "cron")), v->cli->arena, &app->schedule);
	if (why)
		return err_set(e, ERR_INVALID, "--cron: %s", why);
	if (zone && timezone_load(zone, v->cli->arena, &tz, e) != ERR_OK)
		return err_prefix(e, "--time-zone");
	app->name = "default";
	app->schedule.tz = tz;
	app->has_schedule = true;
	*g = (struct agreement){.time_zone = zone ? zone : "UTC", .apps = app, .napps = 1};
	v->agreement = g;
	v->name = "schedule";
	return ERR_OK;
}

static enum err_code options_read(struct preview *v, struct err *e)
{
	const char *n = cli_get(v->cli, "number"), *from = cli_get(v->cli, "from");
	v->starts = STARTS_DEFAULT;
	v->from = clock_now_us() / US_PER_S;
	if (n) {
		char *end;
		long count = strtol(n, &end, 10);
		if (*end || count < 1 || count > STARTS_MAX)
			return err_set(e, ERR_USAGE, "--number \"%s\"; allowed are 1 to %d", n, STARTS_MAX);
		v->starts = (int)count;
	}
	int64_t us;
	if (from && !timestamp_parse(from, strlen(from), &us))
		return err_set(e, ERR_USAGE, "--from \"%s\"; allowed is a time such as 2026-03-29T00:00:00Z", from);
	if (from)
		v->from = us / US_PER_S;
	return ERR_OK;
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct preview v = {.cli = cli};
	bool cron = cli_has(cli, "cron");
	if (cli->argc < 1 || strcmp(cli->argv[0], "preview") != 0)
		return err_set(e, ERR_USAGE, "`schedule preview TENANT|DIR` is the one form");
	if (cli->argc != (cron ? 1 : 2))
		return err_set(e, ERR_USAGE,
			       cron ? "--cron takes no tenant beside it"
				    : "`schedule preview` needs a tenant or a directory");
	enum err_code c = options_read(&v, e);
	if (c)
		return c;
	const char *what = cron ? "" : cli->argv[1];
	if (cron)
		c = from_options(&v, e);
	else if (strchr(what, '/') || access(what, F_OK) == 0)
		c = from_directory(&v, what, e);
	else
		c = from_platform(&v, what, e);
	if (c || !v.agreement)
		return c;
	return cli->json ? print_json(&v, e) : print_people(&v, e);
}

static const struct cli_option options[] = {
    {"number", 'n', "N", "how many starts (default 10)", NULL},
    {"from", 0, "TIME", "starts after this instant, as 2026-03-29T00:00:00Z (default: now)", NULL},
    {"cron", 0, "SCHEDULE", "try a schedule instead of a tenant's: --cron \"30 2 * * *\"", NULL},
    {"time-zone", 0, "ZONE", "with --cron: a time zone such as Europe/Berlin (default UTC)", NULL},
    {0},
};

const struct verb verb_schedule = {
    "schedule",
    "preview TENANT|DIR [-n N]",
    "when a tenant's apps start next, and why not",
    options,
    1,
    2,
    "TENANT is asked of the running platform; a directory with service-agreement.json needs none.\n"
    "Schedules mean what they mean in a Kubernetes CronJob. A local time that a clock change leaves out does not\n"
    "start; one that comes twice starts twice. Clock changes are marked with !.",
    run,
    false};
