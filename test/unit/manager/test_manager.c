/*
 * test_manager.c: what a tick decides, without processes: schedules against the clock, which files are dealt, users,
 * staging, promotion of a hostile out/, workspaces of any depth, recovery of half-done promotions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "manager/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGREEMENT "{\"client\": \"acme\", \"schedule\": \"*/5 * * * *\", \"maxFilesPerRun\": 8}"
#define DATA_FILE                                                                                                      \
	"{\"name\": \"small\", \"file_type\": \"csv\", \"key_space\": \"ks\", \"csv.first.row.as.header\": true,"      \
	"\"schema\": {\"type\": \"record\", \"name\": \"small\", \"fields\": [{\"name\": \"id\", \"type\": "           \
	"\"string\"}]},"                                                                                               \
	"\"primary_key\": [\"id\"], \"max_file_size_mb\": 1}"

struct fixture {
	char dir[64];
	struct manager m;
	struct tenant_ctx *t;
};

#define OK(call)                                                                                                       \
	do {                                                                                                           \
		struct err e_ = {0}, *err = &e_;                                                                       \
		if (call)                                                                                              \
			fail_msg("%s", e_.msg);                                                                        \
	} while (0)

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const char *tables[] = {"ks.small", NULL}, *flags[] = {"apps.uid_base=0"};
	int64_t version;
	struct conf *conf;
	snprintf(f->dir, sizeof f->dir, "/tmp/test_manager.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	arena_init(&f->m.arena, 256 << 20);
	pthread_mutex_init(&f->m.lock, NULL);
	f->m.data = f->dir;
	OK(conf_load("/dev/null", flags, 1, &f->m.arena, &conf, err));
	f->m.conf = conf;
	OK(catalog_open_sqlite(f->dir, &f->m.catalog, err));
	OK(catalog_tenant_put(f->m.catalog, "acme", DATA_FILE, AGREEMENT, tables, &version, err));
	OK(tenants_refresh(&f->m, err));
	f->t = tenant_known(&f->m, "acme");
	assert_non_null(f->t);
	assert_non_null(f->t->agreement);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	tenants_free(&f->m);
	catalog_close(f->m.catalog);
	arena_done(&f->m.arena);
	OK(dir_remove_all(f->dir, err));
	free(f);
	return 0;
}

/* ---- schedules */

static int64_t at(const char *text)
{
	int64_t us;
	assert_true(timestamp_parse(text, strlen(text), &us));
	return us / 1000000;
}

static struct cron cron(const char *text, struct arena *a)
{
	struct cron c = {0};
	const char *wrong = cron_parse(span_str(text), a, &c);
	if (wrong)
		fail_msg("%s", wrong);
	return c;
}

static void test_due(void **state)
{
	struct arena a;
	arena_init(&a, 1 << 20);
	struct cron hourly = cron("0 * * * *", &a), yearly = cron("0 0 1 1 *", &a), minutely = cron("* * * * *", &a);
	struct due d = schedule_due(&hourly, at("2026-11-22T14:00:00Z"), at("2026-11-22T14:59:59Z"));
	assert_false(d.due || d.clock_back);
	d = schedule_due(&hourly, at("2026-11-22T14:00:00Z"), at("2026-11-22T15:00:00Z"));
	assert_true(d.due);
	assert_int_equal(d.at, at("2026-11-22T15:00:00Z"));
	assert_int_equal(d.missed, 0);
	/* Down for half a day: one catch-up, and how many were missed. */
	d = schedule_due(&hourly, at("2026-11-22T02:00:00Z"), at("2026-11-22T14:30:00Z"));
	assert_int_equal(d.at, at("2026-11-22T14:00:00Z"));
	assert_int_equal(d.missed, 11);
	/* More than can be counted: no 100-missed-starts trap. */
	d = schedule_due(&minutely, at("2025-01-01T00:00:30Z"), at("2026-11-22T14:30:40Z"));
	assert_true(d.due);
	assert_int_equal(d.at, at("2026-11-22T14:30:00Z"));
	assert_int_equal(d.missed, DUE_COUNT_MAX);
	d = schedule_due(&yearly, at("2023-06-01T00:00:00Z"), at("2026-11-22T00:00:00Z"));
	assert_int_equal(d.at, at("2026-01-01T00:00:00Z"));
	assert_int_equal(d.missed, 2);
	arena_done(&a);
}

static void test_due_every(void **state)
{
	struct arena a;
	arena_init(&a, 1 << 20);
	struct cron c = cron("@every 90s", &a);
	struct due d = schedule_due(&c, 1000, 1089);
	assert_false(d.due);
	d = schedule_due(&c, 1000, 1000 + 90 * 7 + 5);
	assert_int_equal(d.at, 1000 + 90 * 7);
	assert_int_equal(d.missed, 6);
	arena_done(&a);
}

static void test_due_clock_set_back(void **state)
{
	struct arena a;
	arena_init(&a, 1 << 20);
	struct cron c = cron("0 * * * *", &a);
	struct due d = schedule_due(&c, at("2026-11-22T15:00:00Z"), at("2026-11-22T14:59:50Z"));
	assert_false(d.due || d.clock_back); /* a few seconds are no change */
	d = schedule_due(&c, at("2026-11-22T15:00:00Z"), at("2026-11-22T13:10:00Z"));
	assert_true(d.clock_back && !d.due);
	arena_done(&a);
}

/* ---- dealing */

static void test_retry_rules(void **state)
{
	assert_int_equal(retry_pause_us(5, 1), 5 * US_PER_S);
	assert_int_equal(retry_pause_us(5, 3), 20 * US_PER_S);
	assert_int_equal(retry_pause_us(5, 60), 600 * US_PER_S);
	assert_int_equal(retry_pause_us(0, 9), 0);
	assert_int_equal(retry_size(8, true), 4);
	assert_int_equal(retry_size(1, true), 1);
	assert_int_equal(retry_size(8, false), 8);
	struct catalog_run r = {.state = RUN_FAILED, .exit_code = 3};
	assert_true(run_was_apps_fault(&r));
	r.exit_code = -1;
	assert_false(run_was_apps_fault(&r)); /* never started, or stopped */
	r.signal = 9;
	assert_true(run_was_apps_fault(&r));
	r.state = RUN_LOST;
	assert_false(run_was_apps_fault(&r));
}

static int64_t receive(struct fixture *f, const char *name, const char *content)
{
	struct arena a;
	struct catalog_file file;
	enum receive_result what;
	char sha[SHA256_HEX];
	uint8_t digest[SHA256_LEN];
	struct sha256 s;
	arena_init(&a, 1 << 20);
	OK(sha256_init(&s, err));
	sha256_add(&s, content, strlen(content));
	sha256_done(&s, digest);
	sha256_hex(digest, sha);
	OK(catalog_file_receive(f->m.catalog, "acme", name, strlen(content), sha, &a, &what, &file, err));
	assert_int_equal(what, RECEIVE_NEW);
	char *path = path_original(&a, f->dir, "acme", file.id);
	char *dir = arena_strndup(&a, path, (size_t)(path_base(path) - path - 1));
	OK(dir_make(dir, 0700, err));
	OK(file_write_atomic(path, content, strlen(content), 0600, err));
	int64_t id = file.id;
	OK(manager_stage(&f->m, &file, err));
	arena_done(&a);
	return id;
}

static void test_stage(void **state)
{
	struct fixture *f = *state;
	struct catalog_file file;
	struct stat o, l;
	int64_t id = receive(f, "a b.csv", "id\n1\n");
	char *original = path_original(&f->m.arena, f->dir, "acme", id),
	     *name = path_staged(&f->m.arena, f->dir, "acme", "a b.csv");
	OK(catalog_file_get(f->m.catalog, id, &f->m.arena, &file, err));
	assert_int_equal(file.state, FILE_STAGED);
	assert_int_equal(lstat(original, &o), 0);
	assert_int_equal(lstat(name, &l), 0);
	assert_int_equal(o.st_ino, l.st_ino);
	assert_int_equal(o.st_mode & 07777, 0440);
	OK(manager_stage(&f->m, &file, err)); /* again: nothing happens */
	OK(catalog_file_move(f->m.catalog, id, 0, FILE_DELETED, 0, "deleted", err));
	OK(manager_unstage(&f->m, &file, err));
	assert_int_equal(access(original, F_OK), -1);
	assert_int_equal(access(name, F_OK), -1);
	struct catalog_erasure *er;
	size_t n;
	OK(catalog_erasures(f->m.catalog, "acme", 0, &f->m.arena, &er, &n, err));
	assert_int_equal(n, 1);
	assert_int_equal(er[0].id, id);
	OK(manager_unstage(&f->m, &file, err));
}

/* Start and end a run in the ledger only. */
static int64_t run_of(struct fixture *f, const struct deal *d, enum run_state end, int exit_code)
{
	int64_t ids[64], run;
	for (size_t i = 0; i < d->n; i++)
		ids[i] = d->files[i].id;
	struct catalog_run r = {.tenant = "acme",
				.app = "default",
				.trigger = "manual",
				.reason = "",
				.limits = "",
				.cgroup = "",
				.files_in = d->n,
				.started_us = clock_now_us()};
	OK(catalog_run_start(f->m.catalog, &r, ids, d->n, &run, err));
	r.id = run;
	r.state = end;
	r.exit_code = exit_code;
	r.ended_us = clock_now_us();
	OK(catalog_run_end(f->m.catalog, &r, NULL, 0, err));
	return run;
}

static struct deal deal(struct fixture *f, enum trigger want)
{
	struct deal d;
	OK(deal_select(&f->m, f->t, 0, want, 0, &f->m.arena, &d, err));
	return d;
}

static void test_halving_down_to_the_bad_one(void **state)
{
	struct fixture *f = *state;
	int64_t ids[10], bad;
	char name[32];
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof name, "f%d.csv", i);
		ids[i] = receive(f, name, name);
	}
	bad = ids[5];
	struct deal d = deal(f, TRIGGER_SCHEDULE);
	assert_int_equal(d.n, 8); /* maxFilesPerRun, oldest first */
	assert_int_equal(d.files[0].id, ids[0]);
	assert_int_equal(d.waiting, 10);
	assert_int_equal(d.highest, ids[9]);
	run_of(f, &d, RUN_FAILED, 7);
	assert_int_equal(deal(f, TRIGGER_RETRY).n, 0); /* the pause of 5 s */
	assert_true(deal(f, TRIGGER_RETRY).retry_at_us > clock_now_us());
	d = deal(f, TRIGGER_SCHEDULE); /* bad data never stops good data */
	assert_int_equal(d.n, 2);
	run_of(f, &d, RUN_SUCCEEDED, 0);
	/* By hand there is no pause: halves, until the bad one is alone. */
	size_t sizes[32], n = 0;
	for (;;) {
		d = deal(f, TRIGGER_MANUAL);
		if (!d.n)
			break;
		assert_int_equal(d.trigger, TRIGGER_RETRY);
		bool has_bad = false;
		for (size_t i = 0; i < d.n; i++)
			has_bad |= d.files[i].id == bad;
		sizes[n++] = d.n;
		assert_true(n < 20);
		run_of(f, &d, has_bad ? RUN_FAILED : RUN_SUCCEEDED, has_bad ? 7 : 0);
		if (has_bad && d.n == 1)
			OK(catalog_file_move(f->m.catalog, bad, 1u << FILE_STAGED, FILE_FAILED, 0, "parked", err));
	}
	static const size_t expected[] = {4, 4, 2, 1, 1, 2};
	/* 4 good; 4 with the bad one; of those the half with it: 1 good or bad, the other; then the last 2. */
	assert_true(n >= 5 && n <= 7);
	assert_int_equal(sizes[0], expected[0]);
	assert_int_equal(sizes[1], expected[1]);
	assert_int_equal(sizes[2], expected[2]);
	struct catalog_counts c;
	OK(catalog_counts(f->m.catalog, "acme", &c, err));
	assert_int_equal(c.files[FILE_FAILED], 1);
	assert_int_equal(c.files[FILE_DELIVERED], 9);
}

static void test_lost_runs_are_repeated_whole(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 6; i++) {
		char name[32];
		snprintf(name, sizeof name, "f%d.csv", i);
		receive(f, name, name);
	}
	struct deal d = deal(f, TRIGGER_SCHEDULE);
	run_of(f, &d, RUN_LOST, -1);
	d = deal(f, TRIGGER_MANUAL);
	assert_int_equal(d.n, 6);
	run_of(f, &d, RUN_FAILED, -1); /* could not be started */
	assert_int_equal(deal(f, TRIGGER_MANUAL).n, 6);
}

/* ---- users */

static void test_users(void **state)
{
	struct fixture *f = *state;
	const char *flags[] = {"apps.uid_base=3000000"};
	struct conf *conf;
	uid_t a, b, again;
	OK(user_of(&f->m, "acme", &a, err));
	assert_int_equal(a, 0);
	OK(conf_load("/dev/null", flags, 1, &f->m.arena, &conf, err));
	f->m.conf = conf;
	f->m.separate_users = true;
	OK(user_of(&f->m, "acme", &a, err));
	OK(user_of(&f->m, "acme-2", &b, err));
	OK(user_of(&f->m, "acme", &again, err));
	assert_int_equal(a, 3000000);
	assert_int_equal(b, 3000001);
	assert_int_equal(again, a);
}

/* ---- workspaces and promotion */

static void test_remove_hostile_tree(void **state)
{
	struct fixture *f = *state;
	char ws[128], cwd[512];
	snprintf(ws, sizeof ws, "%s/ws", f->dir);
	assert_non_null(getcwd(cwd, sizeof cwd));
	assert_int_equal(mkdir(ws, 0700), 0);
	assert_int_equal(chdir(ws), 0);
	for (int i = 0; i < 3000; i++) { /* far beyond PATH_MAX */
		assert_int_equal(mkdir("deep", 0700), 0);
		assert_int_equal(chdir("deep"), 0);
		close(open("file", O_CREAT | O_WRONLY, 0));
	}
	assert_int_equal(chdir(ws), 0);
	assert_int_equal(symlink("/etc", "link"), 0);
	assert_int_equal(mkdir("locked", 0700), 0);
	assert_int_equal(mkdir("locked/in", 0700), 0);
	assert_int_equal(chmod("locked/in", 0) | chmod("locked", 0), 0);
	assert_int_equal(mkfifo("pipe", 0600), 0);
	assert_int_equal(chdir(cwd), 0);
	OK(workspace_remove(ws, err));
	assert_int_equal(access(ws, F_OK), -1);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
	OK(workspace_remove(ws, err));
}

static struct run_slot slot(struct fixture *f, int64_t run, struct catalog_file *files, size_t n)
{
	struct run_slot s = {.m = &f->m, .run = run, .tenant = "acme", .app = "default", .files = files, .nfiles = n};
	arena_init(&s.arena, 64 << 20);
	arena_init(&s.taking, 64 << 20);
	s.workspace = workspace_path(&s.arena, f->dir, run);
	char *out = arena_printf(&s.arena, "%s/acme/out", s.workspace);
	OK(dir_make(out, 0700, err));
	return s;
}

static void put(struct run_slot *s, const char *name, const char *content)
{
	char *path = arena_printf(&s->arena, "%s/acme/out/%s", s->workspace, name);
	OK(file_write_atomic(path, content, strlen(content), 0600, err));
}

static void test_promotion_may_be_cut_anywhere(void **state)
{
	struct fixture *f = *state;
	int64_t a = receive(f, "a.csv", "id\n1\n"), b = receive(f, "b.csv", "id\n2\n");
	struct deal d = deal(f, TRIGGER_SCHEDULE);
	int64_t ids[] = {a, b}, run;
	struct catalog_run r = {
	    .tenant = "acme", .app = "default", .trigger = "manual", .reason = "", .limits = "", .cgroup = ""};
	OK(catalog_run_start(f->m.catalog, &r, ids, 2, &run, err));
	struct run_slot s = slot(f, run, d.files, d.n);
	struct promoted p;
	put(&s, "b-result.csv", "id\n2\n");
	put(&s, "a.csv", "id\n1\n");
	put(&s, "other.csv", "id\n3\n");
	OK(promote_take(&s, &p, err));
	OK(promote_take(&s, &p, err)); /* as after a crash */
	assert_int_equal(p.n, 3);
	assert_string_equal(p.outputs[0].name, "a.csv"); /* in the order of the inputs */
	assert_string_equal(p.outputs[0].source, "a.csv");
	assert_string_equal(p.outputs[1].name, "b-result.csv");
	assert_string_equal(p.outputs[1].source, "b.csv");
	assert_string_equal(p.outputs[2].source, "");
	assert_string_equal(p.warnings, "");
	r.id = run;
	r.state = RUN_SUCCEEDED;
	OK(catalog_run_end(f->m.catalog, &r, p.outputs, p.n, err));
	OK(promote_place(f->m.catalog, f->dir, "acme", run, &s.arena, err));
	OK(promote_place(f->m.catalog, f->dir, "acme", run, &s.arena, err));
	struct catalog_output *o;
	size_t n;
	OK(catalog_outputs(f->m.catalog, "acme", 1u << OUTPUT_WAITING, 0, 0, &s.arena, &o, &n, err));
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(access(path_output(&s.arena, f->dir, "acme", o[i].id, o[i].name), R_OK), 0);
	assert_int_equal(access(promoted_dir(&s.arena, f->dir, "acme", run), F_OK), -1);
	arena_done(&s.arena);
	arena_done(&s.taking);
}

static void test_promotion_of_a_replaced_out(void **state)
{
	struct fixture *f = *state;
	struct run_slot s = slot(f, 7, NULL, 0);
	struct promoted p;
	struct err e = {0};
	char *out = arena_printf(&s.arena, "%s/acme/out", s.workspace);
	assert_int_equal(rmdir(out), 0);
	assert_int_equal(symlink("/etc", out), 0);
	assert_int_equal(promote_take(&s, &p, &e), ERR_REFUSED);
	assert_non_null(strstr(e.msg, "no directory"));
	arena_done(&s.arena);
	arena_done(&s.taking);
}

static void test_promotion_limits(void **state)
{
	struct fixture *f = *state;
	struct run_slot s = slot(f, 8, NULL, 0);
	struct promoted p;
	struct err e = {0};
	s.spec.max_output_bytes = 6;
	put(&s, "one", "12345");
	put(&s, "two", "12345");
	assert_int_equal(promote_take(&s, &p, &e), ERR_REFUSED);
	assert_non_null(strstr(e.msg, "apps.max_output"));
	arena_done(&s.arena);
	arena_done(&s.taking);
}

static void test_twin_is_copied(void **state)
{
	struct fixture *f = *state;
	struct run_slot s = slot(f, 9, NULL, 0);
	struct promoted p;
	char *out = arena_printf(&s.arena, "%s/acme/out/x.csv", s.workspace),
	     *twin = arena_printf(&s.arena, "%s/twin", f->dir);
	put(&s, "x.csv", "id\n1\n");
	assert_int_equal(link(out, twin), 0);
	OK(promote_take(&s, &p, err));
	assert_int_equal(p.n, 1);
	struct stat st;
	char *now = arena_printf(&s.arena, "%s/x.csv", promoted_dir(&s.arena, f->dir, "acme", 9));
	assert_int_equal(stat(now, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(stat(twin, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	arena_done(&s.arena);
	arena_done(&s.taking);
}

/* ---- retention */

static void test_retention_waits_for_delivery(void **state)
{
	struct fixture *f = *state;
	const char *tables[] = {"ks.small", NULL};
	int64_t version, done = receive(f, "done.csv", "id\n1\n"), staged = receive(f, "staged.csv", "id\n2\n");
	struct catalog_file file;
	OK(catalog_file_move(f->m.catalog, done, 0, FILE_DELIVERED, 0, "delivered", err));
	retention_tick(&f->m); /* absent: everything is kept */
	assert_int_equal(access(path_original(&f->m.arena, f->dir, "acme", done), F_OK), 0);
	OK(catalog_tenant_put(f->m.catalog, "acme", DATA_FILE,
			      "{\"client\": \"acme\", \"data_retention_period_days\": 1}", tables, &version, err));
	OK(tenants_refresh(&f->m, err));
	retention_tick(&f->m); /* not a day old */
	assert_int_equal(access(path_original(&f->m.arena, f->dir, "acme", done), F_OK), 0);
	OK(catalog_tenant_put(f->m.catalog, "acme", DATA_FILE,
			      "{\"client\": \"acme\", \"data_retention_period_days\": 0}", tables, &version, err));
	OK(tenants_refresh(&f->m, err));
	retention_tick(&f->m);
	assert_int_equal(access(path_original(&f->m.arena, f->dir, "acme", done), F_OK), -1);
	assert_int_equal(access(path_original(&f->m.arena, f->dir, "acme", staged), F_OK), 0);
	OK(catalog_file_get(f->m.catalog, done, &f->m.arena, &file, err));
	assert_int_equal(file.state, FILE_EXPIRED);
	struct catalog_erasure *er;
	size_t n;
	OK(catalog_erasures(f->m.catalog, "acme", 0, &f->m.arena, &er, &n, err));
	assert_int_equal(n, 1);
	assert_string_equal(er[0].why, "data_retention_period_days");
}

static void test_count_records(void **state)
{
	struct fixture *f = *state;
	atomic_bool stop = false;
	struct csv_dialect d = {.separator = ',', .quote = '"', .escape = '"', .header = true, .charset = "UTF-8"};
	char path[128];
	const char text[] = "id,n\n1,\"a\nb\"\n\n2,x\n";
	snprintf(path, sizeof path, "%s/x.csv", f->dir);
	OK(file_write_atomic(path, text, sizeof text - 1, 0600, err));
	assert_int_equal(count_records(path, &d, &stop), 2);
	d.header = false;
	assert_int_equal(count_records(path, &d, &stop), 3);
	assert_int_equal(count_records("/nonexistent", &d, &stop), -1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_due),
	    cmocka_unit_test(test_due_every),
	    cmocka_unit_test(test_due_clock_set_back),
	    cmocka_unit_test(test_retry_rules),
	    T(test_stage),
	    T(test_halving_down_to_the_bad_one),
	    T(test_lost_runs_are_repeated_whole),
	    T(test_users),
	    T(test_remove_hostile_tree),
	    T(test_promotion_may_be_cut_anywhere),
	    T(test_promotion_of_a_replaced_out),
	    T(test_promotion_limits),
	    T(test_twin_is_copied),
	    T(test_retention_waits_for_delivery),
	    T(test_count_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
