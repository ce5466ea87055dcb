/* sqlite_look.c: questions of the ledger about what a store has: positions and rows by lineage. */
#include "sink/sqlite.h"

#include "sink/sqlite_db.h"
#include "sink/sqlite_table.h"

#include <string.h>

/* *ret is NULL when there is no database yet. */
static enum err_code look(const char *dir, const struct data_file *df, sqlite3 **ret, struct err *e)
{
	struct arena a;
	struct err local = {0};
	char *path = NULL;
	arena_init(&a, 64 << 10);
	enum err_code rc = sqlite_db_path(dir, df->key_space, &a, &path, &local);
	if (rc == ERR_OK)
		rc = sqlite_db_open_read(path, ret, &local);
	arena_done(&a);
	if (rc == ERR_NOT_FOUND) {
		*ret = NULL;
		return ERR_OK;
	}
	if (rc && e)
		*e = local;
	return rc;
}

static enum err_code count(sqlite3 *db, const struct data_file *df, int64_t file, uint64_t *ret, struct err *e)
{
	struct buf sql;
	bool exists;
	int64_t n = 0;
	sqlite3_stmt *st = NULL;
	enum err_code rc = sqlite_table_exists(db, df, &exists, e);
	if (rc || !exists) {
		*ret = 0;
		return rc;
	}
	buf_init(&sql, 4096);
	buf_str(&sql, "SELECT count(*) FROM ");
	sql_name(&sql, df->schema->name);
	buf_str(&sql, " WHERE " COL_FILE "=?1");
	rc = sql.failed ? err_oom(e) : sqlite_db_prepare(db, buf_cstr(&sql), &st, e);
	buf_done(&sql);
	if (rc)
		return rc;
	sqlite3_bind_int64(st, 1, file);
	rc = sqlite_db_int(db, st, &n, NULL, e);
	sqlite3_finalize(st);
	if (rc == ERR_OK)
		*ret = (uint64_t)n;
	return rc;
}

enum err_code sqlite_count_rows(const char *dir, const struct data_file *df, int64_t file, uint64_t *ret, struct err *e)
{
	sqlite3 *db;
	enum err_code rc = look(dir, df, &db, e);
	if (rc)
		return rc;
	if (!db) {
		*ret = 0;
		return ERR_OK;
	}
	rc = count(db, df, file, ret, e);
	sqlite3_close(db);
	return rc;
}

enum err_code sqlite_position(const char *dir, const struct data_file *df, int64_t file, bool *ret_found,
			      uint64_t *ret_position, bool *ret_done, struct err *e)
{
	sqlite3 *db;
	sqlite3_stmt *st;
	enum err_code rc = look(dir, df, &db, e);
	if (rc)
		return rc;
	*ret_found = false;
	if (!db)
		return ERR_OK;
	rc = sqlite_db_prepare(db, "SELECT position, done FROM _mysimbdp_position WHERE file=?1", &st, e);
	if (rc == ERR_OK) {
		sqlite3_bind_int64(st, 1, file);
		int step = sqlite3_step(st);
		if (step == SQLITE_ROW) {
			*ret_found = true;
			*ret_position = (uint64_t)sqlite3_column_int64(st, 0);
			*ret_done = sqlite3_column_int64(st, 1) != 0;
		} else if (step != SQLITE_DONE) {
			rc = sqlite_db_err(db, step, "read the position", e);
		}
		sqlite3_finalize(st);
	}
	sqlite3_close(db);
	return rc;
}
