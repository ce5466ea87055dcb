/* test_durable.c: the ledger under many threads, kills and a full disk; format numbers and migration. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "catalog/ledger.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 8
#define CALLS 60

struct world {
	char dir[64];
	struct catalog *c;
	struct arena a;
	struct err e;
};

#define OK(w, call)                                                                                                    \
	do {                                                                                                           \
		if ((call) != ERR_OK)                                                                                  \
			fail_msg("%s: %s", #call, (w)->e.msg);                                                         \
	} while (0)

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	strcpy(w->dir, "/tmp/test_durable.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	arena_init(&w->a, 64 << 20);
	OK(w, catalog_open_sqlite(w->dir, &w->c, &w->e));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	catalog_close(w->c);
	arena_done(&w->a);
	OK(w, dir_remove_all(w->dir, &w->e));
	free(w);
	return 0;
}

static void sha_of(unsigned n, char out[65])
{
	snprintf(out, 65, "%064x", n);
}

/* ---- threads */

struct worker {
	struct world *w;
	unsigned number;
	unsigned failed, conflicts;
};

static void *upload(void *arg)
{
	struct worker *k = arg;
	struct arena a;
	struct err e = {0};
	arena_init(&a, 4 << 20);
	for (unsigned i = 0; i < CALLS; i++) {
		char name[32], sha[65];
		struct catalog_file f;
		enum receive_result what;
		snprintf(name, sizeof name, "%u-%u.csv", k->number, i);
		sha_of(i, sha);
		arena_reset(&a);
		if (catalog_file_receive(k->w->c, "t", name, 1, sha, &a, &what, &f, &e) || what != RECEIVE_NEW)
			k->failed++;
		/* An error of one must not disturb the others that share its transaction. */
		if (catalog_file_move(k->w->c, f.id, 1u << FILE_ASSIGNED, FILE_PROCESSED, 0, NULL, &e) == ERR_CONFLICT)
			k->conflicts++;
		if (catalog_file_move(k->w->c, f.id, 1u << FILE_RECEIVED, FILE_STAGED, 0, NULL, &e))
			k->failed++;
		struct catalog_file seen;
		if (catalog_file_get(k->w->c, f.id, &a, &seen, &e) || seen.state != FILE_STAGED)
			k->failed++;
	}
	arena_done(&a);
	return NULL;
}

static void test_threads(void **state)
{
	struct world *w = *state;
	pthread_t t[THREADS];
	struct worker k[THREADS];
	setenv("MYSIMBDP_FAULT", "ledger.commit=delay:2@*", 1); /* a disk that takes its time, wherever this runs */
	fault_setup();
	int64_t t0 = clock_mono_ns();
	for (unsigned i = 0; i < THREADS; i++) {
		k[i] = (struct worker){.w = w, .number = i};
		assert_int_equal(pthread_create(&t[i], NULL, upload, &k[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(k[i].failed, 0);
		assert_int_equal(k[i].conflicts, CALLS);
	}
	double s = (double)(clock_mono_ns() - t0) / 1e9;
	unsigned calls = THREADS * CALLS * 2;
	print_message("%u durable uploads by %d threads: %.0f/s, %llu commits for %u writes\n", THREADS * CALLS,
		      THREADS, THREADS * CALLS / s, (unsigned long long)w->c->ledger->commits, calls);
	assert_true(w->c->ledger->commits < calls / 2);
	struct catalog_counts n;
	OK(w, catalog_counts(w->c, "t", &n, &w->e));
	assert_int_equal(n.files[FILE_STAGED], THREADS * CALLS);
	/* Each file has exactly two events: what failed left none. */
	struct catalog_event *ev;
	size_t nev;
	OK(w, catalog_file_events(w->c, 1, &w->a, &ev, &nev, &w->e));
	assert_int_equal(nev, 2);
}

/* One name, one content, many threads: exactly one is new. */
static void *same(void *arg)
{
	struct worker *k = arg;
	struct arena a;
	struct err e = {0};
	struct catalog_file f;
	enum receive_result what = RECEIVE_CONFLICT;
	char sha[65];
	sha_of(7, sha);
	arena_init(&a, 1 << 20);
	k->failed = catalog_file_receive(k->w->c, "t", "same.csv", 1, sha, &a, &what, &f, &e) != ERR_OK;
	k->conflicts = what == RECEIVE_NEW;
	arena_done(&a);
	return NULL;
}

static void test_same_upload(void **state)
{
	struct world *w = *state;
	pthread_t t[THREADS];
	struct worker k[THREADS];
	unsigned news = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		k[i] = (struct worker){.w = w};
		pthread_create(&t[i], NULL, same, &k[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(k[i].failed, 0);
		news += k[i].conflicts;
	}
	assert_int_equal(news, 1);
}

/* ---- kills */

static void child_uploads(const char *dir, int fd, unsigned round)
{
	struct catalog *c;
	struct arena a;
	struct err e = {0};
	arena_init(&a, 1 << 20);
	if (catalog_open_sqlite(dir, &c, &e))
		_exit(1);
	for (unsigned i = 0;; i++) {
		char name[32], sha[65];
		struct catalog_file f;
		enum receive_result what;
		snprintf(name, sizeof name, "%u-%u.csv", round, i);
		sha_of(i, sha);
		arena_reset(&a);
		if (catalog_file_receive(c, "t", name, 1, sha, &a, &what, &f, &e))
			_exit(2);
		/* Acknowledged: from here on nothing may lose it. */
		if (write(fd, &f.id, sizeof f.id) < 0 || catalog_file_move(c, f.id, 0, FILE_STAGED, 0, NULL, &e))
			_exit(3);
	}
}

static void test_kill(void **state)
{
	struct world *w = *state;
	for (unsigned round = 0; round < 6; round++) {
		int p[2];
		int64_t ids[10000];
		size_t n = 0;
		assert_int_equal(pipe(p), 0);
		pid_t pid = fork();
		if (pid == 0)
			child_uploads(w->dir, p[1], round);
		close(p[1]);
		while (n < 5 + 3 * round && read(p[0], &ids[n], sizeof *ids) == sizeof *ids)
			n++;
		kill(pid, SIGKILL);
		while (n < 10000 && read(p[0], &ids[n], sizeof *ids) == sizeof *ids)
			n++;
		close(p[0]);
		waitpid(pid, NULL, 0);
		assert_true(n >= 5);
		for (size_t i = 0; i < n; i++) {
			struct catalog_file f;
			OK(w, catalog_file_get(w->c, ids[i], &w->a, &f, &w->e));
			assert_true(f.state == FILE_RECEIVED || f.state == FILE_STAGED);
		}
	}
}

/* Killed exactly at a commit: all of the transaction or nothing. */
static void test_kill_at_commit(void **state)
{
	struct world *w = *state;
	pid_t pid = fork();
	if (pid == 0) {
		setenv("MYSIMBDP_FAULT", "ledger.commit=kill@3", 1);
		fault_setup();
		child_uploads(w->dir, open("/dev/null", O_WRONLY), 0);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	struct catalog_file *f;
	size_t n, nev;
	struct catalog_event *ev;
	OK(w, catalog_files(w->c, &(struct catalog_file_filter){.oldest_first = true}, &w->a, &f, &n, &w->e));
	assert_int_equal(n, 1);
	assert_int_equal(f[0].state, FILE_STAGED);
	OK(w, catalog_file_events(w->c, f[0].id, &w->a, &ev, &nev, &w->e));
	assert_int_equal(nev, 2);
}

static void test_no_space(void **state)
{
	struct world *w = *state;
	pid_t pid = fork();
	if (pid == 0) {
		struct catalog *c;
		struct err e = {0};
		int64_t id;
		setenv("MYSIMBDP_FAULT", "ledger.commit=enospc@1", 1);
		fault_setup();
		if (catalog_open_sqlite(w->dir, &c, &e))
			_exit(1);
		if (catalog_file_refuse(c, "t", "a", 1, "no", &id, &e) != ERR_NOSPACE || !e.retriable)
			_exit(2);
		if (catalog_file_refuse(c, "t", "b", 1, "no", &id, &e))
			_exit(3);
		catalog_close(c);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	struct catalog_file *f;
	size_t n;
	OK(w, catalog_files(w->c, &(struct catalog_file_filter){0}, &w->a, &f, &n, &w->e));
	assert_int_equal(n, 1);
	assert_string_equal(f[0].name, "b");
}

/* A really full database (max_page_count stands for the disk): SQLite undoes the whole transaction, and the ledger
 * works again as soon as there is room. */
static void test_full(void **state)
{
	struct world *w = *state;
	struct ledger *l = w->c->ledger;
	int64_t id, before;
	char *big = malloc(1 << 20);
	memset(big, 'x', (1 << 20) - 1);
	big[(1 << 20) - 1] = 0;
	OK(w, catalog_file_refuse(w->c, "t", "a", 1, "no", &before, &w->e));
	assert_int_equal(sqlite3_exec(l->db->h, "PRAGMA max_page_count = 1", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(catalog_file_refuse(w->c, "t", "b", 1, big, &id, &w->e), ERR_NOSPACE);
	assert_int_equal(sqlite3_exec(l->db->h, "PRAGMA max_page_count = 100000", NULL, NULL, NULL), SQLITE_OK);
	OK(w, catalog_file_refuse(w->c, "t", "c", 1, big, &id, &w->e));
	assert_int_equal(id, before + 1);
	free(big);
}

/* ---- durability levels */

static void test_sync(void **state)
{
	struct world *w = *state;
	struct ledger *l = w->c->ledger;
	int64_t id;
	OK(w, catalog_file_refuse(w->c, "t", "a", 1, "no", &id, &w->e));
	assert_false(l->dirty);
	OK(w, catalog_file_event(w->c, id, "note", "soon", &w->e));
	assert_true(l->dirty);
	OK(w, catalog_sync(w->c, &w->e));
	assert_false(l->dirty);
	OK(w, catalog_file_event(w->c, id, "note", "soon", &w->e));
	OK(w, catalog_file_refuse(w->c, "t", "b", 1, "no", &id, &w->e));
	assert_false(l->dirty);
}

/* ---- formats */

static const char one[] = "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID; CREATE TABLE t(a);"
			  "PRAGMA application_id = 77; PRAGMA user_version = 1;";
static const char two[] = "ALTER TABLE t ADD COLUMN b DEFAULT 5; PRAGMA user_version = 2;";
static const char three[] = "CREATE INDEX t_b ON t(b); PRAGMA user_version = 3;";
static const char broken[] = "CREATE INDEX t_c ON t(no_such_column); PRAGMA user_version = 4;";

static void test_migration(void **state)
{
	struct world *w = *state;
	const char *steps[] = {one, two, three, broken};
	struct db_format f = {"trial", 77, steps, 1};
	struct db *db;
	char path[128];
	int64_t v;
	snprintf(path, sizeof path, "%s/trial.db", w->dir);
	OK(w, db_open(path, &f, DB_WRITE, &db, &w->e));
	OK(w, db_exec(db, &w->e, "INSERT INTO t(a) VALUES(?1)", "d", 3));
	db_close(db);
	f.nsteps = 3;
	assert_int_equal(db_open(path, &f, DB_READ, &db, &w->e), ERR_VERSION); /* a reader changes nothing */
	OK(w, db_open(path, &f, DB_WRITE, &db, &w->e));
	OK(w, db_int_of(db, 0, &v, &w->e, "SELECT a * 10 + b FROM t", ""));
	assert_int_equal(v, 35);
	db_close(db);
	/* A step that fails leaves the older format as it was. */
	f.nsteps = 4;
	assert_int_not_equal(db_open(path, &f, DB_WRITE, &db, &w->e), ERR_OK);
	assert_non_null(strstr(w->e.msg, "from format 3 to 4"));
	f.nsteps = 3;
	OK(w, db_open(path, &f, DB_WRITE, &db, &w->e));
	OK(w, db_int_of(db, 0, &v, &w->e, "PRAGMA user_version", ""));
	assert_int_equal(v, 3);
	db_close(db);
	f.nsteps = 2;
	assert_int_equal(db_open(path, &f, DB_WRITE, &db, &w->e), ERR_VERSION);
	assert_non_null(strstr(w->e.msg, "format 3"));
	assert_non_null(strstr(w->e.msg, "up to 2"));
	assert_non_null(strstr(w->e.hint, MYSIMBDP_VERSION));
	f.application_id = 78;
	assert_int_equal(db_open(path, &f, DB_WRITE, &db, &w->e), ERR_CORRUPT);
}

/* A ledger as the first format had it, with something in it. */
static void test_older_ledger(void **state)
{
	struct world *w = *state;
	struct db_format first = ledger_format;
	struct catalog *c;
	struct catalog_output o;
	struct db *db;
	char dir[128], path[160];
	int64_t v;
	snprintf(dir, sizeof dir, "%s/older", w->dir);
	snprintf(path, sizeof path, "%s/ledger.db", dir);
	OK(w, dir_make(dir, 0700, &w->e));
	first.nsteps = 1;
	OK(w, db_open(path, &first, DB_WRITE, &db, &w->e));
	assert_int_equal(sqlite3_exec(db->h,
				      "INSERT INTO output(run, tenant, name, source, size, sha256, state, created_us, "
				      "updated_us) VALUES(0, '', 'x.csv', '', 5, 'abc', 0, 1, 1)",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	db_close(db);
	OK(w, catalog_open_sqlite(dir, &c, &w->e));
	OK(w, catalog_output_get(c, 1, &w->a, &o, &w->e));
	assert_string_equal(o.name, "x.csv");
	assert_string_equal(o.table, "");
	OK(w, catalog_output_versions(c, 1, "S.T", 5, &v, &w->e));
	OK(w, catalog_output_get(c, 1, &w->a, &o, &w->e));
	assert_string_equal(o.table, "S.T");
	OK(w, db_int_of(c->ledger->db, 0, &v, &w->e, "PRAGMA user_version", ""));
	assert_int_equal(v, CATALOG_FORMAT);
	catalog_close(c);
}

static void test_newer_ledger(void **state)
{
	struct world *w = *state;
	struct catalog *c;
	assert_int_equal(sqlite3_exec(w->c->ledger->db->h,
				      "PRAGMA user_version = 9; UPDATE meta SET value = '3.0.0' "
				      "WHERE key = 'program'",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(catalog_open_sqlite(w->dir, &c, &w->e), ERR_VERSION);
	assert_non_null(strstr(w->e.msg, "format 9"));
	assert_non_null(strstr(w->e.hint, "3.0.0"));
}

static void test_foreign_file(void **state)
{
	struct world *w = *state;
	struct catalog *c;
	char dir[128], path[160];
	snprintf(dir, sizeof dir, "%s/other", w->dir);
	OK(w, dir_make(dir, 0700, &w->e));
	snprintf(path, sizeof path, "%s/ledger.db", dir);
	OK(w, file_write_atomic(path, "this is no database, but some text of somebody else, long enough to look at", 76,
				0600, &w->e));
	assert_int_equal(catalog_open_sqlite(dir, &c, &w->e), ERR_CORRUPT);
}

/* ---- size */

static void test_counts_are_fast(void **state)
{
	struct world *w = *state;
	assert_int_equal(sqlite3_exec(w->c->ledger->db->h,
				      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
				      "100000) INSERT INTO file(tenant, "
				      "name, size, sha256, state, status, received_us, updated_us) SELECT 'client_' || "
				      "(i % 3), 'f' || i || '.csv', "
				      "i, 'x', CASE WHEN i % 50 = 0 THEN 1 ELSE 5 END, 'all of its accepted records "
				      "are in coredms', i, i FROM n",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	struct catalog_counts n;
	int64_t t0 = clock_mono_ns();
	OK(w, catalog_counts(w->c, "client_1", &n, &w->e));
	double one_ms = (double)(clock_mono_ns() - t0) / 1e6;
	assert_int_equal(n.files[FILE_STAGED] + n.files[FILE_DELIVERED], 33334);
	t0 = clock_mono_ns();
	OK(w, catalog_counts(w->c, NULL, &n, &w->e));
	double all_ms = (double)(clock_mono_ns() - t0) / 1e6;
	assert_int_equal(n.files[FILE_STAGED], 2000);
	struct catalog_file *f;
	size_t nf;
	t0 = clock_mono_ns();
	OK(w, catalog_files(w->c,
			    &(struct catalog_file_filter){
				.tenant = "client_2", .states = 1u << FILE_STAGED, .oldest_first = true, .limit = 100},
			    &w->a, &f, &nf, &w->e));
	double list_ms = (double)(clock_mono_ns() - t0) / 1e6;
	assert_int_equal(nf, 100);
	print_message("100,000 files: counts of a tenant %.1f ms, of all %.1f ms, 100 staged ones %.2f ms\n", one_ms,
		      all_ms, list_ms);
	assert_true(all_ms < 500 && list_ms < 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_same_upload, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_kill_at_commit, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_migration, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_older_ledger, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_newer_ledger, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_foreign_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_counts_are_fast, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threads, setup, teardown), /* last: it leaves a fault armed */
	};
	return cmocka_run_group_tests_name("durable", tests, NULL, NULL);
}
