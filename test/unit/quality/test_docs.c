/* test_docs.c: the table of rules in docs/quality.md is the one of the program. UPDATE_DOCS=1 writes it. */
#include "suite.h"

#include "base/fd.h"
#include "quality/rule.h"

#include <stdlib.h>

static const char begin[] = "<!-- rules: written by the unit test of quality/, UPDATE_DOCS=1 -->\n";
static const char end[] = "<!-- end of rules -->\n";

static void test_table(void **state)
{
	const char *docs = getenv("MYSIMBDP_DOCS");
	struct arena a;
	struct span text;
	struct err e = {0};
	struct buf table, all;

	if (!docs)
		skip();
	arena_init(&a, 4 << 20);
	const char *path = path_join(&a, docs, "quality.md");
	assert_int_equal(file_read(path, 1 << 20, &a, &text, &e), ERR_OK);
	buf_init(&table, 1 << 16);
	rules_write_docs(&table);
	const char *from = strstr(text.p, begin), *to = from ? strstr(from, end) : NULL;
	assert_non_null(to);
	from += sizeof(begin) - 1;
	if (getenv("UPDATE_DOCS")) {
		buf_init(&all, 1 << 20);
		buf_add(&all, text.p, (size_t)(from - text.p));
		buf_add(&all, table.p, table.n);
		buf_str(&all, to);
		assert_int_equal(file_write_atomic(path, all.p, all.n, 0644, &e), ERR_OK);
		buf_done(&all);
	} else if (!span_eq((struct span){from, (size_t)(to - from)}, (struct span){table.p, table.n})) {
		fail_msg("docs/quality.md differs from the rules; it should be\n%s", buf_cstr(&table));
	}
	buf_done(&table);
	arena_done(&a);
}

int run_docs_tests(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};

	return cmocka_run_group_tests_name("docs", tests, NULL, NULL);
}
