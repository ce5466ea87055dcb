/*
 * test_sqlite.c: the SQLite sink: types, positions, versions, fences, transactions, kills, limits.
 */
#include "table.h"

#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct err err;

static const struct field small_fields[] = {
    {.name = "k", .type = AVRO_T_STRING, .storage = STORE_TEXT},
    {.name = "n", .type = AVRO_T_LONG, .storage = STORE_I64},
    {.name = "v", .type = AVRO_T_STRING, .storage = STORE_TEXT, .nullable = true},
};
static const struct schema small_schema = {.name = "t", .ns = "", .fields = small_fields, .nfields = 3};
static const uint32_t small_key[] = {0, 1};
static const struct data_file small = {
    .name = "d", .key_space = "ks", .schema = &small_schema, .key = small_key, .nkey = 2};
static const struct data_file append = {.name = "d", .key_space = "ks", .schema = &small_schema};

static const char *const eur[] = {"EUR", "USD"};
static const struct field all_fields[] = {
    {.name = "b", .type = AVRO_T_BOOLEAN, .storage = STORE_I64},
    {.name = "i", .type = AVRO_T_INT, .storage = STORE_I64},
    {.name = "l", .type = AVRO_T_LONG, .storage = STORE_I64},
    {.name = "f", .type = AVRO_T_FLOAT, .storage = STORE_F64},
    {.name = "d", .type = AVRO_T_DOUBLE, .storage = STORE_F64},
    {.name = "s", .type = AVRO_T_STRING, .storage = STORE_TEXT},
    {.name = "day", .type = AVRO_T_STRING, .logical = LOGICAL_DATE, .storage = STORE_I64},
    {.name = "tm", .type = AVRO_T_INT, .logical = LOGICAL_TIME_MILLIS, .storage = STORE_I64},
    {.name = "ms", .type = AVRO_T_LONG, .logical = LOGICAL_TIMESTAMP_MILLIS, .storage = STORE_I64},
    {.name = "us", .type = AVRO_T_LONG, .logical = LOGICAL_TIMESTAMP_MICROS, .storage = STORE_I64},
    {.name = "dec",
     .type = AVRO_T_BYTES,
     .logical = LOGICAL_DECIMAL,
     .storage = STORE_TEXT,
     .precision = 10,
     .scale = 2},
    {.name = "by", .type = AVRO_T_BYTES, .storage = STORE_BYTES},
    {.name = "e", .type = AVRO_T_ENUM, .storage = STORE_TEXT, .symbols = eur, .nsymbols = 2},
    {.name = "nil", .type = AVRO_T_STRING, .storage = STORE_TEXT, .nullable = true},
};
static const struct schema all_schema = {.name = "every", .ns = "", .fields = all_fields, .nfields = 14};
static const uint32_t all_key[] = {6, 5, 0, 4}; /* a date, a text, a boolean and a double */
static const struct data_file all = {.name = "d", .key_space = "ks", .schema = &all_schema, .key = all_key, .nkey = 4};

static int teardown(void **state)
{
	test_dir_remove();
	return 0;
}

static void add(struct rows *r, uint64_t number, const char *k, int n, const char *v)
{
	char num[16];
	snprintf(num, sizeof num, "%d", n);
	rows_add(r, number, (const char *const[]){k, num, v});
}

static struct sink *opened(const char *dir, const struct data_file *df)
{
	struct sink *s;
	OK(sink_sqlite.open(dir, df, &s, &err));
	OK(sink_sqlite.table(s, &err));
	return s;
}

static enum err_code put(struct sink *s, const struct rows *r, uint64_t position, bool more, struct sink_result *res)
{
	struct sink_rows w = {(const struct packed_row *const *)r->row, r->n, position, more};
	struct sink_refusal refusal;
	return sink_sqlite.write(s, &w, res, &refusal, &err);
}

static void test_every_type(void **state)
{
	const char *dir = test_dir();
	struct rows r;
	rows_init(&r, &all);
	const char *const cells[] = {"true",
				     "-5",
				     "9223372036854775807",
				     "0.1",
				     "1e300",
				     "x",
				     "2015-08-31",
				     "10:20:30.5",
				     "2019-08-01T11:38:33.25Z",
				     "1969-12-31 23:59:59.999999",
				     "12.5",
				     "raw",
				     "EUR",
				     NULL};
	rows_add(&r, 3, cells);
	deliver(dir, &r, 7, 1000, 10);
	assert_string_equal(ask(dir, "SELECT b,i,l,round(f,3),d,s,day,tm,ms,us,dec,by,e,nil FROM every"),
			    "1|-5|9223372036854775807|0.1|1.0e+300|x|2015-08-31|10:20:30.500|2019-08-01T11:38:33.250Z|"
			    "1969-12-31T23:59:59.999999Z|12.50|raw|EUR|NULL");
	assert_string_equal(ask(dir,
				"SELECT typeof(b),typeof(i),typeof(f),typeof(day),typeof(ms),typeof(dec),typeof(by),"
				"typeof(nil) FROM every"),
			    "integer|integer|real|text|text|text|blob|null");
	assert_string_equal(ask(dir, "SELECT _mysimbdp_file,_mysimbdp_row,_mysimbdp_version FROM every"), "7|3|1003");
	/* Again under the same key, by the scan: nothing gets lost or doubled. */
	deliver(dir, &r, 8, 2000, 10);
	assert_string_equal(ask(dir, "SELECT count(*), max(_mysimbdp_version), max(us) FROM every"),
			    "1|2003|1969-12-31T23:59:59.999999Z");
	rows_done(&r);
}

static void test_position(void **state)
{
	const char *dir = test_dir();
	struct rows r;
	struct sink_result res;
	uint64_t position;
	bool found, done;
	struct sink_file f = {1, "a.csv", 100, 1};
	rows_init(&r, &small);
	for (int i = 0; i < 10; i++)
		add(&r, (uint64_t)i + 1, "k", i, "v");
	OK(sqlite_position(dir, &small, 1, &found, &position, &done, &err));
	assert_false(found);
	struct sink *s = opened(dir, &small);
	OK(sink_sqlite.begin(s, &f, &position, &err));
	assert_int_equal(position, 0);
	OK(put(s, &r, 12, false, &res)); /* two more had been dropped inside the file */
	assert_int_equal(res.delivered, 10);
	sink_sqlite.close(s);
	s = opened(dir, &small);
	OK(sink_sqlite.begin(s, &f, &position, &err));
	assert_int_equal(position, 12);
	OK(sqlite_position(dir, &small, 1, &found, &position, &done, &err));
	assert_true(found && !done && position == 12);
	OK(sink_sqlite.end(s, &err));
	OK(sqlite_position(dir, &small, 1, &found, &position, &done, &err));
	assert_true(found && done && position == 12);
	/* Under another name or version the id is somebody else's. */
	struct sink_file g = f;
	g.name = "b.csv";
	assert_int_equal(sink_sqlite.begin(s, &g, &position, &err), ERR_CONFLICT);
	assert_non_null(strstr(err.msg, "a.csv"));
	g = f;
	g.version_base = 101;
	assert_int_equal(sink_sqlite.begin(s, &g, &position, &err), ERR_CONFLICT);
	assert_int_equal(put(s, &r, 13, false, &res), ERR_INTERNAL); /* write without begin */
	sink_sqlite.close(s);
	rows_done(&r);
	uint64_t n;
	OK(sqlite_count_rows(dir, &small, 1, &n, &err));
	assert_int_equal(n, 10);
	OK(sqlite_count_rows(dir, &small, 2, &n, &err));
	assert_int_equal(n, 0);
}

static void test_later_version_wins(void **state)
{
	const char *dir = test_dir();
	struct rows r;
	struct sink_result res;
	uint64_t position;
	rows_init(&r, &small);
	add(&r, 1, "a", 1, "new");
	add(&r, 2, "b", 1, "new");
	add(&r, 4, "c", 1, NULL);
	deliver(dir, &r, 2, 1000, 2);
	rows_done(&r);
	/* An older file: only what is not there yet comes in, and a null does not come back to life. */
	add(&r, 1, "a", 1, "old");
	add(&r, 2, "aa", 1, "old");
	add(&r, 3, "c", 1, "old");
	struct sink *s = opened(dir, &small);
	struct sink_file f = {1, "old.csv", 10, 1};
	OK(sink_sqlite.begin(s, &f, &position, &err));
	OK(put(s, &r, 3, false, &res));
	assert_int_equal(res.delivered, 3);
	assert_int_equal(res.superseded, 2);
	OK(sink_sqlite.end(s, &err));
	sink_sqlite.close(s);
	assert_string_equal(ask(dir, "SELECT k, v, _mysimbdp_version FROM t ORDER BY 1"),
			    "a|new|1001\naa|old|12\nb|new|1002\nc|NULL|1004");
	assert_string_equal(ask(dir, "SELECT delivered, superseded FROM _mysimbdp_position WHERE file=1"), "3|2");
	rows_done(&r);
}

/* A single row of a finished file comes again (a replayed quarantine entry): once, and never over its own successor. */
static void test_replay_of_a_row(void **state)
{
	const char *dir = test_dir();
	for (int nkey = 2; nkey >= 0; nkey -= 2) {
		const struct data_file *df = nkey ? &small : &append;
		struct rows r;
		struct sink_result res;
		uint64_t position;
		dir = test_dir();
		rows_init(&r, df);
		add(&r, 1, "a", 1, "one");
		add(&r, 9, "b", 1, "nine");
		deliver(dir, &r, 5, 100, 10);
		rows_done(&r);
		add(&r, 3, "b", 1, "three");
		add(&r, 4, "c", 1, "four");
		for (int again = 0; again < 2; again++) {
			struct sink *s = opened(dir, df);
			struct sink_file f = {5, "file.csv", 100, 1};
			OK(sink_sqlite.begin(s, &f, &position, &err));
			assert_int_equal(position, 2);
			OK(put(s, &r, position, false, &res));
			OK(sink_sqlite.end(s, &err));
			sink_sqlite.close(s);
		}
		assert_string_equal(ask(dir, "SELECT k, v FROM t ORDER BY _mysimbdp_row"),
				    nkey ? "a|one\nc|four\nb|nine" : "a|one\nb|three\nc|four\nb|nine");
		rows_done(&r);
	}
}

/* Random files in random order of versions against a model. Sizes make inserts, upserts and scans all happen. */
static void test_against_model(void **state)
{
	enum { KEYS = 3000, FILES = 14 };
	const char *dir = test_dir();
	static int64_t version[KEYS];
	static char text[KEYS][24];
	memset(version, 0, sizeof version);
	srand(5);
	for (int f = 0; f < FILES; f++) {
		struct rows r;
		int64_t base = (f % 3 == 2 ? 1 + rand() % 13 : f * 2 + 20) * 100000; /* some are older */
		int n = f % 4 == 3 ? 40 : 1500 + rand() % 3000, from = rand() % 500, to = KEYS - rand() % 500;
		rows_init(&r, &small);
		for (int i = 1; i <= n; i++) {
			int k = from + rand() % (to - from);
			char key[16], v[24];
			snprintf(key, sizeof key, "k%d", k / 10);
			snprintf(v, sizeof v, "f%d r%d%.*s", f, i, rand() % 8, "xxxxxxxx");
			add(&r, (uint64_t)i, key, k, v);
			if (base + i > version[k]) {
				version[k] = base + i;
				strcpy(text[k], v);
			}
		}
		rows_sort(&r);
		deliver(dir, &r, f + 1, base, f % 2 ? 100 : 100000);
		rows_done(&r);
	}
	for (int k = 0; k < KEYS; k++) {
		char sql[160], want[120];
		if (k % 7 && k > 100)
			continue;
		snprintf(sql, sizeof sql, "SELECT v, _mysimbdp_version FROM t WHERE k='k%d' AND n=%d", k / 10, k);
		snprintf(want, sizeof want, "%.23s|%lld", text[k], (long long)version[k]);
		assert_string_equal(ask(dir, sql), version[k] ? want : "");
	}
	int present = 0;
	int64_t sum = 0;
	for (int k = 0; k < KEYS; k++) {
		present += version[k] > 0;
		sum += version[k];
	}
	char want[64];
	snprintf(want, sizeof want, "%d|%lld", present, (long long)sum);
	assert_string_equal(ask(dir, "SELECT count(*), sum(_mysimbdp_version) FROM t"), want);
	assert_string_equal(ask(dir, "PRAGMA integrity_check"), "ok");
}

/* Equal keys inside a file: the later row counts, whether it is inserted or met by the scan. */
static void test_equal_keys_in_a_file(void **state)
{
	const char *dir = test_dir();
	struct rows r;
	rows_init(&r, &small);
	for (int file = 1; file <= 2; file++) {
		char v[16];
		for (int i = 1; i <= 30; i++) {
			snprintf(v, sizeof v, "%d.%d", file, i);
			add(&r, (uint64_t)i, "k", i / 3, v);
		}
		rows_sort(&r);
		deliver(dir, &r, file, file * 1000, file == 1 ? 4 : 30);
		rows_done(&r);
		snprintf(v, sizeof v, "%d.5|%d", file, file * 1000 + 5);
		assert_string_equal(ask(dir, "SELECT v, _mysimbdp_version FROM t WHERE n=1"), v);
		assert_string_equal(ask(dir, "SELECT count(*) FROM t"), "11");
	}
}

static void test_transaction_of_several_writes(void **state)
{
	const char *dir = test_dir();
	struct rows a, b, none;
	struct sink_result res;
	uint64_t position;
	struct sink_file f = {1, "a.csv", 100, 1};
	rows_init(&a, &small);
	rows_init(&b, &small);
	rows_init(&none, &small);
	add(&a, 1, "a", 1, "x");
	add(&b, 2, "b", 1, "x");
	struct sink *s = opened(dir, &small);
	OK(sink_sqlite.begin(s, &f, &position, &err));
	OK(put(s, &a, 1, true, &res));
	assert_int_equal(res.delivered, 0);
	assert_string_equal(ask(dir, "SELECT count(*) FROM t"), "0");
	assert_int_equal(sink_sqlite.end(s, &err), ERR_INTERNAL); /* rolls back: the engine has a bug */
	OK(sink_sqlite.begin(s, &f, &position, &err));
	assert_int_equal(position, 0);
	OK(put(s, &a, 1, true, &res));
	OK(put(s, &b, 2, true, &res));
	OK(put(s, &none, 2, false, &res));
	assert_int_equal(res.delivered, 2);
	assert_string_equal(ask(dir, "SELECT count(*) FROM t"), "2");
	sink_sqlite.close(s);
	rows_done(&a);
	rows_done(&b);
}

static void test_fence(void **state)
{
	const char *dir = test_dir();
	struct rows r;
	struct sink_result res;
	uint64_t position;
	struct sink_file f = {1, "a.csv", 100, 4}, newer = {2, "b.csv", 1000, 5};
	rows_init(&r, &small);
	add(&r, 1, "a", 1, "x");
	struct sink *old = opened(dir, &small), *young = opened(dir, &small);
	OK(sink_sqlite.begin(old, &f, &position, &err));
	OK(put(old, &r, 1, false, &res));
	OK(sink_sqlite.begin(young, &newer, &position, &err));
	assert_int_equal(put(old, &r, 2, false, &res), ERR_FENCED);
	assert_int_equal(sink_sqlite.end(old, &err), ERR_FENCED);
	assert_int_equal(sink_sqlite.begin(old, &f, &position, &err), ERR_FENCED);
	OK(put(young, &r, 1, false, &res));
	sink_sqlite.close(old);
	sink_sqlite.close(young);
	rows_done(&r);
}

static void test_second_writer_waits_or_is_told(void **state)
{
	const char *dir = test_dir();
	struct rows r;
	struct sink_result res;
	uint64_t position;
	struct sink_file f = {1, "a.csv", 100, 1};
	rows_init(&r, &small);
	add(&r, 1, "a", 1, "x");
	struct sink *s = opened(dir, &small), *other = opened(dir, &small);
	OK(sink_sqlite.begin(s, &f, &position, &err));
	OK(put(s, &r, 1, true, &res));
	assert_int_equal(sink_sqlite.begin(other, &f, &position, &err), ERR_BUSY);
	assert_true(err.retriable);
	sink_sqlite.close(other);
	sink_sqlite.close(s); /* rolls back */
	assert_string_equal(ask(dir, "SELECT count(*) FROM t"), "0");
	rows_done(&r);
}

/* ---- kills and errors at every point */

static void many(struct rows *r)
{
	rows_init(r, &small);
	for (int i = 0; i < 2000; i++) {
		char k[16];
		snprintf(k, sizeof k, "k%d", (i * 7919) % 500);
		add(r, (uint64_t)i + 1, k, i % 3, "value");
	}
	rows_sort(r);
}

static const char *digest(const char *dir)
{
	return ask(
	    dir,
	    "SELECT count(*), sum(_mysimbdp_version), sum(_mysimbdp_row*n), min(k), max(k), sum(length(v)) FROM t");
}

static void test_kill_anywhere(void **state)
{
	static const char *const points[] = {"sink.begin", "sink.write.before", "sink.commit.before",
					     "sink.commit.after"};
	struct rows r;
	char want[200];
	const char *dir = test_dir();
	many(&r);
	deliver(dir, &r, 1, 1000, 200);
	snprintf(want, sizeof want, "%s", digest(dir));
	for (size_t p = 0; p < 4; p++) {
		dir = test_dir();
		for (int at = 1; at <= 10; at += p ? 3 : 9) {
			fflush(NULL);
			pid_t child = fork();
			if (child == 0) {
				char fault[64];
				snprintf(fault, sizeof fault, "%s=kill@%d", points[p], at);
				setenv("MYSIMBDP_FAULT", fault, 1);
				fault_setup();
				deliver(dir, &r, 1, 1000, 200);
				_exit(0);
			}
			int status;
			assert_int_equal(waitpid(child, &status, 0), child);
			assert_true(at > 1 || WIFSIGNALED(status));
		}
		deliver(dir, &r, 1, 1000, 200);
		assert_string_equal(digest(dir), want);
		assert_string_equal(ask(dir, "SELECT position, done, delivered FROM _mysimbdp_position"),
				    "2000|1|2000");
	}
	rows_done(&r);
}

static void test_errors_leave_nothing(void **state)
{
	static const char *const points[] = {"sink.write.before", "sink.commit.before"};
	for (size_t p = 0; p < 2; p++) {
		const char *dir = test_dir();
		fflush(NULL);
		pid_t child = fork();
		if (child == 0) {
			struct rows r;
			struct sink_result res;
			uint64_t position;
			char fault[64];
			many(&r);
			snprintf(fault, sizeof fault, "%s=enospc@2", points[p]);
			setenv("MYSIMBDP_FAULT", fault, 1);
			fault_setup();
			struct sink *s = opened(dir, &small);
			struct sink_file f = {1, "a.csv", 100, 1};
			OK(sink_sqlite.begin(s, &f, &position, &err));
			OK(put(s, &r, 2000, false, &res));
			assert_int_equal(put(s, &r, 4000, false, &res), ERR_NOSPACE);
			assert_true(err.retriable);
			assert_string_equal(ask(dir, "SELECT position, delivered FROM _mysimbdp_position"),
					    "2000|2000");
			OK(put(s, &r, 4000, false, &res)); /* the same again */
			assert_string_equal(ask(dir, "SELECT position, delivered FROM _mysimbdp_position"),
					    "4000|4000");
			sink_sqlite.close(s);
			rows_done(&r);
			_exit(0);
		}
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

/* A file system of 2 MiB, where that can be made. */
static void test_full_disk(void **state)
{
	const char *dir = test_dir();
	if (mount("none", dir, "tmpfs", 0, "size=2m")) {
		skip();
		return;
	}
	struct rows r;
	struct sink_result res;
	uint64_t position, total = 0;
	struct sink_file f = {1, "a.csv", 100, 1};
	rows_init(&r, &append);
	char big[2001];
	memset(big, 'x', 2000);
	big[2000] = 0;
	for (int i = 0; i < 100; i++)
		add(&r, (uint64_t)i + 1, "k", i, big);
	struct sink *s = opened(dir, &append);
	OK(sink_sqlite.begin(s, &f, &position, &err));
	enum err_code rc = ERR_OK;
	for (int i = 0; i < 20 && rc == ERR_OK; i++) {
		for (uint32_t k = 0; k < r.n; k++)
			r.row[k]->row += 100;
		rc = put(s, &r, total + 100, false, &res);
		total += rc == ERR_OK ? 100 : 0;
	}
	assert_int_equal(rc, ERR_NOSPACE);
	assert_true(total > 0 && err.retriable);
	sink_sqlite.close(s);
	OK(sink_sqlite.open(dir, &append, &s, &err));
	OK(sink_sqlite.table(s, &err));
	OK(sink_sqlite.begin(s, &f, &position, &err));
	assert_int_equal(position, total);
	sink_sqlite.close(s);
	char want[32];
	snprintf(want, sizeof want, "%llu", (unsigned long long)total);
	assert_string_equal(ask(dir, "SELECT count(*) FROM t"), want);
	rows_done(&r);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

/* ---- the log and readers */

static void test_reader_blocks_the_log(void **state)
{
	const char *dir = test_dir();
	struct rows r;
	struct sink_result res;
	struct sink_status st;
	uint64_t position;
	sqlite3 *reader;
	char path[128];
	struct sink_file f = {1, "a.csv", 100, 1};
	many(&r);
	struct sink *s = opened(dir, &small);
	OK(sink_sqlite.begin(s, &f, &position, &err));
	OK(put(s, &r, 2000, false, &res));
	sqlite_sink_limit_wal(s, 100000);
	snprintf(path, sizeof path, "%s/ks.db", dir);
	assert_int_equal(sqlite3_open(path, &reader), SQLITE_OK);
	assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM t", NULL, NULL, NULL), SQLITE_OK);
	enum err_code rc = ERR_OK;
	for (int i = 0; i < 20 && rc == ERR_OK; i++)
		rc = put(s, &r, 2000 + (uint64_t)i, false, &res);
	assert_int_equal(rc, ERR_BUSY);
	assert_true(err.retriable);
	assert_non_null(strstr(err.msg, "write-ahead log"));
	sink_sqlite.status(s, &st);
	assert_true(st.blocked && st.backlog_bytes > st.limit_bytes && st.reason[0]);
	assert_int_equal(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	OK(put(s, &r, 5000, false, &res));
	sink_sqlite.status(s, &st);
	assert_false(st.blocked);
	sqlite3_close(reader);
	sink_sqlite.close(s);
	rows_done(&r);
}

static void test_modes(void **state)
{
	const char *dir = test_dir();
	char sub[128], path[160];
	struct stat st;
	struct rows r;
	many(&r);
	umask(022);
	snprintf(sub, sizeof sub, "%s/a/b", dir);
	struct sink *s = opened(sub, &small);
	assert_int_equal(stat(sub, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	static const char *const files[] = {"ks.db", "ks.db-wal", "ks.db-shm"};
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", sub, files[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	sink_sqlite.close(s);
	rows_done(&r);
	char name[] = "../evil";
	struct data_file df = small;
	df.key_space = name;
	assert_int_equal(sink_sqlite.open(dir, &df, &s, &err), ERR_INVALID);
}

/* ---- databases that are not ours, or not of today */

static void make_db(const char *dir, const char *sql)
{
	char path[128];
	sqlite3 *db;
	snprintf(path, sizeof path, "%s/ks.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void test_other_databases(void **state)
{
	const char *dir = test_dir();
	struct sink *s;
	make_db(dir, "CREATE TABLE somebody(x)");
	assert_int_equal(sink_sqlite.open(dir, &small, &s, &err), ERR_CONFLICT);
	dir = test_dir();
	s = opened(dir, &small);
	sink_sqlite.close(s);
	make_db(dir, "PRAGMA user_version=99; UPDATE _mysimbdp_meta SET value='7.1' WHERE name='needs'");
	assert_int_equal(sink_sqlite.open(dir, &small, &s, &err), ERR_VERSION);
	assert_non_null(strstr(err.hint, "7.1"));
	dir = test_dir();
	char path[128];
	snprintf(path, sizeof path, "%s/ks.db", dir);
	FILE *f = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database at all\n", f);
	fclose(f);
	assert_int_equal(sink_sqlite.open(dir, &small, &s, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.msg, "ks.db"));
}

static void test_find(void **state)
{
	const struct sink_class *c;
	const char *target;
	OK(sink_find("sqlite:/some/dir", &c, &target, &err));
	assert_ptr_equal(c, &sink_sqlite);
	assert_string_equal(target, "/some/dir");
	assert_int_equal(sink_find("sqlite:", &c, &target, &err), ERR_USAGE);
	assert_int_equal(sink_find("oracle:x", &c, &target, &err), ERR_USAGE);
	assert_non_null(strstr(err.msg, "sqlite:DIR"));
	assert_int_equal(sink_find("/some/dir", &c, &target, &err), ERR_USAGE);
	assert_non_null(strstr(err.hint, "sqlite:/some/dir"));
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_find),
	    T(test_every_type),
	    T(test_position),
	    T(test_later_version_wins),
	    T(test_replay_of_a_row),
	    T(test_against_model),
	    T(test_equal_keys_in_a_file),
	    T(test_transaction_of_several_writes),
	    T(test_fence),
	    T(test_second_writer_waits_or_is_told),
	    T(test_kill_anywhere),
	    T(test_errors_leave_nothing),
	    T(test_full_disk),
	    T(test_reader_blocks_the_log),
	    T(test_modes),
	    T(test_other_databases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
