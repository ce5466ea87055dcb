/*
 * test_rebuild.c: comparing tables with schemas, and rebuilding them in another shape.
 */
#include "table.h"

#include <stdio.h>

static struct err err;

#define TEXT(n)                                                                                                        \
	{                                                                                                              \
		.name = n, .type = AVRO_T_STRING, .storage = STORE_TEXT                                                \
	}
#define INT(n)                                                                                                         \
	{                                                                                                              \
		.name = n, .type = AVRO_T_INT, .storage = STORE_I64                                                    \
	}
#define LONG(n)                                                                                                        \
	{                                                                                                              \
		.name = n, .type = AVRO_T_LONG, .storage = STORE_I64                                                   \
	}
#define DOUBLE(n)                                                                                                      \
	{                                                                                                              \
		.name = n, .type = AVRO_T_DOUBLE, .storage = STORE_F64                                                 \
	}
#define BOOLEAN(n)                                                                                                     \
	{                                                                                                              \
		.name = n, .type = AVRO_T_BOOLEAN, .storage = STORE_I64                                                \
	}
#define DATE(n)                                                                                                        \
	{                                                                                                              \
		.name = n, .type = AVRO_T_STRING, .logical = LOGICAL_DATE, .storage = STORE_I64                        \
	}

struct made {
	struct schema schema;
	struct data_file df;
};

static struct data_file *make(struct made *m, const struct field *fields, uint32_t n, const uint32_t *key,
			      uint32_t nkey)
{
	m->schema = (struct schema){.name = "t", .ns = "", .fields = fields, .nfields = n};
	m->df = (struct data_file){.name = "d", .key_space = "ks", .schema = &m->schema, .key = key, .nkey = nkey};
	return &m->df;
}

static int teardown(void **state)
{
	test_dir_remove();
	return 0;
}

static const struct field first_fields[] = {TEXT("id"), INT("n"), DOUBLE("d"), BOOLEAN("b"), TEXT("day"), TEXT("gone")};
static const uint32_t key_id[] = {0}, key_n[] = {1}, key_both[] = {1, 0};

static const char *filled(struct made *m)
{
	const char *dir = test_dir();
	struct rows r;
	rows_init(&r, make(m, first_fields, 6, key_id, 1));
	rows_add(&r, 1, (const char *const[]){"a", "1", "1.5", "true", "2019-08-01", "x"});
	rows_add(&r, 2, (const char *const[]){"b", "-2", "2", "false", "2019-08-02", "y"});
	rows_add(&r, 3, (const char *const[]){"c", "1", "1e300", "true", "2020-02-29", ""});
	deliver(dir, &r, 5, 100, 10);
	rows_done(&r);
	return dir;
}

static enum err_code table(const char *dir, const struct data_file *df)
{
	struct sink *s;
	OK(sink_sqlite.open(dir, df, &s, &err));
	enum err_code rc = sink_sqlite.table(s, &err);
	sink_sqlite.close(s);
	return rc;
}

static void test_differences_are_spelled_out(void **state)
{
	static const struct field changed[] = {TEXT("id"),   TEXT("n"),	  DOUBLE("d"),
					       BOOLEAN("B"), TEXT("day"), TEXT("gone")};
	struct made m;
	const char *dir = filled(&m);
	assert_int_equal(table(dir, &m.df), ERR_OK);
	assert_int_equal(table(dir, make(&m, changed, 6, key_both, 2)), ERR_CONFLICT);
	assert_non_null(strstr(err.msg, "column \"n\" is int in the table and string in the schema"));
	assert_non_null(strstr(err.msg, "column \"b\" (boolean) is in the table only"));
	assert_non_null(strstr(err.msg, "column \"B\" (boolean) is in the schema only"));
	assert_non_null(strstr(err.msg, "primary key is (\"id\") in the table and (\"n\",\"id\")"));
}

static void test_wider_types_and_order_need_no_rebuild(void **state)
{
	static const struct field wider[] = {TEXT("gone"), LONG("n"),	DOUBLE("d"),
					     BOOLEAN("b"), TEXT("day"), TEXT("id")};
	static const uint32_t key[] = {5};
	struct made m;
	const char *dir = filled(&m);
	assert_int_equal(table(dir, make(&m, wider, 6, key, 1)), ERR_OK);
	struct rows r;
	rows_init(&r, &m.df);
	rows_add(&r, 1, (const char *const[]){"g", "99999999999", "1", "true", "d", "z"});
	deliver(dir, &r, 6, 200, 1);
	rows_done(&r);
	assert_string_equal(ask(dir, "SELECT id,n,gone FROM t WHERE id='z'"), "z|99999999999|g");
	assert_int_equal(table(dir, make(&m, first_fields, 6, key_id, 1)), ERR_CONFLICT); /* now narrower */
}

static void test_rebuild_types_and_columns(void **state)
{
	static const struct field now[] = {
	    DATE("day"), TEXT("d"),  TEXT("n"),
	    TEXT("b"),	 TEXT("id"), {.name = "new", .type = AVRO_T_STRING, .storage = STORE_TEXT, .nullable = true}};
	static const uint32_t key[] = {2, 4};
	struct made m;
	uint64_t n;
	const char *dir = filled(&m);
	OK(sqlite_rebuild(dir, make(&m, now, 6, key, 2), &n, &err));
	assert_int_equal(n, 3);
	assert_string_equal(ask(dir, "SELECT * FROM t ORDER BY id"), "2019-08-01|1.5|1|true|a|NULL|5|1|101\n"
								     "2019-08-02|2.0|-2|false|b|NULL|5|2|102\n"
								     "2020-02-29|1e300|1|true|c|NULL|5|3|103" +
									 0);
	assert_string_equal(ask(dir, "SELECT typeof(n), typeof(day), typeof(b) FROM t LIMIT 1"), "text|text|text");
	assert_int_equal(table(dir, &m.df), ERR_OK);
	OK(sqlite_rebuild(dir, &m.df, &n, &err)); /* nothing to do */
	assert_int_equal(n, 3);
	assert_string_equal(ask(dir, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%rebuild%'"), "0");
	assert_string_equal(ask(dir, "SELECT position, done FROM _mysimbdp_position"), "3|1");
}

static void test_key_change_lets_the_later_win(void **state)
{
	struct made m;
	uint64_t n;
	const char *dir = filled(&m);
	OK(sqlite_rebuild(dir, make(&m, first_fields, 6, key_n, 1), &n, &err));
	assert_int_equal(n, 2);
	assert_string_equal(ask(dir, "SELECT n, id, _mysimbdp_version FROM t ORDER BY 1"), "-2|b|102\n1|c|103");
}

static void test_what_does_not_fit_changes_nothing(void **state)
{
	static const struct field bad[] = {TEXT("id"), INT("n"), INT("d"), BOOLEAN("b"), TEXT("day"), TEXT("gone")};
	static const struct field needs[] = {TEXT("id"),   INT("n"),	DOUBLE("d"),
					     BOOLEAN("b"), TEXT("day"), TEXT("more")};
	static const uint32_t key_gone[] = {5};
	struct made m;
	uint64_t n;
	const char *dir = filled(&m);
	assert_int_equal(sqlite_rebuild(dir, make(&m, bad, 6, key_id, 1), &n, &err), ERR_CONFLICT);
	assert_non_null(strstr(err.msg, "column \"d\": \"1.5\" is no int (row 1 of output 5)"));
	assert_int_equal(sqlite_rebuild(dir, make(&m, needs, 6, key_id, 1), &n, &err), ERR_CONFLICT);
	assert_non_null(strstr(err.msg, "\"more\": null"));
	assert_int_equal(sqlite_rebuild(dir, make(&m, first_fields, 6, key_gone, 1), &n, &err), ERR_CONFLICT);
	assert_non_null(strstr(err.msg, "can't be in the key"));
	assert_int_equal(table(dir, make(&m, first_fields, 6, key_id, 1)), ERR_OK);
	assert_string_equal(ask(dir, "SELECT count(*) FROM t"), "3");
}

static void test_nothing_there_yet(void **state)
{
	struct made m;
	uint64_t n = 9;
	const char *dir = test_dir();
	make(&m, first_fields, 6, key_id, 1);
	OK(sqlite_rebuild(dir, &m.df, &n, &err));
	assert_int_equal(n, 0);
	static const struct schema other = {.name = "other", .ns = "", .fields = first_fields, .nfields = 6};
	struct data_file df = m.df;
	df.schema = &other;
	assert_int_equal(table(dir, &df), ERR_OK);
	OK(sqlite_rebuild(dir, &m.df, &n, &err));
	assert_int_equal(n, 0);
}

static void test_hostile_names(void **state)
{
	static const struct field now[] = {TEXT("a\"b"), INT("c'); DROP TABLE t; --"), INT("select"), TEXT("x,y")};
	static const struct field then[] = {TEXT("a\"b"), TEXT("c'); DROP TABLE t; --"), INT("select"), TEXT("x,y")};
	static const uint32_t key[] = {3, 0};
	struct made m;
	struct rows r;
	uint64_t n;
	const char *dir = test_dir();
	rows_init(&r, make(&m, now, 4, key, 2));
	rows_add(&r, 1, (const char *const[]){"quote\"", "5", "6", "'"});
	for (int file = 1; file <= 2; file++)
		deliver(dir, &r, file, file * 100, 1); /* the second by a scan */
	deliver(dir, &r, 3, 50, 1);		       /* the third is older */
	rows_done(&r);
	assert_string_equal(ask(dir, "SELECT * FROM t"), "quote\"|5|6|'|2|1|201");
	OK(sqlite_rebuild(dir, make(&m, then, 4, key, 2), &n, &err));
	assert_int_equal(n, 1);
	assert_int_equal(table(dir, &m.df), ERR_OK);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_differences_are_spelled_out),
	    T(test_wider_types_and_order_need_no_rebuild),
	    T(test_rebuild_types_and_columns),
	    T(test_key_change_lets_the_later_win),
	    T(test_what_does_not_fit_changes_nothing),
	    T(test_nothing_there_yet),
	    T(test_hostile_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
