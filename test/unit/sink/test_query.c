/*
 * test_query.c: read-only queries over databases of a directory; whatever else a statement tries is refused.
 */
#include "table.h"

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

static struct err err;

static const struct field fields[] = {
    {.name = "id", .type = AVRO_T_STRING, .storage = STORE_TEXT},
    {.name = "ok", .type = AVRO_T_BOOLEAN, .storage = STORE_I64},
    {.name = "f", .type = AVRO_T_FLOAT, .storage = STORE_F64},
    {.name = "by", .type = AVRO_T_BYTES, .storage = STORE_BYTES, .nullable = true},
};
static const uint32_t key[] = {0};
static const struct schema schema = {.name = "t", .ns = "", .fields = fields, .nfields = 4};

static void fill(const char *dir, const char *key_space)
{
	struct data_file df = {.name = "d", .key_space = key_space, .schema = &schema, .key = key, .nkey = 1};
	struct rows r;
	rows_init(&r, &df);
	rows_add(&r, 1, (const char *const[]){"a", "true", "0.1", "xyz"});
	rows_add(&r, 2, (const char *const[]){"b", "false", "-2", NULL});
	deliver(dir, &r, 1, 100, 10);
	rows_done(&r);
}

static int teardown(void **state)
{
	test_dir_remove();
	return 0;
}

static void test_values(void **state)
{
	const char *dir = test_dir();
	struct sqlite_query *q;
	bool row;
	fill(dir, "ks");
	OK(sqlite_query_open(dir, "SELECT id, ok, f, by, 1+1, 1.5 AS x FROM t ORDER BY id;\n -- done", &q, &err));
	assert_int_equal(sqlite_query_columns(q), 6);
	assert_string_equal(sqlite_query_column(q, 0), "id");
	assert_string_equal(sqlite_query_column(q, 5), "x");
	OK(sqlite_query_next(q, &row, &err));
	assert_true(row);
	static const enum query_type want[] = {QUERY_TEXT, QUERY_BOOL, QUERY_FLOAT, QUERY_BLOB, QUERY_INT, QUERY_REAL};
	for (int i = 0; i < 6; i++)
		assert_int_equal(sqlite_query_value(q, i).type, want[i]);
	assert_true(span_is(sqlite_query_value(q, 0).s, "a"));
	assert_true(span_is(sqlite_query_value(q, 3).s, "xyz"));
	assert_int_equal(sqlite_query_value(q, 1).i, 1);
	OK(sqlite_query_next(q, &row, &err));
	assert_true(row);
	assert_int_equal(sqlite_query_value(q, 3).type, QUERY_NULL);
	OK(sqlite_query_next(q, &row, &err));
	assert_false(row);
	sqlite_query_close(q);
}

static void test_only_reading(void **state)
{
	static const char *const refused[] = {
	    "DELETE FROM t",
	    "INSERT INTO t(id) VALUES('z')",
	    "UPDATE t SET id='z'",
	    "DROP TABLE t",
	    "CREATE TABLE x(y)",
	    "CREATE TEMP TABLE x(y)",
	    "CREATE VIRTUAL TABLE x USING fts5(y)",
	    "ATTACH '/tmp/x.db' AS x",
	    "DETACH ks",
	    "VACUUM",
	    "VACUUM INTO '/tmp/x.db'",
	    "PRAGMA journal_mode=DELETE",
	    "PRAGMA writable_schema=1",
	    "PRAGMA query_only=0",
	    "PRAGMA wal_checkpoint",
	    "BEGIN IMMEDIATE",
	    "SAVEPOINT x",
	    "REINDEX",
	    "ANALYZE",
	    "SELECT load_extension('/tmp/x.so')",
	    "SELECT fts3_tokenizer('simple', x'00')",
	    "SELECT 1; SELECT 2",
	    "SELECT 1; DELETE FROM t",
	    "SELECT 1; nonsense",
	    "",
	    "  -- nothing\n",
	    "SELECT ?1 FROM nowhere",
	    "WITH x AS (SELECT 1) INSERT INTO t(id) SELECT * FROM x",
	    "INSERT INTO t(id) VALUES('z') RETURNING id",
	};
	const char *dir = test_dir();
	fill(dir, "ks");
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct sqlite_query *q = NULL;
		enum err_code rc = sqlite_query_open(dir, refused[i], &q, &err);
		if (rc == ERR_OK)
			fail_msg("\"%s\" was let through", refused[i]);
		assert_true(rc == ERR_DENIED || rc == ERR_INVALID);
		assert_true(err.msg[0]);
	}
	assert_string_equal(ask(dir, "SELECT count(*) FROM t"), "2");
	assert_int_not_equal(access("/tmp/x.db", F_OK), 0);
}

static void test_errors_show_the_place(void **state)
{
	const char *dir = test_dir();
	struct sqlite_query *q;
	fill(dir, "ks");
	assert_int_equal(sqlite_query_open(dir, "SELECT id\nFRM t", &q, &err), ERR_INVALID);
	assert_non_null(strstr(err.msg, "syntax error"));
	assert_non_null(strstr(err.msg, "2 | FRM t"));
	assert_non_null(strchr(err.msg, '^'));
	assert_int_equal(sqlite_query_open(dir, "SELECT nam FROM t", &q, &err), ERR_INVALID);
	assert_non_null(strstr(err.msg, "SELECT nam FROM t\n             ^"));
	assert_int_equal(sqlite_query_open(dir, "SELECT 1 FROM nowhere", &q, &err), ERR_INVALID);
	assert_non_null(strstr(err.hint, "ks.t"));
	/* Text in double quotes is a name, never a text by accident. */
	assert_int_equal(sqlite_query_open(dir, "SELECT count(*) FROM t WHERE id=\"a\"", &q, &err), ERR_INVALID);
}

static void test_several_databases(void **state)
{
	const char *dir = test_dir();
	struct sqlite_query *q;
	bool row;
	char name[16], path[128];
	assert_int_equal(sqlite_query_open(dir, "SELECT 1", &q, &err), ERR_NOT_FOUND);
	for (int i = 0; i < 15; i++) {
		snprintf(name, sizeof name, "space_%02d", i);
		fill(dir, name);
	}
	OK(sqlite_query_open(dir, "SELECT count(*) FROM space_14.t JOIN space_00.t AS o USING(id)", &q, &err));
	OK(sqlite_query_next(q, &row, &err));
	assert_int_equal(sqlite_query_value(q, 0).i, 2);
	sqlite_query_close(q);
	/* t is in all of them: the statement has to say which. */
	assert_int_equal(sqlite_query_open(dir, "SELECT count(*) FROM t", &q, &err), ERR_INVALID);
	assert_non_null(strstr(err.msg, "space_00"));
	snprintf(path, sizeof path, "%s/space_03.db", dir);
	OK(sqlite_query_open(path, "SELECT count(*) FROM t", &q, &err));
	sqlite_query_close(q);
	assert_int_equal(sqlite_query_open("/nonexistent", "SELECT 1", &q, &err), ERR_NOT_FOUND);
}

static void test_limits(void **state)
{
	const char *dir = test_dir();
	struct sqlite_query *q;
	atomic_bool stop = false;
	bool row;
	enum err_code rc = ERR_OK;
	fill(dir, "ks");
	const char *endless = "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM x) SELECT count(*) FROM x";
	OK(sqlite_query_open(dir, endless, &q, &err));
	sqlite_query_limit(q, 0.05, NULL);
	assert_int_equal(sqlite_query_next(q, &row, &err), ERR_TIMEOUT);
	sqlite_query_close(q);
	OK(sqlite_query_open(dir, endless, &q, &err));
	stop = true;
	sqlite_query_limit(q, 0, &stop);
	assert_int_equal(sqlite_query_next(q, &row, &err), ERR_INTERRUPTED);
	sqlite_query_close(q);
	rc = sqlite_query_open(dir, "SELECT zeroblob(2000000000)", &q, &err);
	if (rc == ERR_OK) {
		rc = sqlite_query_next(q, &row, &err);
		sqlite_query_close(q);
	}
	assert_int_equal(rc, ERR_LIMIT);
}

static void test_newer_format_is_refused(void **state)
{
	const char *dir = test_dir();
	struct sqlite_query *q;
	sqlite3 *db;
	char path[128];
	fill(dir, "ks");
	snprintf(path, sizeof path, "%s/ks.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=1000", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(sqlite_query_open(dir, "SELECT 1", &q, &err), ERR_VERSION);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_values),
	    T(test_only_reading),
	    T(test_errors_show_the_place),
	    T(test_several_databases),
	    T(test_limits),
	    T(test_newer_format_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
