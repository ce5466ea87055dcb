/* test_names.c: which file names are taken, and how headers carry them. */
#include "api/names.h"
#include "api/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool good(const char *name)
{
	return file_name_check(name, strlen(name)) == NULL;
}

static void test_names(void **state)
{
	(void)state;
	char longest[257];
	memset(longest, 'x', sizeof longest);
	assert_true(good("ONUData-sample_min_1 23.08.58.csv"));
	assert_true(good("größe – 日本.csv"));
	assert_true(good("a..b.csv"));
	assert_true(good("~$%&'()+,;=@[]^`{}!#.csv"));
	assert_null(file_name_check(longest, 255));
	assert_non_null(file_name_check(longest, 256));
	assert_false(good(""));
	assert_false(good("."));
	assert_false(good(".."));
	assert_false(good(".x"));
	assert_false(good("a/b"));
	assert_false(good("a\\b"));
	assert_false(good("a\nb"));
	assert_false(good("a\x7f"));
	assert_false(good("\xc2\x85")); /* NEL, a C1 control */
	assert_false(good("a\xe2\x80\xae"
			  "b")); /* right-to-left override */
	assert_false(good("\xff"));
	assert_false(good("\xc0\xaf"));		/* an overlong slash */
	assert_false(good("\xed\xa0\x80"));	/* a surrogate */
	assert_false(good("\xf4\x90\x80\x80")); /* above U+10FFFF */
	assert_non_null(file_name_check("a\0b", 3));
}

static const char *filename_of(const char *value, struct arena *a)
{
	struct disposition d;
	struct err e = {0};
	if (disposition_parse(span_str(value), a, &d, &e))
		return "ERROR";
	return d.filename ? d.filename : "NONE";
}

static void test_dispositions(void **state)
{
	struct arena a;
	(void)state;
	arena_init(&a, 1 << 20);
	static const struct {
		const char *value, *name;
	} cases[] = {
	    {"form-data; name=\"f\"; filename=\"a b.csv\"", "a b.csv"},
	    {"form-data; name=f; filename=plain.csv", "plain.csv"},
	    {"form-data;name=f;filename=plain.csv ", "plain.csv"},
	    {"form-data; filename=\"a\\\"b\\\\c.csv\"", "a\"b\\c.csv"},
	    {"form-data; filename=\"a%22b.csv\"", "a\"b.csv"},
	    {"form-data; filename=\"100%25.csv\"", "100%25.csv"},
	    {"form-data; filename=\"C:\\dir\\x.csv\"", "C:\\dir\\x.csv"},
	    {"form-data; filename=\"a;b=c.csv\"; name=x", "a;b=c.csv"},
	    {"attachment; filename=\"f.csv\"; filename*=UTF-8''na%C3%AFve.csv", "na\xc3\xafve.csv"},
	    {"attachment; filename*=utf-8'en'x.csv; filename=\"y.csv\"", "x.csv"},
	    {"form-data; name=\"f\"", "NONE"},
	    {"form-data", "NONE"},
	    {"FORM-DATA; FileName=\"A.csv\"", "A.csv"},
	    {"form-data; filename=\"open", "ERROR"},
	    {"form-data; filename", "ERROR"},
	    {"form-data; =x", "ERROR"},
	    {"form-data; filename=\"a\" junk", "ERROR"},
	    {"attachment; filename*=UTF-8''%zz", "ERROR"},
	    {"attachment; filename*=UTF-8''%00", "ERROR"},
	    {"attachment; filename*=UTF-8''%ff", "ERROR"},
	    {"attachment; filename*=KOI8-R''x", "ERROR"},
	    {"", "ERROR"},
	    {";", "ERROR"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *got = filename_of(cases[i].value, &a);
		if (strcmp(got, cases[i].name) != 0)
			fail_msg("%s: %s, not %s", cases[i].value, got, cases[i].name);
	}
	arena_done(&a);
}

static void test_printable(void **state)
{
	char out[360];
	(void)state;
	assert_string_equal(name_printable("a\tb\xff", 4, out), "a\\x09b\\xff");
	assert_string_equal(name_printable("größe", 7, out), "größe");
	char many[200];
	memset(many, 0xc3, sizeof many);
	for (size_t i = 1; i < sizeof many; i += 2)
		many[i] = (char)0xa4;
	name_printable(many + 1, 199, out); /* begins in the middle of a character */
	assert_true(strlen(out) < sizeof out);
	name_printable(many, 200, out);
	assert_true(utf8_valid(out, strlen(out)));
	assert_string_equal(out + strlen(out) - 3, "...");
}

static void test_unescape(void **state)
{
	struct arena a;
	(void)state;
	arena_init(&a, 1 << 20);
	assert_string_equal(url_unescape(&a, "a%20b+c", 7, true), "a b c");
	assert_string_equal(url_unescape(&a, "a%2Fb+c", 7, false), "a/b+c");
	assert_null(url_unescape(&a, "%", 1, false));
	assert_null(url_unescape(&a, "%4", 2, false));
	assert_null(url_unescape(&a, "%00", 3, false));
	assert_null(url_unescape(&a, "%ff", 3, false));
	int64_t id;
	assert_true(id_parse("f17", 'f', &id) && id == 17);
	assert_true(id_parse("17", 'f', &id) && id == 17);
	assert_false(id_parse("r17", 'f', &id));
	assert_false(id_parse("f", 'f', &id));
	assert_false(id_parse("f99999999999999999999", 'f', &id));
	assert_false(id_parse("f-1", 'f', &id));
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_dispositions),
	    cmocka_unit_test(test_printable),
	    cmocka_unit_test(test_unescape),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
