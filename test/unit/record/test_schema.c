/* test_schema.c: Avro schemas: the cases of test/cases/schema, and what needs C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../cases.h"
#include "record/name.h"
#include "record/schema.h"

static const char *const storages[] = {"i64", "f64", "text", "bytes"};

static void schema_case(const char *name, struct span input, struct buf *out)
{
	struct arena a;
	struct problems p;
	struct json *root;
	struct err e = {0};
	(void)name;
	arena_init(&a, 64 << 20);
	problems_init(&p, "schema", &a);
	assert_int_equal(json_parse(input, &a, &root, &e), ERR_OK);
	const struct schema *s = schema_parse(root, "$", &a, &p);
	problems_print(&p, out, false);
	assert_int_equal(s == NULL, p.errors > 0);
	for (uint32_t i = 0; s && i < s->nfields; i++) {
		char text[64];
		const struct field *f = &s->fields[i];
		buf_printf(out, "%s.%s: %s, %s\n", s->name, f->name, field_type_text(f, text), storages[f->storage]);
	}
	if (s) {
		/* What is written reads back as the same schema. */
		struct buf again;
		struct jsonw w;
		buf_init(&again, 1 << 20);
		jsonw_init(&w, &again);
		schema_write(s, &w);
		buf_printf(out, "%s\n", buf_cstr(&again));
		assert_int_equal(json_parse(span_str(buf_cstr(&again)), &a, &root, &e), ERR_OK);
		const struct schema *t = schema_parse(root, "$", &a, &p);
		assert_non_null(t);
		assert_int_equal(t->nfields, s->nfields);
		for (uint32_t i = 0; i < s->nfields; i++) {
			const struct field *f = &s->fields[i], *g = &t->fields[i];
			assert_string_equal(f->name, g->name);
			assert_true(f->type == g->type && f->logical == g->logical && f->storage == g->storage);
			assert_true(f->nullable == g->nullable && f->precision == g->precision && f->scale == g->scale);
			assert_true(f->fixed_size == g->fixed_size && f->nsymbols == g->nsymbols);
		}
		buf_done(&again);
	}
	arena_done(&a);
}

static void test_cases(void **state)
{
	(void)state;
	cases_run("schema", 10, schema_case);
}

static void test_find(void **state)
{
	static const char text[] = "{\"type\":\"record\",\"name\":\"t\",\"fields\":[{\"name\":\"Id\",\"type\":\"int\"},"
				   "{\"name\":\"name\",\"type\":\"string\"}]}";
	struct arena a;
	struct problems p;
	struct json *root;
	struct err e = {0};
	(void)state;
	arena_init(&a, 1 << 20);
	problems_init(&p, "schema", &a);
	assert_int_equal(json_parse(span_str(text), &a, &root, &e), ERR_OK);
	const struct schema *s = schema_parse(root, "$", &a, &p);
	assert_non_null(s);
	assert_int_equal(schema_find(s, "Id", 2), 0);
	assert_int_equal(schema_find(s, "ID", 2), 0);
	assert_int_equal(schema_find(s, "NAME", 4), 1);
	assert_int_equal(schema_find(s, "nam", 3), -1);
	assert_int_equal(schema_find(s, "", 0), -1);
	arena_done(&a);
}

static void test_names(void **state)
{
	static const char *const good[] = {"a", "Reviews_2024", "mysimbdp_coredms",
					   "a23456789012345678901234567890123456789012345678"};
	static const char *const bad[] = {"",
					  "_a",
					  "1a",
					  "a-b",
					  "a b",
					  "System",
					  "system_auth",
					  "sqlite_master",
					  "SQLITE_x",
					  "_mysimbdp",
					  "a234567890123456789012345678901234567890123456789",
					  "\xc3\xa4"};
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_null(store_name_check(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(store_name_check(bad[i]));
	assert_null(column_name_check("_x"));
	assert_non_null(column_name_check("_MySimBDP_row"));
}

/* Every arena limit ends in an orderly NULL, whatever allocation it hits. */
static void test_memory(void **state)
{
	static const char text[] = "{\"type\":\"record\",\"name\":\"t\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":"
				   "\"enum\",\"name\":\"e\","
				   "\"symbols\":[\"A\",\"B\"]}},{\"name\":\"b\",\"type\":\"e\"},{\"name\":\"c\","
				   "\"type\":[\"null\",\"strnig\"]}]}";
	(void)state;
	for (size_t limit = 64; limit < 20000; limit += 61) {
		struct arena json, a;
		struct problems p;
		struct json *root;
		struct err e = {0};
		arena_init(&json, 1 << 20);
		arena_init(&a, limit);
		problems_init(&p, "schema", &a);
		assert_int_equal(json_parse(span_str(text), &json, &root, &e), ERR_OK);
		assert_null(schema_parse(root, "$", &a, &p));
		assert_true(p.errors > 0);
		arena_done(&a);
		arena_done(&json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
