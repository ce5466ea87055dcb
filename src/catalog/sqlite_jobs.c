/* sqlite_jobs.c: epochs of workers, jobs for them, what retention erased, and children that may outlive a crash. */
#include "catalog/ledger.h"

#include <string.h>

/* ---- epochs */

static enum err_code epoch_next(struct catalog *c, const char *tenant, int64_t *ret, struct err *e)
{
	struct tx tx;
	int64_t epoch = 0;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = db_exec(tx.db, e,
		       "INSERT INTO epoch(tenant, epoch) VALUES(?1, 1) "
		       "ON CONFLICT(tenant) DO UPDATE SET epoch = epoch + 1",
		       "t", tenant);
	if (!code)
		code = db_int_of(tx.db, 0, &epoch, e, "SELECT epoch FROM epoch WHERE tenant = ?1", "t", tenant);
	code = tx_end(&tx, code, e);
	if (!code)
		*ret = epoch;
	return code;
}

static enum err_code epoch(struct catalog *c, const char *tenant, int64_t *ret, struct err *e)
{
	struct db *d;
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	return rd_end(c, d, db_int_of(d, 0, ret, e, "SELECT epoch FROM epoch WHERE tenant = ?1", "t", tenant));
}

/* ---- jobs */

#define JOB_COLUMNS "id, tenant, kind, params, state, result, created_us, ended_us"

static enum err_code job_from_row(sqlite3_stmt *st, struct arena *a, struct catalog_job *ret, struct err *e)
{
	*ret = (struct catalog_job){
	    .id = db_int(st, 0),
	    .tenant = db_text_copy(st, 1, a),
	    .kind = db_text_copy(st, 2, a),
	    .params = db_text_copy(st, 3, a),
	    .state = (enum job_state)db_int(st, 4),
	    .result = db_text_copy(st, 5, a),
	    .created_us = db_int(st, 6),
	    .ended_us = db_int(st, 7),
	};
	return ret->tenant && ret->kind && ret->params && ret->result ? ERR_OK : err_oom(e);
}

static enum err_code job_add(struct catalog *c, const char *tenant, const char *kind, const char *params,
			     int64_t *ret_id, struct err *e)
{
	struct tx tx;
	int64_t id = 0;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = db_exec(tx.db, e, "INSERT INTO job(tenant, kind, params, state, created_us) VALUES(?1, ?2, ?3, ?4, ?5)",
		       "tttdi", tenant, kind, params ? params : "{}", (int)JOB_WAITING, tx.now);
	if (!code)
		id = db_last_id(tx.db);
	code = tx_end(&tx, code, e);
	if (!code)
		*ret_id = id;
	return code;
}

static enum err_code job_load(struct db *d, int64_t id, struct arena *a, struct catalog_job *ret, struct err *e)
{
	sqlite3_stmt *st;
	struct catalog_job j;
	bool row;
	enum err_code code = db_query(d, &st, e, "SELECT " JOB_COLUMNS " FROM job WHERE id = ?1", "i", id);
	if (code || (code = db_next(d, st, &row, e)))
		return code;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "there is no job %lld", (long long)id);
	code = job_from_row(st, a, &j, e);
	db_reset(st);
	if (!code)
		*ret = j;
	return code;
}

static enum err_code job_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_job *ret, struct err *e)
{
	struct db *d;
	enum err_code code = rd_begin(c, &d, e);
	return code ? code : rd_end(c, d, job_load(d, id, a, ret, e));
}

static enum err_code job_next_in(struct tx *tx, const char *tenant, struct arena *a, struct catalog_job *ret,
				 struct err *e)
{
	int64_t id, now_epoch;
	enum err_code code = guard_tenant(tx->c, tenant, "the job", e);
	if (!code)
		code = db_int_of(tx->db, 0, &now_epoch, e, "SELECT epoch FROM epoch WHERE tenant = ?1", "t", tenant);
	if (!code)
		code = db_int_of(tx->db, 0, &id, e,
				 "SELECT id FROM job WHERE tenant = ?1 AND state < 2 "
				 "AND (state = ?2 OR epoch < ?3) ORDER BY id LIMIT 1",
				 "tdi", tenant, (int)JOB_WAITING, now_epoch);
	if (code || !id) {
		*ret = (struct catalog_job){0};
		return code;
	}
	code = db_exec(tx->db, e, "UPDATE job SET state = ?2, epoch = ?3 WHERE id = ?1", "idi", id, (int)JOB_RUNNING,
		       now_epoch);
	return code ? code : job_load(tx->db, id, a, ret, e);
}

static enum err_code job_next(struct catalog *c, const char *tenant, struct arena *a, struct catalog_job *ret,
			      struct err *e)
{
	struct tx tx;
	struct catalog_job j = {0};
	enum err_code code = tx_begin(c, SOON, &tx, e);
	if (code)
		return code;
	code = tx_end(&tx, job_next_in(&tx, tenant, a, &j, e), e);
	if (!code)
		*ret = j;
	return code;
}

static enum err_code job_end_in(struct tx *tx, int64_t id, bool ok, const char *result, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code = db_query(tx->db, &st, e, "SELECT tenant, state FROM job WHERE id = ?1", "i", id);
	if (code || (code = db_next(tx->db, st, &row, e)))
		return code;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "there is no job %lld", (long long)id);
	code = guard_tenant(tx->c, db_text(st, 0), "the job", e);
	if (!code && db_int(st, 1) >= JOB_DONE)
		code = err_set(e, ERR_CONFLICT, "job %lld has ended already", (long long)id);
	db_reset(st);
	if (code)
		return code;
	return db_exec(tx->db, e, "UPDATE job SET state = ?2, result = ?3, ended_us = ?4 WHERE id = ?1", "idti", id,
		       (int)(ok ? JOB_DONE : JOB_FAILED), result ? result : "", tx->now);
}

static enum err_code job_end(struct catalog *c, int64_t id, bool ok, const char *result, struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	return code ? code : tx_end(&tx, job_end_in(&tx, id, ok, result, e), e);
}

static enum err_code jobs_waiting(struct catalog *c, struct arena *a, const char ***ret_tenants, size_t *ret_n,
				  struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	bool row;
	struct list list = {.a = a, .size = sizeof(const char *)};
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e, "SELECT DISTINCT tenant FROM job WHERE state < 2 ORDER BY tenant", "");
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		const char **name = list_add(&list);
		if (!name || !(*name = db_text_copy(st, 0, a)))
			code = err_oom(e);
	}
	if (!code) {
		*ret_tenants = (void *)list.p;
		*ret_n = list.n;
	}
	return rd_end(c, d, code);
}

/* ---- what was erased */

static enum err_code erased(struct catalog *c, const char *tenant, const char *kind, int64_t id, const char *name,
			    uint64_t bytes, const char *why, struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, SOON, &tx, e);
	if (code)
		return code;
	code = db_exec(tx.db, e,
		       "INSERT INTO erasure(at_us, tenant, kind, ref, name, bytes, why) "
		       "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
		       "ittitit", tx.now, tenant, kind, id, name, (int64_t)bytes, why);
	return tx_end(&tx, code, e);
}

static enum err_code erasures(struct catalog *c, const char *tenant, size_t limit, struct arena *a,
			      struct catalog_erasure **ret, size_t *ret_n, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	bool row;
	struct list list = {.a = a, .size = sizeof(struct catalog_erasure)};
	int64_t most = limit == 0 ? 100 : limit > 10000 ? 10000 : (int64_t)limit;
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = tenant ? db_query(d, &st, e,
				 "SELECT at_us, tenant, kind, ref, name, bytes, why FROM erasure "
				 "WHERE tenant = ?1 ORDER BY id DESC LIMIT ?2",
				 "ti", tenant, most)
		      : db_query(d, &st, e,
				 "SELECT at_us, tenant, kind, ref, name, bytes, why FROM erasure "
				 "ORDER BY id DESC LIMIT ?1",
				 "i", most);
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		struct catalog_erasure *x = list_add(&list);
		if (x)
			*x = (struct catalog_erasure){.at_us = db_int(st, 0),
						      .tenant = db_text_copy(st, 1, a),
						      .kind = db_text_copy(st, 2, a),
						      .id = db_int(st, 3),
						      .name = db_text_copy(st, 4, a),
						      .bytes = (uint64_t)db_int(st, 5),
						      .why = db_text_copy(st, 6, a)};
		if (!x || !x->tenant || !x->kind || !x->name || !x->why)
			code = err_oom(e);
	}
	if (!code) {
		*ret = (void *)list.p;
		*ret_n = list.n;
	}
	return rd_end(c, d, code);
}

/* ---- children */

static enum err_code child_add(struct catalog *c, const struct catalog_child *ch, struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = db_exec(tx.db, e,
		       "INSERT INTO child(pid, pid_start, kind, tenant, cgroup, ref) VALUES(?1, ?2, ?3, ?4, ?5, ?6) "
		       "ON CONFLICT(pid, pid_start) DO UPDATE SET kind = excluded.kind, tenant = excluded.tenant, "
		       "cgroup = excluded.cgroup, ref = excluded.ref",
		       "iittti", ch->pid, ch->pid_start, ch->kind, ch->tenant, ch->cgroup ? ch->cgroup : "", ch->ref);
	return tx_end(&tx, code, e);
}

static enum err_code child_remove(struct catalog *c, int64_t pid, int64_t pid_start, struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, SOON, &tx, e);
	if (code)
		return code;
	code = db_exec(tx.db, e, "DELETE FROM child WHERE pid = ?1 AND pid_start = ?2", "ii", pid, pid_start);
	return tx_end(&tx, code, e);
}

static enum err_code children(struct catalog *c, struct arena *a, struct catalog_child **ret, size_t *ret_n,
			      struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	bool row;
	struct list list = {.a = a, .size = sizeof(struct catalog_child)};
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e, "SELECT pid, pid_start, kind, tenant, cgroup, ref FROM child", "");
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		struct catalog_child *x = list_add(&list);
		if (x)
			*x = (struct catalog_child){.pid = db_int(st, 0),
						    .pid_start = db_int(st, 1),
						    .kind = db_text_copy(st, 2, a),
						    .tenant = db_text_copy(st, 3, a),
						    .cgroup = db_text_copy(st, 4, a),
						    .ref = db_int(st, 5)};
		if (!x || !x->kind || !x->tenant || !x->cgroup)
			code = err_oom(e);
	}
	if (!code) {
		*ret = (void *)list.p;
		*ret_n = list.n;
	}
	return rd_end(c, d, code);
}

void ledger_job_ops(struct catalog_ops *o)
{
	o->epoch_next = epoch_next;
	o->epoch = epoch;
	o->job_add = job_add;
	o->job_get = job_get;
	o->job_next = job_next;
	o->job_end = job_end;
	o->jobs_waiting = jobs_waiting;
	o->erased = erased;
	o->erasures = erasures;
	o->child_add = child_add;
	o->child_remove = child_remove;
	o->children = children;
}
