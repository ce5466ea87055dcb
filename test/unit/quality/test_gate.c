/* test_gate.c: plans from documents, rules over hand-made batches, budgets, the second pass. */
#include "suite.h"

#include "base/clock.h"
#include "quality/gate.h"

#include <stdio.h>
#include <string.h>

static const char document[] =
    "{\"name\":\"n\",\"file_type\":\"csv\",\"key_space\":\"k\",\"csv.first.row.as.header\":\"true\",\"schema\":{"
    "\"type\":\"record\",\"name\":\"t\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"},"
    "{\"name\":\"v\",\"type\":[\"null\",\"double\"]},{\"name\":\"s\",\"type\":[\"null\",\"string\"]}]},"
    "\"primary_key\":[\"id\"],\"max_file_size_mb\":1}";

struct fixture {
	struct arena a;
	struct problems p;
	struct data_file *df;
	const struct quality_plan *plan;
	struct err e;
};

static void fixture_init(struct fixture *x, const char *quality)
{
	struct json *q = NULL;

	memset(x, 0, sizeof(*x));
	arena_init(&x->a, 64 << 20);
	problems_init(&x->p, "d", &x->a);
	x->df = data_file_parse(span_str(document), "d", &x->a, &x->p);
	assert_non_null(x->df);
	if (quality)
		assert_int_equal(json_parse(span_str(quality), &x->a, &q, &x->e), ERR_OK);
	x->plan = quality_plan_new(x->df, q, &x->a, &x->p);
}

static void fixture_done(struct fixture *x)
{
	data_file_done(x->df);
	arena_done(&x->a);
}

struct row {
	int64_t id;
	double v;
	bool v_null;
	const char *s; /* NULL: null */
};

/* A batch of n rows numbered from first. */
static struct batch *make_batch(const struct fixture *x, const struct row *row, uint32_t n, uint64_t first)
{
	static char data[4096];
	struct batch *b = batch_new(x->df->schema, n);
	uint32_t at = 0;

	assert_non_null(b);
	b->data = data;
	b->first_row = first;
	b->nrow = n;
	for (uint32_t r = 0; r < n; r++) {
		b->col[0].i64[r] = row[r].id;
		b->col[1].f64[r] = row[r].v;
		b->col[1].null[r] = row[r].v_null;
		b->col[1].any_null |= row[r].v_null;
		b->col[2].null[r] = row[r].s == NULL;
		b->col[2].any_null |= row[r].s == NULL;
		uint32_t len = row[r].s ? (uint32_t)strlen(row[r].s) : 0;
		memcpy(data + at, row[r].s ? row[r].s : "", len);
		b->col[2].ref[r] = (struct cell_ref){at, len};
		at += len;
	}
	return b;
}

static const struct row rows[] = {
    {1, 1.5, false, "one"}, {2, 0, true, "two"}, {3, 9.5, false, NULL}, {4, -1, false, "four"}, {2, 3, false, "two"},
};
#define NROWS 5

static void run_gate(struct fixture *x, const struct gate_options *opt, struct gate **ret_gate, struct verdict *v,
		     uint8_t bad[NROWS])
{
	struct gate *g = NULL;

	if (!x->plan) {
		struct buf b;
		buf_init(&b, 65536);
		problems_print(&x->p, &b, false);
		fail_msg("%s", buf_cstr(&b));
	}
	assert_int_equal(gate_new(x->plan, opt, &g, &x->e), ERR_OK);
	struct batch *b = make_batch(x, rows, 2, 1), *c = make_batch(x, rows + 2, 3, 3);
	/* Texts lie in one place: fill and give them one after the other. */
	batch_free(b);
	batch_free(c);
	b = make_batch(x, rows, 2, 1);
	assert_int_equal(gate_batch(g, b, &x->e), ERR_OK);
	memcpy(bad, b->bad, 2);
	c = make_batch(x, rows + 2, 3, 3);
	assert_int_equal(gate_batch(g, c, &x->e), ERR_OK);
	memcpy(bad + 2, c->bad, 3);
	assert_int_equal(gate_finish(g, v, &x->e), ERR_OK);
	batch_free(b);
	batch_free(c);
	*ret_gate = g;
}

/* Rules, expected rejected rows as text of 0 and 1 (before late ones), rejected in all, defects of a rule. */
static void check(const char *quality, const char *want, uint64_t rejected, const char *rule, uint64_t found,
		  bool refused)
{
	struct fixture x;
	struct verdict v;
	struct gate *g;
	uint8_t bad[NROWS];

	fixture_init(&x, quality);
	run_gate(&x, NULL, &g, &v, bad);
	for (int i = 0; i < NROWS; i++) {
		if (bad[i] != want[i] - '0')
			fail_msg("%s: row %d is %d", quality, i, bad[i]);
	}
	assert_int_equal(v.records, NROWS);
	assert_int_equal(v.rejected, rejected);
	assert_int_equal(v.accepted, NROWS - rejected);
	if (rule && verdict_defects(&v, rule) != found)
		fail_msg("%s: %s found %d", quality, rule, (int)verdict_defects(&v, rule));
	if (v.refused != refused)
		fail_msg("%s: refused %d: %s", quality, v.refused, v.reason);
	gate_free(g);
	fixture_done(&x);
}

static void test_rules(void **state)
{
	check(NULL, "00000", 0, NULL, 0, false);
	check("{}", "00000", 0, NULL, 0, false);
	check("{\"rules\":[{\"rule\":\"range\",\"column\":\"v\",\"min\":0,\"max\":5}]}", "00110", 2, "range", 2, false);
	check("{\"rules\":[{\"rule\":\"range\",\"column\":\"id\",\"max\":\"3\"}]}", "00010", 1, "range", 1, false);
	check("{\"rules\":[{\"rule\":\"range\",\"column\":\"id\",\"max\":3,\"action\":\"warn\"}]}", "00000", 0, "range",
	      1, false);
	check("{\"rules\":[{\"rule\":\"range\",\"column\":\"id\",\"max\":3,\"action\":\"file\"}]}", "00010", 1, "range",
	      1, true);
	check("{\"rules\":[{\"rule\":\"range\",\"column\":\"id\",\"max\":3,\"action\":\"file\",\"budget\":1}]}",
	      "00010", 1, "range", 1, false);
	check("{\"rules\":[{\"rule\":\"not_null\",\"column\":\"v\"}]}", "01000", 1, "not_null", 1, false);
	check("{\"rules\":[{\"rule\":\"not_null\",\"columns\":[\"v\",\"s\"]}]}", "01100", 2, "not_null", 2, false);
	check("{\"rules\":[{\"rule\":\"null_share\",\"column\":\"s\",\"max\":\"20%\"}]}", "00000", 0, "null_share", 0,
	      false);
	check("{\"rules\":[{\"rule\":\"null_share\",\"column\":\"s\",\"max\":\"19.99%\"}]}", "00000", 0, "null_share",
	      1, true);
	check("{\"rules\":[{\"rule\":\"row_count\",\"min\":6}]}", "00000", 0, NULL, 0, true);
	check("{\"rules\":[{\"rule\":\"row_count\",\"min\":5,\"max\":5}]}", "00000", 0, NULL, 0, false);
	check("{\"rules\":[{\"rule\":\"row_count\",\"min\":6,\"action\":\"warn\"}]}", "00000", 0, "row_count", 5,
	      false);
	check("{\"rules\":[{\"rule\":\"set\",\"column\":\"s\",\"in\":[\"one\",\"two\"]}]}", "00010", 1, "set", 1,
	      false);
	check("{\"rules\":[{\"rule\":\"set\",\"column\":\"id\",\"not_in\":[2,7]}]}", "01001", 2, "set", 2, false);
	check("{\"rules\":[{\"rule\":\"set\",\"column\":\"v\",\"in\":[1.5,9.5,-1,3]}]}", "00000", 0, "set", 0, false);
	check("{\"rules\":[{\"rule\":\"pattern\",\"column\":\"s\",\"pattern\":\"[a-z]{3}\"}]}", "00010", 1, "pattern",
	      1, false);
	check("{\"rules\":[{\"rule\":\"length\",\"column\":\"s\",\"min\":4}]}", "11001", 3, "length", 3, false);
	check("{\"rules\":[{\"rule\":\"compare\",\"columns\":[\"id\",\"v\"],\"op\":\"<\"}]}", "00010", 1, "compare", 1,
	      false);
	check("{\"rules\":[{\"rule\":\"unique\"}]}", "00000", 1, "unique", 1, false);
	check("{\"rules\":[{\"rule\":\"unique\",\"column\":\"s\"}]}", "00000", 1, "unique", 1, false);
	check("{\"rules\":[{\"rule\":\"unique\"},{\"rule\":\"unique\",\"column\":\"s\"}]}", "00000", 1, "unique", 1,
	      false);
	check("{\"rules\":[{\"rule\":\"unique\",\"columns\":[\"id\",\"v\"]}]}", "00000", 0, "unique", 0, false);
	check("{\"rules\":[{\"rule\":\"unique\",\"action\":\"file\"}]}", "00000", 1, "unique", 1, true);
	check("{\"rules\":[{\"rule\":\"unique\",\"action\":\"warn\"}]}", "00000", 0, "unique", 1, false);
	/* The second of the two is rejected by another rule: nothing is left to be equal. */
	check("{\"rules\":[{\"rule\":\"unique\"},{\"rule\":\"set\",\"column\":\"v\",\"not_in\":[3]}]}", "00001", 1,
	      "unique", 0, false);
	/* One record, two rules of one name: once per name, once rejected. */
	check("{\"rules\":[{\"rule\":\"range\",\"column\":\"v\",\"min\":0},{\"rule\":\"range\",\"column\":\"id\","
	      "\"max\":3}]}",
	      "00010", 1, "range", 1, false);
	check("{\"rules\":[{\"rule\":\"range\",\"column\":\"v\",\"min\":0,\"name\":\"a\"},"
	      "{\"rule\":\"range\",\"column\":\"id\",\"max\":3}]}",
	      "00010", 1, "a", 1, false);
	check("{\"max_rejected\":\"40%\",\"rules\":[{\"rule\":\"length\",\"column\":\"s\",\"max\":3},"
	      "{\"rule\":\"not_null\",\"column\":\"v\"}]}",
	      "01010", 2, NULL, 0, false);
	check("{\"max_rejected\":1,\"rules\":[{\"rule\":\"length\",\"column\":\"s\",\"max\":3},"
	      "{\"rule\":\"not_null\",\"column\":\"v\"}]}",
	      "01010", 2, NULL, 0, true);
	check("{\"max_rejected\":\"20%\",\"rules\":[{\"rule\":\"unique\"}]}", "00000", 1, NULL, 0, false);
	check("{\"max_rejected\":0,\"rules\":[{\"rule\":\"unique\"}]}", "00000", 1, NULL, 0, true);
}

static void test_second_pass(void **state)
{
	struct fixture x;
	struct verdict v, w;
	struct gate *g, *h;
	uint8_t bad[NROWS];

	fixture_init(&x, "{\"rules\":[{\"rule\":\"unique\"},{\"rule\":\"range\",\"column\":\"v\",\"max\":5}]}");
	assert_true(quality_plan_needs_whole_file(x.plan));
	run_gate(&x, NULL, &g, &v, bad);
	assert_int_equal(v.nlate, 1);
	assert_int_equal(v.late[0], 5);
	assert_int_equal(v.late_of[0], 2);
	struct gate_options opt = {.verdict = &v};
	run_gate(&x, &opt, &h, &w, bad);
	assert_memory_equal(bad, "\0\0\1\0\1", NROWS);
	assert_int_equal(w.rejected, 2);
	gate_free(h);
	gate_free(g);
	fixture_done(&x);
}

static void test_whole_file(void **state)
{
	static const struct {
		const char *quality;
		bool whole;
	} cases[] = {
	    {"{}", false},
	    {"{\"rules\":[{\"rule\":\"range\",\"column\":\"v\",\"min\":0}]}", false},
	    {"{\"rules\":[{\"rule\":\"range\",\"column\":\"v\",\"min\":0,\"action\":\"warn\",\"budget\":3}]}", false},
	    {"{\"rules\":[{\"rule\":\"range\",\"column\":\"v\",\"min\":0,\"budget\":\"1%\"}]}", true},
	    {"{\"rules\":[{\"rule\":\"range\",\"column\":\"v\",\"min\":0,\"action\":\"file\"}]}", true},
	    {"{\"rules\":[{\"rule\":\"row_count\",\"min\":1}]}", true},
	    {"{\"rules\":[{\"rule\":\"unique\"}]}", true},
	    {"{\"rules\":[{\"rule\":\"unique\",\"action\":\"warn\"}]}", false},
	    {"{\"max_rejected\":\"1%\"}", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture x;
		fixture_init(&x, cases[i].quality);
		assert_non_null(x.plan);
		assert_int_equal(quality_plan_needs_whole_file(x.plan), cases[i].whole);
		fixture_done(&x);
	}
}

/* Every problem of the document at once. */
static void test_problems(void **state)
{
	struct fixture x;
	struct buf b;

	fixture_init(
	    &x,
	    "{\"rules\":[{\"rule\":\"rnage\",\"column\":\"v\"},{\"rule\":\"regex\"},{\"rule\":\"range\",\"column\":"
	    "\"vv\"},"
	    "{\"rule\":\"range\",\"column\":\"s\",\"min\":1},{\"rule\":\"range\",\"column\":\"v\"},"
	    "{\"rule\":\"range\",\"column\":\"id\",\"min\":1.5},{\"rule\":\"range\",\"column\":\"id\",\"min\":5,"
	    "\"max\":1},"
	    "{\"rule\":\"set\",\"column\":\"id\",\"in\":[1,\"x\",2.5]},{\"rule\":\"range\",\"column\":\"id\",\"mni\":5,"
	    "\"max\":1},"
	    "{\"rule\":\"pattern\",\"column\":\"s\",\"pattern\":\"(\"},{\"rule\":\"age\",\"column\":\"s\",\"max\":"
	    "\"1d\"},"
	    "{\"rule\":\"row_count\",\"min\":1,\"action\":\"record\"},{\"rule\":\"unique\",\"budget\":\"101%\"},"
	    "{\"rule\":\"compare\",\"columns\":[\"id\",\"s\"],\"op\":\"<\"},{\"rule\":\"type\",\"action\":\"warn\"},"
	    "7,{},{\"rule\":\"file_age\",\"max\":\"1 "
	    "day\"},{\"rule\":\"date_format\",\"column\":\"s\",\"format\":\"%Q\"}],"
	    "\"max_rejected\":-1,\"rulez\":1}");
	assert_null(x.plan);
	assert_int_equal(x.p.errors, 22);
	buf_init(&b, 1 << 20);
	problems_print(&x.p, &b, false);
	static const char *const want[] = {
	    "did you mean \"range\"?",
	    "here it is called \"pattern\"",
	    "$.quality.rules[2].column",
	    "text has no range",
	    "\"min\" or \"max\" or both",
	    "a value of type long",
	    "$.quality.rules[7].in[1]",
	    "$.quality.rules[7].in[2]",
	    "did you mean \"min\"?",
	    "a ) for every (",
	    "say how the dates look",
	    "this rule judges the file as a whole",
	    "a share of the records like",
	    "comparable types",
	    "$.quality.rules[15]",
	    "did you mean \"rules\"?",
	    "\"24h\"",
	    "%Y %y %m",
	};
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		if (!strstr(buf_cstr(&b), want[i]))
			fail_msg("%s is not in\n%s", want[i], buf_cstr(&b));
	}
	buf_done(&b);
	fixture_done(&x);
}

static void test_verdict_document(void **state)
{
	struct fixture x;
	struct verdict v;
	struct gate *g;
	uint8_t bad[NROWS];
	struct buf b;
	struct jsonw w;

	fixture_init(&x, "{\"rules\":[{\"rule\":\"range\",\"column\":\"id\",\"max\":3,\"budget\":\"1%\"}]}");
	run_gate(&x, NULL, &g, &v, bad);
	buf_init(&b, 65536);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	verdict_write(&v, &w);
	jsonw_end(&w, '}');
	assert_string_equal(
	    buf_cstr(&b),
	    "{\"records\":5,\"accepted\":4,\"rejected\":1,\"defects\":{\"range\":1},\"rules\":[{\"rule\":\"range\","
	    "\"field\":\"id\",\"action\":\"record\",\"records\":1,\"budget\":\"1%\",\"budget_used_up\":true}],"
	    "\"refused\":true,\"reason\":\"rule \\\"range\\\" of id: 1 of 5 records break it, the budget is 1%\"}");
	buf_done(&b);
	gate_free(g);
	fixture_done(&x);
}

int run_gate_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules),    cmocka_unit_test(test_second_pass),      cmocka_unit_test(test_whole_file),
	    cmocka_unit_test(test_problems), cmocka_unit_test(test_verdict_document),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
