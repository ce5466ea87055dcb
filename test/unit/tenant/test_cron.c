/*
 * test_cron.c: schedules and time zones. test/cases/schedule/robfig.tsv holds what robfig/cron v3.0.1 itself answers
 * (columns: zone, instant, schedule, the next eight starts or "error"); the rest is said by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tenant/cron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STARTS 8

static int64_t at(const char *rfc3339_text)
{
	int64_t us;
	assert_true(timestamp_parse(rfc3339_text, strlen(rfc3339_text), &us));
	return us / US_PER_S;
}

static void starts(const struct cron *c, int64_t t, char *out, size_t cap)
{
	size_t n = 0;
	for (int i = 0; i < STARTS; i++) {
		t = cron_next(c, t);
		if (t == INT64_MAX) {
			snprintf(out + n, cap - n, "%snever", i ? "," : "");
			return;
		}
		n += (size_t)snprintf(out + n, cap - n, "%s%lld", i ? "," : "", (long long)t);
	}
}

static void test_robfig(void **state)
{
	char path[1024], line[2048], got[512];
	const char *root = getenv("MYSIMBDP_CASES");
	struct arena a;
	int n = 0, failed = 0;
	(void)state;
	arena_init(&a, 256 << 20);
	snprintf(path, sizeof path, "%s/schedule/robfig.tsv", root ? root : "test/cases");
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		char *save = NULL, *zone = strtok_r(line, "\t", &save), *from = strtok_r(NULL, "\t", &save);
		char *text = strtok_r(NULL, "\t", &save), *want = strtok_r(NULL, "\n", &save);
		struct err e = {0};
		struct cron c;
		if (zone[0] == '#')
			continue;
		assert_non_null(want);
		if (cron_parse(span_str(text), &a, &c)) {
			snprintf(got, sizeof got, "error");
		} else {
			assert_int_equal(timezone_load(zone, &a, &c.tz, &e), ERR_OK);
			starts(&c, strtoll(from, NULL, 10), got, sizeof got);
		}
		n++;
		if (strcmp(got, want) != 0 && failed++ < 5)
			print_error("%s after %s \"%s\"\n wanted %s\n got    %s\n", zone, from, text, want, got);
	}
	fclose(f);
	arena_done(&a);
	assert_true(n > 1000);
	assert_int_equal(failed, 0);
}

static void one(const char *zone, const char *text, const char *from, const char *want)
{
	struct arena a;
	struct cron c;
	struct err e = {0};
	char got[40];
	arena_init(&a, 8 << 20);
	const char *why = cron_parse(span_str(text), &a, &c);
	if (why)
		fail_msg("%s: %s", text, why);
	assert_int_equal(timezone_load(zone, &a, &c.tz, &e), ERR_OK);
	int64_t t = cron_next(&c, at(from));
	if (t == INT64_MAX)
		snprintf(got, sizeof got, "never");
	else
		got[timestamp_format(t * US_PER_S, 0, got)] = '\0';
	if (strcmp(got, want) != 0)
		fail_msg("\"%s\" in %s after %s: %s, not %s", text, zone, from, got, want);
	arena_done(&a);
}

static void test_clock_changes(void **state)
{
	(void)state;
	/* 2026-03-29: 02:00 +01:00 becomes 03:00 +02:00; 02:30 does not exist and does not run. */
	one("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z");
	one("Europe/Berlin", "0 3 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z");
	/* 2026-10-25: 03:00 +02:00 becomes 02:00 +01:00; 02:30 comes twice and runs twice. */
	one("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z");
	one("Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
	one("Europe/Berlin", "30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z");
	/* Half an hour: Lord Howe. */
	one("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00Z", "2026-10-04T15:15:00Z");
	/* UTC has none. */
	one("UTC", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T02:30:00Z");
	/* Behind the last transition of the file, by its footer. */
	one("Europe/Berlin", "0 12 * * *", "2090-07-01T00:00:00Z", "2090-07-01T10:00:00Z");
	one("Australia/Sydney", "0 12 * * *", "2090-01-01T00:00:00Z", "2090-01-01T01:00:00Z");
}

static void test_days(void **state)
{
	(void)state;
	one("UTC", "0 0 13 * 5", "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z"); /* either the 13th or a Friday */
	one("UTC", "0 0 13 * *", "2026-11-01T00:00:00Z", "2026-11-13T00:00:00Z");
	one("UTC", "0 0 */1 * 5", "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z"); /* a step of 1 is a star */
	one("UTC", "0 0 */2 * 5", "2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z"); /* a step above is a restriction */
	one("UTC", "0 0 29 2 *", "2026-11-01T00:00:00Z", "2028-02-29T00:00:00Z");
	one("UTC", "0 0 30 2 *", "2026-11-01T00:00:00Z", "never");
	one("UTC", "0 0 ? JAN Mon", "2026-11-01T00:00:00Z", "2027-01-04T00:00:00Z");
	one("UTC", "@every 1h30m", "2026-11-01T00:00:10Z", "2026-11-01T01:30:10Z");
	one("UTC", "* * * * *", "2026-11-01T00:00:59Z", "2026-11-01T00:01:00Z");
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
	    {"", "empty"},
	    {"* * * *", "4 fields"},
	    {"0 * * * * *", "seconds"},
	    {"60 * * * *", "minute \"60\": allowed are 0 to 59"},
	    {"* 24 * * *", "hour \"24\""},
	    {"* * 0 * *", "day of month \"0\""},
	    {"* * * 13 *", "month \"13\""},
	    {"* * * * 7", "day of week \"7\": allowed are 0 to 6"},
	    {"5-1 * * * *", "write it as two: 5-59,0-1"},
	    {"*/0 * * * *", "step"},
	    {"* * * * FRIDAY", "name of three letters"},
	    {"TZ=UTC * * * * *", "timeZone"},
	    {"CRON_TZ=UTC * * * * *", "timeZone"},
	    {"@reboot", "@yearly"},
	    {"@every 5", "@every 1h30m"},
	    {"1-2-3 * * * *", "-"},
	    {"1/2/3 * * * *", "/"},
	    {"x * * * *", "minute \"x\""},
	};
	struct arena a;
	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct cron c = {.every_s = -7};
		const char *why = cron_parse(span_str(bad[i].text), &a, &c);
		if (!why)
			fail_msg("\"%s\" was taken", bad[i].text);
		if (!strstr(why, bad[i].why))
			fail_msg("\"%s\": %s (no \"%s\")", bad[i].text, why, bad[i].why);
		assert_int_equal(c.every_s, -7);
	}
	char text[400];
	memset(text, ' ', sizeof text);
	assert_non_null(cron_parse((struct span){text, sizeof text}, &a, &(struct cron){0}));
	arena_done(&a);
}

static void test_words(void **state)
{
	static const struct {
		const char *text, *words;
	} all[] = {
	    {"0 * * * *", "every hour at minute 0"},
	    {"*/1 * * * *", "every minute"},
	    {"*/15 * * * *", "every 15 minutes"},
	    {"30 2 * * 1-5", "at 02:30 on Monday to Friday"},
	    {"0 0 1,15 * *", "at 00:00 on days 1 and 15 of the month"},
	    {"0 0 13 * 5", "at 00:00 on day 13 of the month or on Friday"},
	    {"@every 90m", "every 1h30m"},
	    {"0 9-17 * * *", "at minute 0 of the hours 9 to 17"},
	    {"* 3 * 2 *", "every minute of the hour 3 in February"},
	    {", * * * *", "never"},
	    {"0 0 * * *", "at 00:00"},
	};
	struct arena a;
	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct cron c;
		char out[160];
		assert_null(cron_parse(span_str(all[i].text), &a, &c));
		cron_describe(&c, out);
		assert_string_equal(out, all[i].words);
	}
	arena_done(&a);
}

static void test_zones(void **state)
{
	static const char *const bad[] = {
	    "",	       "Local",		 "local",	 "/etc/passwd", "../x",		"Europe/../UTC", "Europe",
	    "Europe/", "Europe//Berlin", "Europe/Berln", "a b",		"posixrules\n", "Etc/GMT+99",	 "tzdata.zi"};
	struct arena a;
	const struct timezone_rules *tz;
	(void)state;
	arena_init(&a, 64 << 20);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err e = {0};
		if (timezone_load(bad[i], &a, &tz, &e) == ERR_OK)
			fail_msg("zone \"%s\" was taken", bad[i]);
		assert_true(e.msg[0] != '\0');
	}
	struct err e = {0};
	assert_int_not_equal(timezone_load("Europe/Berln", &a, &tz, &e), ERR_OK);
	assert_non_null(strstr(e.hint, "Europe/Berlin"));
	assert_int_equal(timezone_load("Asia/Kolkata", &a, &tz, &e), ERR_OK);
	assert_int_equal(timezone_offset(tz, at("2026-01-01T00:00:00Z")), 19800);
	assert_int_equal(timezone_offset(NULL, 0), 0);
	assert_int_equal(timezone_load("Europe/Dublin", &a, &tz, &e), ERR_OK); /* its winter is the "daylight" time */
	assert_int_equal(timezone_offset(tz, at("2060-01-01T00:00:00Z")), 0);
	assert_int_equal(timezone_offset(tz, at("2060-07-01T00:00:00Z")), 3600);
	assert_int_equal(timezone_load("Europe/Berlin", &a, &tz, &e), ERR_OK);
	assert_int_equal(timezone_change(tz, at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z")),
			 at("2026-03-29T01:00:00Z"));
	assert_true(timezone_change(tz, at("2026-04-01T00:00:00Z"), at("2026-09-01T00:00:00Z")) == INT64_MAX);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_robfig),  cmocka_unit_test(test_clock_changes), cmocka_unit_test(test_days),
	    cmocka_unit_test(test_refused), cmocka_unit_test(test_words),	  cmocka_unit_test(test_zones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
