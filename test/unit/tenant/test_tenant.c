/* test_tenant.c: data file configurations, agreements and quantities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tenant/data_file.h"
#include "tenant/quantity.h"

#include <stdio.h>

/* The documents of the two tenants that everything else is tried with, as they wrote them. */
static const char client_a[] =
	"{\n  \"name\": \"speed-tracking-data\",\n  \"file_type\": \"csv\",\n  \"key_space\": \"mysimbdp_coredms\",\n"
	"  \"csv.first.row.as.header\": \"true\",\n  \"schema\": {\n    \"type\": \"record\",\n    \"name\": \"analytics\",\n"
	"    \"fields\": [\n      { \"name\": \"PROVINCECODE\", \"type\": \"string\" },\n"
	"      { \"name\": \"DEVICEID\", \"type\": \"string\" },\n      { \"name\": \"IFINDEX\", \"type\": \"int\" },\n"
	"      { \"name\": \"ONUID\", \"type\": \"int\" },\n      { \"name\": \"SPEEDIN\", \"type\": \"double\" },\n"
	"      { \"name\": \"DAY\", \"type\": \"string\", \"logicalType\": \"date\" }\n    ]\n  },\n"
	"  \"primary_key\": [\"PROVINCECODE\", \"DEVICEID\", \"ONUID\"],\n  \"max_file_size_mb\": 50\n}\n";

static void test_client_a(void **state)
{
	struct arena a;
	struct problems p;
	arena_init(&a, 8 << 20);
	problems_init(&p, "data-file.json", &a);
	struct data_file *d = data_file_parse(span_str(client_a), "data-file.json", &a, &p);
	assert_non_null(d);
	assert_int_equal(p.errors + p.warnings, 0);
	assert_string_equal(d->schema->name, "analytics");
	assert_int_equal(d->schema->nfields, 6);
	assert_int_equal(d->schema->fields[5].logical, LOGICAL_DATE);
	assert_int_equal(d->schema->fields[5].storage, STORE_I64);
	assert_int_equal(d->nkey, 3);
	assert_int_equal(d->npartition, 1);
	assert_int_equal(d->key[2], 3);
	assert_int_equal(d->max_file_size, 50 * 1048576);
	assert_true(data_file_matches(d, "ONUData-sample_min_1 23.08.58.csv"));
	assert_true(data_file_matches(d, "A.CSV.GZ"));
	assert_false(data_file_matches(d, "a.csv.exe"));
	data_file_done(d);
	arena_done(&a);
}

static void test_quantities(void **state)
{
	static const struct {
		const char *text;
		int64_t units, milli;
	} good[] = {
		{"500m", 1, 500},	   {"64Mi", 67108864, 67108864000}, {"1Gi", 1073741824, 1073741824000},
		{"0.5", 1, 500},	   {"1e3", 1000, 1000000},	    {"1E3", 1000, 1000000},
		{"1E", 1000000000000000000, INT64_MAX}, {"12e-3", 1, 12}, {".5Ki", 512, 512000}, {"1.", 1, 1000},
		{"+2", 2, 2000},	   {"1n", 1, 1},		    {"0", 0, 0},
		{"1.5Gi", 1610612736, 1610612736000},	{"0.1Ki", 103, 102400},
		{"7Ei", 8070450532247928832, INT64_MAX},
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct quantity q;
		const char *why = quantity_parse(span_str(good[i].text), &q);
		if (why)
			fail_msg("%s: %s", good[i].text, why);
		assert_int_equal(quantity_units(&q), good[i].units);
		assert_int_equal(quantity_milli(&q), good[i].milli);
		assert_string_equal(q.text, good[i].text);
	}
	static const char *const bad[] = {"", "-1", "Mi", "1K", "1MB", "1MiB", "1 Mi", "1e", "1e+", "1.2.3", "0x10", "10Ei",
					  "1e30", "99999999999999999999999999999999999999", "1mi", ".", "+", "NaN", "1e9999"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct quantity q = {.nano = -7};
		if (!quantity_parse(span_str(bad[i]), &q))
			fail_msg("\"%s\" was taken", bad[i]);
		assert_true(q.nano == -7);
	}
	char out[32];
	quantity_print_bytes(134217728, out);
	assert_string_equal(out, "128Mi");
	quantity_print_bytes(1000, out);
	assert_string_equal(out, "1000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client_a),
		cmocka_unit_test(test_quantities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
