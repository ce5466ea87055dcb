/*
 * ledger.h: inside of the SQLite catalog: transactions with group commit, and connections for reading.
 *
 *   struct tx tx;
 *   if ((code = tx_begin(c, DURABLE, &tx, e)))
 *       return code;
 *   code = db_exec(tx.db, e, "UPDATE ...", ...);
 *   return tx_end(&tx, code, e);
 *
 * One connection writes. Threads take turns on it inside one shared SQLite transaction, each in a savepoint of its own,
 * so that one failing undoes only its own part. Whoever finds nobody waiting behind him commits for all: concurrent
 * calls share one fdatasync. tx_end returns after the commit that contains the caller's work.
 *
 * DURABLE commits under synchronous=FULL. SOON commits under synchronous=NORMAL: readers see it at once and it
 * survives the death of the process, but a power cut may take it (together with all that came later: the WAL is
 * ordered, so nothing is ever ahead of what it rests on). The next durable commit syncs it too.
 */
#ifndef CATALOG_LEDGER_H
#define CATALOG_LEDGER_H

#include "catalog/db.h"
#include "catalog/ops.h"

#include <pthread.h>
#include <stdatomic.h>

#define LEDGER_READERS 4

struct ledger_batch;

struct ledger {
	struct catalog catalog; /* the handle that callers have */
	struct catalog_ops ops;
	pthread_mutex_t lock; /* of the writing connection and all below */
	pthread_cond_t committed;
	struct db *db;
	struct ledger_batch *batch;  /* the open transaction; NULL: none */
	atomic_uint waiting;	     /* threads that want to write ... */
	atomic_uint waiting_durable; /* ... and of them, DURABLE */
	bool full;		     /* the connection is at synchronous=FULL */
	bool dirty;		     /* commits under NORMAL since the last one under FULL */
	uint64_t commits;	     /* how often COMMIT ran, for tests of the group commit */

	pthread_mutex_t read_lock;
	pthread_cond_t read_free;
	struct db *reader[LEDGER_READERS];
	bool reader_busy[LEDGER_READERS];
	char path[4096];
};

enum durability { SOON, DURABLE };

struct tx {
	struct ledger *l;
	struct db *db;
	struct catalog *c;
	enum durability durability;
	int64_t now; /* one time for all that happens in it */
};

/* A guarded handle (see ops.h) fails here with ERR_FENCED when its epoch is not the newest. */
enum err_code tx_begin(struct catalog *c, enum durability d, struct tx *tx, struct err *e) MUST_USE;
/* code: how the work went; not ERR_OK undoes it and is returned. */
enum err_code tx_end(struct tx *tx, enum err_code code, struct err *e) MUST_USE;

/* A reading connection with a stable snapshot until rd_end. */
enum err_code rd_begin(struct catalog *c, struct db **ret, struct err *e) MUST_USE;
enum err_code rd_end(struct catalog *c, struct db *d, enum err_code code) MUST_USE;

/* Rows into the arena: list grows by doubling. */
struct list {
	struct arena *a;
	char *p;
	size_t n, cap, size;
};
void *list_add(struct list *l); /* zeroed element or NULL */

/* Pieces of one topic that another needs; inside the caller's transaction. */
enum err_code event_put(struct tx *tx, int64_t file, const char *what, const char *text, struct err *e) MUST_USE;
enum err_code event_fmt(struct tx *tx, int64_t file, const char *what, struct err *e, const char *fmt, ...) MUST_USE
    __attribute__((format(printf, 5, 6)));
enum err_code file_set(struct tx *tx, int64_t id, enum file_state to, int64_t run, const char *status, const char *what,
		       struct err *e) MUST_USE;
enum err_code schedule_put(struct tx *tx, const char *tenant, const char *app, int64_t us, struct err *e) MUST_USE;
/* ERR_DENIED when the handle is guarded and the thing is another tenant's. */
enum err_code guard_tenant(const struct catalog *c, const char *tenant, const char *what, struct err *e) MUST_USE;

#define FILE_COLUMNS "id, tenant, name, size, sha256, state, status, run, attempts, received_us, updated_us"
enum err_code file_from_row(sqlite3_stmt *st, struct arena *a, struct catalog_file *ret, struct err *e) MUST_USE;

/* Each topic puts its functions into the table. */
void ledger_tenant_ops(struct catalog_ops *o);
void ledger_file_ops(struct catalog_ops *o);
void ledger_run_ops(struct catalog_ops *o);
void ledger_output_ops(struct catalog_ops *o);
void ledger_job_ops(struct catalog_ops *o);

extern const struct db_format ledger_format; /* schema.c */

#endif
