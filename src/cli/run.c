/*
 * run.c: `mysimbdp run TENANT [APP]`: start a tenant's batch app now, over the REST API; with --wait follow it to its
 * end and to the delivery of what it made.
 */
#include "base/clock.h"
#include "cli/client.h"
#include "cli/term.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 100

struct follow {
	const struct cli *cli;
	struct client *client;
	const char *path; /* /v1/runs/rN */
	struct span text; /* the last answer */
	const struct json *run;
};

static enum err_code look(struct follow *f, struct arena *a, struct err *e)
{
	struct json *answer;
	enum err_code rc = client_call(f->client, "GET", f->path, NULL, a, &answer, &f->text, e);
	if (!rc)
		f->run = answer;
	return rc;
}

static bool under_way(const struct json *run)
{
	const char *state = json_get_str(run, "state", "");
	return !strcmp(state, "starting") || !strcmp(state, "running");
}

/* Poll until the run has ended; the last answer stays in the command's arena. */
static enum err_code follow_run(struct follow *f, struct err *e)
{
	struct arena turn;
	struct progress p;
	int64_t t0 = clock_mono_ns();
	enum err_code rc;
	arena_init(&turn, 16 << 20);
	progress_start(&p, f->cli, "run", 0);
	for (;;) {
		char note[64], took[32];
		arena_reset(&turn);
		rc = look(f, &turn, e);
		if (rc || !under_way(f->run) || atomic_load(f->cli->stop))
			break;
		snprintf(note, sizeof note, "%s for %s", json_get_str(f->run, "state", ""),
			 human_duration((double)(clock_mono_ns() - t0) / 1e9, took));
		progress_update(&p, 0, note);
		nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
	}
	progress_end(&p);
	if (!rc)
		rc = look(f, f->cli->arena, e);
	arena_done(&turn);
	if (!rc && atomic_load(f->cli->stop))
		rc = err_set(e, ERR_INTERRUPTED, "stopped following; the run goes on");
	return rc;
}

static void print_run(const struct follow *f)
{
	const struct style *s = style_get(f->cli->colour_out);
	const struct json *r = f->run;
	const char *state = json_get_str(r, "state", ""), *reason = json_get_str(r, "reason", "");
	bool good = !strcmp(state, "succeeded");
	printf("%s%s%s %s%s%s: %" PRId64 " files in, %" PRId64 " files out", s->bold, json_get_str(r, "id", ""),
	       s->reset, good ? s->green : s->red, state, s->reset, json_get_int(r, "files_in", 0),
	       json_get_int(r, "files_out", 0));
	printf("%s%s\n", *reason ? "; " : "", reason);
}

static enum err_code started(const struct cli *cli, struct client *client, const char *id, struct err *e)
{
	struct follow f = {.cli = cli, .client = client};
	f.path = arena_printf(cli->arena, "/v1/runs/%s", url_escape(cli->arena, id));
	if (!f.path)
		return err_oom(e);
	enum err_code rc = follow_run(&f, e);
	if (rc)
		return rc;
	if (cli->json)
		cli_print_json(cli, f.text);
	else
		print_run(&f);
	if (strcmp(json_get_str(f.run, "state", ""), "succeeded")) {
		*cli->exit_code = 3;
		if (!cli->quiet)
			fprintf(stderr,
				"its files are staged again and will be retried; `mysimbdp runs show %s --log` shows "
				"what it "
				"printed\n",
				id);
	}
	return ERR_OK;
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct client *client;
	struct json *answer;
	struct span text;
	const char *tenant = url_escape(cli->arena, cli->argv[0]);
	const char *app = cli->argc > 1 ? url_escape(cli->arena, cli->argv[1]) : NULL;
	enum err_code rc = client_open(cli, &client, e);
	if (rc)
		return rc;
	const char *path =
	    tenant ? arena_printf(cli->arena, "/v1/tenants/%s/run%s%s", tenant, app ? "?app=" : "", app ? app : "")
		   : NULL;
	rc = path ? client_call(client, "POST", path, NULL, cli->arena, &answer, &text, e) : err_oom(e);
	const char *id = rc ? NULL : json_get_str(answer, "run", NULL);
	if (!rc && id && json_get_bool(answer, "started", false) && cli_has(cli, "wait")) {
		rc = started(cli, client, id, e);
	} else if (!rc) {
		bool ok = json_get_bool(answer, "started", false);
		if (cli->json)
			cli_print_json(cli, text);
		else if (ok)
			printf("%s started\n", id ? id : "");
		else
			printf("nothing started: %s\n", json_get_str(answer, "reason", ""));
	}
	client_close(client);
	return rc;
}

static const struct cli_option options[] = {
    {"wait", 'w', NULL, "follow the run to its end", NULL},
    {0},
};

const struct verb verb_run = {
    .name = "run",
    .usage = "TENANT [APP] [--wait]",
    .summary = "run a tenant's batch app now",
    .options = options,
    .min_args = 1,
    .max_args = 2,
    .help =
	"The app gets what is staged, as on its schedule. Nothing staged, a paused tenant, or a run at work (but for\n"
	"concurrencyPolicy Allow): nothing starts, and the reason is told and recorded. APP: the first batch app by\n"
	"default. With --wait the exit code is 0 when the run succeeded, else 3.\n\n"
	"  mysimbdp run client_b --wait",
    .run = run,
};
