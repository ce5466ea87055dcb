/*
 * fuzz_csv.c: any bytes as CSV: every SIMD level, block and batch size must give the same records, values, defects and
 * places, and csv_raw the same records. The first three bytes choose dialect, schema and limits.
 */
#include "base/buf.h"
#include "format/csv.h"
#include "format/csv_raw.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const colours[] = {"RED", "GREEN"};

#define T_STRING AVRO_T_STRING, LOGICAL_NONE, STORE_TEXT
#define T_INT AVRO_T_INT, LOGICAL_NONE, STORE_I64
#define T_LONG AVRO_T_LONG, LOGICAL_NONE, STORE_I64
#define T_DOUBLE AVRO_T_DOUBLE, LOGICAL_NONE, STORE_F64
#define T_FLOAT AVRO_T_FLOAT, LOGICAL_NONE, STORE_F64
#define T_DATE AVRO_T_STRING, LOGICAL_DATE, STORE_I64

static const struct field one[] = {{"a", T_STRING, true}};
static const struct field three[] = {{"a", T_STRING, true}, {"b", T_INT, false}, {"c", T_DOUBLE, true}};
static const struct field two[] = {{"a", T_DOUBLE, false}, {"b", T_LONG, false}};
static const struct field eight[] = {
    {"a", T_STRING, false},
    {"b", T_INT, true},
    {"c", T_LONG, true},
    {"d", T_DOUBLE, true},
    {"e", T_DATE, true},
    {"f", T_FLOAT, true},
    {"g", AVRO_T_BYTES, LOGICAL_DECIMAL, STORE_TEXT, true, .precision = 9, .scale = 3},
    {.name = "h", .type = AVRO_T_ENUM, .storage = STORE_TEXT, .nullable = true, .symbols = colours, .nsymbols = 2},
};
static const struct schema schemas[] = {{"t", "", one, 1}, {"t", "", two, 2}, {"t", "", three, 3}, {"t", "", eight, 8}};
static const char *const headers[] = {"a\n", "b,a\n", "c,\"a\",x,B\n", "a,b,c,d,e,f,g,h\n"};

struct setup {
	struct csv_plan plan;
	struct csv_options opt;
	struct buf text;
};

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_csv: %s\n", what);
	abort();
}

static void put_batch(struct buf *out, const struct schema *s, const struct batch *b)
{
	uint32_t d = 0;
	for (uint32_t i = 0; i < b->nrow; i++) {
		buf_printf(out, "%llu %u ", (unsigned long long)b->first_row + i, b->bad[i]);
		buf_add(out, b->data + b->raw[i].off, b->raw[i].len);
		for (uint32_t f = 0; f < s->nfields; f++) {
			struct value v = batch_value(b, i, f);
			char text[40];
			check(!v.null || b->col[f].any_null, "any_null hides a null");
			buf_str(out, v.null ? " -" : " =");
			if (!v.null && b->col[f].ref)
				buf_span(out, v.s);
			else if (!v.null)
				buf_add(out, text, value_format(&s->fields[f], &v, text, sizeof text));
		}
		for (; d < b->ndefect && b->defect[d].index == i; d++) {
			const struct defect *p = &b->defect[d];
			buf_printf(out, "\n  %s %d %llu:%u @%llu %s ", p->rule, p->field, (unsigned long long)p->line,
				   p->column, (unsigned long long)p->offset, p->reason);
			buf_span(out, p->cell);
		}
		buf_char(out, '\n');
	}
	check(d == b->ndefect, "defects are not in order");
}

static void read_all(const struct setup *u, struct csv_options opt, struct buf *out)
{
	struct err e = {0};
	struct source *src;
	struct csv_reader *r;
	opt.max_cell = u->opt.max_cell;
	opt.max_row = u->opt.max_row;
	check(source_open_span((struct span){u->text.p, u->text.n}, "x", NULL, &src, &e) == ERR_OK, e.msg);
	if (csv_open(src, &u->plan, &opt, &r, &e) != ERR_OK) {
		buf_printf(out, "error: %s\n", e.msg);
		source_close(src);
		return;
	}
	/* two batches in turn: the one before must stay as it is */
	struct batch *b[2] = {batch_new(u->plan.schema, opt.batch_rows), batch_new(u->plan.schema, opt.batch_rows)};
	bool more = true;
	struct buf last;
	buf_init(&last, 64u << 20);
	for (unsigned k = 0; more; k++) {
		check(csv_next(r, b[k & 1], &more, &e) == ERR_OK, e.msg);
		buf_span(out, (struct span){last.p, last.n});
		if (k) {
			struct buf again;
			buf_init(&again, 64u << 20);
			put_batch(&again, u->plan.schema, b[~k & 1]);
			check(again.n == last.n && (!last.n || memcmp(again.p, last.p, last.n) == 0),
			      "a batch changed later");
			buf_done(&again);
		}
		buf_clear(&last);
		put_batch(&last, u->plan.schema, b[k & 1]);
	}
	uint32_t n;
	const struct csv_warning *w = csv_warnings(r, &n);
	for (uint32_t i = 0; i < n; i++)
		buf_printf(out, "%s %llu\n", w[i].text, (unsigned long long)w[i].count);
	buf_done(&last);
	batch_free(b[0]);
	csv_close(r);
	batch_free(b[1]);
	source_close(src);
}

/* Records as csv_raw sees them, against the reader's own, which has no columns to be wrong about. */
static void raw_agrees(const struct setup *u)
{
	static const struct schema none = {"t", "", NULL, 0};
	struct csv_plan plan = u->plan;
	struct err e = {0};
	struct source *src[2];
	struct csv_reader *r;
	struct csv_raw *raw;
	struct raw_row row;
	bool more = true, rmore = true;
	plan.schema = &none;
	plan.nkey = 0;
	for (int i = 0; i < 2; i++)
		check(source_open_span((struct span){u->text.p, u->text.n}, "x", NULL, &src[i], &e) == ERR_OK, e.msg);
	check(csv_raw_open(src[1], &plan.dialect, &u->opt, &raw, &e) == ERR_OK, e.msg);
	if (csv_open(src[0], &plan, &u->opt, &r, &e) == ERR_OK) {
		struct batch *b = batch_new(&none, 7);
		if (plan.dialect.header && csv_header(r).p)
			check(csv_raw_next(raw, &row, &rmore, &e) == ERR_OK && rmore, "no header row");
		while (more) {
			check(csv_next(r, b, &more, &e) == ERR_OK, e.msg);
			for (uint32_t i = 0; i < b->nrow; i++) {
				check(csv_raw_next(raw, &row, &rmore, &e) == ERR_OK && rmore,
				      "csv_raw has fewer records");
				check(span_eq(row.raw, (struct span){b->data + b->raw[i].off, b->raw[i].len}),
				      "other records");
			}
		}
		check(csv_raw_next(raw, &row, &rmore, &e) == ERR_OK && !rmore, "csv_raw has more records");
		batch_free(b);
		csv_close(r);
	}
	csv_raw_close(raw);
	source_close(src[0]);
	source_close(src[1]);
}

/* Each record alone through csv_records: those without defect must come out without one. */
static void replay(const struct setup *u)
{
	struct err e = {0};
	struct source *src;
	struct csv_reader *r, *again;
	check(source_open_span((struct span){u->text.p, u->text.n}, "x", NULL, &src, &e) == ERR_OK, e.msg);
	if (csv_open(src, &u->plan, &u->opt, &r, &e) == ERR_OK) {
		struct span h = csv_header(r);
		char *header = strndup(h.n ? h.p : "", h.n);
		struct batch *b = batch_new(u->plan.schema, 16), *c = batch_new(u->plan.schema, 16);
		bool more = true;
		check(csv_open_records(header, &u->plan, &u->opt, &again, &e) == ERR_OK, e.msg);
		while (more) {
			struct span raw[16];
			check(csv_next(r, b, &more, &e) == ERR_OK, e.msg);
			for (uint32_t i = 0; i < b->nrow; i++)
				raw[i] = (struct span){b->data + b->raw[i].off, b->raw[i].len};
			check(csv_records(again, raw, b->nrow, c, &e) == ERR_OK, e.msg);
			check(c->nrow == b->nrow, "replay lost a record");
			/* a record may end in a CR that was its line's: then it is another one alone */
			for (uint32_t i = 0; i < b->nrow; i++)
				if (!b->bad[i] && c->bad[i] && !memchr(raw[i].p, '\r', raw[i].n)) {
					fprintf(stderr, "%.*s: %s\n", (int)raw[i].n, raw[i].p, c->defect[0].reason);
					check(false, "a record is bad when replayed");
				}
		}
		batch_free(b);
		batch_free(c);
		csv_close(again);
		csv_close(r);
		free(header);
	}
	source_close(src);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct span words[] = {{"NA", 2}, {"\\N", 2}, {"0", 1}, {"not a value", 11}};
	static const uint32_t key[] = {0, 1};
	static const size_t rows[] = {0, 16, 48, 200}, cells[] = {0, 5, 20, 64};
	if (size < 3 || size > 1u << 16)
		return 0;
	const struct schema *s = &schemas[data[1] & 3];
	struct setup u = {.plan = {.schema = s, .key = key, .nkey = (data[1] >> 2 & 3) % (s->nfields + 1) % 3},
			  .opt = {.max_row = rows[data[2] & 3], .max_cell = cells[data[2] >> 2 & 3], .batch_rows = 16}};
	u.plan.dialect = (struct csv_dialect){.separator = data[0] & 1 ? ';' : ',',
					      .quote = (data[0] >> 1 & 3) == 1	 ? '\''
						       : (data[0] >> 1 & 3) == 2 ? 0
										 : '"',
					      .escape = data[0] & 8 ? '\\' : 0,
					      .header = data[0] & 16,
					      .null_words = words,
					      .nnull_words = data[0] >> 5 & 3};
	buf_init(&u.text, 1 << 20);
	if (u.plan.dialect.header && data[0] & 128)
		buf_str(&u.text, headers[data[1] & 3]);
	buf_add(&u.text, data + 3, size - 3);
	struct source *src;
	if (source_open_span((struct span){u.text.p, u.text.n}, "x", NULL, &src, NULL) != ERR_OK) {
		buf_done(&u.text);
		return 0; /* looks compressed and is not */
	}
	bool plain = !*source_encoding(src);
	source_close(src);
	if (!plain) {
		buf_done(&u.text);
		return 0;
	}
	struct buf first;
	buf_init(&first, 64u << 20);
	read_all(&u, (struct csv_options){.simd = SIMD_PORTABLE, .batch_rows = 4096}, &first);
	for (enum simd_level l = SIMD_PORTABLE; l <= SIMD_AVX512; l++)
		for (unsigned k = 0; k < 3; k++) {
			static const struct csv_options o[] = {{.block = 64, .batch_rows = 3},
							       {.block = 200, .batch_rows = 1000},
							       {.block = 0, .batch_rows = 17}};
			struct csv_options opt = o[k];
			struct buf out;
			opt.simd = l;
			buf_init(&out, 64u << 20);
			read_all(&u, opt, &out);
			if (out.n != first.n || (out.n && memcmp(out.p, first.p, out.n) != 0)) {
				fprintf(stderr, "fuzz_csv: %s, block %zu, batch %u:\n%s\n--- instead of\n%s\n",
					simd_level_name(l), opt.block, opt.batch_rows, buf_cstr(&out),
					buf_cstr(&first));
				abort();
			}
			buf_done(&out);
		}
	raw_agrees(&u);
	replay(&u);
	buf_done(&first);
	buf_done(&u.text);
	return 0;
}
