/*
 * run.c: one run of an app, from dealing its files to promoting or discarding what it made; a thread each.
 *
 *   catalog_run_start  ->  workspace  ->  runner  ->  status  ->  promote_take  ->  catalog_run_end  ->  promote_place
 *
 * A run is a transaction: exit 0 means that all inputs are processed, whether or not the app removed them from in/, and
 * out/ is promoted; anything else discards out/ and deals the inputs anew. The thread lives as long as the run, because
 * the supervisor's parent-death signal comes when it ends. What the disk or the ledger refuses is tried again until it
 * works or the platform stops; then the next start goes on from the status file.
 */
#include "manager/internal.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLOT_MEMORY (256 << 20)
#define ALONE_LOOK 500 /* runs looked at for "failed alone" */

struct ending {
	struct run_status st;
	const char *inputs; /* how they were handed over */
	struct promoted out;
	int64_t records_in, records_out;
	bool missing; /* an original is not on disk */
};

/* ---- the run's record */

static char *limits_json(struct run_slot *s, const struct ending *end)
{
	const char *l = end->st.limits[0] == '{' ? end->st.limits + 1 : "}";
	char user[96];
	if (s->spec.uid)
		snprintf(user, sizeof user, "%u, the tenant's own", s->spec.uid);
	else
		snprintf(user, sizeof user, "%s", s->user_note ? s->user_note : "the platform's own");
	return arena_printf(&s->arena, "{\"user\":\"%s\",\"inputs\":\"%s\"%s%s", user,
			    end->inputs ? end->inputs : "none", *l == '}' ? "" : ",", l);
}

static void log_start(const struct run_slot *s)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < s->nfiles; i++)
		bytes += s->files[i].size;
	log_info(s->recovered ? "run picked up after a restart" : "run started", LF("tenant", "%s", s->tenant),
		 LF("app", "%s", s->app), LF("run", "r%" PRId64, s->run), LF("trigger", "%s", trigger_name(s->trigger)),
		 LF("files_in", "%zu", s->nfiles), LF("bytes_in", "%" PRIu64, bytes));
}

static void log_end(const struct run_slot *s, const struct catalog_run *r, const struct ending *end)
{
	log_event(r->state == RUN_SUCCEEDED ? LOG_INFO_ : LOG_WARN_, "run ended",
		  (struct log_field[]){LF("tenant", "%s", s->tenant), LF("app", "%s", s->app),
				       LF("run", "r%" PRId64, s->run), LF("state", "%s", run_state_name(r->state)),
				       LF("files_in", "%zu", s->nfiles), LF("files_out", "%zu", end->out.n),
				       LF("bytes_out", "%" PRIu64, end->out.bytes),
				       LF("records_in", "%" PRId64, r->records_in),
				       LF("records_out", "%" PRId64, r->records_out), LF("exit", "%d", r->exit_code),
				       LF("seconds", "%.3f", (double)(r->ended_us - end->st.started_us) / 1e6),
				       LF("cpu_seconds", "%.3f", (double)r->cpu_us / 1e6),
				       LF("peak_bytes", "%" PRId64, r->peak_bytes), LF("reason", "%s", r->reason)},
		  14);
}

/* Not again in the same second. false: the platform stops, give up for now. */
static bool pause_for_retry(struct run_slot *s, const char *what, const struct err *e)
{
	log_err(what, e, (struct log_field[]){LF("tenant", "%s", s->tenant), LF("run", "r%" PRId64, s->run)}, 2);
	for (int i = 0; i < 20 && !atomic_load(&s->m->stopping); i++)
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	return !atomic_load(&s->m->stopping);
}

/* ---- the app */

static void count_inputs(struct run_slot *s, struct ending *end)
{
	end->records_in = s->dialect ? 0 : -1;
	for (size_t i = 0; i < s->nfiles && end->records_in >= 0; i++) {
		char *p = path_original(&s->arena, s->m->data, s->tenant, s->files[i].id);
		int64_t n = p ? count_records(p, s->dialect, &s->stop) : -1;
		end->records_in = n < 0 ? -1 : end->records_in + n;
	}
}

static enum err_code watch(struct run_slot *s, struct run_handle *h, struct ending *end, struct err *e)
{
	struct pollfd p[2] = {{h->pidfd, POLLIN, 0}, {s->stop_fd, POLLIN, 0}};
	count_inputs(s, end); /* while the app is at work */
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	if (p[0].revents || !p[1].revents)
		return runner_process.poll(h, &end->st, e);
	return runner_process.stop(h, s->spec.grace_s, &end->st, e);
}

static enum err_code execute(struct run_slot *s, struct ending *end, struct err *e)
{
	struct run_handle h;
	enum err_code rc = workspace_make(s, &end->inputs, e);
	end->missing = rc == ERR_NOT_FOUND;
	fault_hit("run.workspace");
	if (!rc)
		rc = runner_process.start(&s->spec, &h, e);
	if (rc)
		return rc;
	fault_hit("run.started");
	struct catalog_child child = {.pid = h.pid,
				      .pid_start = h.pid_start,
				      .kind = "run",
				      .tenant = s->tenant,
				      .cgroup = h.cgroup,
				      .ref = s->run};
	rc = catalog_child_add(s->m->catalog, &child, e);
	if (!rc)
		rc = catalog_run_child(s->m->catalog, s->run, h.pid, h.pid_start, h.cgroup, e);
	if (rc) {
		struct err ignored;
		(void)!runner_process.stop(&h, 0, &end->st, &ignored);
	} else {
		fault_hit("run.recorded");
		for (size_t i = 0; i < s->nfiles; i++)
			stage_unlink(s->m->data, s->tenant, s->files[i].name);
		rc = watch(s, &h, end, e);
		fault_hit("run.ended");
	}
	(void)!catalog_child_remove(s->m->catalog, h.pid, h.pid_start, NULL);
	runner_process.release(&h);
	return rc;
}

/* What an earlier incarnation's run came to. */
static enum err_code pick_up(struct run_slot *s, struct ending *end, struct err *e)
{
	end->inputs = "of an earlier start of the platform";
	enum err_code rc = runner_reap_workspace(s->workspace, e);
	return rc ? rc : runner_status(s->workspace, &end->st, e);
}

/* ---- the end */

static void count_outputs(struct run_slot *s, struct ending *end)
{
	char *dir = promoted_dir(&s->arena, s->m->data, s->tenant, s->run);
	end->records_out = s->dialect && dir ? 0 : -1;
	for (size_t i = 0; i < end->out.n && end->records_out >= 0; i++) {
		char *p = path_join(&s->arena, dir, end->out.outputs[i].name);
		int64_t n = p ? count_records(p, s->dialect, &s->stop) : -1;
		end->records_out = n < 0 ? -1 : end->records_out + n;
	}
}

static bool ended_well(const struct run_status *st)
{
	return st->ended && st->exit_code == 0 && !st->signal && !st->lost && !st->timed_out && !st->stopped;
}

/* Take out/; false: the platform stops before the disk let us. */
static bool promote(struct run_slot *s, struct ending *end, const char **ret_refused)
{
	struct err e = {0};
	enum err_code rc;
	*ret_refused = NULL;
	while ((rc = promote_take(s, &end->out, &e)) && rc != ERR_REFUSED)
		if (!pause_for_retry(s, "out/ of a run cannot be promoted yet", &e))
			return false;
	if (rc) {
		*ret_refused = arena_strdup(&s->arena, e.msg);
		promote_discard(s);
		end->out = (struct promoted){0};
	} else {
		count_outputs(s, end);
	}
	return true;
}

static enum err_code place(struct run_slot *s, struct err *e)
{
	arena_reset(&s->taking); /* what was taken is in the ledger by now */
	return promote_place(s->m->catalog, s->m->data, s->tenant, s->run, &s->taking, e);
}

static const char *why_failed(struct run_slot *s, const struct run_status *st, const char *refused)
{
	const char *asked = atomic_load(&s->stop_reason);
	if (refused)
		return refused;
	if (st->stopped && asked)
		return arena_printf(&s->arena, "stopped: %s", asked);
	return st->reason[0] ? st->reason : "failed";
}

static void fill(struct run_slot *s, struct catalog_run *r, const struct ending *end, bool ok, const char *refused)
{
	const struct run_status *st = &end->st;
	*r = (struct catalog_run){
	    .id = s->run,
	    .tenant = s->tenant,
	    .app = s->app,
	    .state = ok		? RUN_SUCCEEDED
		     : st->lost ? RUN_LOST
				: RUN_FAILED,
	    .reason = ok ? end->out.warnings : why_failed(s, st, refused),
	    .ended_us = st->ended_us ? st->ended_us : clock_now_us(),
	    .records_in = end->records_in,
	    .records_out = ok ? end->records_out : -1,
	    .exit_code = st->exit_code,
	    .signal = st->signal,
	    .cpu_us = st->cpu_us,
	    .peak_bytes = st->peak_bytes,
	    .limits = limits_json(s, end),
	};
	if (!ok && st->stopped) { /* no fault of the app: see run_was_apps_fault */
		r->exit_code = -1;
		r->signal = 0;
	} else if (!ok && st->timed_out && st->exit_code == 0) {
		r->exit_code = -1;
		r->signal = SIGTERM;
	}
}

/* Runs of this file alone that failed by the app's doing. */
static int64_t failed_alone(struct run_slot *s, int64_t file, struct arena *a)
{
	struct catalog_run *r;
	struct catalog_file *f;
	size_t n, k;
	int64_t count = 0;
	if (catalog_runs(s->m->catalog, s->tenant, 0, ALONE_LOOK, a, &r, &n, NULL))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (r[i].files_in == 1 && !strcmp(r[i].app, s->app) && run_was_apps_fault(&r[i]) &&
		    !catalog_run_files(s->m->catalog, r[i].id, a, &f, &k, NULL) && k == 1 && f[0].id == file)
			count++;
	return count;
}

static void park(struct run_slot *s, const struct catalog_file *f, const char *why)
{
	struct err e = {0};
	if (catalog_file_move(s->m->catalog, f->id, 1u << FILE_STAGED, FILE_FAILED, s->run, why, &e))
		log_err("a file cannot be parked", &e, NULL, 0);
	else
		log_warn("file parked", LF("tenant", "%s", s->tenant), LF("file", "%s", f->name),
			 LF("file_id", "f%" PRId64, f->id), LF("run", "r%" PRId64, s->run), LF("reason", "%s", why));
}

/* Files of a failed run are staged again; those that failed alone too often, or are gone, are parked. */
static void give_back(struct run_slot *s, const struct catalog_run *r, const struct ending *end)
{
	int64_t most = setting(s->m, "manager.run_attempts");
	for (size_t i = 0; i < s->nfiles; i++) {
		const struct catalog_file *f = &s->files[i];
		char *original = path_original(&s->arena, s->m->data, f->tenant, f->id);
		int64_t alone = 0;
		char why[600];
		if (end->missing && original && access(original, F_OK)) {
			park(s, f, "its content is not on disk any more; upload it again");
			continue;
		}
		if (s->nfiles == 1 && run_was_apps_fault(r) && f->attempts + 1 >= most)
			alone = failed_alone(s, f->id, &s->arena);
		if (alone >= most) {
			snprintf(why, sizeof why,
				 "parked: app \"%.60s\" failed with it alone %" PRId64 " times, last: %.300s "
				 "(run r%" PRId64 "); correct it and upload it again",
				 s->app, alone, r->reason, s->run);
			park(s, f, why);
		} else {
			struct err e = {0};
			if (stage_link(s->m->data, f, &e))
				log_err("a staged file's link cannot be made", &e, NULL, 0);
		}
	}
}

static void finish(struct run_slot *s, struct ending *end)
{
	struct catalog_run r;
	struct err e = {0};
	const char *refused = NULL;
	bool ok = ended_well(&end->st);
	if (ok && !promote(s, end, &refused))
		return;
	ok = ok && !refused;
	fill(s, &r, end, ok, refused);
	fault_hit("run.end.before");
	enum err_code rc;
	while ((rc = catalog_run_end(s->m->catalog, &r, end->out.outputs, ok ? end->out.n : 0, &e)) &&
	       rc != ERR_CONFLICT)
		if (!pause_for_retry(s, "the end of a run cannot be recorded yet", &e))
			return;
	fault_hit("run.end.after");
	while (ok && place(s, &e))
		if (!pause_for_retry(s, "outputs of a run cannot be placed yet", &e))
			return;
	if (!ok) {
		promote_discard(s);
		give_back(s, &r, end);
	}
	for (size_t i = 0; ok && i < s->nfiles; i++)
		stage_unlink(s->m->data, s->tenant, s->files[i].name);
	if (workspace_remove(s->workspace, &e))
		log_err("a workspace cannot be removed", &e, (struct log_field[]){LF("run", "r%" PRId64, s->run)}, 1);
	s->succeeded = ok;
	s->noutputs = end->out.n;
	log_end(s, &r, end);
}

static void *run_thread(void *arg)
{
	struct run_slot *s = arg;
	struct ending end = {.st.exit_code = -1, .records_in = -1, .records_out = -1};
	struct err e = {0};
	log_start(s);
	enum err_code rc = s->recovered ? pick_up(s, &end, &e) : execute(s, &end, &e);
	if (rc) {
		end.st.ended = true;
		end.st.exit_code = -1;
		end.st.signal = 0;
		end.st.started_us = end.st.started_us ? end.st.started_us : clock_now_us();
		snprintf(end.st.reason, sizeof end.st.reason, "did not start: %.230s", e.msg);
	}
	finish(s, &end);
	atomic_store(&s->done, true);
	manager_wake(s->m);
	return NULL;
}

/* ---- beginning one */

static enum err_code slot_new(struct manager *m, struct run_slot **ret, struct err *e)
{
	struct run_slot *s = calloc(1, sizeof *s);
	if (!s)
		return err_oom(e);
	s->m = m;
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	arena_init(&s->arena, SLOT_MEMORY);
	arena_init(&s->taking, SLOT_MEMORY);
	s->user_note = m->user_note;
	if (s->stop_fd < 0) {
		free(s);
		return err_sys(e, errno, "make an event descriptor");
	}
	*ret = s;
	return ERR_OK;
}

static void slot_free(struct run_slot *s)
{
	fd_close(&s->stop_fd);
	arena_done(&s->arena);
	arena_done(&s->taking);
	free(s);
}

static enum err_code copy_files(struct run_slot *s, const struct catalog_file *f, size_t n, struct err *e)
{
	s->files = arena_array(&s->arena, n + 1, sizeof *s->files);
	if (!s->files)
		return err_oom(e);
	for (size_t i = 0; i < n; i++) {
		s->files[i] = f[i];
		s->files[i].tenant = s->tenant;
		s->files[i].name = arena_strdup(&s->arena, f[i].name);
		s->files[i].sha256 = arena_strdup(&s->arena, f[i].sha256);
		s->files[i].status = "";
		if (!s->files[i].name || !s->files[i].sha256)
			return err_oom(e);
	}
	s->nfiles = n;
	return ERR_OK;
}

/* The sample app of the platform, beside our executable or in libexec. */
static const char *sample_app(struct run_slot *s)
{
	static const char *const places[] = {"clientbatchingestapp", "apps/clientbatchingestapp",
					     "../libexec/mysimbdp/clientbatchingestapp",
					     "../lib/mysimbdp/clientbatchingestapp"};
	size_t n = (size_t)(path_base(s->m->self) - s->m->self);
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		char *p = arena_printf(&s->arena, "%.*s%s", (int)n, s->m->self, places[i]);
		if (p && !access(p, X_OK))
			return p;
	}
	return "clientbatchingestapp"; /* PATH; when it is not there the run says so */
}

/* The sample app is told the tenant's dialect; a program of the tenant's own knows its files. */
static const char *const *environment(struct run_slot *s, const struct tenant_ctx *t, const struct app *app)
{
	size_t n = 0, i = 0;
	while (app->env && app->env[n])
		n++;
	const char **out = arena_array(&s->arena, n + 3, sizeof *out);
	if (!out)
		return NULL;
	for (; i < n; i++)
		if (!(out[i] = arena_strdup(&s->arena, app->env[i])))
			return NULL;
	if (!app->command && t->data_file) {
		out[i++] = arena_printf(&s->arena, "CSV_SEPARATOR=%c", t->data_file->csv.separator);
		out[i++] = t->data_file->csv.header ? "CSV_HEADER=true" : "CSV_HEADER=false";
		if (!out[n])
			return NULL;
	}
	return out;
}

static const char *const *copy_command(struct run_slot *s, const struct app *app)
{
	size_t n = 0;
	while (app->command && app->command[n])
		n++;
	const char **out = arena_array(&s->arena, n + 2, sizeof *out);
	for (size_t i = 0; out && i < n; i++)
		if (!(out[i] = arena_strdup(&s->arena, app->command[i])))
			return NULL;
	if (out && !n)
		out[0] = sample_app(s);
	return out;
}

static int64_t milli(bool has, const struct quantity *q)
{
	return has ? quantity_milli(q) : 0;
}

static enum err_code fill_spec(struct run_slot *s, const struct tenant_ctx *t, const struct app *app, struct err *e)
{
	struct run_spec *sp = &s->spec;
	uid_t uid;
	enum err_code rc = user_of(s->m, s->tenant, &uid, e);
	if (rc)
		return rc;
	sp->tenant = s->tenant;
	sp->app = s->app;
	sp->command = copy_command(s, app);
	sp->env = environment(s, t, app);
	sp->cpu_milli = milli(app->resources.has_cpu_limit, &app->resources.cpu_limit);
	sp->cpu_request_milli = milli(app->resources.has_cpu_request, &app->resources.cpu_request);
	sp->memory_bytes = app->resources.has_memory_limit ? quantity_units(&app->resources.memory_limit) : 0;
	sp->timeout_s = app->timeout_s;
	sp->grace_s = setting(s->m, "manager.grace");
	sp->max_processes = setting(s->m, "apps.max_processes");
	sp->max_output_bytes = (uint64_t)setting(s->m, "apps.max_output");
	sp->log_max = (uint64_t)setting(s->m, "manager.output_max");
	sp->uid = uid;
	sp->gid = uid;
	sp->hide = s->m->data;
	sp->own_program = !app->command;
	if (t->data_file) {
		struct csv_dialect *d = arena_alloc(&s->arena, sizeof *d);
		if (d) {
			*d = t->data_file->csv;
			d->null_words = NULL;
			d->nnull_words = 0;
			d->charset = d->charset ? arena_strdup(&s->arena, d->charset) : NULL;
			s->dialect = d;
		}
	}
	return sp->command && sp->env ? ERR_OK : err_oom(e);
}

static enum err_code launch(struct manager *m, struct run_slot *s, struct err *e)
{
	s->workspace = workspace_path(&s->arena, m->data, s->run);
	s->spec.run = s->run;
	s->spec.workspace = s->workspace;
	s->spec.log_path = path_run_log(&s->arena, m->data, s->run);
	if (!s->workspace || !s->spec.log_path)
		return err_oom(e);
	int sys = pthread_create(&s->thread, NULL, run_thread, s);
	if (sys)
		return err_sys(e, sys, "start a thread for run r%" PRId64, s->run);
	s->next = m->slots;
	m->slots = s;
	m->nslots++;
	return ERR_OK;
}

enum err_code run_begin(struct manager *m, struct tenant_ctx *t, uint32_t app, const struct deal *d,
			enum trigger trigger, int64_t scheduled_us, int64_t *ret_run, struct err *e)
{
	struct run_slot *s = NULL;
	int64_t ids[DEAL_MAX];
	const struct app *ap = &t->agreement->apps[app];
	enum err_code rc = slot_new(m, &s, e);
	if (rc)
		return rc;
	s->tenant = arena_strdup(&s->arena, t->id);
	s->app = arena_strdup(&s->arena, ap->name);
	s->trigger = trigger;
	s->scheduled_us = scheduled_us;
	rc = s->tenant && s->app ? copy_files(s, d->files, d->n, e) : err_oom(e);
	if (!rc)
		rc = fill_spec(s, t, ap, e);
	for (size_t i = 0; i < d->n; i++)
		ids[i] = d->files[i].id;
	struct catalog_run r = {.tenant = t->id,
				.app = ap->name,
				.trigger = trigger_name(trigger),
				.state = RUN_STARTING,
				.reason = "",
				.scheduled_us = scheduled_us,
				.started_us = clock_now_us(),
				.files_in = d->n,
				.records_in = -1,
				.records_out = -1,
				.limits = "",
				.cgroup = ""};
	if (!rc)
		rc = catalog_run_start(m->catalog, &r, ids, d->n, &s->run, e);
	if (rc) {
		slot_free(s);
		return rc;
	}
	fault_hit("run.assigned");
	*ret_run = s->run;
	rc = launch(m, s, e);
	if (rc) {
		r.id = s->run;
		r.state = RUN_FAILED;
		r.exit_code = -1;
		r.reason = e->msg;
		(void)!catalog_run_end(m->catalog, &r, NULL, 0, NULL);
		slot_free(s);
	}
	return rc;
}

enum err_code run_recover(struct manager *m, int64_t run, struct err *e)
{
	struct run_slot *s = NULL;
	struct catalog_run r;
	struct catalog_file *f;
	size_t n;
	enum err_code rc = slot_new(m, &s, e);
	if (rc)
		return rc;
	s->recovered = true;
	s->run = run;
	rc = catalog_run_get(m->catalog, run, &s->arena, &r, e);
	if (!rc)
		rc = catalog_run_files(m->catalog, run, &s->arena, &f, &n, e);
	if (!rc) {
		s->tenant = r.tenant;
		s->app = r.app;
		s->files = f;
		s->nfiles = n;
		struct tenant_ctx *t = tenant_known(m, r.tenant);
		for (uint32_t i = 0; t && t->agreement && i < t->agreement->napps; i++)
			if (!strcmp(t->agreement->apps[i].name, r.app))
				rc = fill_spec(s, t, &t->agreement->apps[i], e);
	}
	if (!rc)
		rc = launch(m, s, e);
	if (rc)
		slot_free(s);
	return rc;
}

void run_ask_stop(struct run_slot *s, const char *reason)
{
	const char *none = NULL;
	uint64_t one = 1;
	if (atomic_compare_exchange_strong(&s->stop_reason, &none, reason)) {
		atomic_store(&s->stop, true);
		ssize_t n = write(s->stop_fd, &one, sizeof one);
		(void)n;
	}
}

struct run_slot *run_of_app(struct manager *m, const char *tenant, const char *app)
{
	for (struct run_slot *s = m->slots; s; s = s->next)
		if (!strcmp(s->tenant, tenant) && !strcmp(s->app, app))
			return s;
	return NULL;
}

/* What the end of a run means for its app: more to do at once, or a retry. */
static void note_end(struct manager *m, const struct run_slot *s)
{
	struct tenant_ctx *t = tenant_known(m, s->tenant);
	for (uint32_t i = 0; t && t->agreement && i < t->agreement->napps; i++) {
		struct app_state *st = &t->apps[i];
		if (strcmp(t->agreement->apps[i].name, s->app))
			continue;
		if (!s->succeeded) {
			st->retries = true;
			st->retry_at_us = 0;
		}
		/* More was staged at the last start than one run may take. */
		if (st->drain_to && st->pending == TRIGGER_NONE) {
			st->pending = TRIGGER_DRAIN;
			st->pending_us = s->scheduled_us;
		}
	}
	if (t && s->noutputs)
		t->maybe_work = true;
}

bool runs_reap(struct manager *m)
{
	bool any = false;
	for (struct run_slot **at = &m->slots; *at;) {
		struct run_slot *s = *at;
		if (!atomic_load(&s->done)) {
			at = &s->next;
			continue;
		}
		pthread_join(s->thread, NULL);
		note_end(m, s);
		*at = s->next;
		m->nslots--;
		slot_free(s);
		any = true;
	}
	return any;
}
