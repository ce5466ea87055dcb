/* sqlite_runs.c: runs of apps: start, end, skipped starts, and when an app was due last. */
#include "catalog/ledger.h"

#include <stdio.h>
#include <string.h>

#define RUN_COLUMNS                                                                                                    \
	"id, tenant, app, trigger, state, reason, scheduled_us, started_us, ended_us, repeats, files_in, files_out, "  \
	"bytes_in, bytes_out, records_in, records_out, exit_code, signal, cpu_us, peak_bytes, limits, pid, "           \
	"pid_start, "                                                                                                  \
	"cgroup"

static const char *text(const char *s)
{
	return s ? s : "";
}

static enum err_code run_from_row(sqlite3_stmt *st, struct arena *a, struct catalog_run *ret, struct err *e)
{
	*ret = (struct catalog_run){
	    .id = db_int(st, 0),
	    .tenant = db_text_copy(st, 1, a),
	    .app = db_text_copy(st, 2, a),
	    .trigger = db_text_copy(st, 3, a),
	    .state = (enum run_state)db_int(st, 4),
	    .reason = db_text_copy(st, 5, a),
	    .scheduled_us = db_int(st, 6),
	    .started_us = db_int(st, 7),
	    .ended_us = db_int(st, 8),
	    .repeats = db_int(st, 9),
	    .files_in = (uint64_t)db_int(st, 10),
	    .files_out = (uint64_t)db_int(st, 11),
	    .bytes_in = (uint64_t)db_int(st, 12),
	    .bytes_out = (uint64_t)db_int(st, 13),
	    .records_in = db_int(st, 14),
	    .records_out = db_int(st, 15),
	    .exit_code = (int)db_int(st, 16),
	    .signal = (int)db_int(st, 17),
	    .cpu_us = db_int(st, 18),
	    .peak_bytes = db_int(st, 19),
	    .limits = db_text_copy(st, 20, a),
	    .pid = db_int(st, 21),
	    .pid_start = db_int(st, 22),
	    .cgroup = db_text_copy(st, 23, a),
	};
	return ret->tenant && ret->app && ret->trigger && ret->reason && ret->limits && ret->cgroup ? ERR_OK
												    : err_oom(e);
}

enum err_code schedule_put(struct tx *tx, const char *tenant, const char *app, int64_t us, struct err *e)
{
	if (us <= 0)
		return ERR_OK;
	return db_exec(tx->db, e,
		       "INSERT INTO schedule(tenant, app, last_us) VALUES(?1, ?2, ?3) ON CONFLICT(tenant, app) "
		       "DO UPDATE SET last_us = max(last_us, excluded.last_us)",
		       "tti", tenant, app, us);
}

/* ---- start */

static enum err_code run_insert(struct tx *tx, const struct catalog_run *r, enum run_state state, int64_t *ret_id,
				struct err *e)
{
	enum err_code code = db_exec(
	    tx->db, e,
	    "INSERT INTO run(tenant, app, trigger, state, reason, scheduled_us, started_us, ended_us, "
	    "repeats, files_in, files_out, bytes_in, bytes_out, records_in, records_out, exit_code, signal, cpu_us, "
	    "peak_bytes, limits, pid, pid_start, cgroup) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, 0, "
	    "?12, ?13, 0, 0, 0, 0, ?14, ?15, ?16, ?17)",
	    "tttdtiiiiiiiitiit", r->tenant, r->app, text(r->trigger), (int)state, text(r->reason), r->scheduled_us,
	    r->started_us ? r->started_us : tx->now, r->ended_us, r->repeats, (int64_t)r->files_in,
	    (int64_t)r->bytes_in, r->records_in, r->records_out, text(r->limits), r->pid, r->pid_start,
	    text(r->cgroup));
	if (!code)
		*ret_id = db_last_id(tx->db);
	return code;
}

static enum err_code run_take(struct tx *tx, const struct catalog_run *r, int64_t run, int64_t file, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code =
	    db_query(tx->db, &st, e, "SELECT state FROM file WHERE id = ?1 AND tenant = ?2", "it", file, r->tenant);
	if (code || (code = db_next(tx->db, st, &row, e)))
		return code;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "tenant \"%s\" has no file f%lld", r->tenant, (long long)file);
	enum file_state state = (enum file_state)db_int(st, 0);
	db_reset(st);
	if (state != FILE_STAGED)
		return err_set(e, ERR_CONFLICT, "file f%lld is %s, only a staged one can be given to a run",
			       (long long)file, file_state_name(state));
	char status[256];
	snprintf(status, sizeof status, "given to run r%lld of app \"%.100s\"", (long long)run, r->app);
	code = db_exec(tx->db, e, "INSERT INTO run_file(run, file) VALUES(?1, ?2)", "ii", run, file);
	return code ? code : file_set(tx, file, FILE_ASSIGNED, run, status, NULL, e);
}

static enum err_code run_start_in(struct tx *tx, const struct catalog_run *r, const int64_t *files, size_t nfiles,
				  int64_t *ret_id, struct err *e)
{
	int64_t id = 0;
	struct catalog_run row = *r;
	if (!row.files_in)
		row.files_in = nfiles;
	enum err_code code = run_insert(tx, &row, r->state == RUN_RUNNING ? RUN_RUNNING : RUN_STARTING, &id, e);
	for (size_t i = 0; !code && i < nfiles; i++)
		code = run_take(tx, r, id, files[i], e);
	if (!code && !r->bytes_in)
		code = db_exec(tx->db, e,
			       "UPDATE run SET bytes_in = coalesce((SELECT sum(size) FROM file WHERE id IN "
			       "(SELECT file FROM run_file WHERE run_file.run = ?1)), 0) WHERE id = ?1",
			       "i", id);
	if (!code)
		code = schedule_put(tx, r->tenant, r->app, r->scheduled_us, e);
	*ret_id = id;
	return code;
}

static enum err_code run_start(struct catalog *c, const struct catalog_run *r, const int64_t *files, size_t nfiles,
			       int64_t *ret_id, struct err *e)
{
	struct tx tx;
	int64_t id = 0;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = tx_end(&tx, run_start_in(&tx, r, files, nfiles, &id, e), e);
	if (!code)
		*ret_id = id;
	return code;
}

static enum err_code run_child(struct catalog *c, int64_t id, int64_t pid, int64_t pid_start, const char *cgroup,
			       struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = db_exec(tx.db, e,
		       "UPDATE run SET pid = ?2, pid_start = ?3, cgroup = ?4, "
		       "state = CASE state WHEN ?5 THEN ?6 ELSE state END WHERE id = ?1",
		       "iiitdd", id, pid, pid_start, text(cgroup), (int)RUN_STARTING, (int)RUN_RUNNING);
	if (!code && db_changes(tx.db) == 0)
		code = err_set(e, ERR_NOT_FOUND, "there is no run r%lld", (long long)id);
	return tx_end(&tx, code, e);
}

/* ---- end */

/* Only a run that is under way can end: ending it a second time would deal its files twice. */
static enum err_code run_open(struct tx *tx, int64_t id, char tenant[256], char app[256], struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code = db_query(tx->db, &st, e, "SELECT state, tenant, app FROM run WHERE id = ?1", "i", id);
	if (code || (code = db_next(tx->db, st, &row, e)))
		return code;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "there is no run r%lld", (long long)id);
	enum run_state state = (enum run_state)db_int(st, 0);
	snprintf(tenant, 256, "%s", db_text(st, 1));
	snprintf(app, 256, "%s", db_text(st, 2));
	db_reset(st);
	if (state != RUN_STARTING && state != RUN_RUNNING)
		return err_set(e, ERR_CONFLICT, "run r%lld has ended already: %s", (long long)id,
			       run_state_name(state));
	return ERR_OK;
}

static enum err_code run_close(struct tx *tx, const struct catalog_run *r, uint64_t nout, uint64_t bytes_out,
			       struct err *e)
{
	return db_exec(
	    tx->db, e,
	    "UPDATE run SET state = ?2, reason = ?3, ended_us = ?4, files_out = ?5, bytes_out = ?6, "
	    "records_in = ?7, records_out = ?8, exit_code = ?9, signal = ?10, cpu_us = ?11, peak_bytes = ?12, "
	    "limits = CASE ?13 WHEN '' THEN limits ELSE ?13 END WHERE id = ?1",
	    "idtiiiiiddiit", r->id, (int)r->state, text(r->reason), r->ended_us ? r->ended_us : tx->now, (int64_t)nout,
	    (int64_t)bytes_out, r->records_in, r->records_out, r->exit_code, r->signal, r->cpu_us, r->peak_bytes,
	    text(r->limits));
}

static enum err_code output_insert(struct tx *tx, const struct catalog_run *r, const char *tenant,
				   const struct catalog_output_new *o, struct err *e)
{
	enum err_code code = db_exec(tx->db, e,
				     "INSERT INTO output(run, tenant, name, source, size, sha256, state, "
				     "document_version, created_us, updated_us) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, "
				     "coalesce((SELECT version FROM tenant WHERE id = ?2), 0), ?8, ?8)",
				     "itttitdi", r->id, tenant, o->name, text(o->source), (int64_t)o->size,
				     text(o->sha256), (int)OUTPUT_WAITING, tx->now);
	if (code)
		return code;
	char what[512];
	snprintf(what, sizeof what,
		 "the app wrote \"%.255s\", %llu bytes: output o%lld, which waits for the quality gate", o->name,
		 (unsigned long long)o->size, (long long)db_last_id(tx->db));
	return db_exec(tx->db, e,
		       "INSERT INTO event(file, at_us, what, text) SELECT f.id, ?3, 'output', ?4 FROM run_file rf "
		       "JOIN file f ON f.id = rf.file WHERE rf.run = ?1 AND (?2 = '' OR f.name = ?2)",
		       "itit", r->id, text(o->source), tx->now, what);
}

/* Move every file of the run that it still has. */
static enum err_code run_deal(struct tx *tx, int64_t run, enum file_state from, enum file_state to, bool attempt,
			      const char *status, struct err *e)
{
	enum err_code code = db_exec(tx->db, e,
				     "INSERT INTO event(file, at_us, what, text) SELECT id, ?3, ?4, ?5 "
				     "FROM file WHERE run = ?1 AND state = ?2",
				     "iditt", run, (int)from, tx->now, file_state_name(to), status);
	if (code)
		return code;
	return db_exec(tx->db, e,
		       "UPDATE file SET state = ?3, status = ?4, updated_us = ?5, attempts = attempts + ?6 "
		       "WHERE run = ?1 AND state = ?2",
		       "iddtid", run, (int)from, (int)to, status, tx->now, (int)attempt);
}

static enum err_code run_succeeded(struct tx *tx, const struct catalog_run *r, const char *app, size_t nout,
				   struct err *e)
{
	char status[512];
	snprintf(status, sizeof status, "run r%lld of app \"%.100s\" succeeded; its output waits for the quality gate",
		 (long long)r->id, app);
	enum err_code code = run_deal(tx, r->id, FILE_ASSIGNED, FILE_PROCESSED, false, status, e);
	if (code || nout > 0)
		return code;
	snprintf(status, sizeof status,
		 "run r%lld of app \"%.100s\" made no output of it, so nothing is left to deliver", (long long)r->id,
		 app);
	return run_deal(tx, r->id, FILE_PROCESSED, FILE_DELIVERED, false, status, e);
}

static enum err_code run_failed(struct tx *tx, const struct catalog_run *r, const char *app, struct err *e)
{
	char status[768];
	snprintf(status, sizeof status, "waiting for the next run: run r%lld of app \"%.100s\" %s%s%.400s",
		 (long long)r->id, app, run_state_name(r->state), text(r->reason)[0] ? ": " : "", text(r->reason));
	return run_deal(tx, r->id, FILE_ASSIGNED, FILE_STAGED, true, status, e);
}

static enum err_code run_end_in(struct tx *tx, const struct catalog_run *r, const struct catalog_output_new *outputs,
				size_t n, struct err *e)
{
	char tenant[256], app[256];
	uint64_t bytes = 0;
	enum err_code code = run_open(tx, r->id, tenant, app, e);
	for (size_t i = 0; i < n; i++)
		bytes += outputs[i].size;
	if (!code)
		code = run_close(tx, r, n, bytes, e);
	for (size_t i = 0; !code && i < n; i++)
		code = output_insert(tx, r, tenant, &outputs[i], e);
	if (code)
		return code;
	return r->state == RUN_SUCCEEDED ? run_succeeded(tx, r, app, n, e) : run_failed(tx, r, app, e);
}

static enum err_code run_end(struct catalog *c, const struct catalog_run *r, const struct catalog_output_new *outputs,
			     size_t noutputs, struct err *e)
{
	struct tx tx;
	if (r->state == RUN_STARTING || r->state == RUN_RUNNING || (unsigned)r->state >= RUN_STATES)
		return err_set(e, ERR_INVALID, "a run can't end in state %s", run_state_name(r->state));
	if (r->state != RUN_SUCCEEDED && noutputs)
		return err_set(e, ERR_INVALID, "a run that did not succeed has no output to promote");
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	return code ? code : tx_end(&tx, run_end_in(&tx, r, outputs, noutputs, e), e);
}

/* ---- starts that did not happen */

static enum err_code run_skip_in(struct tx *tx, const char *tenant, const char *app, int64_t scheduled_us,
				 const char *reason, struct err *e)
{
	int64_t id;
	enum err_code code = schedule_put(tx, tenant, app, scheduled_us, e);
	if (code)
		return code;
	code = db_int_of(tx->db, 0, &id, e,
			 "SELECT CASE WHEN state = ?3 AND reason = ?4 THEN id ELSE 0 END FROM run "
			 "WHERE tenant = ?1 AND app = ?2 ORDER BY id DESC LIMIT 1",
			 "ttdt", tenant, app, (int)RUN_SKIPPED, reason);
	if (code)
		return code;
	if (id)
		return db_exec(tx->db, e,
			       "UPDATE run SET repeats = repeats + 1, scheduled_us = max(scheduled_us, ?2), "
			       "ended_us = ?3 WHERE id = ?1",
			       "iii", id, scheduled_us, tx->now);
	struct catalog_run r = {.tenant = tenant,
				.app = app,
				.trigger = "schedule",
				.reason = reason,
				.scheduled_us = scheduled_us,
				.ended_us = tx->now,
				.records_in = -1,
				.records_out = -1};
	return run_insert(tx, &r, RUN_SKIPPED, &id, e);
}

static enum err_code run_skip(struct catalog *c, const char *tenant, const char *app, int64_t scheduled_us,
			      const char *reason, struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, SOON, &tx, e);
	return code ? code : tx_end(&tx, run_skip_in(&tx, tenant, app, scheduled_us, reason, e), e);
}

static enum err_code last_schedule(struct catalog *c, const char *tenant, const char *app, int64_t *ret_us,
				   struct err *e)
{
	struct db *d;
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	return rd_end(c, d,
		      db_int_of(d, 0, ret_us, e, "SELECT last_us FROM schedule WHERE tenant = ?1 AND app = ?2", "tt",
				tenant, app));
}

static enum err_code schedule_seen(struct catalog *c, const char *tenant, const char *app, int64_t us, struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, SOON, &tx, e);
	return code ? code : tx_end(&tx, schedule_put(&tx, tenant, app, us, e), e);
}

/* ---- reading */

static enum err_code run_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_run *ret, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	struct catalog_run r;
	bool row;
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e, "SELECT " RUN_COLUMNS " FROM run WHERE id = ?1", "i", id);
	if (!code)
		code = db_next(d, st, &row, e);
	if (!code)
		code = row ? run_from_row(st, a, &r, e)
			   : err_set(e, ERR_NOT_FOUND, "there is no run r%lld", (long long)id);
	if (!code)
		*ret = r;
	return rd_end(c, d, code);
}

static enum err_code runs(struct catalog *c, const char *tenant, int64_t before, size_t limit, struct arena *a,
			  struct catalog_run **ret, size_t *ret_n, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	bool row;
	struct list list = {.a = a, .size = sizeof(struct catalog_run)};
	int64_t below = before ? before : INT64_MAX, most = limit == 0 ? 100 : limit > 1000 ? 1000 : (int64_t)limit;
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = tenant ? db_query(d, &st, e,
				 "SELECT " RUN_COLUMNS " FROM run WHERE tenant = ?1 AND id < ?2 "
				 "ORDER BY id DESC LIMIT ?3",
				 "tii", tenant, below, most)
		      : db_query(d, &st, e, "SELECT " RUN_COLUMNS " FROM run WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
				 "ii", below, most);
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		struct catalog_run *r = list_add(&list);
		code = r ? run_from_row(st, a, r, e) : err_oom(e);
	}
	if (!code) {
		*ret = (void *)list.p;
		*ret_n = list.n;
	}
	return rd_end(c, d, code);
}

void ledger_run_ops(struct catalog_ops *o)
{
	o->run_start = run_start;
	o->run_child = run_child;
	o->run_end = run_end;
	o->run_skip = run_skip;
	o->run_get = run_get;
	o->runs = runs;
	o->last_schedule = last_schedule;
	o->schedule_seen = schedule_seen;
}
