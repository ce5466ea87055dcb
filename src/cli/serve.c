/*
 * serve.c: `mysimbdp serve`: the whole platform in one process: ledger, batchingestmanager, REST API.
 *
 * Start: lock the data directory, open the ledger, pick up what the last start left, listen, say where. End: SIGTERM or
 * SIGINT drains (no new runs; uploads and runs under way get shutdown.grace), a second one ends at once, which loses
 * nothing either. SIGHUP reads the settings anew.
 */
#include "api/api.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/serve_log.h"
#include "cli/term.h"
#include "cli/verb.h"
#include "manager/manager.h"
#include "runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_WANTED 65536

struct server {
	const struct cli *cli;
	struct conf *conf;
	const char *data;
	char self[4096];
	int lock_fd;
	struct catalog *catalog;
	struct metrics *metrics;
	struct manager *manager;
	struct api *api;
	int64_t started_ns;
	char limits[512]; /* what the runner can enforce here */
};

/* ---- the data directory */

static enum err_code locked(struct server *s, struct err *e)
{
	char *path = path_join(s->cli->arena, s->data, "serve.json");
	struct json *root = NULL;
	struct err ignored;
	err_set(e, ERR_BUSY, "another mysimbdp serves the data directory \"%s\"", s->data);
	if (path && !json_read_file(path, 4096, s->cli->arena, &root, NULL, &ignored))
		err_set(e, ERR_BUSY, "another mysimbdp (process %" PRId64 ", %s) serves the data directory \"%s\"",
			json_get_int(root, "pid", 0), json_get_str(root, "url", "?"), s->data);
	return err_hint(e, "use it, stop it, or name another directory with --data");
}

static enum err_code take_directory(struct server *s, struct err *e)
{
	char *path = path_join(s->cli->arena, s->data, "lock");
	enum err_code rc = path ? dir_make(s->data, 0700, e) : err_oom(e);
	if (!rc)
		rc = fd_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &s->lock_fd, e);
	if (rc)
		return err_prefix(e, "take the data directory");
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? locked(s, e) : err_sys(e, errno, "lock \"%s\"", path);
	return ERR_OK;
}

static enum err_code write_serve_json(struct server *s, struct err *e)
{
	struct buf b;
	struct jsonw w;
	char now[40];
	char *path = path_join(s->cli->arena, s->data, "serve.json");
	buf_init(&b, 4096);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	jsonw_kint(&w, "pid", getpid());
	jsonw_kstr(&w, "url", api_url(s->api));
	jsonw_kstr(&w, "version", MYSIMBDP_VERSION);
	jsonw_kstr(&w, "started", rfc3339(clock_now_us(), now));
	jsonw_end(&w, '}');
	buf_char(&b, '\n');
	enum err_code rc = !path || b.failed ? err_oom(e) : file_write_atomic(path, b.p, b.n, 0600, e);
	buf_done(&b);
	return rc;
}

/* ---- start */

static void raise_limits(void)
{
	struct rlimit l;
	if (!getrlimit(RLIMIT_NOFILE, &l) && l.rlim_cur < FILES_WANTED) {
		l.rlim_cur = l.rlim_max < FILES_WANTED ? l.rlim_max : FILES_WANTED;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static enum err_code start(struct server *s, struct err *e)
{
	enum err_code rc = take_directory(s, e);
	if (!rc)
		rc = catalog_open_sqlite(s->data, &s->catalog, e);
	if (!rc)
		rc = token_admin_ensure(s->data, s->catalog, e);
	if (rc)
		return rc;
	ssize_t n = readlink("/proc/self/exe", s->self, sizeof s->self - 1);
	if (n < 0)
		return err_sys(e, errno, "find our own executable");
	runner_capabilities(s->limits); /* before there are children: it may move us into a group of our own */
	s->metrics = metrics_new();
	if (!s->metrics)
		return err_oom(e);
	struct manager_options mo = {.data = s->data, .conf = s->conf, .catalog = s->catalog, .self = s->self};
	rc = manager_start(&mo, &s->manager, e);
	if (rc)
		return rc;
	struct api_options ao = {.data = s->data,
				 .conf = s->conf,
				 .catalog = s->catalog,
				 .manager = s->manager,
				 .metrics = s->metrics,
				 .no_auth = cli_has(s->cli, "no-auth") || conf_bool(s->conf, "api.no_auth")};
	rc = api_start(&ao, &s->api, e);
	return rc ? rc : write_serve_json(s, e);
}

static void say_ready(const struct server *s)
{
	double seconds = (double)(clock_mono_ns() - s->started_ns) / 1e9;
	if (s->cli->json) {
		struct buf b;
		struct jsonw w;
		buf_init(&b, 8192);
		jsonw_init(&w, &b);
		jsonw_begin(&w, '{');
		jsonw_kbool(&w, "ready", true);
		jsonw_kstr(&w, "url", api_url(s->api));
		jsonw_kstr(&w, "data", s->data);
		jsonw_kstr(&w, "token_file", arena_printf(s->cli->arena, "%s/admin.token", s->data));
		jsonw_kint(&w, "pid", getpid());
		jsonw_kdouble(&w, "seconds", seconds);
		jsonw_key(&w, "limits");
		jsonw_raw(&w, span_str(s->limits));
		jsonw_end(&w, '}');
		puts(buf_cstr(&b));
		buf_done(&b);
	} else {
		const struct style *t = style_get(s->cli->colour_out);
		printf("%smysimbdp %s is ready%s after %.0f ms\n", t->bold, MYSIMBDP_VERSION, t->reset, seconds * 1e3);
		printf("  REST API   %s%s%s\n", t->cyan, api_url(s->api), t->reset);
		printf("  data       %s\n", s->data);
		printf("  token      %s/admin.token (the administrator's; the client verbs find it)\n", s->data);
		printf("  limits     %s\n", s->limits);
		printf("  stop       Ctrl-C or kill -TERM %d; what runs gets %s to end\n", (int)getpid(),
		       conf_str(s->conf, "shutdown.grace"));
	}
	fflush(stdout);
	log_info("ready", LF("url", "%s", api_url(s->api)), LF("data", "%s", s->data),
		 LF("version", "%s", MYSIMBDP_VERSION), LF("pid", "%d", (int)getpid()), LF("seconds", "%.3f", seconds));
}

/* ---- while it runs */

/* What the API reads at its start only. */
static bool needs_restart(const char *name)
{
	return !strncmp(name, "api.", 4) || !strncmp(name, "upload.", 7) || !strcmp(name, "data") ||
	       !strcmp(name, "url") || !strcmp(name, "token");
}

static void reload(struct server *s)
{
	struct conf *now;
	struct err e = {0};
	if (cli_conf_again(s->cli, &now, &e)) {
		log_err("the settings could not be read; the old ones stay", &e, NULL, 0);
		return;
	}
	unsigned changed = 0;
	for (size_t i = 0; i < conf_nrows; i++) {
		const char *name = conf_rows[i].name;
		if (!strcmp(conf_str(now, name), conf_str(s->conf, name)))
			continue;
		changed++;
		log_info("setting changed", LF("name", "%s", name),
			 LF("value", "%s", conf_rows[i].secret ? "***" : conf_str(now, name)),
			 LF("from", "%s", needs_restart(name) ? "the next start" : "now"));
	}
	s->conf = now;
	serve_log_setup(now, "serve");
	manager_reload(s->manager, now);
	log_info("settings read anew", LF("changed", "%u", changed));
}

static void wait_for_end(struct server *s, const sigset_t *signals)
{
	for (;;) {
		int sig = sigwaitinfo(signals, NULL);
		if (sig == SIGHUP) {
			reload(s);
		} else if (sig == SIGTERM || sig == SIGINT) {
			log_info("shutting down", LF("signal", "%s", sig == SIGTERM ? "TERM" : "INT"),
				 LF("limit", "%s", conf_str(s->conf, "shutdown.grace")));
			return;
		}
	}
}

/* The API answers workers until they are gone. */
static void stop(struct server *s)
{
	int64_t t0 = clock_mono_ns();
	if (s->api)
		api_drain(s->api);
	bool ended = !s->manager || manager_drain(s->manager, conf_int(s->conf, "shutdown.grace"));
	if (s->api)
		api_stop(s->api);
	if (!ended) {
		struct err e = {0};
		log_warn("something is still at work; the next start goes on with it");
		_exit(catalog_sync(s->catalog, &e) ? 3 : 0);
	}
	manager_free(s->manager);
	catalog_close(s->catalog);
	metrics_free(s->metrics);
	char *path = path_join(s->cli->arena, s->data, "serve.json");
	if (path && s->api)
		unlink(path);
	fd_close(&s->lock_fd);
	if (s->api)
		log_info("stopped", LF("seconds", "%.3f", (double)(clock_mono_ns() - t0) / 1e9));
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct server s = {.cli = cli, .lock_fd = -1, .started_ns = clock_mono_ns()};
	sigset_t signals;
	enum err_code rc = cli_conf(cli, &s.conf, e);
	if (!rc)
		rc = cli_data_dir(cli, &s.data, e);
	if (rc)
		return rc;
	umask(077);
	raise_limits();
	serve_log_setup(s.conf, "serve");
	/* Blocked before there are threads: all of them inherit it, and only sigwaitinfo takes them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	rc = start(&s, e);
	if (!rc) {
		say_ready(&s);
		wait_for_end(&s, &signals);
	}
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
	stop(&s);
	return rc;
}

static const struct cli_option options[] = {
    {"no-auth", 0, NULL, "answer requests without a token; only on a loopback address", NULL},
    {0},
};

const struct verb verb_serve = {
    .name = "serve",
    .usage = "[--data DIR] [--set NAME=VALUE]... [--no-auth]",
    .summary = "run the platform: REST API, batchingestmanager, ingestion workers",
    .options = options,
    .min_args = 0,
    .max_args = 0,
    .help =
	"Everything lives in the data directory; one server at a time may use it. What was under way when an earlier\n"
	"server ended, also by kill -9, goes on.\n\n"
	"SIGTERM and Ctrl-C drain: no new runs, uploads and runs under way get shutdown.grace to end. A second one "
	"ends\n"
	"at once. SIGHUP reads the settings anew (`mysimbdp config show` lists them).\n\n"
	"  mysimbdp serve\n"
	"  mysimbdp serve --data ./data --set api.port=9000 --set manager.max_runs=8",
    .run = run,
};
