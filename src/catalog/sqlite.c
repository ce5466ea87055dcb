/* sqlite.c: the ledger's database: opening, transactions with group commit, the pool of reading connections. */
#include "catalog/ledger.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 256 /* calls a commit may carry, so that the first of them does not wait for ever */

/* One SQLite transaction and the threads that have work in it. */
struct ledger_batch {
	unsigned members; /* with work in it */
	unsigned refs;	  /* members that have not taken the result yet */
	bool durable;	  /* somebody wants it on disk */
	bool full;	  /* began under synchronous=FULL */
	bool done;
	struct err result;
};

/* ---- transactions; all static functions here hold l->lock */

static enum err_code simple(struct ledger *l, const char *sql, struct err *e)
{
	return db_exec(l->db, e, sql, "");
}

static enum err_code level(struct ledger *l, bool full, struct err *e)
{
	if (l->full == full)
		return ERR_OK;
	/* Not through the statement cache: SQLite carries this one out while it compiles it. */
	int rc = sqlite3_exec(l->db->h, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL, NULL,
			      NULL);
	if (rc != SQLITE_OK)
		return db_error(l->db, rc, e);
	l->full = full;
	return ERR_OK;
}

static enum err_code batch_open(struct ledger *l, bool full, struct err *e)
{
	struct ledger_batch *b = calloc(1, sizeof *b);
	if (!b)
		return err_oom(e);
	enum err_code code = level(l, full, e);
	if (!code)
		code = simple(l, "BEGIN IMMEDIATE", e);
	if (code) {
		free(b);
		return code;
	}
	b->full = full;
	l->batch = b;
	return ERR_OK;
}

static enum err_code commit(struct ledger *l, struct err *e)
{
	if (fault_hit("ledger.commit"))
		return err_sys(e, errno == ENOSPC ? ENOSPC : EIO, "write \"%s\" (fault ledger.commit)", l->path);
	l->commits++;
	db_reset_all(l->db);
	return simple(l, "COMMIT", e);
}

/* A commit under FULL syncs the whole WAL and with it what was committed before under NORMAL. */
static enum err_code sync_now(struct ledger *l, struct err *e)
{
	enum err_code code = level(l, true, e);
	if (!code)
		code = simple(l, "BEGIN IMMEDIATE", e);
	if (code)
		return code;
	code = db_exec(l->db, e,
		       "INSERT INTO meta(key, value) VALUES('synced_us', ?1) "
		       "ON CONFLICT(key) DO UPDATE SET value = excluded.value",
		       "i", clock_now_us());
	if (!code)
		code = commit(l, e);
	if (code)
		sqlite3_exec(l->db->h, "ROLLBACK", NULL, NULL, NULL);
	else
		l->dirty = false;
	return code;
}

/* Tell everybody; the batch belongs to its members now. */
static void batch_close(struct ledger *l, const struct err *result)
{
	struct ledger_batch *b = l->batch;
	l->batch = NULL;
	if (result)
		b->result = *result;
	b->done = true;
	if (b->refs == 0)
		free(b);
	else
		pthread_cond_broadcast(&l->committed);
}

static void batch_commit(struct ledger *l)
{
	struct ledger_batch *b = l->batch;
	struct err err = {0};
	if (b->members == 0) {
		sqlite3_exec(l->db->h, "ROLLBACK", NULL, NULL, NULL);
		batch_close(l, NULL);
		return;
	}
	enum err_code code = commit(l, &err);
	if (code)
		sqlite3_exec(l->db->h, "ROLLBACK", NULL, NULL, NULL);
	else if (b->full)
		l->dirty = false;
	else
		l->dirty = true;
	if (!code && b->durable && !b->full)
		code = sync_now(l, &err);
	batch_close(l, code ? &err : NULL);
}

static enum err_code fence(struct tx *tx, struct err *e)
{
	const struct catalog *c = tx->c;
	int64_t epoch;
	if (!c->tenant)
		return ERR_OK;
	enum err_code code =
	    db_int_of(tx->db, 0, &epoch, e, "SELECT epoch FROM epoch WHERE tenant = ?1", "t", c->tenant);
	if (code || epoch == c->epoch)
		return code;
	if (c->epoch > epoch)
		return err_set(e, ERR_DENIED, "epoch %lld of tenant \"%s\" was never given", (long long)c->epoch,
			       c->tenant);
	return err_set(e, ERR_FENCED, "a newer worker of tenant \"%s\" is at work: epoch %lld, this one has %lld",
		       c->tenant, (long long)epoch, (long long)c->epoch);
}

enum err_code guard_tenant(const struct catalog *c, const char *tenant, const char *what, struct err *e)
{
	if (!c->tenant || strcmp(c->tenant, tenant) == 0)
		return ERR_OK;
	return err_set(e, ERR_DENIED, "%s does not belong to tenant \"%s\"", what, c->tenant);
}

enum err_code tx_begin(struct catalog *c, enum durability d, struct tx *tx, struct err *e)
{
	struct ledger *l = c->ledger;
	atomic_fetch_add(&l->waiting, 1);
	atomic_fetch_add(&l->waiting_durable, d == DURABLE);
	pthread_mutex_lock(&l->lock);
	atomic_fetch_sub(&l->waiting, 1);
	/* The level can't be changed later, so whoever is likely to join counts already. */
	bool full = atomic_fetch_sub(&l->waiting_durable, d == DURABLE) > 0;
	enum err_code code = l->batch ? ERR_OK : batch_open(l, full, e);
	if (code) {
		pthread_mutex_unlock(&l->lock);
		return code;
	}
	*tx = (struct tx){l, l->db, c, d, clock_now_us()};
	code = simple(l, "SAVEPOINT one", e);
	if (!code)
		code = fence(tx, e);
	return code ? tx_end(tx, code, e) : ERR_OK;
}

/* Undo one member's work. Some failures (a full disk) make SQLite undo everybody's: then all of them learn it. */
static void member_undo(struct ledger *l, enum err_code code, const struct err *e)
{
	struct err err = {.code = code};
	if (e)
		err = *e;
	if (!sqlite3_get_autocommit(l->db->h) && simple(l, "ROLLBACK TO one", NULL) == ERR_OK &&
	    simple(l, "RELEASE one", NULL) == ERR_OK)
		return;
	sqlite3_exec(l->db->h, "ROLLBACK", NULL, NULL, NULL);
	batch_close(l, &err);
}

enum err_code tx_end(struct tx *tx, enum err_code code, struct err *e)
{
	struct ledger *l = tx->l;
	struct ledger_batch *b = l->batch;
	if (!code)
		code = simple(l, "RELEASE one", e);
	if (code) {
		member_undo(l, code, e);
	} else {
		b->members++;
		b->refs++;
		b->durable |= tx->durability == DURABLE;
	}
	if (l->batch && (atomic_load(&l->waiting) == 0 || b->members >= BATCH_MAX))
		batch_commit(l);
	if (!code) {
		while (!b->done)
			pthread_cond_wait(&l->committed, &l->lock);
		code = b->result.code;
		if (code && e)
			*e = b->result;
		if (--b->refs == 0)
			free(b);
	}
	pthread_mutex_unlock(&l->lock);
	return code;
}

/* ---- reading */

static int reader_take(struct ledger *l)
{
	pthread_mutex_lock(&l->read_lock);
	for (;;) {
		for (int i = 0; i < LEDGER_READERS; i++) {
			if (!l->reader_busy[i]) {
				l->reader_busy[i] = true;
				pthread_mutex_unlock(&l->read_lock);
				return i;
			}
		}
		pthread_cond_wait(&l->read_free, &l->read_lock);
	}
}

static void reader_give(struct ledger *l, int i)
{
	pthread_mutex_lock(&l->read_lock);
	l->reader_busy[i] = false;
	pthread_cond_signal(&l->read_free);
	pthread_mutex_unlock(&l->read_lock);
}

static int reader_index(struct ledger *l, const struct db *d)
{
	int i = 0;
	pthread_mutex_lock(&l->read_lock);
	while (l->reader[i] != d)
		i++;
	pthread_mutex_unlock(&l->read_lock);
	return i;
}

/* Opened on first use; who holds the place is alone with it, but others look through the list. */
static enum err_code reader_open(struct ledger *l, int i, struct err *e)
{
	struct db *d;
	if (l->reader[i])
		return ERR_OK;
	enum err_code code = db_open(l->path, &ledger_format, DB_READ, &d, e);
	if (code)
		return code;
	pthread_mutex_lock(&l->read_lock);
	l->reader[i] = d;
	pthread_mutex_unlock(&l->read_lock);
	return ERR_OK;
}

enum err_code rd_begin(struct catalog *c, struct db **ret, struct err *e)
{
	struct ledger *l = c->ledger;
	int i = reader_take(l);
	enum err_code code = reader_open(l, i, e);
	if (!code)
		code = db_exec(l->reader[i], e, "BEGIN", "");
	if (code)
		reader_give(l, i);
	else
		*ret = l->reader[i];
	return code;
}

enum err_code rd_end(struct catalog *c, struct db *d, enum err_code code)
{
	struct ledger *l = c->ledger;
	db_reset_all(d);
	sqlite3_exec(d->h, "ROLLBACK", NULL, NULL, NULL);
	reader_give(l, reader_index(l, d));
	return code;
}

void *list_add(struct list *l)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		char *p = arena_array(l->a, cap, l->size);
		if (!p)
			return NULL;
		if (l->n)
			memcpy(p, l->p, l->n * l->size);
		l->p = p;
		l->cap = cap;
	}
	return l->p + l->n++ * l->size;
}

/* ---- opening */

static enum err_code sqlite_sync(struct catalog *c, struct err *e)
{
	struct ledger *l = c->ledger;
	enum err_code code = ERR_OK;
	atomic_fetch_add(&l->waiting, 1);
	pthread_mutex_lock(&l->lock);
	atomic_fetch_sub(&l->waiting, 1);
	if (l->batch) /* its members left the commit to us, as we were waiting behind them */
		batch_commit(l);
	if (l->dirty)
		code = sync_now(l, e);
	pthread_mutex_unlock(&l->lock);
	return code;
}

static void sqlite_close(struct catalog *c)
{
	struct ledger *l = c->ledger;
	if (l->db && sqlite_sync(c, NULL)) {
		/* The data is committed all the same; what is left of its durability the next opening brings. */
	}
	for (int i = 0; i < LEDGER_READERS; i++)
		db_close(l->reader[i]);
	db_close(l->db);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->committed);
	pthread_mutex_destroy(&l->read_lock);
	pthread_cond_destroy(&l->read_free);
	free(l);
}

static void ops_fill(struct catalog_ops *o)
{
	*o = (struct catalog_ops){.name = "sqlite", .close = sqlite_close, .sync = sqlite_sync};
	ledger_tenant_ops(o);
	ledger_file_ops(o);
	ledger_run_ops(o);
	ledger_output_ops(o);
	ledger_job_ops(o);
}

enum err_code catalog_open_sqlite(const char *dir, struct catalog **ret, struct err *e)
{
	struct ledger *l = calloc(1, sizeof *l);
	if (!l)
		return err_oom(e);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->committed, NULL);
	pthread_mutex_init(&l->read_lock, NULL);
	pthread_cond_init(&l->read_free, NULL);
	ops_fill(&l->ops);
	l->catalog = (struct catalog){.ops = &l->ops, .ledger = l};
	l->full = true;
	enum err_code code = ERR_OK;
	int n = snprintf(l->path, sizeof l->path, "%s/ledger.db", dir);
	if (n < 0 || (size_t)n >= sizeof l->path)
		code = err_set(e, ERR_INVALID, "the path \"%.100s...\" is too long", dir);
	if (!code)
		code = dir_make(dir, 0700, e);
	if (!code)
		code = db_open(l->path, &ledger_format, DB_WRITE, &l->db, e);
	if (code) {
		catalog_close(&l->catalog);
		return err_prefix(e, "open the ledger");
	}
	*ret = &l->catalog;
	return ERR_OK;
}
