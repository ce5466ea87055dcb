/*
 * infer.c: the passes one after the other, and the document. See infer.h.
 */
#include "quality/infer.h"

#include "base/fd.h"
#include "quality/infer_internal.h"
#include "record/name.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#define MEMORY ((size_t)64 << 20)
#define DOCUMENT_MAX ((size_t)4 << 20)

void infer_note(struct infer *x, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (!x->ret->notes)
		x->ret->notes = arena_array(x->a, INFER_NOTES_MAX, sizeof(*x->ret->notes));
	if (!x->ret->notes || x->ret->nnotes == INFER_NOTES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	const char *copy = arena_strdup(x->a, text);
	if (copy)
		x->ret->notes[x->ret->nnotes++] = copy;
}

enum err_code infer_stopped(const struct infer *x, struct err *e)
{
	if (x->opt->stop && atomic_load_explicit(x->opt->stop, memory_order_relaxed))
		return err_set(e, ERR_INTERRUPTED, "interrupted; nothing was written");
	return ERR_OK;
}

enum err_code infer_source(const struct infer *x, struct source **ret, struct err *e)
{
	struct source_options so = {.charset = x->charset};

	return source_open(x->path, &so, ret, e);
}

void infer_tick(const struct infer *x, const char *phase, const struct source *src)
{
	if (x->opt->tick)
		x->opt->tick(x->opt->ctx, phase, source_raw_bytes(src), x->size);
}

/* ---- the schema */

static struct field make_field(unsigned fits, const char *name, bool nullable)
{
	struct field f = {.name = name, .type = AVRO_T_STRING, .storage = STORE_TEXT, .nullable = nullable};

	if (fits & (FIT_INT | FIT_LONG | FIT_BOOLEAN | FIT_MILLIS | FIT_MICROS))
		f.storage = STORE_I64;
	if (fits & FIT_INT) {
		f.type = AVRO_T_INT;
	} else if (fits & FIT_LONG) {
		f.type = AVRO_T_LONG;
	} else if (fits & FIT_DOUBLE) {
		f.type = AVRO_T_DOUBLE;
		f.storage = STORE_F64;
	} else if (fits & FIT_BOOLEAN) {
		f.type = AVRO_T_BOOLEAN;
	} else if (fits & FIT_DATE) {
		f.logical = LOGICAL_DATE;
		f.storage = STORE_I64;
	} else if (fits & (FIT_MILLIS | FIT_MICROS)) {
		f.type = AVRO_T_LONG;
		f.logical = fits & FIT_MILLIS ? LOGICAL_TIMESTAMP_MILLIS : LOGICAL_TIMESTAMP_MICROS;
	}
	return f;
}

static uint64_t null_cells(const struct infer *x, const struct profile *p)
{
	uint64_t n = p->empty;

	for (int i = 0; i < INFER_WORDS; i++)
		n += x->null_words >> i & 1 ? p->nword[i] : 0;
	return n;
}

/* A column's type: text when it has no values, or words that are not null here. */
static struct field column_field(const struct infer *x, uint32_t c)
{
	const struct profile *p = &x->col[c];
	bool plain_words = p->words & ~x->null_words;
	unsigned fits = p->values == 0 || plain_words ? 0 : p->fits;

	return make_field(fits, x->name[c], null_cells(x, p) > 0);
}

static const char *why_left_out(const struct infer *x, uint32_t c)
{
	const char *name = x->name[c];

	if (!name)
		return "it has no name in the header";
	if (x->nfield == SCHEMA_FIELDS_MAX)
		return "a schema has at most 1024 fields";
	const char *wrong = column_name_check(name);
	if (wrong)
		return wrong;
	for (uint32_t i = 0; i < x->ncol; i++) {
		if (i == c || !x->name[i] || strcasecmp(x->name[i], name) != 0)
			continue;
		if (strcmp(x->name[i], name) == 0)
			return "its name occurs twice in the header";
		if (i < c)
			return "its name differs from another only by case";
	}
	return NULL;
}

static void note_column(struct infer *x, uint32_t c, const struct field *f)
{
	static const struct {
		unsigned fits;
		const char *text;
	} texts[] = {{FIT_INT, "int"},	       {FIT_LONG, "long"}, {FIT_DOUBLE, "double"},
		     {FIT_BOOLEAN, "boolean"}, {FIT_DATE, "date"}, {FIT_MILLIS | FIT_MICROS, "timestamp"}};
	const struct profile *p = &x->col[c];

	if (f->type != AVRO_T_STRING || f->logical != LOGICAL_NONE || !p->odd[0])
		return;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (p->before_odd & texts[i].fits) {
			infer_note(x, "%s is text: \"%s\" fits no %s", x->name[c], p->odd, texts[i].text);
			return;
		}
	}
}

static enum err_code make_schema(struct infer *x, struct err *e)
{
	struct infer_column *out = arena_array(x->a, x->ncol, sizeof(*out));
	char type[64];

	x->field = arena_array(x->a, x->ncol, sizeof(*x->field));
	x->column_of = arena_array(x->a, x->ncol, sizeof(*x->column_of));
	if (!out || !x->field || !x->column_of)
		return err_oom(e);
	for (uint32_t c = 0; c < x->ncol; c++) {
		struct infer_column *o = &out[c];
		o->name = x->name[c] ? x->name[c] : "";
		o->left_out = why_left_out(x, c);
		o->nulls = null_cells(x, &x->col[c]);
		o->values = x->col[c].values;
		o->example = x->col[c].example;
		if (o->left_out)
			continue;
		struct field f = column_field(x, c);
		o->type = arena_strdup(x->a, field_type_text(&f, type));
		note_column(x, c, &f);
		x->column_of[x->nfield] = c;
		x->field[x->nfield++] = f;
	}
	x->ret->column = out;
	x->ret->ncolumns = x->ncol;
	if (x->nfield == 0)
		return err_set(e, ERR_UNSUPPORTED, "\"%s\" has no column with a usable name", x->path);
	return ERR_OK;
}

static bool letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The file's name without its endings, as the name of a table. */
static const char *table_name(struct arena *a, const char *base)
{
	char out[64] = "";
	size_t n = 0;
	const char *end = base + strlen(base);
	static const char *const endings[] = {".gz", ".zst", ".csv", ".tsv", ".txt", ".tab", ".psv", ".dat"};

	for (size_t i = 0; i < 8; i++) {
		size_t len = strlen(endings[i]);
		if ((size_t)(end - base) > len && strncasecmp(end - len, endings[i], len) == 0)
			end -= len;
	}
	for (const char *s = base; s < end && n < 44; s++) {
		bool good = letter(*s) || (*s >= '0' && *s <= '9');
		if (good)
			out[n++] = *s;
		else if (n && out[n - 1] != '_')
			out[n++] = '_';
	}
	while (n && out[n - 1] == '_')
		n--;
	out[n] = 0;
	if (n && !store_name_check(out))
		return arena_strdup(a, out);
	return arena_printf(a, "t%s%s", n ? "_" : "", out);
}

/* input.file.pattern, when the default would not take this file. */
static const char *file_pattern(struct arena *a, const char *base)
{
	char ext[40];
	size_t n = strlen(base), k = 0;
	static const char *const taken[] = {".csv", ".csv.gz", ".csv.zst"};

	for (size_t i = 0; i < 3; i++) {
		size_t len = strlen(taken[i]);
		if (n > len && strcasecmp(base + n - len, taken[i]) == 0)
			return NULL;
	}
	const char *dot = strrchr(base, '.');
	if (dot && (strcasecmp(dot, ".gz") == 0 || strcasecmp(dot, ".zst") == 0)) {
		const char *p = dot;
		while (p > base && *--p != '.')
			;
		dot = *p == '.' ? p : dot;
	}
	if (!dot || dot == base)
		return ".*";
	for (const char *s = dot + 1; *s && *s != '.' && k < sizeof(ext) - 1; s++) {
		if (!letter(*s) && !(*s >= '0' && *s <= '9'))
			return ".*";
		ext[k++] = *s;
	}
	ext[k] = 0;
	return arena_printf(a, ".*\\.%s(\\.gz|\\.zst)?", ext);
}

/* ---- the document */

static void write_dialect(const struct infer *x, struct jsonw *w)
{
	char text[2] = {x->dialect.separator, 0};

	jsonw_kbool(w, "csv.first.row.as.header", x->dialect.header);
	if (x->dialect.separator != ',')
		jsonw_kstr(w, "csv.separator.char", text);
	text[0] = x->dialect.quote;
	if (x->dialect.quote != '"')
		jsonw_kstr(w, "csv.quote.char", text);
	text[0] = x->dialect.escape;
	if (x->dialect.quote && x->dialect.escape != x->dialect.quote)
		jsonw_kstr(w, "csv.escape.char", text);
	if (strcmp(x->charset, "UTF-8") != 0)
		jsonw_kstr(w, "csv.file.charset", x->charset);
	if (x->null_words) {
		jsonw_key(w, "csv.null.values");
		w->pretty_depth = 1;
		jsonw_begin(w, '[');
		for (int i = 0; i < INFER_WORDS; i++) {
			if (x->null_words >> i & 1)
				jsonw_str(w, infer_words[i]);
		}
		jsonw_end(w, ']');
		w->pretty_depth = 3;
	}
}

static enum err_code write_document(struct infer *x, struct span *ret, struct err *e)
{
	const char *base = path_base(x->path), *table = table_name(x->a, base), *pattern = file_pattern(x->a, base);
	struct schema schema = {.name = table, .ns = "", .fields = x->field, .nfields = x->nfield};
	struct jsonw w;
	struct buf b;

	buf_init(&b, DOCUMENT_MAX);
	jsonw_init(&w, &b);
	w.pretty = true;
	w.pretty_depth = 3; /* a field is one line */
	jsonw_begin(&w, '{');
	jsonw_kstr(&w, "name", table);
	jsonw_kstr(&w, "file_type", "csv");
	jsonw_kstr(&w, "key_space", table);
	write_dialect(x, &w);
	if (pattern)
		jsonw_kstr(&w, "input.file.pattern", pattern);
	jsonw_key(&w, "schema");
	schema_write(&schema, &w);
	jsonw_key(&w, "primary_key");
	w.pretty_depth = 1;
	jsonw_begin(&w, '[');
	for (uint32_t i = 0; i < x->nkey; i++)
		jsonw_str(&w, x->field[x->key[i]].name);
	jsonw_end(&w, ']');
	/* Room to grow: twice this file, at least 50 MiB as in the first tenants' documents. */
	uint64_t mb = (x->size * 2 >> 20) + 1;
	jsonw_kint(&w, "max_file_size_mb", (int64_t)(mb < 50 ? 50 : mb));
	jsonw_end(&w, '}');
	buf_char(&b, '\n');
	*ret = arena_span(x->a, (struct span){b.p, b.n});
	bool failed = b.failed || !ret->p || !table;
	buf_done(&b);
	return failed ? err_oom(e) : ERR_OK;
}

static const char *separator_name(char c)
{
	switch (c) {
	case ',':
		return "comma";
	case ';':
		return "semicolon";
	case '\t':
		return "tab";
	default:
		return "bar";
	}
}

static void tell_dialect(struct infer *x)
{
	char quote[24] = "no quotes", words[200] = "";
	size_t n = 0;

	if (x->dialect.quote)
		snprintf(quote, sizeof(quote), "quote %c%s", x->dialect.quote,
			 x->dialect.escape != x->dialect.quote ? " escaped by \\" : "");
	for (int i = 0; i < INFER_WORDS && n < sizeof(words) - 20; i++) {
		if (x->null_words >> i & 1)
			n += (size_t)snprintf(words + n, sizeof(words) - n, "%s%s", n ? " " : ", null words ",
					      infer_words[i]);
	}
	x->ret->dialect = arena_printf(x->a, "%s, %s, %s, %s%s", separator_name(x->dialect.separator), quote,
				       x->charset, x->dialect.header ? "header" : "no header", words);
}

static enum err_code find_key(struct infer *x, struct err *e)
{
	struct span text;
	struct problems p;

	if (write_document(x, &text, e))
		return e->code;
	problems_init(&p, "document", x->a);
	struct data_file *df = data_file_parse(text, "document", x->a, &p);
	if (!df) {
		const struct problem *first = p.first;
		return err_set(e, ERR_INTERNAL, "the inferred document is wrong at %s: %s is not %s",
			       first ? first->path : "", first ? first->found : "", first ? first->allowed : "");
	}
	enum err_code c = infer_key(x, df, e);
	data_file_done(df);
	return c;
}

/* Types under a charset; another one when the bytes are not what we took them for. */
static enum err_code read_types(struct infer *x, struct err *e)
{
	bool not_utf8 = false;

	if (sniff_charset(x, e) || sniff_dialect(x, e))
		return e->code;
	enum err_code c = infer_profile(x, &not_utf8, e);
	if (not_utf8) {
		if (sniff_one_byte(x, e) || sniff_dialect(x, e))
			return e->code;
		c = infer_profile(x, &not_utf8, e);
	}
	if (c || x->ragged == 0 || x->whole)
		return c;
	/* Rows that do not fit: perhaps the first ones were no good sample. */
	struct csv_dialect first = x->dialect;
	x->whole = true;
	if (sniff_dialect(x, e))
		return e->code;
	bool same = first.separator == x->dialect.separator && first.quote == x->dialect.quote &&
		    first.escape == x->dialect.escape;
	return same ? ERR_OK : infer_profile(x, &not_utf8, e);
}

static enum err_code run_all(struct infer *x, struct err *e)
{
	struct span text;

	if (read_types(x, e) || make_schema(x, e) || find_key(x, e) || write_document(x, &text, e))
		return e->code;
	x->ret->document = text.p;
	x->ret->records = x->records + x->ragged;
	for (uint32_t i = 0; i < x->nkey; i++)
		((struct infer_column *)x->ret->column)[x->column_of[x->key[i]]].key = true;
	if (x->records == 0)
		infer_note(x, "there are no records: every column is text");
	if (x->ret->hopeless)
		infer_note(x, "%llu record%s rejected under any schema (number of cells, quotes, NUL bytes): see %s",
			   (unsigned long long)x->ret->hopeless, x->ret->hopeless == 1 ? " is" : "s are",
			   "`mysimbdp check`");
	tell_dialect(x);
	return ERR_OK;
}

enum err_code infer_file(const char *path, const struct infer_options *opt, struct infer_result *ret, struct err *e)
{
	struct infer x = {.path = path, .opt = opt, .ret = ret, .a = &ret->arena};
	struct stat st;

	*ret = (struct infer_result){.records = 0};
	arena_init(&ret->arena, MEMORY);
	if (path_is_stream(path)) {
		err_set(e, ERR_USAGE, "infer reads a file several times, so it can't be %s",
			strcmp(path, "-") == 0 ? "standard input" : "a pipe or device");
		return err_hint(e, "write it to a file first");
	}
	if (stat(path, &st) == 0)
		x.size = (uint64_t)st.st_size;
	return run_all(&x, e);
}

void infer_result_done(struct infer_result *r)
{
	arena_done(&r->arena);
}
