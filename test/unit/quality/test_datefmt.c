/* test_datefmt.c: dates as text. */
#include "suite.h"

#include "base/clock.h"
#include "quality/datefmt.h"
#include "quality/value.h"

#define DAY(y, m, d) (days_from_civil(y, m, d) * US_PER_DAY)
#define AT(h, m, s) (((h)*INT64_C(3600) + (m)*60 + (s)) * US_PER_S)
#define NO INT64_MIN

static void test_match(void **state)
{
	const struct {
		const char *format, *text;
		int64_t us;
	} cases[] = {
	    {"%d/%m/%Y %H:%M:%S", "01/08/2019 11:38:33", DAY(2019, 8, 1) + AT(11, 38, 33)},
	    {"%d/%m/%Y %H:%M:%S", "1/8/2019 11:38:33", NO},
	    {"%-d/%-m/%Y", "1/8/2019", DAY(2019, 8, 1)},
	    {"%Y-%m-%d", "2019-02-29", NO},
	    {"%Y-%m-%d", "2020-02-29", DAY(2020, 2, 29)},
	    {"%F", "2020-02-29 ", NO},
	    {"%FT%T.%f%z", "2020-02-29T01:02:03.5+02:00", DAY(2020, 2, 29) + AT(-1, 2, 3) + 500000},
	    {"%F %R%z", "2020-02-29 01:02Z", DAY(2020, 2, 29) + AT(1, 2, 0)},
	    {"%f", "123456789", 123456},
	    {"%b %d %Y %I:%M %p", "Aug 01 2019 12:30 AM", DAY(2019, 8, 1) + AT(0, 30, 0)},
	    {"%d %B %y", "01 August 69", DAY(1969, 8, 1)},
	    {"%a %d %b %y", "Thu 01 aug 68", DAY(2068, 8, 1)},
	    {"%Y%j", "2019366", NO},
	    {"%Y%j", "2020366", DAY(2020, 12, 31)},
	    {"%s", "1566654321", INT64_C(1566654321) * US_PER_S},
	    {"%H:%M", "24:00", NO},
	    {"100%%", "100%", 0},
	    {"%Y", "19", NO},
	    {"%Y", "", NO},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct datefmt f;
		int64_t us = NO;
		assert_null(datefmt_compile(span_str(cases[i].format), &f));
		bool ok = datefmt_match(&f, cases[i].text, strlen(cases[i].text), &us);
		if (ok != (cases[i].us != NO) || (ok && us != cases[i].us))
			fail_msg("%s on %s: %d %lld", cases[i].format, cases[i].text, ok, (long long)us);
	}
}

static void test_compile(void **state)
{
	static const char *const bad[] = {"", "%", "%Q", "%-Y", "%-%", "%I", "%5d"};
	struct datefmt f;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(datefmt_compile(span_str(bad[i]), &f));
	assert_null(datefmt_compile(SPAN_LIT("%H:%M"), &f));
	assert_false(f.has_date);
	assert_null(datefmt_compile(SPAN_LIT("%d.%m.%y"), &f));
	assert_true(f.has_date);
}

static void test_decimals(void **state)
{
	static const struct {
		const char *a, *b;
		int order;
	} cases[] = {
	    {"1", "1.0", 0},
	    {"-0", "0.00", 0},
	    {"10", "9", 1},
	    {"-10", "-9", -1},
	    {"0.1", "0.09", 1},
	    {"-0.1", "0", -1},
	    {"0", "-0.1", 1},
	    {"12.5", "12.45", 1},
	    {"007", "7", 0},
	    {"99999999999999999999999999999999999999.1", "99999999999999999999999999999999999999.2", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(decimal_compare(span_str(cases[i].a), span_str(cases[i].b)), cases[i].order);
		assert_int_equal(decimal_compare(span_str(cases[i].b), span_str(cases[i].a)), -cases[i].order);
	}
}

int run_datefmt_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_match),
	    cmocka_unit_test(test_compile),
	    cmocka_unit_test(test_decimals),
	};

	return cmocka_run_group_tests_name("datefmt", tests, NULL, NULL);
}
