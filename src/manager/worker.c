/*
 * worker.c: a tenant's worker process: waiting outputs and jobs, one after the other, until there are none for a while.
 *
 * It touches only its tenant's directories and reaches the ledger through the control plane's socket, with its epoch on
 * every call. An error that may pass (full disk, a busy store, no control plane) is waited out with a growing pause and
 * told as a line on standard output, so that the file's status says why; an error of the file ends that file. When the
 * documents changed, the table is rebuilt before anything else is delivered.
 */
#include "manager/worker.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "manager/internal.h"
#include "sink/sqlite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TURN_MEMORY (256 << 20)
#define DOCS_MEMORY (64 << 20)
#define OUTPUTS_A_TURN 16
#define IDLE_LOOK_MS 200
#define PAUSE_FIRST_MS 500
#define PAUSE_MAX_MS 30000

/* ---- documents and stores */

enum err_code worker_docs_parse(struct worker_docs *d, const char *data_file, const char *agreement, struct err *e)
{
	struct problems p;
	arena_init(&d->arena, DOCS_MEMORY);
	problems_init(&p, "data-file.json", &d->arena);
	const char *df = arena_strdup(&d->arena, data_file), *ag = arena_strdup(&d->arena, agreement);
	if (!df || !ag)
		return err_oom(e);
	d->data_file = data_file_parse(span_str(df), "data-file.json", &d->arena, &p);
	p.document = "service-agreement.json";
	d->agreement = agreement_parse(span_str(ag), "service-agreement.json", &d->arena, &p);
	if (d->data_file && d->agreement)
		d->quality = quality_plan_new(d->data_file, d->agreement->quality, &d->arena, &p);
	if (d->data_file && d->agreement && d->quality)
		return ERR_OK;
	err_set(e, ERR_DOCUMENT, "the documents cannot be read: %s: found %s, allowed %s",
		p.first ? p.first->path : "?", p.first ? p.first->found : "?", p.first ? p.first->allowed : "?");
	return err_hint(e, "give the tenant corrected documents (mysimbdp tenant update)");
}

void worker_docs_done(struct worker_docs *d)
{
	data_file_done(d->data_file);
	arena_done(&d->arena);
	*d = (struct worker_docs){0};
}

struct ingest_plan worker_plan(const struct worker_ctx *w, const struct worker_docs *d)
{
	return (struct ingest_plan){
	    .data_file = d->data_file,
	    .quality = d->quality,
	    .options =
		{
		    .csv =
			{
			    .max_cell = (size_t)conf_int(w->conf, "ingest.max_cell"),
			    .max_row = (size_t)conf_int(w->conf, "ingest.max_row"),
			    .batch_rows = (uint32_t)conf_int(w->conf, "ingest.source_batch_rows"),
			},
		    .max_decoded = (uint64_t)conf_int(w->conf, "ingest.decompressed_max"),
		    .sink_rows = (uint32_t)conf_int(w->conf, "ingest.sink_batch_rows"),
		    .sort_memory = (size_t)conf_int(w->conf, "ingest.sort_memory"),
		    .spill_dir = w->coredms,
		    .stop = w->stop,
		},
	};
}

struct ingest_target worker_target(const struct worker_ctx *w)
{
	return (struct ingest_target){w->catalog, w->sink_class, w->sink, "coredms", w->quarantine, w->epoch};
}

static void stores_close(struct worker_ctx *w)
{
	if (w->sink)
		w->sink_class->close(w->sink);
	w->sink = NULL;
}

static enum err_code sink_ready(struct worker_ctx *w, struct err *e)
{
	enum err_code rc = w->sink_class->open(w->coredms, w->docs.data_file, &w->sink, e);
	if (!rc)
		rc = w->sink_class->table(w->sink, e);
	if (rc)
		stores_close(w);
	return rc;
}

/* The table as the documents say; one of older documents is rebuilt. */
static enum err_code sink_prepare(struct worker_ctx *w, struct err *e)
{
	uint64_t rows = 0;
	int64_t t0 = clock_mono_ns();
	enum err_code rc = sink_ready(w, e);
	if (rc != ERR_CONFLICT)
		return rc;
	rc = sqlite_rebuild(w->coredms, w->docs.data_file, &rows, e);
	if (rc)
		return err_prefix(e, "rebuild table \"%s\"", w->docs.data_file->schema->name);
	log_info("table rebuilt", LF("tenant", "%s", w->tenant), LF("table", "%s", w->docs.data_file->schema->name),
		 LF("rows", "%" PRIu64, rows), LF("seconds", "%.3f", (double)(clock_mono_ns() - t0) / 1e9));
	return sink_ready(w, e);
}

/* Documents, sink and quarantine as the ledger's newest version wants them. */
static enum err_code prepare(struct worker_ctx *w, struct err *e)
{
	struct catalog_tenant t;
	enum err_code rc = catalog_tenant_get(w->catalog, w->tenant, &w->arena, &t, e);
	if (rc)
		return rc;
	if (w->docs.version != t.version) {
		stores_close(w);
		worker_docs_done(&w->docs);
		rc = worker_docs_parse(&w->docs, t.data_file, t.agreement, e);
		w->docs.version = t.version;
		if (rc)
			return rc;
	}
	if (!w->docs.quality) /* tried before; the version did not change */
		return err_set(e, ERR_DOCUMENT, "the tenant's documents cannot be read");
	char *dir = path_quarantine(&w->arena, w->data, w->tenant);
	if (!w->quarantine) {
		rc = dir ? dir_make_durable(dir, 0700, e) : err_oom(e);
		if (!rc)
			rc = quarantine_open(dir, &w->quarantine, e);
	}
	if (!rc && !w->sink) {
		rc = dir_make_durable(w->coredms, 0700, e);
		if (!rc)
			rc = sink_prepare(w, e);
	}
	return rc;
}

/* ---- one output */

static void log_begin(const struct worker_ctx *w, const struct catalog_output *o)
{
	log_info("ingest started", LF("tenant", "%s", w->tenant), LF("output", "o%" PRId64, o->id),
		 LF("run", "r%" PRId64, o->run), LF("file", "%s", o->name), LF("bytes", "%" PRIu64, o->size),
		 LF("epoch", "%" PRId64, w->epoch));
}

/* Counts as the ledger has them: of all passes over the file, not only of this one. */
static void log_done(struct worker_ctx *w, const struct catalog_output *o, const struct ingest_result *r)
{
	struct catalog_output now;
	if (catalog_output_get(w->catalog, o->id, &w->arena, &now, NULL))
		now = *o;
	log_event(r->refused ? LOG_WARN_ : LOG_INFO_, "ingest ended",
		  (struct log_field[]){
		      LF("tenant", "%s", w->tenant), LF("output", "o%" PRId64, o->id), LF("run", "r%" PRId64, o->run),
		      LF("file", "%s", o->name), LF("state", "%s", output_state_name(now.state)),
		      LF("records", "%" PRIu64, now.records), LF("accepted", "%" PRIu64, now.accepted),
		      LF("rejected", "%" PRIu64, now.rejected), LF("delivered", "%" PRIu64, now.delivered),
		      LF("superseded", "%" PRIu64, now.superseded), LF("resumed", "%s", r->resumed ? "yes" : "no"),
		      LF("seconds", "%.3f", r->seconds), LF("reason", "%s", now.reason ? now.reason : "")},
		  13);
}

/* Will the same call fail the same way for ever, because of the file? */
static bool files_fault(const struct err *e)
{
	switch (e->code) {
	case ERR_REFUSED:
	case ERR_CORRUPT:
	case ERR_TOO_BIG:
	case ERR_UNSUPPORTED:
	case ERR_INVALID:
	case ERR_LIMIT:
		return !e->retriable;
	default:
		return false;
	}
}

/* outputs/TENANT/ID/NAME, or where it is until the manager has put it there (promote.c). */
static enum err_code find_file(struct worker_ctx *w, const struct catalog_output *o, const char **ret, struct err *e)
{
	char *places[3] = {path_output(&w->arena, w->data, w->tenant, o->id, o->name),
			   promoted_dir(&w->arena, w->data, w->tenant, o->run), NULL};
	if (places[1])
		places[1] = path_join(&w->arena, places[1], o->name);
	places[2] = places[0];
	for (size_t i = 0; i < 3; i++)
		if (places[i] && !access(places[i], R_OK)) {
			*ret = places[i];
			return ERR_OK;
		}
	err_set(e, ERR_NOT_FOUND, "output o%" PRId64 " \"%s\" is not on disk", o->id, o->name);
	return err_hint(e, "restore the data directory's outputs/ from a backup");
}

static enum err_code do_output(struct worker_ctx *w, const struct catalog_output *o, struct err *e)
{
	struct ingest_plan plan = worker_plan(w, &w->docs);
	struct ingest_target target = worker_target(w);
	struct ingest_result r;
	const char *path = "";
	enum err_code rc = find_file(w, o, &path, e);
	if (rc)
		return rc;
	log_begin(w, o);
	fault_hit("worker.output.before");
	rc = ingest_file(&plan, &target, path, o, NULL, &r, e);
	fault_hit("worker.output.after");
	if (rc && files_fault(e)) {
		char reason[900];
		snprintf(reason, sizeof reason, "%s%s%.100s", e->msg, e->hint[0] ? "; " : "", e->hint);
		rc = catalog_output_done(w->catalog, o->id, OUTPUT_FAILED, reason, e);
	}
	if (!rc)
		log_done(w, o, &r);
	ingest_result_done(&r);
	return rc;
}

/* ---- the loop */

/* One line to the manager: what, which output, why. */
static void say(const char *what, int64_t output, const char *text)
{
	char line[1024];
	int n = snprintf(line, sizeof line - 1, "%s %" PRId64 " %.900s", what, output, text);
	for (int i = 0; i < n; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[n++] = '\n';
	ssize_t k = write(STDOUT_FILENO, line, (size_t)n);
	(void)k; /* the manager is gone, and we with it */
}

static bool sleep_ms(const struct worker_ctx *w, int64_t ms)
{
	for (; ms > 0 && !atomic_load(w->stop); ms -= 50)
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	return !atomic_load(w->stop);
}

static enum err_code outputs_turn(struct worker_ctx *w, int64_t *ret_at, bool *ret_any, struct err *e)
{
	struct catalog_output *o;
	size_t n;
	enum err_code rc = catalog_outputs(w->catalog, w->tenant, 1u << OUTPUT_WAITING | 1u << OUTPUT_CHECKED, 0,
					   OUTPUTS_A_TURN, &w->arena, &o, &n, e);
	for (size_t i = 0; !rc && i < n && !atomic_load(w->stop); i++) {
		*ret_any = true;
		*ret_at = o[i].id;
		/* New documents between two files apply from the next file on. */
		rc = prepare(w, e);
		if (!rc)
			rc = do_output(w, &o[i], e);
	}
	return rc;
}

/* Everything that there is to do now. *ret_at: the output at which it failed. */
static enum err_code turn(struct worker_ctx *w, bool *ret_any, int64_t *ret_at, struct err *e)
{
	struct catalog_job j = {0};
	arena_reset(&w->arena);
	*ret_any = false;
	*ret_at = 0;
	enum err_code rc = catalog_job_next(w->catalog, w->tenant, &w->arena, &j, e);
	if (!rc && j.id) {
		*ret_any = true;
		struct err why = {0};
		/* A job must get its answer, also when the documents do not allow any. */
		if (prepare(w, &why)) {
			char text[1200];
			snprintf(text, sizeof text, "%s%s%s", why.msg, why.hint[0] ? "; " : "", why.hint);
			return catalog_job_end(w->catalog, j.id, false, text, e);
		}
		return worker_job(w, &j, e);
	}
	return rc ? rc : outputs_turn(w, ret_at, ret_any, e);
}

static enum err_code loop(struct worker_ctx *w, struct err *e)
{
	int64_t idle_since = clock_mono_ns(), idle_ns = conf_int(w->conf, "manager.worker_idle") * INT64_C(1000000000);
	int64_t pause = PAUSE_FIRST_MS, waiting_for = 0;
	while (!atomic_load(w->stop)) {
		bool any;
		int64_t at;
		enum err_code rc = turn(w, &any, &at, e);
		if (rc == ERR_INTERRUPTED)
			return ERR_OK;
		if (rc == ERR_FENCED)
			return rc;
		if (rc) {
			log_err("waiting before the next try", e,
				(struct log_field[]){LF("tenant", "%s", w->tenant),
						     LF("seconds", "%.1f", (double)pause / 1e3)},
				2);
			if (at && waiting_for != at)
				say("wait", at, e->msg);
			waiting_for = at;
			stores_close(w); /* a full disk may have left it unusable */
			if (!sleep_ms(w, pause))
				return ERR_OK;
			pause = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
			continue;
		}
		if (waiting_for)
			say("go", waiting_for, "");
		waiting_for = 0;
		pause = PAUSE_FIRST_MS;
		if (any)
			idle_since = clock_mono_ns();
		else if (clock_mono_ns() - idle_since >= idle_ns)
			return ERR_OK;
		else
			(void)sleep_ms(w, IDLE_LOOK_MS);
	}
	return ERR_OK;
}

enum err_code worker_main(const char *data, const char *tenant, int64_t epoch, const struct conf *conf,
			  const atomic_bool *stop, struct err *e)
{
	struct worker_ctx w = {
	    .data = data, .tenant = tenant, .epoch = epoch, .conf = conf, .stop = stop, .sink_class = &sink_sqlite};
	struct arena life;
	arena_init(&w.arena, TURN_MEMORY);
	arena_init(&life, 1 << 20);
	umask(077);
	w.coredms = path_coredms(&life, data, tenant);
	char *socket = path_join(&life, data, "control.sock");
	enum err_code rc = socket && w.coredms ? catalog_open_remote(socket, tenant, epoch, &w.catalog, e) : err_oom(e);
	if (!rc)
		rc = loop(&w, e);
	stores_close(&w);
	quarantine_close(w.quarantine);
	worker_docs_done(&w.docs);
	catalog_close(w.catalog);
	arena_done(&w.arena);
	arena_done(&life);
	return rc;
}
