/* test_metrics.c: the exposition text, the limit on series, and values from several threads. */
#include "metrics/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct metric_def rows = {
    "mysimbdp_rows_total", METRIC_COUNTER, "Rows.\nAll of \\them.", {"tenant", "rule"}};
static const struct metric_def up = {"mysimbdp_up", METRIC_GAUGE, "Up.", {0}};
static const double bounds[] = {0.1, 1, 0};
static const struct metric_def took = {"mysimbdp_took_seconds", METRIC_HISTOGRAM, "Took.", {"route"}, bounds};

static void test_text(void **state)
{
	(void)state;
	struct metrics *m = metrics_new();
	metric_add(m, &rows, 2, "client_a", "ty\"p\\e\n");
	metric_add(m, &rows, 3, "client_a", "ty\"p\\e\n");
	metric_add(m, &rows, 1, "client_b", "");
	metric_set(m, &up, 7);
	metric_set(m, &up, 0.25);
	metric_observe(m, &took, 0.1, "/x");
	metric_observe(m, &took, 0.5, "/x");
	metric_observe(m, &took, 5, "/x");
	struct buf b;
	buf_init(&b, 1 << 20);
	metrics_write(m, &b);
	assert_string_equal(buf_cstr(&b), "# HELP mysimbdp_rows_total Rows.\\nAll of \\\\them.\n"
					  "# TYPE mysimbdp_rows_total counter\n"
					  "mysimbdp_rows_total{tenant=\"client_a\",rule=\"ty\\\"p\\\\e\\n\"} 5\n"
					  "mysimbdp_rows_total{tenant=\"client_b\",rule=\"\"} 1\n"
					  "# HELP mysimbdp_up Up.\n# TYPE mysimbdp_up gauge\nmysimbdp_up 0.25\n"
					  "# HELP mysimbdp_took_seconds Took.\n# TYPE mysimbdp_took_seconds histogram\n"
					  "mysimbdp_took_seconds_bucket{route=\"/x\",le=\"0.1\"} 1\n"
					  "mysimbdp_took_seconds_bucket{route=\"/x\",le=\"1\"} 2\n"
					  "mysimbdp_took_seconds_bucket{route=\"/x\",le=\"+Inf\"} 3\n"
					  "mysimbdp_took_seconds_sum{route=\"/x\"} 5.5999999999999996\n"
					  "mysimbdp_took_seconds_count{route=\"/x\"} 3\n");
	buf_done(&b);
	metrics_free(m);
}

static size_t lines(struct metrics *m, const char *needle, size_t *ret_found)
{
	struct buf b;
	buf_init(&b, 64 << 20);
	metrics_write(m, &b);
	size_t n = 0;
	*ret_found = 0;
	for (const char *p = buf_cstr(&b); *p; p++)
		n += *p == '\n';
	for (const char *p = buf_cstr(&b); (p = strstr(p, needle)); p++)
		++*ret_found;
	assert_false(b.failed);
	buf_done(&b);
	return n;
}

static void test_series_limit(void **state)
{
	(void)state;
	struct metrics *m = metrics_new();
	for (int i = 0; i < METRIC_SERIES_MAX + 500; i++) {
		char tenant[32];
		snprintf(tenant, sizeof tenant, "t%d", i);
		metric_add(m, &rows, 1, tenant, "r");
	}
	size_t found;
	assert_int_equal(lines(m, "{tenant=\"other\",rule=\"other\"} 501\n", &found), METRIC_SERIES_MAX + 2);
	assert_int_equal(found, 1);
	metrics_free(m);
}

static void *count(void *arg)
{
	for (int i = 0; i < 10000; i++)
		metric_add(arg, &rows, 1, i & 1 ? "a" : "b", "r");
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	struct metrics *m = metrics_new();
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count, m), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	size_t found;
	lines(m, "\"} 20000\n", &found);
	assert_int_equal(found, 2);
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_series_limit),
	    cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
