/* test_convert.c: texts to values, values to texts, the reasons, and doubles against the C library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "record/batch.h"
#include "record/number.h"
#include "record/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const colours[] = {"RED", "GREEN"};

static const struct field f_bool = {"b", AVRO_T_BOOLEAN, LOGICAL_NONE, STORE_I64};
static const struct field f_int = {"i", AVRO_T_INT, LOGICAL_NONE, STORE_I64};
static const struct field f_long = {"l", AVRO_T_LONG, LOGICAL_NONE, STORE_I64};
static const struct field f_float = {"f", AVRO_T_FLOAT, LOGICAL_NONE, STORE_F64};
static const struct field f_double = {"d", AVRO_T_DOUBLE, LOGICAL_NONE, STORE_F64};
static const struct field f_string = {"s", AVRO_T_STRING, LOGICAL_NONE, STORE_TEXT};
static const struct field f_date = {"t", AVRO_T_STRING, LOGICAL_DATE, STORE_I64};
static const struct field f_time = {"t", AVRO_T_INT, LOGICAL_TIME_MILLIS, STORE_I64};
static const struct field f_millis = {"t", AVRO_T_LONG, LOGICAL_TIMESTAMP_MILLIS, STORE_I64};
static const struct field f_micros = {"t", AVRO_T_LONG, LOGICAL_TIMESTAMP_MICROS, STORE_I64};
static const struct field f_uuid = {"u", AVRO_T_STRING, LOGICAL_UUID, STORE_TEXT};
static const struct field f_enum = {
    .name = "e", .type = AVRO_T_ENUM, .storage = STORE_TEXT, .symbols = colours, .nsymbols = 2};
static const struct field f_fixed = {.name = "x", .type = AVRO_T_FIXED, .storage = STORE_BYTES, .fixed_size = 4};
static const struct field f_dec = {
    .name = "n", .type = AVRO_T_BYTES, .logical = LOGICAL_DECIMAL, .storage = STORE_TEXT, .precision = 10, .scale = 2};
static const struct field f_big = {
    .name = "n", .type = AVRO_T_BYTES, .logical = LOGICAL_DECIMAL, .storage = STORE_TEXT, .precision = 38, .scale = 0};

struct good {
	const struct field *f;
	const char *in, *out; /* out: as value_format gives it */
};

static const struct good goods[] = {
    {&f_bool, "true", "true"},
    {&f_bool, "FALSE", "false"},
    {&f_bool, "1", "true"},
    {&f_bool, "0", "false"},
    {&f_int, "0", "0"},
    {&f_int, "-0", "0"},
    {&f_int, "+007", "7"},
    {&f_int, "2147483647", "2147483647"},
    {&f_int, "-2147483648", "-2147483648"},
    {&f_int, "00000000000000000000000000012", "12"},
    {&f_long, "9223372036854775807", "9223372036854775807"},
    {&f_long, "-9223372036854775808", "-9223372036854775808"},
    {&f_double, "541783", "541783.0"},
    {&f_double, ".5", "0.5"},
    {&f_double, "5.", "5.0"},
    {&f_double, "-0", "-0.0"},
    {&f_double, "1e3", "1000.0"},
    {&f_double, "0.1", "0.1"},
    {&f_double, "1e22", "1e22"},
    {&f_double, "1e-7", "1e-7"},
    {&f_double, "1.7976931348623157e308", "1.7976931348623157e308"},
    {&f_double, "5e-324", "5e-324"},
    {&f_double, "1e-400", "0.0"},
    {&f_double, "0.00001", "0.00001"},
    {&f_double, "123456.789", "123456.789"},
    {&f_double, "9007199254740993", "9007199254740992.0"},
    {&f_double, "1234567890123456789", "1.2345678901234568e18"},
    {&f_float, "0.1", "0.1"},
    {&f_float, "16777217", "16777216.0"},
    {&f_float, "3.4028235e38", "3.4028235e38"},
    {&f_float, "1e-45", "1e-45"},
    {&f_string, "", ""},
    {&f_string, "a\"b", "a\"b"},
    {&f_date, "2015-08-31", "2015-08-31"},
    {&f_date, "2016-02-29", "2016-02-29"},
    {&f_date, "0001-01-01", "0001-01-01"},
    {&f_time, "11:38:33.25", "11:38:33.250"},
    {&f_time, "11:38", "11:38:00.000"},
    {&f_millis, "2015-08-31T11:38:33Z", "2015-08-31T11:38:33.000Z"},
    {&f_millis, "1969-12-31 23:59:59.999", "1969-12-31T23:59:59.999Z"},
    {&f_micros, "2015-08-31T11:38:33.123456+02:00", "2015-08-31T09:38:33.123456Z"},
    {&f_uuid, "123E4567-E89B-12D3-A456-426614174000", "123e4567-e89b-12d3-a456-426614174000"},
    {&f_enum, "GREEN", "GREEN"},
    {&f_fixed, "abcd", "abcd"},
    {&f_dec, "1", "1.00"},
    {&f_dec, "-0.0", "0.00"},
    {&f_dec, "-.5", "-0.50"},
    {&f_dec, "+0012.3400", "12.34"},
    {&f_dec, "99999999.99", "99999999.99"},
    {&f_dec, "-0.01", "-0.01"},
    {&f_dec, "7.", "7.00"},
    {&f_big, "222277164261810113006", "222277164261810113006"},
    {&f_big, "-000", "0"},
};

static void values_come_out_canonical(void **state)
{
	for (size_t i = 0; i < sizeof goods / sizeof *goods; i++) {
		char scratch[CONVERT_SCRATCH], out[64];
		struct value v = {0};
		enum convert_result r = convert_cell(goods[i].f, span_str(goods[i].in), &v, scratch);
		if (r != CONVERT_OK)
			fail_msg("%s \"%s\": result %d", goods[i].f->name, goods[i].in, r);
		size_t n = value_format(goods[i].f, &v, out, sizeof out - 1);
		out[n] = 0;
		if (strcmp(out, goods[i].out) != 0)
			fail_msg("\"%s\" became \"%s\", not \"%s\"", goods[i].in, out, goods[i].out);
	}
}

struct bad {
	const struct field *f;
	const char *in;
	enum convert_result r;
	const char *reason;
};

static const struct bad bads[] = {
    {&f_int, "five", CONVERT_BAD, "\"five\" is no int"},
    {&f_int, "", CONVERT_BAD, "\"\" is no int: a quoted empty text; leave the cell empty for null"},
    {&f_int, " 5", CONVERT_BAD, "\" 5\" is no int: take the blanks around it away"},
    {&f_int, "5.5", CONVERT_BAD, "\"5.5\" is no int; double would take it"},
    {&f_int, "1,234", CONVERT_BAD, "\"1,234\" is no int: no commas within a number"},
    {&f_int, "-", CONVERT_BAD, "\"-\" is no int"},
    {&f_int, "+-1", CONVERT_BAD, "\"+-1\" is no int"},
    {&f_int, "6828878457269", CONVERT_RANGE,
     "6828878457269 is beyond int (-2147483648..2147483647); long would take it"},
    {&f_int, "2147483648", CONVERT_RANGE, "2147483648 is beyond int (-2147483648..2147483647); long would take it"},
    {&f_int, "222277164261810113006", CONVERT_RANGE,
     "222277164261810113006 is beyond int (-2147483648..2147483647); string or decimal would take it"},
    {&f_long, "9223372036854775808", CONVERT_RANGE,
     "9223372036854775808 is beyond long (-9223372036854775808..9223372036854775807); string or decimal would take it"},
    {&f_double, "1e309", CONVERT_RANGE, "1e309 is beyond double (at most 1.7976931348623157e308)"},
    {&f_double, "NaN", CONVERT_BAD, "\"NaN\" is no double: no nan or infinity here"},
    {&f_double, "-Infinity", CONVERT_BAD, "\"-Infinity\" is no double: no nan or infinity here"},
    {&f_double, "0x10", CONVERT_BAD, "\"0x10\" is no double"},
    {&f_double, "1e", CONVERT_BAD, "\"1e\" is no double"},
    {&f_double, ".", CONVERT_BAD, "\".\" is no double"},
    {&f_double, "1.2.3", CONVERT_BAD, "\"1.2.3\" is no double"},
    {&f_double, "1e5x", CONVERT_BAD, "\"1e5x\" is no double"},
    {&f_float, "3.5e38", CONVERT_RANGE, "3.5e38 is beyond float (at most 3.4028235e38); double would take it"},
    {&f_bool, "maybe", CONVERT_BAD, "\"maybe\" is no boolean; write true, false, 1 or 0"},
    {&f_date, "2015-02-30", CONVERT_BAD, "\"2015-02-30\" is no date: the calendar has no such day"},
    {&f_date, "01/08/2019", CONVERT_BAD, "\"01/08/2019\" is no date; write YYYY-MM-DD"},
    {&f_millis, "2015-08-31T11:38:33.1234Z", CONVERT_INEXACT,
     "\"2015-08-31T11:38:33.1234Z\" is finer than a millisecond; timestamp-micros would take it"},
    {&f_millis, "yesterday", CONVERT_BAD, "\"yesterday\" is no timestamp; write YYYY-MM-DDTHH:MM:SSZ (RFC 3339)"},
    {&f_uuid, "123", CONVERT_BAD, "\"123\" is no uuid; write 8-4-4-4-12 hexadecimal digits"},
    {&f_enum, "BLUE", CONVERT_NOT_MEMBER, "\"BLUE\" is none of RED, GREEN"},
    {&f_fixed, "abc", CONVERT_LENGTH, "\"abc\" has 3 bytes, fixed takes 4"},
    {&f_dec, "1.234", CONVERT_INEXACT, "1.234 has 3 digits behind the point, decimal(10,2) takes 2"},
    {&f_dec, "123456789", CONVERT_INEXACT, "123456789 has 9 digits before the point, decimal(10,2) takes 8"},
    {&f_dec, "1e3", CONVERT_BAD, "\"1e3\" is no decimal"},
    {&f_dec, "", CONVERT_BAD, "\"\" is no decimal: a quoted empty text; leave the cell empty for null"},
};

static void reasons_say_what_to_do(void **state)
{
	for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
		char scratch[CONVERT_SCRATCH], reason[192];
		struct value v = {0};
		enum convert_result r = convert_cell(bads[i].f, span_str(bads[i].in), &v, scratch);
		if (r != bads[i].r)
			fail_msg("\"%s\": result %d, not %d", bads[i].in, r, bads[i].r);
		convert_reason(bads[i].f, span_str(bads[i].in), r, reason);
		if (strcmp(reason, bads[i].reason) != 0)
			fail_msg("\"%s\":\n  says  %s\n  wants %s", bads[i].in, reason, bads[i].reason);
	}
}

static uint64_t rng = 88172645463325252u;

static uint64_t next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void check_double(const char *text)
{
	double mine = 0, libs = strtod(text, NULL);
	bool range;
	bool ok = parse_f64(text, strlen(text), &mine, &range);
	if (isinf(libs)) {
		if (ok || !range)
			fail_msg("%s is beyond double", text);
	} else if (!ok || memcmp(&mine, &libs, sizeof mine) != 0) {
		fail_msg("%s: %a, C library %a", text, mine, libs);
	}
	double mine32 = 0;
	float libs32 = strtof(text, NULL);
	ok = parse_f32(text, strlen(text), &mine32, &range);
	if (isinf(libs32)) {
		if (ok)
			fail_msg("%s is beyond float", text);
	} else if (!ok || (float)mine32 != libs32) {
		fail_msg("%s as float: %a, C library %a", text, mine32, (double)libs32);
	}
}

static void doubles_equal_the_c_library(void **state)
{
	static const char *const hard[] = {
	    "9007199254740993",
	    "9007199254740992.5",
	    "9007199254740993.0000000000000000000000000000000001",
	    "0",
	    "-0.0",
	    "2.2250738585072011e-308",
	    "2.2250738585072014e-308",
	    "4.9406564584124654e-324",
	    "2.4703282292062327e-324",
	    "2.4703282292062328e-324",
	    "1.7976931348623158e308",
	    "1.7976931348623159e308",
	    "6.631236871469758276785396630275967e-4",
	    "1448997445238699",
	    "123456789012345678901234567890",
	    "1e23",
	    "8.5e22",
	    "0.000000000000000000000000000001",
	    "16777217",
	    "16777217.0000000000000000000000000001",
	    "1.17549429e-38",
	    "7.0064923216240853e-46",
	    "1e-46",
	    "3.4028235677973366e38",
	    "3.4028235677973367e38",
	    "1.00000005960464477539062500000000000000001",
	    "1.000000059604644775390625",
	    "9223372036854775808",
	    "18446744073709551615",
	    "18446744073709551616e5",
	};
	for (size_t i = 0; i < sizeof hard / sizeof *hard; i++)
		check_double(hard[i]);
	char text[1400];
	for (int i = 0; i < 200000; i++) {
		double d;
		uint64_t bits = next();
		memcpy(&d, &bits, sizeof d);
		if (!isfinite(d))
			continue;
		snprintf(text, sizeof text, "%.*g", (int)(next() % 20) + 1, d);
		check_double(text);
		snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)next() >> (next() & 63),
			 (unsigned long long)next() >> (next() & 63), (int)(next() % 80) - 40);
		check_double(text);
	}
	/* exactly between two doubles, then a hair above, in hundreds of digits */
	memset(text, '0', sizeof text);
	memcpy(text, "9007199254740993.", 17);
	text[1200] = 0;
	check_double(text);
	text[1199] = '1';
	check_double(text);
}

static void shortest_text_reads_back(void **state)
{
	for (int i = 0; i < 50000; i++) {
		double d, back = 0;
		uint64_t bits = next();
		memcpy(&d, &bits, sizeof d);
		if (i % 2)
			d = (double)(int64_t)(bits >> 20) / 1000;
		if (!isfinite(d))
			continue;
		char text[32];
		bool range;
		size_t n = f64_format(d, text);
		assert_true(parse_f64(text, n, &back, &range));
		assert_memory_equal(&back, &d, sizeof d);
	}
}

static void utf8_rules(void **state)
{
	static const struct {
		const char *p;
		size_t n, good;
	} t[] = {
	    {"abc", 3, 3},
	    {"\xc3\xa9", 2, 2},
	    {"\xe6\x97\xa5", 3, 3},
	    {"\xf0\x9f\x98\x80", 4, 4},
	    {"a\xff", 2, 1},
	    {"\xc0\x80", 2, 0},
	    {"\xc1\xbf", 2, 0},
	    {"\xe0\x9f\xbf", 3, 0},
	    {"\xed\xa0\x80", 3, 0},
	    {"\xed\x9f\xbf", 3, 3},
	    {"\xf0\x8f\xbf\xbf", 4, 0},
	    {"\xf4\x90\x80\x80", 4, 0},
	    {"\xf4\x8f\xbf\xbf", 4, 4},
	    {"\xf5\x80\x80\x80", 4, 0},
	    {"\xc3", 1, 0},
	    {"12345678\xe6\x97", 10, 8},
	    {"\x80", 1, 0},
	    {"a\0b", 3, 3},
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		assert_int_equal(utf8_valid_prefix(t[i].p, t[i].n), t[i].good);
	assert_int_equal(utf8_count("a\xc3\xa9\xff\xf0\x9f\x98\x80", 8), 4);
}

static void cells_are_shown_short_and_safe(void **state)
{
	char out[200], text[400];
	assert_string_equal(cell_quote(SPAN_LIT("plain"), out), "plain");
	assert_string_equal(cell_quote(SPAN_LIT("a\nb\x1b[31m\xff\xc2\x9b"), out), "a\\nb\\x1b[31m\\xff\\x9b");
	memset(text, 'x', sizeof text);
	assert_int_equal(strlen(cell_quote((struct span){text, sizeof text}, out)), 60);
	assert_string_equal(out + 57, "...");
	for (size_t i = 0; i + 4 <= sizeof text; i += 4)
		memcpy(text + i, "\xf0\x9f\x98\x80", 4);
	cell_quote((struct span){text, sizeof text}, out);
	assert_int_equal(utf8_valid_prefix(out, strlen(out)), strlen(out));
	char reason[192];
	convert_reason(&f_long, (struct span){text, sizeof text}, CONVERT_BAD, reason);
	assert_int_equal(utf8_valid_prefix(reason, strlen(reason)), strlen(reason));
}

static void batch_keeps_defects(void **state)
{
	static const struct field fields[] = {{"i", AVRO_T_INT, LOGICAL_NONE, STORE_I64},
					      {"s", AVRO_T_STRING, LOGICAL_NONE, STORE_TEXT}};
	static const struct schema s = {"t", "", fields, 2};
	assert_null(batch_new(&s, 0));
	assert_null(batch_new(&s, BATCH_ROWS_MAX + 1));
	struct batch *b = batch_new(&s, 8);
	struct err e;
	assert_non_null(b);
	b->nrow = 8;
	b->first_row = 101;
	struct defect d = {.rule = RULE_TYPE, .stage = "type", .field = 0};
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(batch_defect(b, 3, &d, &e), ERR_OK);
	d.action = DEFECT_WARN;
	assert_int_equal(batch_defect(b, 4, &d, &e), ERR_OK);
	assert_int_equal(b->ndefect, 101);
	assert_int_equal(b->nbad, 1);
	assert_int_equal(b->defect[0].row, 104);
	assert_int_equal(b->defect[100].index, 4);
	assert_true(b->bad[3] && !b->bad[4]);
	batch_clear(b);
	assert_int_equal(b->nrow + b->nbad + b->ndefect + b->bad[3], 0);
	batch_free(b);
	batch_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_come_out_canonical),
	    cmocka_unit_test(reasons_say_what_to_do),
	    cmocka_unit_test(doubles_equal_the_c_library),
	    cmocka_unit_test(shortest_text_reads_back),
	    cmocka_unit_test(utf8_rules),
	    cmocka_unit_test(cells_are_shown_short_and_safe),
	    cmocka_unit_test(batch_keeps_defects),
	};
	return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
