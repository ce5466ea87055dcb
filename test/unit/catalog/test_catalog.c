/* test_catalog.c: the ledger in SQLite: what each call promises. */
#include "base/clock.h"
#include "base/fd.h"
#include "catalog/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

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
	strcpy(w->dir, "/tmp/test_catalog.XXXXXX");
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

static void reopen(struct world *w)
{
	catalog_close(w->c);
	OK(w, catalog_open_sqlite(w->dir, &w->c, &w->e));
}

static const char *sha(char c)
{
	static char hex[26][65];
	memset(hex[c - 'a'], c, 64);
	return hex[c - 'a'];
}

/* ---- tenants */

static void test_tenants(void **state)
{
	struct world *w = *state;
	int64_t v = 0;
	struct catalog_tenant t, *all;
	size_t n;
	const char *tables[] = {"Space.Table", NULL}, *same[] = {"SPACE.tAbLe", NULL};
	OK(w, catalog_tenant_put(w->c, "client_a", "{1}", "{2}", tables, &v, &w->e));
	assert_int_equal(v, 1);
	OK(w, catalog_tenant_put(w->c, "client_a", "{1}", "{2}", tables, &v, &w->e));
	assert_int_equal(v, 1);
	OK(w, catalog_tenant_put(w->c, "client_a", "{1}", "{3}", tables, &v, &w->e));
	assert_int_equal(v, 2);
	assert_int_equal(catalog_tenant_put(w->c, "client-a", "{1}", "{2}", NULL, &v, &w->e), ERR_CONFLICT);
	assert_non_null(strstr(w->e.msg, "client_a"));
	assert_int_equal(catalog_tenant_put(w->c, "client_b", "{1}", "{2}", same, &v, &w->e), ERR_CONFLICT);
	assert_null(strstr(w->e.msg, "client_a"));
	assert_int_equal(catalog_tenant_get(w->c, "client_b", &w->a, &t, &w->e), ERR_NOT_FOUND);
	OK(w, catalog_tenant_put(w->c, "client_b", "b", "c", NULL, &v, &w->e));
	OK(w, catalog_tenant_pause(w->c, "client_b", true, &w->e));
	reopen(w);
	OK(w, catalog_tenant_get(w->c, "client_a", &w->a, &t, &w->e));
	assert_string_equal(t.agreement, "{3}");
	assert_int_equal(t.version, 2);
	OK(w, catalog_tenant_version(w->c, "client_a", 1, &w->a, &t, &w->e));
	assert_string_equal(t.agreement, "{2}");
	assert_int_equal(catalog_tenant_version(w->c, "client_a", 9, &w->a, &t, &w->e), ERR_NOT_FOUND);
	OK(w, catalog_tenants(w->c, &w->a, &all, &n, &w->e));
	assert_int_equal(n, 2);
	assert_string_equal(all[1].id, "client_b");
	assert_true(all[1].paused);
}

static void test_tokens(void **state)
{
	struct world *w = *state;
	uint8_t one[SHA256_LEN] = {1}, two[SHA256_LEN] = {2};
	const char *owner;
	OK(w, catalog_token_put(w->c, one, "client_a", &w->e));
	OK(w, catalog_token_find(w->c, one, &w->a, &owner, &w->e));
	assert_string_equal(owner, "client_a");
	OK(w, catalog_token_put(w->c, two, "client_a", &w->e));
	assert_int_equal(catalog_token_find(w->c, one, &w->a, &owner, &w->e), ERR_NOT_FOUND);
	OK(w, catalog_token_put(w->c, one, "", &w->e));
	OK(w, catalog_token_find(w->c, one, &w->a, &owner, &w->e));
	assert_string_equal(owner, "");
}

/* ---- files */

static struct catalog_file receive(struct world *w, const char *name, char c, enum receive_result want)
{
	struct catalog_file f;
	enum receive_result what;
	OK(w, catalog_file_receive(w->c, "client_a", name, 100, sha(c), &w->a, &what, &f, &w->e));
	assert_int_equal(what, want);
	return f;
}

static void test_receive(void **state)
{
	struct world *w = *state;
	struct catalog_file f = receive(w, "x.csv", 'a', RECEIVE_NEW);
	assert_int_equal(f.state, FILE_RECEIVED);
	assert_int_equal(receive(w, "x.csv", 'a', RECEIVE_REPEAT).id, f.id);
	assert_int_equal(receive(w, "x.csv", 'b', RECEIVE_CONFLICT).id, f.id);
	OK(w, catalog_file_move(w->c, f.id, 1u << FILE_RECEIVED, FILE_PROCESSED, 0, NULL, &w->e));
	struct catalog_file g = receive(w, "x.csv", 'b', RECEIVE_NEW);
	assert_int_not_equal(g.id, f.id);
	OK(w, catalog_file_move(w->c, g.id, 0, FILE_DELIVERED, 0, "there", &w->e));
	/* The first content again is a correction taken back, and a new file. */
	struct catalog_file h = receive(w, "x.csv", 'a', RECEIVE_NEW);
	assert_true(h.id > g.id);
	OK(w, catalog_file_move(w->c, h.id, 0, FILE_DELETED, 0, NULL, &w->e));
	assert_int_equal(receive(w, "x.csv", 'b', RECEIVE_REPEAT).id, g.id);
	int64_t id;
	OK(w, catalog_file_refuse(w->c, "client_a", "x.csv", 7, "too big", &id, &w->e));
	OK(w, catalog_file_get(w->c, id, &w->a, &f, &w->e));
	assert_string_equal(f.status, "too big");
	assert_int_equal(receive(w, "x.csv", 'b', RECEIVE_REPEAT).id, g.id);
}

static void test_move(void **state)
{
	struct world *w = *state;
	struct catalog_file f = receive(w, "x.csv", 'a', RECEIVE_NEW);
	assert_int_equal(catalog_file_move(w->c, f.id, 1u << FILE_STAGED, FILE_DELETED, 0, NULL, &w->e), ERR_CONFLICT);
	assert_int_equal(catalog_file_move(w->c, 999, 0, FILE_DELETED, 0, NULL, &w->e), ERR_NOT_FOUND);
	OK(w, catalog_file_move(w->c, f.id, 0, FILE_STAGED, 0, "in staging", &w->e));
	OK(w, catalog_file_event(w->c, f.id, "note", "hello", &w->e));
	OK(w, catalog_file_get(w->c, f.id, &w->a, &f, &w->e));
	assert_int_equal(f.state, FILE_STAGED);
	assert_string_equal(f.status, "in staging");
	struct catalog_event *ev;
	size_t n;
	OK(w, catalog_file_events(w->c, f.id, &w->a, &ev, &n, &w->e));
	assert_int_equal(n, 3);
	assert_string_equal(ev[0].what, "received");
	assert_string_equal(ev[1].text, "in staging");
	assert_string_equal(ev[2].text, "hello");
}

static size_t listed(struct world *w, struct catalog_file_filter f, int64_t *first)
{
	struct catalog_file *files;
	size_t n;
	OK(w, catalog_files(w->c, &f, &w->a, &files, &n, &w->e));
	*first = n ? files[0].id : 0;
	return n;
}

static void test_list(void **state)
{
	struct world *w = *state;
	int64_t first, ids[6];
	for (int i = 0; i < 6; i++) {
		char name[8] = {(char)('a' + i), 0};
		ids[i] = receive(w, name, 'a', RECEIVE_NEW).id;
		if (i % 2)
			OK(w, catalog_file_move(w->c, ids[i], 0, FILE_STAGED, 0, NULL, &w->e));
	}
	unsigned staged = 1u << FILE_STAGED, both = staged | 1u << FILE_RECEIVED;
	assert_int_equal(listed(w, (struct catalog_file_filter){0}, &first), 6);
	assert_int_equal(first, ids[5]);
	assert_int_equal(listed(w, (struct catalog_file_filter){.oldest_first = true}, &first), 6);
	assert_int_equal(first, ids[0]);
	assert_int_equal(listed(w, (struct catalog_file_filter){.tenant = "client_a", .before = ids[3]}, &first), 3);
	assert_int_equal(first, ids[2]);
	assert_int_equal(
	    listed(w, (struct catalog_file_filter){.tenant = "client_a", .before = ids[3], .oldest_first = true},
		   &first),
	    2);
	assert_int_equal(listed(w, (struct catalog_file_filter){.tenant = "client_a", .states = staged}, &first), 3);
	assert_int_equal(listed(w, (struct catalog_file_filter){.states = staged, .oldest_first = true}, &first), 3);
	assert_int_equal(first, ids[1]);
	assert_int_equal(listed(w, (struct catalog_file_filter){.states = both, .limit = 4}, &first), 4);
	assert_int_equal(listed(w, (struct catalog_file_filter){.tenant = "client_a", .states = both}, &first), 6);
	assert_int_equal(listed(w, (struct catalog_file_filter){.tenant = "nobody"}, &first), 0);
	assert_int_equal(listed(w, (struct catalog_file_filter){.name = "b", .states = staged}, &first), 1);
	assert_int_equal(listed(w, (struct catalog_file_filter){.tenant = "client_a", .name = "b"}, &first), 1);
	assert_int_equal(listed(w, (struct catalog_file_filter){.name = "b", .states = both}, &first), 1);
	struct catalog_counts n;
	OK(w, catalog_counts(w->c, "client_a", &n, &w->e));
	assert_int_equal(n.files[FILE_STAGED], 3);
	assert_int_equal(n.backlog_bytes, 600);
	OK(w, catalog_counts(w->c, NULL, &n, &w->e));
	assert_int_equal(n.files[FILE_RECEIVED], 3);
	assert_true(n.oldest_us > 0);
}

/* ---- runs and outputs */

static int64_t staged(struct world *w, const char *name, char c)
{
	struct catalog_file f = receive(w, name, c, RECEIVE_NEW);
	OK(w, catalog_file_move(w->c, f.id, 0, FILE_STAGED, 0, NULL, &w->e));
	return f.id;
}

static enum file_state state_of(struct world *w, int64_t id)
{
	struct catalog_file f;
	OK(w, catalog_file_get(w->c, id, &w->a, &f, &w->e));
	return f.state;
}

static int64_t start(struct world *w, const int64_t *files, size_t n)
{
	struct catalog_run r = {.tenant = "client_a",
				.app = "default",
				.trigger = "schedule",
				.scheduled_us = 60000000,
				.records_in = -1,
				.records_out = -1};
	int64_t id;
	OK(w, catalog_run_start(w->c, &r, files, n, &id, &w->e));
	return id;
}

static void test_run(void **state)
{
	struct world *w = *state;
	int64_t f[2] = {staged(w, "1.csv", 'a'), staged(w, "2.csv", 'b')}, us;
	int64_t run = start(w, f, 2);
	assert_int_equal(state_of(w, f[0]), FILE_ASSIGNED);
	struct catalog_run again = {.tenant = "client_a", .app = "default"};
	assert_int_equal(catalog_run_start(w->c, &again, f, 1, &us, &w->e), ERR_CONFLICT);
	OK(w, catalog_run_child(w->c, run, 77, 88, "/cg", &w->e));
	struct catalog_run r;
	OK(w, catalog_run_get(w->c, run, &w->a, &r, &w->e));
	assert_int_equal(r.state, RUN_RUNNING);
	assert_int_equal(r.bytes_in, 200);
	assert_int_equal(r.pid_start, 88);
	r.state = RUN_FAILED;
	r.reason = "exit code 3";
	r.exit_code = 3;
	OK(w, catalog_run_end(w->c, &r, NULL, 0, &w->e));
	assert_int_equal(catalog_run_end(w->c, &r, NULL, 0, &w->e), ERR_CONFLICT);
	struct catalog_file file;
	OK(w, catalog_file_get(w->c, f[1], &w->a, &file, &w->e));
	assert_int_equal(file.state, FILE_STAGED);
	assert_int_equal(file.attempts, 1);
	assert_non_null(strstr(file.status, "exit code 3"));
	OK(w, catalog_last_schedule(w->c, "client_a", "default", &us, &w->e));
	assert_int_equal(us, 60000000);

	run = start(w, f, 2);
	OK(w, catalog_run_get(w->c, run, &w->a, &r, &w->e));
	r.state = RUN_SUCCEEDED;
	struct catalog_output_new out[] = {{"1.csv", 10, sha('c'), "1.csv"}, {"2.csv", 20, sha('d'), "2.csv"}};
	OK(w, catalog_run_end(w->c, &r, out, 2, &w->e));
	assert_int_equal(state_of(w, f[0]), FILE_PROCESSED);
	struct catalog_output *o;
	size_t n;
	OK(w, catalog_outputs(w->c, "client_a", 1u << OUTPUT_WAITING, run, 0, &w->a, &o, &n, &w->e));
	assert_int_equal(n, 2);
	OK(w, catalog_outputs(w->c, "client_a", 1u << OUTPUT_WAITING, 0, 0, &w->a, &o, &n, &w->e));
	assert_int_equal(n, 2);
	OK(w, catalog_output_checked(w->c, o[0].id, 5, 4, 1, false, "", "{}", &w->e));
	assert_int_equal(state_of(w, f[0]), FILE_PROCESSED);
	OK(w, catalog_output_checked(w->c, o[1].id, 3, 0, 3, true, "3 of 3 rejected", "{}", &w->e));
	assert_int_equal(state_of(w, f[0]), FILE_CHECKED);
	OK(w, catalog_delivery(w->c, o[0].id, "coredms", 0, 4, 4, 0, 0, &w->e));
	OK(w, catalog_output_done(w->c, o[0].id, OUTPUT_DELIVERED, "", &w->e));
	assert_int_equal(state_of(w, f[0]), FILE_DELIVERED);
	OK(w, catalog_file_get(w->c, f[1], &w->a, &file, &w->e));
	assert_int_equal(file.state, FILE_REFUSED);
	assert_non_null(strstr(file.status, "3 of 3 rejected"));
	struct catalog_counts counts;
	OK(w, catalog_counts(w->c, "client_a", &counts, &w->e));
	assert_int_equal(counts.accepted, 4);
	assert_int_equal(counts.delivered, 4);
	assert_int_equal(counts.outputs_waiting, 0);
	struct catalog_file *files;
	OK(w, catalog_run_files(w->c, run, &w->a, &files, &n, &w->e));
	assert_int_equal(n, 2);
}

static void test_run_without_output(void **state)
{
	struct world *w = *state;
	int64_t f = staged(w, "1.csv", 'a');
	struct catalog_run r = {.id = start(w, &f, 1), .state = RUN_SUCCEEDED};
	OK(w, catalog_run_end(w->c, &r, NULL, 0, &w->e));
	assert_int_equal(state_of(w, f), FILE_DELIVERED);
}

static void test_skip_folds(void **state)
{
	struct world *w = *state;
	struct catalog_run *r;
	size_t n;
	for (int i = 1; i <= 3; i++)
		OK(w, catalog_run_skip(w->c, "client_a", "default", i * 60, "nothing is staged", &w->e));
	OK(w, catalog_run_skip(w->c, "client_a", "other", 5, "nothing is staged", &w->e));
	OK(w, catalog_run_skip(w->c, "client_a", "default", 240, "the tenant is paused", &w->e));
	OK(w, catalog_run_skip(w->c, "client_a", "default", 300, "nothing is staged", &w->e));
	OK(w, catalog_runs(w->c, "client_a", 0, 0, &w->a, &r, &n, &w->e));
	assert_int_equal(n, 4);
	assert_int_equal(r[3].repeats, 2);
	assert_int_equal(r[3].scheduled_us, 180);
	assert_int_equal(r[0].repeats, 0);
	int64_t us;
	OK(w, catalog_last_schedule(w->c, "client_a", "default", &us, &w->e));
	assert_int_equal(us, 300);
	OK(w, catalog_schedule_seen(w->c, "client_a", "default", 100, &w->e));
	OK(w, catalog_last_schedule(w->c, "client_a", "default", &us, &w->e));
	assert_int_equal(us, 300);
}

static struct catalog_output added(struct world *w, const char *name, char c, bool again, bool want)
{
	struct catalog_output o;
	bool existing;
	OK(w, catalog_output_add(w->c, "", name, 10, sha(c), again, &existing, &w->a, &o, &w->e));
	assert_int_equal(existing, want);
	return o;
}

static void test_output_identity(void **state)
{
	struct world *w = *state;
	int64_t id = added(w, "x.csv", 'a', false, false).id;
	assert_int_equal(added(w, "x.csv", 'a', false, true).id, id);
	assert_true(added(w, "x.csv", 'b', false, false).id > id);
	int64_t again = added(w, "x.csv", 'a', true, false).id;
	assert_true(again > id);
	assert_int_equal(added(w, "x.csv", 'a', false, true).id, again);
	struct catalog_output *o;
	size_t n;
	OK(w, catalog_outputs_after(w->c, "", id, &w->a, &o, &n, &w->e));
	assert_int_equal(n, 2);
	assert_int_equal(o[1].id, again);
}

static void test_versions(void **state)
{
	struct world *w = *state;
	int64_t a = added(w, "a", 'a', false, false).id, b = added(w, "b", 'b', false, false).id, base, next;
	int64_t hour = INT64_C(3600000000);
	OK(w, catalog_output_versions(w->c, a, "S.T", hour, &base, &w->e));
	assert_true(base <= clock_now_us());
	OK(w, catalog_output_versions(w->c, b, "s.t", 10, &next, &w->e));
	assert_true(next > base + hour);
	int64_t other;
	OK(w, catalog_output_versions(w->c, a, "s.t", hour - 5, &other, &w->e));
	assert_int_equal(other, base);
	OK(w, catalog_output_versions(w->c, a, "s.t", hour + 1, &other, &w->e));
	assert_true(other > next + 10);
	OK(w, catalog_output_versions(w->c, b, "s.other", 20, &other, &w->e));
	assert_true(other <= clock_now_us());
	assert_int_equal(catalog_output_versions(w->c, 99, "s.t", 1, &other, &w->e), ERR_NOT_FOUND);
}

static void test_delivery_upserts(void **state)
{
	struct world *w = *state;
	int64_t id = added(w, "a", 'a', false, false).id;
	struct catalog_output o;
	OK(w, catalog_delivery(w->c, id, "coredms", 0, 100, 100, 3, 0, &w->e));
	OK(w, catalog_delivery(w->c, id, "coredms", 0, 100, 100, 3, 0, &w->e));
	OK(w, catalog_delivery(w->c, id, "coredms", 100, 150, 49, 0, 1, &w->e));
	OK(w, catalog_output_get(w->c, id, &w->a, &o, &w->e));
	assert_int_equal(o.delivered, 149);
	assert_int_equal(o.superseded, 3);
	assert_int_equal(o.refused_by_sink, 1);
	/* Reconciled after a restart: the store has more than the ledger knew. */
	OK(w, catalog_delivery(w->c, id, "coredms", 0, 200, 199, 3, 1, &w->e));
	OK(w, catalog_delivery(w->c, id, "coredms", 100, 150, 50, 0, 0, &w->e));
	OK(w, catalog_output_get(w->c, id, &w->a, &o, &w->e));
	assert_int_equal(o.delivered, 199);
	OK(w, catalog_output_checked(w->c, id, 210, 200, 10, false, "", "{}", &w->e));
	OK(w, catalog_output_replayed(w->c, id, 4, 1, &w->e));
	OK(w, catalog_output_replayed(w->c, id, 4, 1, &w->e));
	OK(w, catalog_output_get(w->c, id, &w->a, &o, &w->e));
	assert_int_equal(o.delivered, 204);
	assert_int_equal(o.refused_by_sink, 0);
	assert_int_equal(o.accepted, 204);
	assert_int_equal(o.rejected, 6);
}

/* ---- workers, jobs and the rest */

static void test_jobs(void **state)
{
	struct world *w = *state;
	int64_t epoch, id;
	struct catalog_job j;
	const char **names;
	size_t n;
	OK(w, catalog_epoch_next(w->c, "client_a", &epoch, &w->e));
	assert_int_equal(epoch, 1);
	OK(w, catalog_job_next(w->c, "client_a", &w->a, &j, &w->e));
	assert_int_equal(j.id, 0);
	OK(w, catalog_job_add(w->c, "client_a", "replay", "{\"rule\":\"type\"}", &id, &w->e));
	OK(w, catalog_jobs_waiting(w->c, &w->a, &names, &n, &w->e));
	assert_int_equal(n, 1);
	OK(w, catalog_job_next(w->c, "client_a", &w->a, &j, &w->e));
	assert_int_equal(j.id, id);
	assert_string_equal(j.params, "{\"rule\":\"type\"}");
	OK(w, catalog_job_next(w->c, "client_a", &w->a, &j, &w->e));
	assert_int_equal(j.id, 0);
	OK(w, catalog_epoch_next(w->c, "client_a", &epoch, &w->e));
	OK(w, catalog_job_next(w->c, "client_a", &w->a, &j, &w->e));
	assert_int_equal(j.id, id);
	OK(w, catalog_job_end(w->c, id, true, "{}", &w->e));
	assert_int_equal(catalog_job_end(w->c, id, true, "{}", &w->e), ERR_CONFLICT);
	OK(w, catalog_job_get(w->c, id, &w->a, &j, &w->e));
	assert_int_equal(j.state, JOB_DONE);
	assert_true(j.ended_us > 0);
}

static void test_erasures_and_children(void **state)
{
	struct world *w = *state;
	struct catalog_erasure *x;
	struct catalog_child *ch, add = {.pid = 5, .pid_start = 6, .kind = "run", .tenant = "client_a", .ref = 9};
	size_t n;
	OK(w, catalog_erased(w->c, "client_a", "file", 3, "x.csv", 10, "older than 7 days", &w->e));
	OK(w, catalog_erasures(w->c, "client_a", 0, &w->a, &x, &n, &w->e));
	assert_int_equal(n, 1);
	assert_string_equal(x[0].why, "older than 7 days");
	OK(w, catalog_child_add(w->c, &add, &w->e));
	OK(w, catalog_child_add(w->c, &add, &w->e));
	reopen(w);
	OK(w, catalog_children(w->c, &w->a, &ch, &n, &w->e));
	assert_int_equal(n, 1);
	assert_int_equal(ch[0].ref, 9);
	OK(w, catalog_child_remove(w->c, 5, 6, &w->e));
	OK(w, catalog_children(w->c, &w->a, &ch, &n, &w->e));
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_tenants, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_tokens, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_receive, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_move, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_list, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_run, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_run_without_output, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_skip_folds, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_output_identity, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_delivery_upserts, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_jobs, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_erasures_and_children, setup, teardown),
	};
	return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
