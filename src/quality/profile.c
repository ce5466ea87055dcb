/*
 * profile.c: every record of the file once: which types each column's values fit, where nulls are.
 *
 * A type fits only if nothing is lost: numbers with leading zeros or a plus sign are codes, not numbers; a whole number
 * beyond long, or one with more than 17 digits, would lose digits as a double. Both stay text.
 */
#include "base/hash.h"
#include "quality/infer_internal.h"
#include "record/convert.h"
#include "record/utf8.h"

#include <stdio.h>

#define SAMPLE_BYTES ((size_t)8 << 20)
#define SAMPLE_ROWS 20000u

/* Texts that people and programs write for "no value". */
const char *const infer_words[INFER_WORDS] = {
    "\\N",  "NULL", "null", "Null", "NA", "N/A", "n/a",	    "na",     "#N/A", "NaN",	"nan",	  "NAN",
    "None", "none", "nil",  "-",    "--", "?",	 "missing", "(null)", "<NA>", "<null>", "#NULL!", "NaT",
};

/* Words that are no text of anybody's: null in any column. */
static const uint32_t always_null = 1u << 0 | 1u << 1;

int infer_word(struct span t)
{
	if (t.n == 0 || t.n > 7 || (t.p[0] >= '0' && t.p[0] <= '9'))
		return -1;
	for (int i = 0; i < INFER_WORDS; i++) {
		if (span_is(t, infer_words[i]))
			return i;
	}
	return -1;
}

/* Whole numbers as they are printed: no plus, no leading zeros. */
static unsigned fits_whole(struct span t)
{
	size_t i = t.p[0] == '-';
	int64_t v;
	bool range;

	if (t.n == i || (t.p[i] == '0' && t.n > i + 1))
		return 0;
	if (!parse_i64(t.p, t.n, &v, &range))
		return 0;
	unsigned fits = FIT_LONG;
	if (v >= INT32_MIN && v <= INT32_MAX)
		fits |= FIT_INT;
	if (t.n - i <= 17)
		fits |= FIT_DOUBLE;
	if (t.n == 1 && v <= 1)
		fits |= FIT_BOOLEAN;
	return fits;
}

/* Decimal numbers of at most 17 significant digits. */
static bool fits_double(struct span t)
{
	size_t i = t.p[0] == '-', digits = 0, whole = 0;
	bool dot = false, started = false;
	double d;
	bool range;

	if (i < t.n && t.p[i] == '0' && i + 1 < t.n && t.p[i + 1] >= '0' && t.p[i + 1] <= '9')
		return false;
	for (; i < t.n && t.p[i] != 'e' && t.p[i] != 'E'; i++) {
		if (t.p[i] == '.') {
			dot = true;
			continue;
		}
		started |= t.p[i] != '0';
		digits += started;
		whole += !dot;
	}
	return whole > 0 && digits <= 17 && parse_f64(t.p, t.n, &d, &range);
}

static bool converts(enum avro_type type, enum avro_logical logical, struct span t)
{
	const struct field f = {.name = "", .type = type, .logical = logical, .storage = STORE_I64};
	char scratch[CONVERT_SCRATCH];
	struct value v;

	return convert_cell(&f, t, &v, scratch) == CONVERT_OK;
}

unsigned infer_fits(struct span t)
{
	unsigned fits = 0;

	if (t.n == 0 || t.n > 64)
		return 0;
	char c = t.p[0];
	if ((c >= '0' && c <= '9') || c == '-') {
		fits = fits_whole(t);
		if (fits)
			return fits;
		if (fits_double(t))
			return FIT_DOUBLE;
		if (t.n >= 10 && t.p[4] == '-') {
			if (converts(AVRO_T_STRING, LOGICAL_DATE, t))
				return FIT_DATE;
			fits |= converts(AVRO_T_LONG, LOGICAL_TIMESTAMP_MILLIS, t) ? FIT_MILLIS : 0;
			fits |= converts(AVRO_T_LONG, LOGICAL_TIMESTAMP_MICROS, t) ? FIT_MICROS : 0;
		}
		return fits;
	}
	if ((c | 0x20) == 't' || (c | 0x20) == 'f')
		return converts(AVRO_T_BOOLEAN, LOGICAL_NONE, t) ? FIT_BOOLEAN : 0;
	return 0;
}

bool infer_utf8(struct span s)
{
	size_t i = 0;

	for (; i + 8 <= s.n; i += 8) {
		uint64_t w;
		memcpy(&w, s.p + i, 8);
		if (w & UINT64_C(0x8080808080808080))
			break;
	}
	return utf8_valid_prefix(s.p + i, s.n - i) == s.n - i;
}

static void keep_text(char out[48], struct span t)
{
	char quoted[200];

	cell_quote(t, quoted);
	size_t n = strlen(quoted);
	if (n > 46) {
		n = 43;
		while (n && ((unsigned char)quoted[n] & 0xc0) == 0x80)
			n--;
		memcpy(quoted + n, "...", 4);
	}
	snprintf(out, 48, "%.47s", quoted);
}

static void take_cell(struct profile *p, const struct raw_cell *c)
{
	if (c->text.n == 0) {
		if (c->quoted) {
			p->empty_text++;
			p->fits = 0;
		} else {
			p->empty++;
		}
		return;
	}
	int w = c->quoted ? -1 : infer_word(c->text);
	if (w >= 0) {
		p->nword[w]++;
		p->words |= 1u << w;
		return;
	}
	if (p->values++ == 0)
		keep_text(p->example, c->text);
	if (p->fits == 0)
		return;
	unsigned before = p->fits;
	p->fits &= infer_fits(c->text);
	if (p->fits == 0 && p->values > 1) {
		keep_text(p->odd, c->text);
		p->before_odd = before;
	}
}

static void take_row(struct infer *x, const struct raw_row *row)
{
	bool sampled = x->nsample < x->sample_cap;

	for (uint32_t c = 0; c < x->ncol; c++) {
		take_cell(&x->col[c], &row->cell[c]);
		if (sampled)
			x->sample[(size_t)x->nsample * x->ncol + c] =
			    hash64(row->cell[c].text.p, row->cell[c].text.n, c);
	}
	x->nsample += sampled;
	x->records++;
}

static enum err_code profile_new(struct infer *x, struct err *e)
{
	x->col = arena_array(x->a, x->ncol, sizeof(*x->col));
	x->sample_cap = (uint32_t)(SAMPLE_BYTES / (x->ncol * sizeof(uint64_t)));
	if (x->sample_cap > SAMPLE_ROWS)
		x->sample_cap = SAMPLE_ROWS;
	x->sample = arena_array(x->a, (size_t)x->sample_cap * x->ncol, sizeof(*x->sample));
	if (!x->col || !x->sample)
		return err_oom(e);
	for (uint32_t c = 0; c < x->ncol; c++)
		x->col[c].fits = FIT_ALL;
	x->records = x->ragged = 0;
	x->nsample = 0;
	return ERR_OK;
}

static enum err_code profile_rows(struct infer *x, struct csv_raw *raw, const struct source *src, bool *ret_not_utf8,
				  struct err *e)
{
	struct raw_row row;
	bool more;

	for (uint64_t n = 0;; n++) {
		if (csv_raw_next(raw, &row, &more, e))
			return e->code;
		if (!more)
			return ERR_OK;
		if (!infer_utf8(row.raw)) {
			*ret_not_utf8 = true;
			return err_set(e, ERR_UNSUPPORTED, "line %llu is no %s", (unsigned long long)row.line,
				       x->charset);
		}
		if (n == 0 && x->dialect.header)
			continue;
		if (row.rule || row.ncell != x->ncol)
			x->ragged++;
		else
			take_row(x, &row);
		if (n % 4096 == 0) {
			infer_tick(x, "types", src);
			if (infer_stopped(x, e))
				return e->code;
		}
	}
}

/* A word means null where it stands in a column that is otherwise of a type; some mean it everywhere. */
static void choose_words(struct infer *x)
{
	uint32_t any = 0;

	for (uint32_t c = 0; c < x->ncol; c++) {
		const struct profile *p = &x->col[c];
		any |= p->words;
		if (p->values && p->fits)
			x->null_words |= p->words;
	}
	x->null_words |= any & always_null;
}

enum err_code infer_profile(struct infer *x, bool *ret_not_utf8, struct err *e)
{
	struct source *src = NULL;
	struct csv_raw *raw = NULL;

	*ret_not_utf8 = false;
	if (profile_new(x, e) || infer_source(x, &src, e))
		return e->code;
	enum err_code c = csv_raw_open(src, &x->dialect, NULL, &raw, e);
	if (!c)
		c = profile_rows(x, raw, src, ret_not_utf8, e);
	csv_raw_close(raw);
	source_close(src);
	if (!c)
		choose_words(x);
	return c;
}
