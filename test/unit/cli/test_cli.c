/* test_cli.c: options of a verb, and what tables and readable numbers look like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/term.h"

#include <stdlib.h>
#include <string.h>

static enum err_code nothing(const struct cli *cli, struct err *e)
{
	return ERR_OK;
}

static const struct cli_option options[] = {{"to", 't', "URI", "where", NULL}, {"again", 0, NULL, "anew", NULL}, {0}};
static const struct verb verb = {"ingest", "FILE...", "s", options, 1, 2, NULL, nothing, false};
const struct verb *const verbs[] = {&verb};
const size_t nverbs = 1;

static enum err_code parse(struct arena *a, struct cli *cli, struct err *e, const char *const *argv)
{
	int argc = 0;
	while (argv[argc])
		argc++;
	*cli = (struct cli){.verb = &verb, .arena = a};
	return cli_parse(cli, argc, (char **)argv, e);
}

#define PARSE(...) parse(&a, &cli, &e, (const char *const[]){__VA_ARGS__, NULL})

static void test_options(void **state)
{
	struct arena a;
	struct cli cli;
	struct err e = {0};
	arena_init(&a, 1 << 20);
	assert_int_equal(PARSE("--to", "x", "f", "--again", "--to=y", "-tz"), ERR_OK);
	assert_string_equal(cli_get(&cli, "to"), "z");
	assert_true(cli_has(&cli, "again"));
	assert_false(cli_has(&cli, "json"));
	assert_int_equal(cli.argc, 1);
	assert_string_equal(cli_all(&cli, "to")[1], "y");
	assert_null(cli_all(&cli, "to")[3]);
	assert_int_equal(PARSE("--", "--to", "-"), ERR_OK);
	assert_int_equal(cli.argc, 2);
	assert_int_equal(PARSE("-"), ERR_OK);
	arena_done(&a);
}

static void test_wrong_options(void **state)
{
	struct arena a;
	struct cli cli;
	struct err e = {0};
	arena_init(&a, 1 << 20);
	assert_int_equal(PARSE("--agian", "f"), ERR_USAGE);
	assert_non_null(strstr(e.hint, "--again"));
	assert_int_equal(PARSE("f", "--to"), ERR_USAGE);
	assert_non_null(strstr(e.msg, "URI"));
	assert_int_equal(PARSE("f", "--again=1"), ERR_USAGE);
	assert_int_equal(PARSE("--again"), ERR_USAGE);
	assert_int_equal(PARSE("a", "b", "c"), ERR_USAGE);
	assert_int_equal(PARSE("--color", "red", "f"), ERR_USAGE);
	assert_int_equal(PARSE("--help"), ERR_OK);
	arena_done(&a);
}

static void test_table(void **state)
{
	static const char *const heads[] = {"file", "rows"};
	static const enum table_align align[] = {TABLE_LEFT, TABLE_RIGHT};
	struct arena a;
	char *text = NULL;
	size_t n = 0;
	arena_init(&a, 1 << 20);
	struct table *t = table_new(&a, 2, heads, align);
	table_cell(t, "日本.csv");
	table_cell(t, "%d", 7);
	table_cell(t, "a\033[3\xc2\x9bmb");
	table_cell(t, "12345");
	FILE *f = open_memstream(&text, &n);
	table_print(t, f, 80, false);
	fclose(f);
	assert_string_equal(text, "file       rows\n日本.csv      7\na [3  mb  12345\n");
	free(text);
	f = open_memstream(&text, &n);
	t = table_new(&a, 2, heads, align);
	table_cell(t, "a very long file name that will not fit");
	table_cell(t, "1");
	table_print(t, f, 30, false);
	fclose(f);
	assert_non_null(strstr(text, "…"));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(display_width(line, strlen(line)) <= 30);
	free(text);
	arena_done(&a);
}

static void test_readable(void **state)
{
	char out[40];
	assert_string_equal(human_bytes(999, out), "999 B");
	assert_string_equal(human_bytes(1234567, out), "1.2 MB");
	assert_string_equal(human_count(1234567, out), "1,234,567");
	assert_string_equal(human_count(12, out), "12");
	assert_string_equal(human_duration(0.25, out), "250 ms");
	assert_string_equal(human_duration(3725, out), "1 h 02 min");
	assert_string_equal(human_ago(1000000, 61000000, out), "1 min ago");
	assert_int_equal(display_width("e\xcc\x81", 3), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_wrong_options),
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_readable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
