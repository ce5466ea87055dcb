/* test_tenant.c: data file configurations, agreements and quantities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../cases.h"
#include "tenant/agreement.h"
#include "tenant/data_file.h"
#include "tenant/quantity.h"

static void data_file_text(const struct data_file *d, struct buf *out)
{
	buf_printf(out, "%s, %s: %s.%s, %u fields\n", d->name, d->file_type, d->key_space, d->schema->name,
		   d->schema->nfields);
	buf_printf(out, "key:");
	for (uint32_t i = 0; i < d->nkey; i++)
		buf_printf(out, "%s%s", i == d->npartition ? " / " : " ", d->schema->fields[d->key[i]].name);
	buf_printf(out, "\nsize: %llu, pattern: %s\n", (unsigned long long)d->max_file_size, d->pattern);
	buf_printf(out, "csv: separator %d, quote %d, escape %d, header %d, charset %s", d->csv.separator, d->csv.quote,
		   d->csv.escape, d->csv.header, d->csv.charset);
	for (uint32_t i = 0; i < d->csv.nnull_words; i++)
		buf_printf(out, ", null \"" SPAN_FMT "\"", SPAN_ARG(d->csv.null_words[i]));
	buf_char(out, '\n');
}

static void resources_text(const struct resources *r, struct buf *out)
{
	buf_printf(out, "cpu %lld to %lld, memory %lld to %lld",
		   r->has_cpu_request ? (long long)quantity_milli(&r->cpu_request) : -1,
		   r->has_cpu_limit ? (long long)quantity_milli(&r->cpu_limit) : -1,
		   r->has_memory_request ? (long long)quantity_units(&r->memory_request) : -1,
		   r->has_memory_limit ? (long long)quantity_units(&r->memory_limit) : -1);
}

static void agreement_text(const struct agreement *g, struct buf *out)
{
	static const char *const policies[] = {"Forbid", "Allow", "Replace"};
	buf_printf(out, "%s: retention %lld, schedule %s (%s), ", g->client, (long long)g->retention_days,
		   g->has_schedule ? g->schedule.text : "none", g->time_zone);
	resources_text(&g->resources, out);
	buf_printf(out, "\n%s, deadline %lld, suspend %d, %u files a run, quality %s\n", policies[g->concurrency],
		   (long long)g->starting_deadline_s, g->suspend, g->max_files_per_run, g->quality ? "yes" : "no");
	for (uint32_t i = 0; i < g->napps; i++) {
		const struct app *a = &g->apps[i];
		buf_printf(out, "app %s: schedule %s, timeout %lld, pattern %s, ", a->name,
			   a->has_schedule ? a->schedule.text : "none", (long long)a->timeout_s,
			   a->pattern ? a->pattern : "all");
		resources_text(&a->resources, out);
		for (size_t k = 0; a->command && a->command[k]; k++)
			buf_printf(out, "%s%s", k ? " " : ", command ", a->command[k]);
		for (size_t k = 0; a->env && a->env[k]; k++)
			buf_printf(out, ", env %s", a->env[k]);
		buf_char(out, '\n');
	}
}

/* data-*.case and agreement-*.case */
static void document_case(const char *name, struct span input, struct buf *out)
{
	struct arena a;
	struct problems p;
	arena_init(&a, 64 << 20);
	problems_init(&p, "", &a);
	if (strncmp(name, "data-", 5) == 0) {
		struct data_file *d = data_file_parse(input, "data-file.json", &a, &p);
		problems_print(&p, out, false);
		assert_int_equal(d == NULL, p.errors > 0);
		if (d)
			data_file_text(d, out);
		data_file_done(d);
	} else {
		struct agreement *g = agreement_parse(input, "service-agreement.json", &a, &p);
		problems_print(&p, out, false);
		assert_int_equal(g == NULL, p.errors > 0);
		if (g)
			agreement_text(g, out);
	}
	arena_done(&a);
}

static void test_cases(void **state)
{
	(void)state;
	cases_run("documents", 40, document_case);
}

static bool matches(const char *pattern, const char *name)
{
	struct arena a;
	struct problems p;
	struct buf text;
	arena_init(&a, 4 << 20);
	problems_init(&p, "", &a);
	buf_init(&text, 1 << 16);
	buf_printf(&text,
		   "{\"name\":\"n\",\"file_type\":\"csv\",\"key_space\":\"k\",\"primary_key\":[],\"schema\":{\"type\":"
		   "\"record\",\"name\":\"t\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}%s%s%s}",
		   pattern ? ",\"input.file.pattern\":\"" : "", pattern ? pattern : "", pattern ? "\"" : "");
	struct data_file *d = data_file_parse(span_str(buf_cstr(&text)), "d", &a, &p);
	assert_non_null(d);
	bool yes = data_file_matches(d, name);
	data_file_done(d);
	data_file_done(NULL);
	buf_done(&text);
	arena_done(&a);
	return yes;
}

static void test_patterns(void **state)
{
	(void)state;
	assert_true(matches(NULL, "ONUData-sample_min_1 23.08.58.csv"));
	assert_true(matches(NULL, "A.CSV.GZ"));
	assert_true(matches(NULL, "\xc3\xa4.csv.zst"));
	assert_false(matches(NULL, "a.csv.exe"));
	assert_false(matches(NULL, "a.tsv"));
	assert_true(matches("a|b", "b"));
	assert_false(matches("a|b", "ba")); /* anchored as a whole, not branch by branch */
	assert_false(matches("a|b", "xb"));
	assert_true(matches("^x[0-9]{1,3}$", "x12"));
	assert_false(matches("x[0-9]", "X1")); /* a pattern of their own looks at case */
}

static void test_ids(void **state)
{
	static const char *const good[] = {"a", "client_a", "a-b", "0", "a234567890123456789012345678901234567890"};
	static const char *const bad[] = {"",
					  "_a",
					  "a_",
					  "-",
					  "A",
					  "a.b",
					  "a b",
					  "a/b",
					  "..",
					  "\xc3\xa4",
					  "a2345678901234567890123456789012345678901"};
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_null(tenant_id_check(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(tenant_id_check(bad[i]));
}

/* Both documents are told about, whatever is wrong with the other. */
static void test_directory(void **state)
{
	struct arena a;
	struct problems p;
	struct tenant_documents d;
	struct err e = {0};
	struct buf out;
	(void)state;
	arena_init(&a, 8 << 20);
	problems_init(&p, "", &a);
	buf_init(&out, 1 << 20);
	assert_int_equal(tenant_documents_read("/nonexistent", &a, &p, &d, &e), ERR_OK);
	assert_null(d.data_file);
	assert_null(d.agreement);
	assert_int_equal(p.errors, 2);
	problems_print(&p, &out, false);
	assert_non_null(strstr(buf_cstr(&out), "/nonexistent/data-file.json"));
	assert_non_null(strstr(buf_cstr(&out), "/nonexistent/service-agreement.json"));
	buf_done(&out);
	arena_done(&a);
}

/* A hostile document of many problems costs bounded time and memory, and still has no result. */
static void test_many_problems(void **state)
{
	struct arena a;
	struct problems p;
	struct buf text;
	(void)state;
	arena_init(&a, 64 << 20);
	problems_init(&p, "", &a);
	buf_init(&text, 2 << 20);
	buf_str(&text, "{");
	for (int i = 0; i < 50000; i++)
		buf_printf(&text, "\"csv.x%d\":%d,", i, i);
	buf_str(&text, "\"primary_key\":[\"a\"]}");
	assert_null(data_file_parse(span_str(buf_cstr(&text)), "d", &a, &p));
	assert_true(p.errors >= 50000);
	assert_true(p.dropped >= 50000 - PROBLEMS_MAX);
	buf_done(&text);
	arena_done(&a);
}

static void test_quantities(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t units, milli;
	} good[] = {
	    {"500m", 1, 500},
	    {"64Mi", 67108864, 67108864000},
	    {"1Gi", 1073741824, 1073741824000},
	    {"0.5", 1, 500},
	    {"1e3", 1000, 1000000},
	    {"1E3", 1000, 1000000},
	    {"1E", 1000000000000000000, INT64_MAX},
	    {"12e-3", 1, 12},
	    {".5Ki", 512, 512000},
	    {"1.", 1, 1000},
	    {"+2", 2, 2000},
	    {"1n", 1, 1},
	    {"0", 0, 0},
	    {"1.5Gi", 1610612736, 1610612736000},
	    {"0.1Ki", 103, 102400},
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
	static const char *const bad[] = {
	    "",	   "-1",  "Mi",	   "1K",   "1MB",   "1MiB", "1 Mi",
	    "1e",  "1e+", "1.2.3", "0x10", "10Ei",  "1e30", "99999999999999999999999999999999999999",
	    "1mi", ".",	  "+",	   "NaN",  "1e9999"};
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

/* Whatever allocation fails, a document is either taken as a whole or refused, and the limit is kept. */
static void test_memory(void **state)
{
	static const char data[] =
	    "{\"name\":\"n\",\"file_type\":\"csv\",\"key_space\":\"k\",\"primary_key\":[[\"a\",\"b\"]],\"x\":1,"
	    "\"csv.null.values\":[\"NA\"],\"csv.file.charset\":\"latin1\",\"max_file_size_mb\":\"5\",\"schema\":{"
	    "\"type\":\"record\","
	    "\"name\":\"x.t\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},{\"name\":\"b\",\"type\":\"string\"}]}}";
	static const char agreement[] =
	    "{\"client\":\"a\",\"schedule\":\"5-1 * * * "
	    "*\",\"timeZone\":\"Europe/Berln\",\"apps\":[{\"name\":\"x\",\"command\":"
	    "[\"/bin/"
	    "true\"],\"env\":{\"A\":\"b\"},\"schedule\":\"@hourly\",\"resources\":{\"limits\":{\"cpu\":\"1Gi\"}}}]}";
	(void)state;
	for (size_t limit = 64; limit < 60000; limit += limit < 4000 ? 37 : 211) {
		struct arena a;
		struct problems p;
		arena_init(&a, limit);
		problems_init(&p, "", &a);
		assert_null(data_file_parse(span_str(data), "d", &a, &p));
		assert_true(p.errors > 0);
		assert_true(a.held <= limit);
		arena_done(&a);
		arena_init(&a, limit);
		problems_init(&p, "", &a);
		assert_null(agreement_parse(span_str(agreement), "d", &a, &p));
		assert_true(p.errors > 0);
		arena_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),      cmocka_unit_test(test_patterns),	     cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_directory),  cmocka_unit_test(test_many_problems), cmocka_unit_test(test_memory),
	    cmocka_unit_test(test_quantities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
