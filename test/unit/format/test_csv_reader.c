/*
 * test_csv_reader.c: what case files cannot say: long records and memory, records given one by one, raw rows, levels,
 * places asked for by others, a file that is all defects, an unlucky file in bounded time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "format/csv.h"
#include "format/csv_raw.h"

#include <stdio.h>
#include <stdlib.h>

static const struct field fields[] = {{"a", AVRO_T_STRING, LOGICAL_NONE, STORE_TEXT},
				      {"b", AVRO_T_INT, LOGICAL_NONE, STORE_I64, true}};
static const struct schema schema = {"t", "", fields, 2};
static const struct csv_plan plan = {.schema = &schema, .dialect = {.quote = '"', .header = true}};

struct open_csv {
	struct source *src;
	struct csv_reader *r;
	struct batch *b;
};

static struct open_csv open_text(struct span text, const struct csv_options *opt)
{
	struct open_csv o;
	struct err e;
	assert_int_equal(source_open_span(text, "text", NULL, &o.src, &e), ERR_OK);
	assert_int_equal(csv_open(o.src, &plan, opt, &o.r, &e), ERR_OK);
	o.b = batch_new(&schema, 4096);
	assert_non_null(o.b);
	return o;
}

static bool next(struct open_csv *o)
{
	bool more;
	struct err e;
	assert_int_equal(csv_next(o->r, o->b, &more, &e), ERR_OK);
	return more;
}

static void close_csv(struct open_csv *o)
{
	csv_close(o->r);
	source_close(o->src);
	batch_free(o->b); /* a batch may outlive the reader */
}

static void header_line_as_read(void **state)
{
	struct open_csv o = open_text(SPAN_LIT("\xef\xbb\xbf\n\"b\", x,a\r\n1,2,3\n"), NULL);
	assert_true(span_is(csv_header(o.r), "\"b\", x,a"));
	assert_true(next(&o));
	close_csv(&o);
}

static void levels_fall_back(void **state)
{
	struct open_csv o = open_text(SPAN_LIT("a,b\n"), &(struct csv_options){.simd = SIMD_PORTABLE});
	assert_int_equal(csv_simd(o.r), SIMD_PORTABLE);
	assert_string_equal(simd_level_name(SIMD_AVX2), "avx2");
	close_csv(&o);
}

static void records_one_by_one(void **state)
{
	struct csv_reader *r;
	struct err e;
	struct batch *b = batch_new(&schema, 16);
	assert_int_equal(csv_open_records("b,\"a\"", &plan, NULL, &r, &e), ERR_OK);
	static const struct span raw[] = {{"7,x", 3},	   {"oops,\"y\ny\"", 10}, {"", 0},
					  {"8,\"open", 7}, {"9,z\n10,w", 8},	  {"11,\"q\"\"q\"", 9}};
	assert_int_equal(csv_records(r, raw, 6, b, &e), ERR_OK);
	assert_int_equal(b->nrow, 6);
	assert_int_equal(b->nbad, 4);
	assert_int_equal(b->col[1].i64[0], 7);
	assert_true(span_is(batch_value(b, 5, 0).s, "q\"q"));
	static const char *const rules[] = {RULE_TYPE, RULE_FIELD_COUNT, RULE_UNCLOSED_QUOTE, RULE_FIELD_COUNT};
	for (uint32_t i = 0; i < 4; i++) {
		assert_string_equal(b->defect[i].rule, rules[i]);
		assert_int_equal(b->defect[i].index, i + 1);
	}
	for (uint32_t i = 0; i < 6; i++)
		assert_true(span_eq((struct span){b->data + b->raw[i].off, b->raw[i].len}, raw[i]));
	assert_int_equal(csv_records(r, raw, 1, b, &e), ERR_OK);
	assert_int_equal(b->nrow, 1);
	assert_int_equal(b->first_row, 7);
	csv_close(r);
	batch_free(b);
}

static void raw_rows(void **state)
{
	static const char text[] = "a,b\r\n\n\"x\"\"y\",\n\"z\n\",1,2\nq\"r,\"bad\"s\nlast,\"9\"";
	struct csv_dialect d = {.quote = '"'};
	struct source *src;
	struct csv_raw *raw;
	struct raw_row row;
	struct err e;
	bool more;
	assert_int_equal(source_open_span(SPAN_LIT(text), "text", NULL, &src, &e), ERR_OK);
	assert_int_equal(csv_raw_open(src, &d, &(struct csv_options){.block = 64}, &raw, &e), ERR_OK);
	static const struct {
		const char *first;
		bool quoted;
		uint32_t n;
		uint64_t line;
		const char *rule, *whole;
	} want[] = {
	    {"a", false, 2, 1, NULL, "a,b\r\n"},	{"x\"y", true, 2, 3, NULL, "\"x\"\"y\",\n"},
	    {"z\n", true, 3, 4, NULL, "\"z\n\",1,2\n"}, {"q\"r", false, 2, 6, RULE_BAD_QUOTE, "q\"r,\"bad\"s\n"},
	    {"last", false, 2, 7, NULL, "last,\"9\""},
	};
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(csv_raw_next(raw, &row, &more, &e), ERR_OK);
		assert_true(more);
		assert_true(span_is(row.cell[0].text, want[i].first));
		assert_int_equal(row.cell[0].quoted, want[i].quoted);
		assert_int_equal(row.ncell, want[i].n);
		assert_int_equal(row.line, want[i].line);
		assert_int_equal(row.row, i + 1);
		assert_true(span_is(row.whole, want[i].whole));
		assert_true(row.rule == want[i].rule || strcmp(row.rule, want[i].rule) == 0);
	}
	assert_int_equal(csv_raw_next(raw, &row, &more, &e), ERR_OK);
	assert_false(more);
	csv_raw_close(raw);
	source_close(src);
}

/* A quality rule's defect names a field only: the place and the cell come from the record. */
static void places_for_others(void **state)
{
	struct open_csv o = open_text(SPAN_LIT("b,a\n1,x\n2,\"\xc3\xa9\"\"\n,y\"\n\n3,z\n"), NULL);
	struct err e;
	assert_true(next(&o));
	assert_int_equal(o.b->nrow, 3);
	struct defect d = {.rule = "pattern", .stage = "quality", .field = 0};
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(batch_defect(o.b, i, &d, &e), ERR_OK);
	d.field = 1;
	assert_int_equal(batch_defect(o.b, 0, &d, &e), ERR_OK);
	static const struct {
		uint64_t line;
		uint32_t col;
		const char *cell;
	} want[] = {{2, 3, "x"}, {3, 3, "\xc3\xa9\"\"\n,y"}, {6, 3, "z"}, {2, 1, "1"}};
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(o.b->defect[i].line, want[i].line);
		assert_int_equal(o.b->defect[i].column, want[i].col);
		assert_true(span_is(o.b->defect[i].cell, want[i].cell));
	}
	close_csv(&o);
}

/* Records of up to a few hundred KiB through blocks of any size. */
static void long_records(void **state)
{
	static const size_t blocks[] = {64, 5000, 0};
	struct buf t;
	buf_init(&t, 64 << 20);
	buf_str(&t, "a,b\n");
	for (unsigned i = 0; i < 10; i++) {
		buf_char(&t, '"');
		for (unsigned k = 0; k < (1u << i) * 100; k++)
			buf_str(&t, k % 7 ? "some text\n" : "a \"\"q\"\",");
		buf_printf(&t, "\",%u\n", i);
	}
	for (size_t k = 0; k < 3; k++) {
		struct open_csv o = open_text((struct span){t.p, t.n}, &(struct csv_options){.block = blocks[k]});
		uint64_t rows = 0;
		while (next(&o)) {
			assert_int_equal(o.b->nbad, 0);
			for (uint32_t i = 0; i < o.b->nrow; i++, rows++) {
				assert_int_equal(o.b->col[1].i64[i], rows);
				assert_true(o.b->col[0].ref[i].len > (100u << rows) * 7);
			}
		}
		assert_int_equal(rows, 10);
		close_csv(&o);
	}
	buf_done(&t);
}

/* Batches end early when they are full of defects, and nothing is lost. */
static void nothing_but_defects(void **state)
{
	struct buf t;
	buf_init(&t, 64 << 20);
	buf_str(&t, "a,b\n");
	for (unsigned i = 0; i < 30000; i++)
		buf_str(&t, ",x\n");
	struct open_csv o = open_text((struct span){t.p, t.n}, NULL);
	uint64_t rows = 0, defects = 0;
	while (next(&o)) {
		assert_int_equal(o.b->nbad, o.b->nrow);
		assert_true(o.b->ndefect < 8192);
		rows += o.b->nrow;
		defects += o.b->ndefect;
		assert_int_equal(o.b->defect[o.b->ndefect - 1].line, rows + 1);
	}
	assert_int_equal(rows, 30000);
	assert_int_equal(defects, 60000);
	close_csv(&o);
	buf_done(&t);
}

/* 3 MB of lines that each open a quote which never closes: one look at max_row each would take minutes. */
static void unlucky_files_end(void **state)
{
	struct buf t;
	buf_init(&t, 64 << 20);
	buf_str(&t, "a,b\n");
	while (t.n < 3 << 20)
		buf_str(&t, "x\",\"\n");
	struct open_csv o = open_text((struct span){t.p, t.n}, NULL);
	int64_t start = clock_mono_ns();
	uint64_t rows = 0;
	while (next(&o))
		rows += o.b->nrow;
	assert_int_equal(rows, (t.n - 4) / 5);
	assert_true(clock_mono_ns() - start < INT64_C(20000000000));
	close_csv(&o);
	buf_done(&t);
}

static void hostile_headers(void **state)
{
	struct buf t;
	struct source *src;
	struct csv_reader *r;
	struct err e = {0};
	buf_init(&t, 1 << 20);
	buf_str(&t, "a,b");
	for (unsigned i = 0; i < 20000; i++)
		buf_str(&t, ",c");
	assert_int_equal(source_open_span((struct span){t.p, t.n}, "text", NULL, &src, &e), ERR_OK);
	assert_int_equal(csv_open(src, &plan, NULL, &r, &e), ERR_REFUSED);
	assert_non_null(strstr(e.msg, "20002 columns"));
	source_close(src);
	t.n = 3 + 2 * 10000;
	buf_str(&t, "\nx,1");
	for (unsigned i = 0; i < 10000; i++)
		buf_str(&t, ",");
	struct open_csv o = open_text((struct span){t.p, t.n}, &(struct csv_options){.block = 64});
	assert_true(next(&o));
	assert_int_equal(o.b->nbad, 0);
	uint32_t n;
	(void)csv_warnings(o.r, &n);
	assert_int_equal(n, 10000);
	close_csv(&o);
	buf_done(&t);
}

/* Each day of 400 years and more around both ends of what a date can be. */
static void every_day(void **state)
{
	static const struct field date = {"d", AVRO_T_STRING, LOGICAL_DATE, STORE_I64};
	static const struct schema s = {"t", "", &date, 1};
	static const struct csv_plan p = {.schema = &s, .dialect = {.quote = '"'}};
	static const int64_t from[] = {-719528, 2932896 - 150000};
	for (int k = 0; k < 2; k++) {
		struct buf t;
		struct source *src;
		struct csv_reader *r;
		struct err e;
		struct batch *b = batch_new(&s, 4096);
		bool more = true;
		buf_init(&t, 8 << 20);
		for (int64_t day = from[k]; day <= from[k] + 150000; day++) {
			char text[16];
			buf_add(&t, text, date_format(day, text));
			buf_char(&t, '\n');
		}
		assert_int_equal(source_open_span((struct span){t.p, t.n}, "days", NULL, &src, &e), ERR_OK);
		assert_int_equal(csv_open(src, &p, NULL, &r, &e), ERR_OK);
		for (int64_t day = from[k]; more;) {
			assert_int_equal(csv_next(r, b, &more, &e), ERR_OK);
			assert_int_equal(b->nbad, 0);
			for (uint32_t i = 0; i < b->nrow; i++)
				assert_true(b->col[0].i64[i] == day++);
			assert_true(more || day == from[k] + 150001);
		}
		csv_close(r);
		source_close(src);
		batch_free(b);
		buf_done(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(header_line_as_read), cmocka_unit_test(levels_fall_back),
	    cmocka_unit_test(records_one_by_one),  cmocka_unit_test(raw_rows),
	    cmocka_unit_test(places_for_others),   cmocka_unit_test(long_records),
	    cmocka_unit_test(nothing_but_defects), cmocka_unit_test(unlucky_files_end),
	    cmocka_unit_test(hostile_headers),	   cmocka_unit_test(every_day),
	};
	return cmocka_run_group_tests_name("csv reader", tests, NULL, NULL);
}
