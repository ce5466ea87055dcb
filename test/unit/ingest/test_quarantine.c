/* test_quarantine.c: rejected records are kept verbatim, once, and survive a kill. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "ingest/quarantine.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	char dir[64];
	struct quarantine *q;
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
	strcpy(w->dir, "/tmp/test_quarantine.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	arena_init(&w->a, 256 << 20);
	OK(w, quarantine_open(w->dir, &w->q, &w->e));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	quarantine_close(w->q);
	arena_done(&w->a);
	OK(w, dir_remove_all(w->dir, &w->e));
	free(w);
	return 0;
}

static struct quarantine_entry entry(int64_t output, uint64_t row, const char *raw)
{
	return (struct quarantine_entry){.output = output,
					 .file = "x.csv",
					 .row = row,
					 .line = row + 1,
					 .offset = 10 * row,
					 .column = 3,
					 .stage = "type",
					 .rule = "type",
					 .field = "N",
					 .reason = "\"five\" is no int",
					 .raw = span_str(raw),
					 .header = SPAN_LIT("A,N"),
					 .at_us = 1000};
}

static void add(struct world *w, int64_t output, uint64_t row, const char *raw)
{
	struct quarantine_entry en = entry(output, row, raw);
	OK(w, quarantine_add(w->q, &en, &w->e));
}

static size_t list(struct world *w, struct quarantine_filter f, struct quarantine_entry **ret)
{
	size_t n;
	OK(w, quarantine_list(w->q, &f, &w->a, ret, &n, &w->e));
	return n;
}

static void test_verbatim(void **state)
{
	struct world *w = *state;
	static const char odd[] = "a\n\"b\0c\",\xff\xfe\r\n d";
	struct quarantine_entry en = entry(1, 7, ""), *got;
	struct stat st;
	char path[128];
	en.raw = (struct span){odd, sizeof odd - 1};
	OK(w, quarantine_add(w->q, &en, &w->e));
	OK(w, quarantine_commit(w->q, &w->e));
	assert_int_equal(list(w, (struct quarantine_filter){0}, &got), 1);
	assert_true(span_eq(got->raw, en.raw));
	assert_true(span_is(got->header, "A,N"));
	assert_string_equal(got->file, "x.csv");
	assert_int_equal(got->row, 7);
	assert_int_equal(got->line, 8);
	assert_int_equal(got->offset, 70);
	assert_int_equal(got->column, 3);
	assert_int_equal(got->at_us, 1000);
	assert_string_equal(got->reason, en.reason);
	assert_string_equal(got->state, "open");
	assert_false(got->cut);
	snprintf(path, sizeof path, "%s/quarantine.db", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(path, sizeof path, "%s/quarantine.db-wal", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_repeat_doubles_nothing(void **state)
{
	struct world *w = *state;
	struct quarantine_entry *got;
	for (int pass = 0; pass < 3; pass++) {
		for (uint64_t row = 1; row <= 100; row++)
			add(w, 1, row, "x,y");
		OK(w, quarantine_commit(w->q, &w->e));
	}
	assert_int_equal(list(w, (struct quarantine_filter){.limit = 1000}, &got), 100);
	/* What came out stays out when the pass is repeated once more. */
	OK(w, quarantine_set_state(w->q, got[4].id, "replayed", &w->e));
	OK(w, quarantine_commit(w->q, &w->e));
	for (uint64_t row = 1; row <= 100; row++)
		add(w, 1, row, "x,y");
	OK(w, quarantine_commit(w->q, &w->e));
	assert_int_equal(list(w, (struct quarantine_filter){.limit = 1000}, &got), 99);
	assert_int_equal(list(w, (struct quarantine_filter){.state = "replayed"}, &got), 1);
	assert_int_equal(got->row, 5);
	struct quarantine_sums *s;
	size_t n;
	OK(w, quarantine_sum(w->q, 0, &w->a, &s, &n, &w->e));
	assert_int_equal(n, 1);
	assert_int_equal(s->open, 99);
	assert_int_equal(s->replayed, 1);
}

static void test_filters(void **state)
{
	struct world *w = *state;
	struct quarantine_entry *got, en;
	add(w, 1, 1, "a");
	add(w, 1, 2, "b");
	en = entry(2, 1, "c");
	en.file = "y.csv";
	en.rule = "not_null";
	en.field = "M";
	OK(w, quarantine_add(w->q, &en, &w->e));
	en.stage = "sink";
	en.rule = "refused";
	OK(w, quarantine_add(w->q, &en, &w->e));
	OK(w, quarantine_commit(w->q, &w->e));
	assert_int_equal(list(w, (struct quarantine_filter){0}, &got), 4);
	assert_int_equal(list(w, (struct quarantine_filter){.output = 2}, &got), 2);
	assert_int_equal(list(w, (struct quarantine_filter){.file = "y.csv", .rule = "not_null"}, &got), 1);
	assert_int_equal(list(w, (struct quarantine_filter){.field = "N"}, &got), 2);
	assert_int_equal(list(w, (struct quarantine_filter){.limit = 3}, &got), 3);
	assert_int_equal(list(w, (struct quarantine_filter){.limit = 3, .after = got[2].id}, &got), 1);
	assert_int_equal(list(w, (struct quarantine_filter){.id = got[0].id}, &got), 1);
	assert_int_equal(list(w, (struct quarantine_filter){.bytes = 2}, &got), 2);
	assert_int_equal(list(w, (struct quarantine_filter){.rule = "' OR 1=1 --"}, &got), 0);
	struct quarantine_count *c;
	size_t n;
	OK(w, quarantine_counts(w->q, 0, &w->a, &c, &n, &w->e));
	assert_int_equal(n, 3);
	assert_string_equal(c[0].rule, "type");
	assert_int_equal(c[0].open, 2);
	OK(w, quarantine_counts(w->q, 2, &w->a, &c, &n, &w->e));
	assert_int_equal(n, 2);
	struct quarantine_sums *s;
	OK(w, quarantine_sum(w->q, 2, &w->a, &s, &n, &w->e));
	assert_int_equal(s->open, 1);
	assert_int_equal(s->sink_open, 1);
}

static void test_cut(void **state)
{
	struct world *w = *state;
	struct quarantine_entry *got, en = entry(1, 1, "start of a long row");
	en.rule = RULE_ROW_TOO_LONG;
	OK(w, quarantine_add(w->q, &en, &w->e));
	char *big = malloc(QUARANTINE_RAW_MAX + 10);
	memset(big, 'x', QUARANTINE_RAW_MAX + 10);
	en = entry(1, 2, "");
	en.raw = (struct span){big, QUARANTINE_RAW_MAX + 10};
	OK(w, quarantine_add(w->q, &en, &w->e));
	OK(w, quarantine_commit(w->q, &w->e));
	free(big);
	assert_int_equal(list(w, (struct quarantine_filter){.bytes = 1 << 30}, &got), 2);
	assert_true(got[0].cut);
	assert_true(got[1].cut);
	assert_int_equal(got[1].raw.n, QUARANTINE_RAW_MAX);
}

static void test_states(void **state)
{
	struct world *w = *state;
	struct quarantine_entry *got;
	uint64_t n;
	struct quarantine_sums *s;
	size_t ns;
	for (uint64_t row = 1; row <= 4; row++)
		add(w, 1, row, "secret");
	OK(w, quarantine_commit(w->q, &w->e));
	assert_int_equal(list(w, (struct quarantine_filter){0}, &got), 4);
	assert_int_equal(quarantine_set_state(w->q, 999, "replayed", &w->e), ERR_NOT_FOUND);
	assert_int_equal(quarantine_set_state(w->q, got[0].id, "gone", &w->e), ERR_INVALID);
	OK(w, quarantine_set_state(w->q, got[0].id, "replayed", &w->e));
	OK(w, quarantine_set_state(w->q, got[1].id, "erased", &w->e));
	struct quarantine_entry en = got[2];
	en.rule = "range";
	en.stage = "quality";
	en.reason = "7 is over 5";
	OK(w, quarantine_set_reason(w->q, &en, &w->e));
	OK(w, quarantine_commit(w->q, &w->e));
	assert_int_equal(list(w, (struct quarantine_filter){.state = "erased"}, &got), 1);
	assert_int_equal(got->raw.n, 0);
	assert_int_equal(list(w, (struct quarantine_filter){.rule = "range"}, &got), 1);
	assert_string_equal(got->reason, "7 is over 5");
	OK(w, quarantine_expire(w->q, 1000, &n, &w->e));
	assert_int_equal(n, 0);
	OK(w, quarantine_expire(w->q, 1001, &n, &w->e));
	assert_int_equal(n, 4);
	assert_int_equal(list(w, (struct quarantine_filter){.state = "*"}, &got), 0);
	OK(w, quarantine_sum(w->q, 1, &w->a, &s, &ns, &w->e));
	assert_int_equal(s->open, 0);
	assert_int_equal(s->replayed, 1);
	assert_int_equal(s->erased, 3);
}

static void test_readonly(void **state)
{
	struct world *w = *state;
	struct quarantine *r;
	struct quarantine_entry *got, en = entry(1, 2, "b");
	size_t n;
	assert_int_equal(quarantine_open_readonly("/nonexistent", &r, &w->e), ERR_NOT_FOUND);
	add(w, 1, 1, "a");
	OK(w, quarantine_commit(w->q, &w->e));
	OK(w, quarantine_add(w->q, &en, &w->e)); /* not committed: a reader does not see it, nor wait for it */
	OK(w, quarantine_open_readonly(w->dir, &r, &w->e));
	OK(w, quarantine_list(r, &(struct quarantine_filter){0}, &w->a, &got, &n, &w->e));
	assert_int_equal(n, 1);
	assert_int_not_equal(quarantine_set_state(r, got->id, "replayed", &w->e), ERR_OK);
	quarantine_close(r);
}

static void test_newer_format(void **state)
{
	struct world *w = *state;
	char cmd[256];
	quarantine_close(w->q);
	w->q = NULL;
	snprintf(cmd, sizeof cmd,
		 "sqlite3 %s/quarantine.db \"PRAGMA user_version=7; UPDATE meta SET value='9.1' "
		 "WHERE key='program'\"",
		 w->dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(quarantine_open(w->dir, &w->q, &w->e), ERR_VERSION);
	assert_non_null(strstr(w->e.msg, "format 7"));
	assert_non_null(strstr(w->e.msg, "up to 1"));
	assert_non_null(strstr(w->e.hint, "9.1"));
}

/* A child adds without end and is killed; what it reported as committed is there, whole and once. */
static void test_kill(void **state)
{
	struct world *w = *state;
	for (int round = 0; round < 5; round++) {
		int p[2];
		uint64_t committed = 0, got_n;
		assert_int_equal(pipe(p), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct quarantine *q;
			struct err e = {0};
			if (quarantine_open(w->dir, &q, &e))
				_exit(1);
			for (uint64_t row = 1;; row++) {
				struct quarantine_entry en = entry(100 + round, row, "killed,while,writing");
				if (quarantine_add(q, &en, &e))
					_exit(1);
				if (row % 50 == 0 && (quarantine_commit(q, &e) || write(p[1], &row, sizeof row) < 0))
					_exit(1);
			}
		}
		close(p[1]);
		for (int i = 0; i < 3 + 7 * round; i++)
			assert_int_equal(read(p[0], &committed, sizeof committed), sizeof committed);
		kill(pid, SIGKILL);
		while (read(p[0], &got_n, sizeof got_n) == sizeof got_n)
			committed = got_n;
		close(p[0]);
		waitpid(pid, NULL, 0);
		struct quarantine_sums *s;
		size_t n;
		OK(w, quarantine_sum(w->q, 100 + round, &w->a, &s, &n, &w->e));
		assert_int_equal(n, 1);
		assert_true(s->open >= committed);
		assert_int_equal(s->open % 50, 0);
	}
}

/* A full disk: the error is told, what was not committed is gone, and the next attempt works. */
static void test_no_space(void **state)
{
	struct world *w = *state;
	struct quarantine_entry *got;
	pid_t pid = fork();
	if (pid == 0) {
		struct quarantine *q;
		struct err e = {0};
		setenv("MYSIMBDP_FAULT", "quarantine.commit=enospc@1", 1);
		fault_setup();
		struct quarantine_entry en = entry(1, 1, "a");
		if (quarantine_open(w->dir, &q, &e) || quarantine_add(q, &en, &e))
			_exit(1);
		if (quarantine_commit(q, &e) != ERR_NOSPACE || !e.retriable)
			_exit(2);
		en = entry(1, 2, "b");
		if (quarantine_add(q, &en, &e) || quarantine_commit(q, &e))
			_exit(3);
		quarantine_close(q);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(list(w, (struct quarantine_filter){0}, &got), 1);
	assert_int_equal(got->row, 2);
}

static void test_rate(void **state)
{
	struct world *w = *state;
	const uint64_t rows = 200000;
	static const char raw[] =
	    "HKD,2222771642618,6828878457269,1,1,13,6,222277164261810113006,01/08/2019 11:38:33,541783,29639";
	int64_t t0 = clock_mono_ns();
	for (uint64_t row = 1; row <= rows; row++)
		add(w, 1, row, raw);
	OK(w, quarantine_commit(w->q, &w->e));
	double s = (double)(clock_mono_ns() - t0) / 1e9;
	print_message("quarantine: %.0f records/s\n", (double)rows / s);
	struct quarantine_count *c;
	size_t n;
	t0 = clock_mono_ns();
	OK(w, quarantine_counts(w->q, 0, &w->a, &c, &n, &w->e));
	print_message("counts of %llu records: %.0f ms\n", (unsigned long long)c[0].open,
		      (double)(clock_mono_ns() - t0) / 1e6);
	assert_int_equal(c[0].open, rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_verbatim, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_repeat_doubles_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_states, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_readonly, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_newer_format, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
	};
	return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}
