/* sqlite_files.c: uploaded files, their states, their time line, and counts. */
#include "catalog/ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000
#define BACKLOG                                                                                                        \
	(1u << FILE_RECEIVED | 1u << FILE_STAGED | 1u << FILE_ASSIGNED | 1u << FILE_PROCESSED | 1u << FILE_CHECKED)

/* What a state means for the owner of the file, when nobody has something better to say. */
static const char *const sentences[FILE_STATES] = {
    "received and safe on disk; waiting to be staged",
    "waiting for the next run of the app",
    "given to a run of the app",
    "the app is done with it; its output waits for the quality gate",
    "checked; its records are being delivered",
    "all of its accepted records are in coredms",
    "erased after the retention period of the agreement",
    "refused; nothing of it was delivered",
    "parked after several failed attempts",
    "deleted before a run took it",
};

enum err_code file_from_row(sqlite3_stmt *st, struct arena *a, struct catalog_file *ret, struct err *e)
{
	*ret = (struct catalog_file){
	    .id = db_int(st, 0),
	    .tenant = db_text_copy(st, 1, a),
	    .name = db_text_copy(st, 2, a),
	    .size = (uint64_t)db_int(st, 3),
	    .sha256 = db_text_copy(st, 4, a),
	    .state = (enum file_state)db_int(st, 5),
	    .status = db_text_copy(st, 6, a),
	    .run = db_int(st, 7),
	    .attempts = db_int(st, 8),
	    .received_us = db_int(st, 9),
	    .updated_us = db_int(st, 10),
	};
	return ret->tenant && ret->name && ret->sha256 && ret->status ? ERR_OK : err_oom(e);
}

enum err_code event_put(struct tx *tx, int64_t file, const char *what, const char *text, struct err *e)
{
	return db_exec(tx->db, e, "INSERT INTO event(file, at_us, what, text) VALUES(?1, ?2, ?3, ?4)", "iitt", file,
		       tx->now, what, text);
}

enum err_code event_fmt(struct tx *tx, int64_t file, const char *what, struct err *e, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return event_put(tx, file, what, text, e);
}

enum err_code file_set(struct tx *tx, int64_t id, enum file_state to, int64_t run, const char *status, const char *what,
		       struct err *e)
{
	if (!status || !status[0])
		status = sentences[to];
	enum err_code code = db_exec(tx->db, e,
				     "UPDATE file SET state = ?2, status = ?3, updated_us = ?4, "
				     "run = CASE ?5 WHEN 0 THEN run ELSE ?5 END WHERE id = ?1",
				     "idtii", id, (int)to, status, tx->now, run);
	return code ? code : event_put(tx, id, what ? what : file_state_name(to), status, e);
}

/* ---- receiving */

static enum err_code file_insert(struct tx *tx, const char *tenant, const char *name, uint64_t size, const char *sha256,
				 enum file_state state, const char *status, int64_t *ret_id, struct err *e)
{
	if (!status || !status[0])
		status = sentences[state];
	enum err_code code = db_exec(tx->db, e,
				     "INSERT INTO file(tenant, name, size, sha256, state, status, received_us, "
				     "updated_us) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
				     "ttitdti", tenant, name, (int64_t)size, sha256, (int)state, status, tx->now);
	if (code)
		return code;
	*ret_id = db_last_id(tx->db);
	return event_put(tx, *ret_id, file_state_name(state), status, e);
}

static enum err_code file_load(struct db *d, int64_t id, struct arena *a, struct catalog_file *ret, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code = db_query(d, &st, e, "SELECT " FILE_COLUMNS " FROM file WHERE id = ?1", "i", id);
	if (code || (code = db_next(d, st, &row, e)))
		return code;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "there is no file f%lld", (long long)id);
	struct catalog_file f;
	code = file_from_row(st, a, &f, e);
	db_reset(st);
	if (!code)
		*ret = f;
	return code;
}

/* Repeat: equal to the latest version that has a body and was not deleted. Conflict: other content of that name is on
 * its way. Then *ret_id is that file; 0 when the upload is a new file. */
static enum err_code receive_decide(struct tx *tx, const char *tenant, const char *name, const char *sha256,
				    enum receive_result *ret_what, int64_t *ret_id, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code =
	    db_query(tx->db, &st, e,
		     "SELECT id, sha256 = ?3 FROM file WHERE tenant = ?1 AND name = ?2 AND sha256 <> '' "
		     "AND state <> ?4 ORDER BY id DESC LIMIT 1",
		     "tttd", tenant, name, sha256, (int)FILE_DELETED);
	if (code || (code = db_next(tx->db, st, &row, e)))
		return code;
	bool same = row && db_int(st, 1);
	int64_t latest = row ? db_int(st, 0) : 0;
	if (row)
		db_reset(st);
	*ret_what = same ? RECEIVE_REPEAT : RECEIVE_NEW;
	*ret_id = same ? latest : 0;
	if (same || !row)
		return ERR_OK;
	code = db_int_of(tx->db, 0, ret_id, e,
			 "SELECT id FROM file WHERE tenant = ?1 AND name = ?2 AND sha256 <> ?3 "
			 "AND state IN (?4, ?5, ?6) ORDER BY id DESC LIMIT 1",
			 "tttddd", tenant, name, sha256, (int)FILE_RECEIVED, (int)FILE_STAGED, (int)FILE_ASSIGNED);
	if (!code && *ret_id)
		*ret_what = RECEIVE_CONFLICT;
	return code;
}

static enum err_code file_receive(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				  const char *sha256, struct arena *a, enum receive_result *ret_what,
				  struct catalog_file *ret, struct err *e)
{
	struct tx tx;
	enum receive_result what = RECEIVE_NEW;
	struct catalog_file f;
	int64_t id;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = receive_decide(&tx, tenant, name, sha256, &what, &id, e);
	if (!code && what == RECEIVE_NEW)
		code = file_insert(&tx, tenant, name, size, sha256, FILE_RECEIVED, NULL, &id, e);
	if (!code)
		code = file_load(tx.db, id, a, &f, e);
	code = tx_end(&tx, code, e);
	if (!code) {
		*ret_what = what;
		*ret = f;
	}
	return code;
}

static enum err_code file_refuse(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				 const char *reason, int64_t *ret_id, struct err *e)
{
	struct tx tx;
	int64_t id = 0;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = file_insert(&tx, tenant, name, size, "", FILE_REFUSED, reason, &id, e);
	code = tx_end(&tx, code, e);
	if (!code && ret_id)
		*ret_id = id;
	return code;
}

static enum err_code file_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_file *ret, struct err *e)
{
	struct db *d;
	enum err_code code = rd_begin(c, &d, e);
	return code ? code : rd_end(c, d, file_load(d, id, a, ret, e));
}

static enum err_code file_move_in(struct tx *tx, int64_t id, unsigned from, enum file_state to, int64_t run,
				  const char *status, struct err *e)
{
	int64_t state;
	enum err_code code = db_int_of(tx->db, -1, &state, e, "SELECT state FROM file WHERE id = ?1", "i", id);
	if (code)
		return code;
	if (state < 0)
		return err_set(e, ERR_NOT_FOUND, "there is no file f%lld", (long long)id);
	if (from && !(from & 1u << state))
		return err_set(e, ERR_CONFLICT, "file f%lld is %s and can't become %s", (long long)id,
			       file_state_name((enum file_state)state), file_state_name(to));
	return file_set(tx, id, to, run, status, NULL, e);
}

static enum err_code file_move(struct catalog *c, int64_t id, unsigned from, enum file_state to, int64_t run,
			       const char *status, struct err *e)
{
	struct tx tx;
	if ((unsigned)to >= FILE_STATES)
		return err_set(e, ERR_INVALID, "%d is no state of a file", (int)to);
	enum err_code code = tx_begin(c, to == FILE_DELIVERED ? DURABLE : SOON, &tx, e);
	return code ? code : tx_end(&tx, file_move_in(&tx, id, from, to, run, status, e), e);
}

/* ---- listing */

/* One way to ask, one statement, so that each finds its index. ?1 tenant ?2 name ?3 states ?4 before or after ?5 limit
 */
#define PICK(from, order)                                                                                              \
	"SELECT " FILE_COLUMNS " FROM file WHERE id IN (SELECT id FROM file " from " ORDER BY id " order " LIMIT ?5) " \
	"ORDER BY id " order
#define BOTH(from)                                                                                                     \
	{                                                                                                              \
		PICK(from " AND id < ?4", "DESC"), PICK(from " AND id > ?4", "ASC")                                    \
	}
#define IN_STATES                                                                                                      \
	"state IN (SELECT column1 FROM (VALUES(0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) WHERE (?3 >> column1) & 1)"

enum files_scope { OF_ALL, OF_TENANT, OF_NAME, FILES_SCOPES };
enum files_states { STATES_ANY, STATES_ONE, STATES_SOME, FILES_STATES };

static const char *const files_sql[FILES_SCOPES][FILES_STATES][2] = {
    [OF_ALL] = {BOTH("WHERE 1"), BOTH("INDEXED BY file_state WHERE state = ?3"),
		BOTH("INDEXED BY file_state WHERE " IN_STATES)},
    [OF_TENANT] = {BOTH("INDEXED BY file_tenant WHERE tenant = ?1"),
		   BOTH("INDEXED BY file_tenant_state WHERE tenant = ?1 AND state = ?3"),
		   BOTH("INDEXED BY file_tenant_state WHERE tenant = ?1 AND " IN_STATES)},
    [OF_NAME] = {BOTH("WHERE name = ?2 AND (?1 IS NULL OR tenant = ?1)"),
		 BOTH("WHERE name = ?2 AND (?1 IS NULL OR tenant = ?1) AND state = ?3"),
		 BOTH("WHERE name = ?2 AND (?1 IS NULL OR tenant = ?1) AND " IN_STATES)},
};
_Static_assert(FILE_STATES == 10, "IN_STATES lists every state");

static enum err_code files_collect(struct db *d, sqlite3_stmt *st, struct arena *a, struct catalog_file **ret,
				   size_t *ret_n, struct err *e)
{
	struct list list = {.a = a, .size = sizeof(struct catalog_file)};
	enum err_code code;
	bool row;
	while (!(code = db_next(d, st, &row, e)) && row) {
		struct catalog_file *f = list_add(&list);
		code = f ? file_from_row(st, a, f, e) : err_oom(e);
		if (code)
			return code;
	}
	if (!code) {
		*ret = (void *)list.p;
		*ret_n = list.n;
	}
	return code;
}

static enum err_code files(struct catalog *c, const struct catalog_file_filter *f, struct arena *a,
			   struct catalog_file **ret, size_t *ret_n, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	size_t limit = f->limit == 0 ? LIMIT_DEFAULT : f->limit > LIMIT_MAX ? LIMIT_MAX : f->limit;
	int64_t before = f->before || f->oldest_first ? f->before : INT64_MAX;
	enum files_scope scope = f->name ? OF_NAME : f->tenant ? OF_TENANT : OF_ALL;
	enum files_states kind = !f->states ? STATES_ANY : f->states & (f->states - 1) ? STATES_SOME : STATES_ONE;
	int64_t states = kind == STATES_ONE ? __builtin_ctz(f->states) : (int64_t)f->states;
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e, files_sql[scope][kind][f->oldest_first], "ttiii", f->tenant, f->name, states, before,
			(int64_t)limit);
	if (!code)
		code = files_collect(d, st, a, ret, ret_n, e);
	return rd_end(c, d, code);
}

static enum err_code run_files(struct catalog *c, int64_t run, struct arena *a, struct catalog_file **ret,
			       size_t *ret_n, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e,
			"SELECT " FILE_COLUMNS " FROM file WHERE id IN "
			"(SELECT file FROM run_file WHERE run_file.run = ?1) ORDER BY id",
			"i", run);
	if (!code)
		code = files_collect(d, st, a, ret, ret_n, e);
	return rd_end(c, d, code);
}

/* ---- the time line */

static enum err_code file_event(struct catalog *c, int64_t id, const char *what, const char *text, struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, SOON, &tx, e);
	return code ? code : tx_end(&tx, event_put(&tx, id, what, text, e), e);
}

static enum err_code file_events(struct catalog *c, int64_t id, struct arena *a, struct catalog_event **ret,
				 size_t *ret_n, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	bool row;
	struct list list = {.a = a, .size = sizeof(struct catalog_event)};
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e, "SELECT at_us, what, text FROM event WHERE file = ?1 ORDER BY id", "i", id);
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		struct catalog_event *ev = list_add(&list);
		if (ev)
			*ev = (struct catalog_event){db_int(st, 0), db_text_copy(st, 1, a), db_text_copy(st, 2, a)};
		if (!ev || !ev->what || !ev->text)
			code = err_oom(e);
	}
	if (!code) {
		*ret = (void *)list.p;
		*ret_n = list.n;
	}
	return rd_end(c, d, code);
}

/* ---- counts: index scans only (file_state or file_tenant_state; output_counts) */

static enum err_code count_files(struct db *d, const char *tenant, struct catalog_counts *n, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code = tenant ? db_query(d, &st, e,
					       "SELECT state, count(*) FROM file INDEXED BY file_tenant_state "
					       "WHERE tenant = ?1 GROUP BY state",
					       "t", tenant)
				    : db_query(d, &st, e,
					       "SELECT state, count(*) FROM file INDEXED BY file_state "
					       "GROUP BY state",
					       "");
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		if ((uint64_t)db_int(st, 0) < FILE_STATES)
			n->files[db_int(st, 0)] = (uint64_t)db_int(st, 1);
	}
	return code;
}

static enum err_code count_backlog(struct db *d, const char *tenant, struct catalog_counts *n, struct err *e)
{
	enum err_code code = ERR_OK;
	for (int s = 0; !code && s < FILE_STATES; s++) {
		sqlite3_stmt *st;
		bool row;
		if (!(BACKLOG & 1u << s) || n->files[s] == 0)
			continue;
		code = tenant ? db_query(d, &st, e,
					 "SELECT sum(size), min(received_us) FROM file INDEXED BY "
					 "file_tenant_state WHERE tenant = ?1 AND state = ?2",
					 "td", tenant, s)
			      : db_query(d, &st, e,
					 "SELECT sum(size), min(received_us) FROM file INDEXED BY file_state "
					 "WHERE ?1 IS NULL AND state = ?2",
					 "td", tenant, s);
		if (code || (code = db_next(d, st, &row, e)) || !row)
			continue;
		n->backlog_bytes += (uint64_t)db_int(st, 0);
		if (!n->oldest_us || db_int(st, 1) < n->oldest_us)
			n->oldest_us = db_int(st, 1);
		db_reset(st);
	}
	return code;
}

/* Sums of one tenant's outputs, or of all. What the gate read is accepted or rejected; what it accepted is, at the end,
 * delivered or refused by the sink, and never more than that before the end. */
#define OUTPUT_SUMS                                                                                                    \
	"SELECT state, count(*), sum(accepted), sum(rejected), sum(delivered), sum(replayed), sum(replayed_sink), "    \
	"sum(refused), sum(abs(records - accepted - rejected) + CASE WHEN state = 2 THEN abs(accepted - delivered - "  \
	"refused) ELSE max(0, delivered + refused - accepted) END) FROM output INDEXED BY output_counts "

static enum err_code count_outputs(struct db *d, const char *tenant, struct catalog_counts *n, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	_Static_assert(OUTPUT_DELIVERED == 2, "the state in OUTPUT_SUMS");
	enum err_code code = tenant ? db_query(d, &st, e, OUTPUT_SUMS "WHERE tenant = ?1 GROUP BY state", "t", tenant)
				    : db_query(d, &st, e, OUTPUT_SUMS "GROUP BY state", "");
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		int64_t state = db_int(st, 0), replayed = db_int(st, 5);
		n->accepted += (uint64_t)(db_int(st, 2) + replayed);
		n->rejected += (uint64_t)(db_int(st, 3) - replayed);
		n->delivered += (uint64_t)(db_int(st, 4) + replayed + db_int(st, 6));
		n->replayed += (uint64_t)replayed;
		n->replayed_sink += (uint64_t)db_int(st, 6);
		n->refused_by_sink += (uint64_t)(db_int(st, 7) - db_int(st, 6));
		n->imbalance += (uint64_t)db_int(st, 8);
		if (state == OUTPUT_WAITING || state == OUTPUT_CHECKED)
			n->outputs_waiting += (uint64_t)db_int(st, 1);
	}
	return code;
}

static enum err_code counts(struct catalog *c, const char *tenant, struct catalog_counts *ret, struct err *e)
{
	struct db *d;
	struct catalog_counts n = {0};
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = count_files(d, tenant, &n, e);
	if (!code)
		code = count_backlog(d, tenant, &n, e);
	if (!code)
		code = count_outputs(d, tenant, &n, e);
	if (!code)
		*ret = n;
	return rd_end(c, d, code);
}

void ledger_file_ops(struct catalog_ops *o)
{
	o->file_receive = file_receive;
	o->file_refuse = file_refuse;
	o->file_get = file_get;
	o->file_move = file_move;
	o->files = files;
	o->run_files = run_files;
	o->file_event = file_event;
	o->file_events = file_events;
	o->counts = counts;
}
