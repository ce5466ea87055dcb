/* test_base.c: errors, arenas, buffers, JSON with places, problems, clock, files, queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/problems.h"
#include "base/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_err(void **state)
{
	struct err e = {0};
	assert_int_equal(err_sys(&e, ENOSPC, "write \"%s\"", "a"), ERR_NOSPACE);
	assert_string_equal(e.msg, "write \"a\": No space left on device");
	assert_true(e.retriable);
	assert_int_equal(err_prefix(&e, "upload %d", 7), ERR_NOSPACE);
	assert_string_equal(e.msg, "upload 7: write \"a\": No space left on device");
	assert_int_equal(err_info(ERR_NOSPACE)->http, 507);
	assert_int_equal(err_info((enum err_code)999)->http, 500);
	for (int c = 0; c < ERR_COUNT; c++)
		assert_non_null(err_info((enum err_code)c)->name);
}

static void test_arena(void **state)
{
	struct arena a;
	arena_init(&a, 64 << 10);
	for (int i = 0; i < 100; i++) {
		char *p = arena_alloc(&a, 100);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (int k = 0; k < 100; k++)
			assert_int_equal(p[k], 0);
		memset(p, 0xff, 100);
	}
	assert_null(arena_alloc(&a, 64 << 10));
	assert_null(arena_array(&a, SIZE_MAX / 2, 4));
	assert_true(a.held <= a.limit);
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 40 << 10));
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 5), "x-5");
	arena_done(&a);
	assert_int_equal(a.held, 0);
}

static void test_buf(void **state)
{
	struct buf b;
	buf_init(&b, 10);
	buf_str(&b, "12345");
	buf_printf(&b, "%d", 67890);
	assert_false(b.failed);
	assert_string_equal(buf_cstr(&b), "1234567890");
	buf_char(&b, 'x');
	assert_true(b.failed);
	assert_int_equal(b.n, 10);
	buf_done(&b);
}

static void test_json_places(void **state)
{
	struct arena a;
	struct err e = {0};
	struct json *root;
	arena_init(&a, 1 << 20);
	const char *text =
	    "{\n  \"n\\u0061me\": \"v\\\"x\",\n  \"é\": [1, -2.50, 222277164261810113006, true, null, {}]\n}";
	assert_int_equal(json_parse(span_str(text), &a, &root, &e), ERR_OK);
	const struct json *v = json_get(root, "name");
	assert_non_null(v);
	assert_string_equal(v->s.p, "v\"x");
	assert_int_equal(v->line, 2);
	assert_int_equal(v->key_col, 3);
	assert_int_equal(v->col, 16);
	v = json_get(root, "é");
	assert_int_equal(v->count, 6);
	assert_int_equal(v->line, 3);
	assert_int_equal(v->col, 8);
	const struct json *c = v->child;
	assert_int_equal(c->i, 1);
	c = c->next;
	assert_string_equal(c->s.p, "-2.50");
	c = c->next;
	assert_int_equal(c->type, JN_REAL);
	assert_string_equal(c->s.p, "222277164261810113006");
	c = c->next;
	assert_true(c->b);
	assert_int_equal(c->next->type, JN_NULL);
	assert_int_equal(c->next->next->type, JN_OBJECT);
	assert_int_equal(c->next->next->col, 54);
	arena_done(&a);
}

static void test_json_errors(void **state)
{
	static const char *const bad[] = {"", "{", "{\"a\":1,\"a\":2}", "[1,]", "\"\xff\"", "nul", "{} x"};
	struct arena a;
	struct json *root;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err e = {0};
		assert_int_equal(json_parse(span_str(bad[i]), &a, &root, &e), ERR_DOCUMENT);
		assert_non_null(strstr(e.msg, "line 1, column"));
	}
	arena_done(&a);
}

static void test_json_write(void **state)
{
	struct buf b;
	struct jsonw w;
	buf_init(&b, 1 << 16);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	jsonw_kstr(&w, "a\"", "x\ny\x01\xc3\xa9\xff");
	jsonw_key(&w, "list");
	jsonw_begin(&w, '[');
	jsonw_double(&w, 0.1);
	jsonw_double(&w, 1e300 * 1e300);
	jsonw_int(&w, INT64_MIN);
	jsonw_end(&w, ']');
	jsonw_end(&w, '}');
	assert_string_equal(
	    buf_cstr(&b), "{\"a\\\"\":\"x\\ny\\u0001\xc3\xa9\xef\xbf\xbd\",\"list\":[0.1,null,-9223372036854775808]}");
	buf_done(&b);
}

static void test_problems(void **state)
{
	struct arena a;
	struct problems p;
	struct buf out;
	struct json *root;
	struct err e = {0};
	arena_init(&a, 1 << 20);
	buf_init(&out, 1 << 16);
	problems_init(&p, "doc.json", &a);
	assert_int_equal(json_parse(span_str("{\"type\":\n  \"integer\"}"), &a, &root, &e), ERR_OK);
	problem_add(&p, PROBLEM_ERROR, root->child, "$.type", NULL, "one of int, long", "did you mean \"int\"?");
	problem_add(&p, PROBLEM_ERROR, NULL, "$.name", NULL, "a text", "");
	problems_print(&p, &out, false);
	assert_string_equal(
	    buf_cstr(&out),
	    "doc.json:2:3: error: $.type: found \"integer\"; allowed: one of int, long; did you mean \"int\"?\n"
	    "doc.json: error: $.name: missing; allowed: a text\n");
	static const char *const names[] = {"schedule", "resources", "client"};
	assert_string_equal(nearest_name("shedule", names, 3), "schedule");
	assert_string_equal(nearest_name("cleint", names, 3), "client");
	assert_null(nearest_name("zebra", names, 3));
	buf_done(&out);
	arena_done(&a);
}

static void test_clock(void **state)
{
	int64_t v, y;
	unsigned m, d;
	char out[40];
	assert_int_equal(days_from_civil(1970, 1, 1), 0);
	assert_int_equal(days_from_civil(2000, 3, 1), 11017);
	for (int64_t day = -800000; day < 800000; day += 37) {
		civil_from_days(day, &y, &m, &d);
		assert_true(date_valid(y, m, d));
		assert_int_equal(days_from_civil(y, m, d), day);
	}
	assert_true(date_parse("2024-02-29", 10, &v));
	assert_false(date_parse("2015-02-30", 10, &v));
	assert_false(date_parse("2015-2-03", 9, &v));
	assert_true(timestamp_parse("2026-11-22T14:32:05.123456Z", 27, &v));
	out[timestamp_format(v, 6, out)] = 0;
	assert_string_equal(out, "2026-11-22T14:32:05.123456Z");
	assert_true(timestamp_parse("2026-11-22 14:32:05+02:00", 25, &v));
	assert_string_equal(rfc3339(v, out), "2026-11-22T12:32:05.000Z");
	assert_false(timestamp_parse("2026-11-22T24:00:00Z", 20, &v));
	assert_false(timestamp_parse("2026-11-22T14:32:05.1234567Z", 28, &v));
	assert_true(time_parse("23:59", 5, &v));
	assert_false(time_parse("23:59:", 6, &v));
	assert_string_equal(rfc3339(-1, out), "1969-12-31T23:59:59.999Z");
}

static void test_files(void **state)
{
	char dir[] = "/tmp/test_base.XXXXXX";
	struct err e = {0};
	struct arena a;
	struct span text;
	arena_init(&a, 1 << 20);
	assert_non_null(mkdtemp(dir));
	char *deep = path_join(&a, dir, "a/b/c");
	assert_int_equal(dir_make(deep, 0700, &e), ERR_OK);
	char *file = path_join(&a, deep, "f");
	assert_int_equal(file_write_atomic(file, "hello", 5, 0600, &e), ERR_OK);
	assert_int_equal(file_read(file, 5, &a, &text, &e), ERR_OK);
	assert_true(span_is(text, "hello"));
	assert_int_equal(file_read(file, 4, &a, &text, &e), ERR_TOO_BIG);
	assert_int_equal(file_read("/nonexistent", 4, &a, &text, &e), ERR_NOT_FOUND);
	char hex[SHA256_HEX];
	uint64_t size;
	assert_int_equal(sha256_file(file, hex, &size, &e), ERR_OK);
	assert_string_equal(hex, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	assert_int_equal(symlink("/etc", path_join(&a, deep, "link")), 0);
	assert_int_equal(dir_remove_all(dir, &e), ERR_OK);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
	assert_int_equal(dir_remove_all(dir, &e), ERR_OK);
	arena_done(&a);
}

static void *producer(void *arg)
{
	for (intptr_t i = 1; i <= 10000; i++)
		queue_put(arg, (void *)i);
	queue_close(arg);
	return NULL;
}

static void test_queue(void **state)
{
	struct queue q;
	pthread_t t;
	queue_init(&q, 3);
	pthread_create(&t, NULL, producer, &q);
	void *item;
	intptr_t want = 1;
	while (queue_get(&q, &item))
		assert_int_equal((intptr_t)item, want++);
	assert_int_equal(want, 10001);
	pthread_join(t, NULL);
	assert_false(queue_put(&q, NULL));
	queue_done(&q);
}

/* What a field holds can neither begin a line of its own nor steer a terminal. */
static void test_log_of_hostile_values(void **state)
{
	char line[1024];
	int p[2], keep = dup(STDERR_FILENO);
	assert_int_equal(pipe(p), 0);
	dup2(p[1], STDERR_FILENO);
	log_info("hello", LF("a", "%s", "x\b\xc2\x9by"), LF("b", "%s", "x\ny=1"), LF("c", "%s", "plain-\xc3\xa4"),
		 LF("d", "%s", ""));
	dup2(keep, STDERR_FILENO);
	close(keep);
	close(p[1]);
	ssize_t n = read(p[0], line, sizeof line - 1);
	close(p[0]);
	assert_true(n > 0);
	line[n] = 0;
	assert_non_null(strstr(line, " a=\"x\\b\\u009by\" b=\"x\\ny=1\" c=plain-\xc3\xa4 d=\"\"\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_err),
	    cmocka_unit_test(test_arena),
	    cmocka_unit_test(test_buf),
	    cmocka_unit_test(test_json_places),
	    cmocka_unit_test(test_json_errors),
	    cmocka_unit_test(test_json_write),
	    cmocka_unit_test(test_problems),
	    cmocka_unit_test(test_clock),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_queue),
	    cmocka_unit_test(test_log_of_hostile_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
