/*
 * sniff.c: charset, separator, quote and header from the beginning of a file.
 *
 * Every combination of separator and quote parses the first rows (all rows, when that left some that do not fit); the
 * one wins by which the most rows have the same number of cells, then the one with more cells. A first row of names,
 * above columns that are something else, is a header.
 */
#include "quality/infer_internal.h"
#include "record/name.h"

#include <stdio.h>
#include <stdlib.h>

#define SNIFF_BYTES ((size_t)1 << 20)
#define SNIFF_ROWS 2000u
#define CELLS_MAX 16384u

/* ---- charset */

static enum err_code read_head(const struct infer *x, unsigned char *p, size_t cap, size_t *ret_n, struct err *e)
{
	struct source *src = NULL;
	size_t n = 0, one = 1;

	if (source_open(x->path, NULL, &src, e))
		return e->code;
	enum err_code c = ERR_OK;
	while (!c && one && n < cap) {
		c = source_read(src, p + n, cap - n, &one, e);
		n += c ? 0 : one;
	}
	source_close(src);
	*ret_n = n;
	return c;
}

static const char *guess_utf16(const unsigned char *p, size_t n)
{
	size_t even = 0, odd = 0;

	if (n >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff)))
		return "UTF-16";
	for (size_t i = 0; i < n; i++) {
		even += p[i] == 0 && i % 2 == 0;
		odd += p[i] == 0 && i % 2 == 1;
	}
	/* Western text in UTF-16 has a zero in nearly every second byte. */
	if (n >= 16 && odd > n / 4 && even < n / 32)
		return "UTF-16LE";
	if (n >= 16 && even > n / 4 && odd < n / 32)
		return "UTF-16BE";
	return NULL;
}

enum err_code sniff_charset(struct infer *x, struct err *e)
{
	unsigned char *p = malloc(64 << 10);
	size_t n = 0;

	if (!p)
		return err_oom(e);
	enum err_code c = read_head(x, p, 64 << 10, &n, e);
	const char *utf16 = guess_utf16(p, n);
	free(p);
	if (c)
		return c;
	if (n == 0) {
		err_set(e, ERR_UNSUPPORTED, "\"%s\" is empty", x->path);
		return err_hint(e, "give a file with a header line and some records");
	}
	x->charset = utf16 ? utf16 : "UTF-8";
	return ERR_OK;
}

enum err_code sniff_one_byte(struct infer *x, struct err *e)
{
	struct source *src = NULL;
	unsigned char *p = malloc(256 << 10);
	bool seen[256] = {false};
	size_t n = 1;

	if (!p)
		return err_oom(e);
	enum err_code c = source_open(x->path, NULL, &src, e);
	while (!c && n) {
		c = source_read(src, p, 256 << 10, &n, e);
		for (size_t i = 0; !c && i < n; i++)
			seen[p[i]] = true;
		if (!c)
			c = infer_stopped(x, e);
	}
	source_close(src);
	free(p);
	if (c)
		return c;
	bool c1 = false;
	for (int i = 0x80; i < 0xa0; i++)
		c1 |= seen[i];
	/* Five bytes are nothing in windows-1252; without 0x80 to 0x9f both are the same. */
	bool hole = seen[0x81] || seen[0x8d] || seen[0x8f] || seen[0x90] || seen[0x9d];
	x->charset = c1 && !hole ? "windows-1252" : "ISO-8859-1";
	infer_note(x, "the file is not UTF-8: read as %s, a guess; look at the letters beyond ASCII", x->charset);
	return ERR_OK;
}

/* ---- dialect */

struct tally {
	struct csv_dialect dialect;
	uint64_t rows, good;
	uint32_t cells;		/* the most frequent count */
	uint64_t quoted_single; /* cells like 'this' */
	uint32_t filled;	/* cells that are not empty */
};

static enum err_code count_rows(const struct infer *x, struct tally *t, uint64_t *count, struct err *e)
{
	struct source *src = NULL;
	struct csv_raw *raw = NULL;
	struct raw_row row;
	bool more = true;
	uint64_t bytes = 0;

	if (infer_source(x, &src, e))
		return e->code;
	enum err_code c = csv_raw_open(src, &t->dialect, NULL, &raw, e);
	while (!c && (x->whole || (t->rows < SNIFF_ROWS && bytes < SNIFF_BYTES))) {
		c = csv_raw_next(raw, &row, &more, e);
		if (c || !more)
			break;
		t->rows++;
		if (t->rows % 4096 == 0) {
			infer_tick(x, "dialect", src);
			if ((c = infer_stopped(x, e)))
				break;
		}
		bytes += row.whole.n;
		if (row.rule || row.ncell > CELLS_MAX)
			continue;
		count[row.ncell]++;
		for (uint32_t i = 0; i < row.ncell; i++) {
			struct span s = row.cell[i].text;
			t->filled += s.n > 0;
			t->quoted_single += s.n >= 2 && s.p[0] == '\'' && s.p[s.n - 1] == '\'';
		}
	}
	csv_raw_close(raw);
	source_close(src);
	for (uint32_t i = 1; !c && i <= CELLS_MAX; i++) {
		if (count[i] > t->good) {
			t->good = count[i];
			t->cells = i;
		}
	}
	return c;
}

/* a is a better reading than b. */
static bool better(const struct tally *a, const struct tally *b)
{
	/* One cell a row is what every separator makes that does not occur. */
	bool am = a->cells > 1 && a->good * 10ull >= a->rows * 9ull;
	bool bm = b->cells > 1 && b->good * 10ull >= b->rows * 9ull;

	if (am != bm)
		return am;
	unsigned __int128 x = (unsigned __int128)a->good * b->rows, y = (unsigned __int128)b->good * a->rows;
	if (x != y)
		return x > y;
	return a->cells > b->cells;
}

static enum err_code choose_dialect(struct infer *x, struct tally *best, struct err *e)
{
	static const char separators[] = {',', ';', '\t', '|'};
	static const struct {
		char quote, escape;
	} quotes[] = {{'"', '"'}, {'"', '\\'}, {'\'', '\''}, {0, 0}};
	uint64_t *count = malloc((CELLS_MAX + 1) * sizeof(*count));
	bool any = false;
	enum err_code c = count ? ERR_OK : err_oom(e);

	for (size_t s = 0; !c && s < sizeof(separators); s++) {
		struct tally mine = {.rows = 0}, plain = mine;
		for (size_t q = 0; !c && q < 4; q++) {
			struct tally t = {.dialect = {.separator = separators[s],
						      .quote = quotes[q].quote,
						      .escape = quotes[q].escape,
						      .charset = "UTF-8"}};
			memset(count, 0, (CELLS_MAX + 1) * sizeof(*count));
			c = count_rows(x, &t, count, e);
			if (q == 0)
				plain = t;
			/* Cells like 'this' nearly everywhere: the quote is ', even if all rows agree without it. */
			unsigned __int128 ours = (unsigned __int128)t.good * mine.rows;
			unsigned __int128 theirs = (unsigned __int128)mine.good * t.rows;
			bool single = t.dialect.quote == '\'' && plain.quoted_single * 2 > plain.filled;
			/* Without any such cell it is no quote. */
			bool possible = t.dialect.quote != '\'' || plain.quoted_single > 0;
			if (q == 0 || (possible && ours > theirs) || (single && ours == theirs))
				mine = t;
			c = c ? c : infer_stopped(x, e);
		}
		if (!c && (!any || better(&mine, best)))
			*best = mine;
		any = true;
	}
	free(count);
	return c;
}

/* ---- header */

struct head {
	struct span *first; /* cells of the first row */
	unsigned *fits;	    /* of the rows below */
	bool *again;	    /* the first row's text occurs below */
	bool *any;
};

static bool looks_like_name(struct span s)
{
	if (s.n == 0 || s.n > 64)
		return s.n == 0;
	bool letter = false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		letter |= ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c >= 0x80;
		if (c < 0x20 || strchr("\"<>{}[]=!;,", c))
			return false;
	}
	return letter;
}

static bool is_header(const struct head *h, uint32_t n)
{
	bool typed = false, again = false, filled = false;

	for (uint32_t i = 0; i < n; i++) {
		if (h->first[i].n && infer_fits(h->first[i]))
			return false;
		if (!looks_like_name(h->first[i]))
			return false;
		filled |= h->first[i].n > 0;
		typed |= h->any[i] && h->fits[i] != 0 && h->first[i].n;
		again |= h->again[i];
	}
	return filled && (typed || !again);
}

static enum err_code look_below(struct infer *x, struct csv_raw *raw, struct head *h, struct err *e)
{
	struct raw_row row;
	bool more = true;

	for (uint32_t r = 0; r < SNIFF_ROWS; r++) {
		if (csv_raw_next(raw, &row, &more, e))
			return e->code;
		if (!more)
			break;
		if (r == 0) {
			x->ncol = row.ncell;
			h->first = arena_array(x->a, row.ncell, sizeof(*h->first));
			h->fits = arena_array(x->a, row.ncell, sizeof(*h->fits));
			h->again = arena_array(x->a, row.ncell, sizeof(*h->again));
			h->any = arena_array(x->a, row.ncell, sizeof(*h->any));
			if (!h->first || !h->fits || !h->again || !h->any)
				return err_oom(e);
			for (uint32_t i = 0; i < row.ncell; i++) {
				h->first[i] = arena_span(x->a, row.cell[i].text);
				h->fits[i] = FIT_ALL;
			}
			continue;
		}
		if (row.rule || row.ncell != x->ncol)
			continue;
		for (uint32_t i = 0; i < x->ncol; i++) {
			struct span s = row.cell[i].text;
			h->again[i] |= s.n && span_eq(s, h->first[i]);
			if (s.n == 0 || (!row.cell[i].quoted && infer_word(s) >= 0))
				continue;
			h->any[i] = true;
			h->fits[i] &= infer_fits(s);
		}
	}
	return ERR_OK;
}

/* Names of the header that a schema may have; the others stay NULL. At least one is needed. */
static bool take_names(struct infer *x, const struct head *h)
{
	bool any = false;

	for (uint32_t i = 0; i < x->ncol; i++) {
		struct span s = h->first[i];
		if (s.n == 0 || memchr(s.p, 0, s.n))
			continue;
		const char *name = arena_strndup(x->a, s.p, s.n);
		bool good = name && !column_name_check(name);
		x->name[i] = name;
		for (uint32_t k = 0; good && k < x->ncol; k++)
			good = k == i || !span_eq(h->first[k], s);
		any |= good;
	}
	return any;
}

static enum err_code sniff_header(struct infer *x, uint32_t cells, struct err *e)
{
	struct source *src = NULL;
	struct csv_raw *raw = NULL;
	struct head h = {0};

	if (infer_source(x, &src, e))
		return e->code;
	enum err_code c = csv_raw_open(src, &x->dialect, NULL, &raw, e);
	if (!c)
		c = look_below(x, raw, &h, e);
	csv_raw_close(raw);
	source_close(src);
	if (c)
		return c;
	bool header = h.first && is_header(&h, x->ncol);
	if (!header)
		x->ncol = cells;
	x->name = arena_array(x->a, x->ncol + 1, sizeof(*x->name));
	if (!x->name)
		return err_oom(e);
	x->dialect.header = header && take_names(x, &h);
	if (header && !x->dialect.header) {
		infer_note(
		    x,
		    "the first line looks like a header, but none of its names may name a column (letters, digits, _): "
		    "it is read as a record");
		memset(x->name, 0, x->ncol * sizeof(*x->name));
	}
	for (uint32_t i = 0; !x->dialect.header && i < x->ncol; i++) {
		x->name[i] = arena_printf(x->a, "c%u", i + 1);
		if (!x->name[i])
			return err_oom(e);
	}
	return ERR_OK;
}

enum err_code sniff_dialect(struct infer *x, struct err *e)
{
	struct tally best = {.rows = 0};

	if (choose_dialect(x, &best, e))
		return e->code;
	if (best.rows == 0 || best.cells == 0) {
		err_set(e, ERR_UNSUPPORTED, "\"%s\" has no row that reads as CSV", x->path);
		return err_hint(e, "is it a text file with cells between commas, semicolons, tabs or bars?");
	}
	x->dialect = best.dialect;
	x->dialect.charset = x->charset;
	return sniff_header(x, best.cells, e);
}
