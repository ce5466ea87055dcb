/* case.c: see case.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "case.h"

#include <stdio.h>
#include <stdlib.h>

static void field_type(struct csv_case *c, struct field *f, char *type)
{
	size_t n = strlen(type);
	if (n && type[n - 1] == '?') {
		f->nullable = true;
		type[--n] = 0;
	}
	char *args = strchr(type, '(');
	if (args)
		*args++ = 0;
	static const struct {
		const char *word;
		enum avro_type t;
		enum avro_logical l;
		enum storage s;
	} types[] = {
	    {"string", AVRO_T_STRING, LOGICAL_NONE, STORE_TEXT},
	    {"int", AVRO_T_INT, LOGICAL_NONE, STORE_I64},
	    {"long", AVRO_T_LONG, LOGICAL_NONE, STORE_I64},
	    {"double", AVRO_T_DOUBLE, LOGICAL_NONE, STORE_F64},
	    {"float", AVRO_T_FLOAT, LOGICAL_NONE, STORE_F64},
	    {"boolean", AVRO_T_BOOLEAN, LOGICAL_NONE, STORE_I64},
	    {"bytes", AVRO_T_BYTES, LOGICAL_NONE, STORE_BYTES},
	    {"fixed", AVRO_T_FIXED, LOGICAL_NONE, STORE_BYTES},
	    {"enum", AVRO_T_ENUM, LOGICAL_NONE, STORE_TEXT},
	    {"date", AVRO_T_STRING, LOGICAL_DATE, STORE_I64},
	    {"time", AVRO_T_INT, LOGICAL_TIME_MILLIS, STORE_I64},
	    {"timestamp", AVRO_T_LONG, LOGICAL_TIMESTAMP_MILLIS, STORE_I64},
	    {"decimal", AVRO_T_BYTES, LOGICAL_DECIMAL, STORE_TEXT},
	    {"uuid", AVRO_T_STRING, LOGICAL_UUID, STORE_TEXT},
	};
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (strcmp(types[i].word, type) != 0)
			continue;
		f->type = types[i].t;
		f->logical = types[i].l;
		f->storage = types[i].s;
		if (f->logical == LOGICAL_DECIMAL)
			assert_int_equal(sscanf(args, "%u,%u", &f->precision, &f->scale), 2);
		if (f->type == AVRO_T_FIXED)
			f->fixed_size = (uint32_t)atoi(args);
		if (f->type == AVRO_T_ENUM) {
			const char **symbols = arena_array(&c->arena, 8, sizeof *symbols);
			for (char *s = strtok(args, ",)"); s; s = strtok(NULL, ",)"))
				symbols[f->nsymbols++] = s;
			f->symbols = symbols;
		}
		return;
	}
	fail_msg("case \"%s\": type %s?", c->name, type);
}

void case_parse_schema(struct csv_case *c, char *words)
{
	struct field *f = arena_array(&c->arena, 64, sizeof *f);
	uint32_t n = 0;
	char *save = NULL;
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		char *colon = strchr(w, ':');
		assert_non_null(colon);
		*colon = 0;
		f[n].name = w;
		field_type(c, &f[n++], colon + 1);
	}
	c->schema = (struct schema){"t", "", f, n};
	c->plan.schema = &c->schema;
}

void case_parse_key(struct csv_case *c, char *words)
{
	uint32_t *key = arena_array(&c->arena, 16, sizeof *key);
	char *save = NULL;
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		for (uint32_t f = 0; f < c->schema.nfields; f++)
			if (strcmp(c->schema.fields[f].name, w) == 0)
				key[c->plan.nkey++] = f;
	}
	c->plan.key = key;
}

void case_parse_dialect(struct csv_case *c, char *words)
{
	struct csv_dialect *d = &c->plan.dialect;
	char *save = NULL, *save2 = NULL;
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (strncmp(w, "sep=", 4) == 0) {
			d->separator = strcmp(w + 4, "tab") == 0 ? '\t' : w[4];
		} else if (strncmp(w, "quote=", 6) == 0) {
			d->quote = strcmp(w + 6, "none") == 0 ? 0 : w[6];
		} else if (strncmp(w, "escape=", 7) == 0) {
			d->escape = w[7];
		} else if (strncmp(w, "header=", 7) == 0) {
			d->header = strcmp(w + 7, "true") == 0;
		} else if (strncmp(w, "charset=", 8) == 0) {
			c->charset = w + 8;
		} else if (strncmp(w, "null=", 5) == 0) {
			struct span *list = arena_array(&c->arena, 16, sizeof *list);
			for (char *s = strtok_r(w + 5, ",", &save2); s; s = strtok_r(NULL, ",", &save2))
				list[d->nnull_words++] = span_str(s);
			d->null_words = list;
		} else {
			fail_msg("case \"%s\": dialect %s?", c->name, w);
		}
	}
}

void case_parse_limits(struct csv_case *c, char *words)
{
	char *save = NULL;
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (strncmp(w, "max_cell=", 9) == 0)
			c->limits.max_cell = (size_t)atol(w + 9);
		else if (strncmp(w, "max_row=", 8) == 0)
			c->limits.max_row = (size_t)atol(w + 8);
		else
			fail_msg("case \"%s\": limit %s?", c->name, w);
	}
}

void case_done(struct csv_case *c)
{
	arena_done(&c->arena);
	buf_done(&c->input);
	buf_done(&c->expect);
}

static void put_text(struct buf *out, struct span s)
{
	buf_char(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];
		if (ch == '\n')
			buf_str(out, "\\n");
		else if (ch == '\r')
			buf_str(out, "\\r");
		else if (ch < 0x20)
			buf_printf(out, "\\x%02x", ch);
		else
			buf_char(out, (char)ch);
	}
	buf_char(out, '"');
}

static void put_record(const struct csv_case *c, const struct batch *b, uint32_t r, struct buf *out)
{
	buf_printf(out, "%llu:", (unsigned long long)(b->first_row + r));
	for (uint32_t f = 0; f < c->schema.nfields && !b->bad[r]; f++) {
		struct value v = batch_value(b, r, f);
		char text[64];
		buf_char(out, ' ');
		if (v.null)
			buf_char(out, '-');
		else if (b->col[f].ref)
			put_text(out, v.s);
		else
			buf_add(out, text, value_format(&c->schema.fields[f], &v, text, sizeof text));
		/* any_null may not hide a null */
		assert_true(!v.null || b->col[f].any_null);
	}
	if (b->bad[r])
		buf_str(out, " rejected");
	buf_char(out, '\n');
}

static void put_defect(const struct csv_case *c, const struct batch *b, const struct defect *d, struct buf *out)
{
	buf_printf(out, "  %s/%s %s %llu:%u %s\n", d->stage, d->rule,
		   d->field < 0 ? "-" : c->schema.fields[d->field].name, (unsigned long long)d->line, d->column,
		   d->reason);
	/* offset and raw lead back to the text as it is in the file */
	if (!c->charset) {
		size_t bom = c->input.n >= 3 && memcmp(c->input.p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
		assert_true(bom + d->offset + b->raw[d->index].len <= c->input.n);
		assert_memory_equal(c->input.p + bom + d->offset, b->data + b->raw[d->index].off, b->raw[d->index].len);
	}
	assert_int_equal(d->row, b->first_row + d->index);
}

static void put_batches(const struct csv_case *c, struct csv_reader *r, uint32_t rows, struct buf *out)
{
	struct batch *b = batch_new(&c->schema, rows);
	struct err e;
	bool more = true;
	uint64_t row = 1;
	assert_non_null(b);
	while (more) {
		enum err_code rc = csv_next(r, b, &more, &e);
		if (rc) {
			buf_printf(out, "error: %s\n", e.msg);
			break;
		}
		assert_int_equal(b->first_row, row);
		row += b->nrow;
		uint32_t d = 0, bad = 0;
		for (uint32_t i = 0; i < b->nrow; i++) {
			put_record(c, b, i, out);
			bad += b->bad[i];
			for (; d < b->ndefect && b->defect[d].index == i; d++)
				put_defect(c, b, &b->defect[d], out);
		}
		assert_int_equal(d, b->ndefect);
		assert_int_equal(bad, b->nbad);
	}
	uint32_t n;
	const struct csv_warning *w = csv_warnings(r, &n);
	for (uint32_t i = 0; i < n; i++)
		buf_printf(out, "warning: %s (%llu)\n", w[i].text, (unsigned long long)w[i].count);
	batch_free(b);
}

void case_run(const struct csv_case *c, struct csv_options opt, struct buf *out)
{
	struct err e = {0};
	struct source *src;
	struct csv_reader *r;
	struct source_options so = {.charset = c->charset};
	opt.max_cell = c->limits.max_cell;
	opt.max_row = c->limits.max_row;
	enum err_code rc = source_open_span((struct span){c->input.p, c->input.n}, "case", &so, &src, &e);
	if (rc) {
		buf_printf(out, "error: %s\n", e.msg);
		return;
	}
	rc = csv_open(src, &c->plan, &opt, &r, &e);
	if (rc) {
		buf_printf(out, "error: %s\n", e.msg);
	} else {
		put_batches(c, r, opt.batch_rows ? opt.batch_rows : 4096, out);
		csv_close(r);
	}
	source_close(src);
}
