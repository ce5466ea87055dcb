/* csv_scan.c: see csv_scan.h. */
#include "format/csv_scan.h"

#include <string.h>

struct scan {
	const struct csv_rules *k;
	const char *data;
	size_t start, limit; /* bytes that may be looked at */
	bool end;	     /* limit is the end of the text */
	bool bounded;	     /* limit is where a record is too long */
	size_t first_line;   /* first line end since start, or 0: it is inside of the quotes ... */
	size_t line_open;    /* ... that open here */
	uint32_t line_col;   /* ... in this column */
};

enum quoted_end { QUOTED_CLOSED, QUOTED_OPEN };

/* p is behind the opening quote of column col; *p becomes the closing quote's place. */
static enum quoted_end scan_quoted(struct scan *s, uint32_t col, size_t *p, bool *repair)
{
	const struct csv_rules *k = s->k;
	size_t open = *p - 1;
	for (size_t q = *p; q < s->limit; q++) {
		char c = s->data[q];
		if (c == k->newline) {
			if (!s->first_line) {
				s->first_line = q;
				s->line_open = open;
				s->line_col = col;
			}
			if (q - s->start >= k->window)
				return QUOTED_OPEN;
		} else if (c == k->escape && c != k->quote) {
			if (q + 1 < s->limit && (s->data[q + 1] == k->quote || s->data[q + 1] == k->escape)) {
				*repair = true;
				q++;
			}
		} else if (c == k->quote) {
			if (k->escape != k->quote || q + 1 == s->limit || s->data[q + 1] != k->quote) {
				*p = q;
				return QUOTED_CLOSED;
			}
			*repair = true;
			q++;
		}
	}
	*p = s->limit;
	return QUOTED_OPEN;
}

static size_t scan_plain(const struct scan *s, size_t p)
{
	char sep = s->k->sep, newline = s->k->newline;
	const char *d = s->data;
	while (p < s->limit && d[p] != sep && d[p] != newline)
		p++;
	return p;
}

/* Without a CR before the line end at e (or the end of the text). */
static size_t without_cr(const struct scan *s, size_t from, size_t e)
{
	return s->k->newline == '\n' && e > from && s->data[e - 1] == '\r' ? e - 1 : e;
}

static void put_cell(struct csv_cell *cells, uint32_t cap, struct csv_record *r, struct csv_cell c)
{
	if (r->ncell < cap)
		cells[r->ncell] = c;
	r->ncell++;
}

/* The quote opened at `open` does not close: the record is its first line, reading goes on behind it. */
static enum scan_result unclosed(const struct scan *s, size_t open, struct csv_record *r)
{
	size_t e = s->first_line ? s->first_line : s->limit;
	r->rule = RULE_UNCLOSED_QUOTE;
	r->at_col = s->first_line ? s->line_col : r->ncell;
	r->len = (uint32_t)(without_cr(s, s->start, e) - s->start);
	r->next = (uint32_t)(s->first_line ? e + 1 : e);
	r->at = (struct csv_cell){(uint32_t)(s->first_line ? s->line_open : open) + 1, 0, true, false};
	if (r->off + r->len > r->at.off)
		r->at.len = r->off + r->len - r->at.off;
	return SCAN_RECORD;
}

static enum scan_result too_long(const struct scan *s, size_t n, size_t from, struct csv_record *r)
{
	const char *nl = memchr(s->data + from, s->k->newline, n - from);
	r->rule = RULE_ROW_TOO_LONG;
	r->at_col = UINT32_MAX;
	r->len = (uint32_t)s->k->max_row;
	r->skip = !nl;
	r->next = (uint32_t)(nl ? (size_t)(nl - s->data) + 1 : n);
	r->at = (struct csv_cell){r->off, r->len, false, false};
	return SCAN_RECORD;
}

static bool is_cr_end(const struct scan *s, size_t p)
{
	return s->k->newline == '\n' && s->data[p] == '\r' &&
	       (p + 1 < s->limit ? s->data[p + 1] == '\n' : s->end || s->bounded);
}

/* Behind the closing quote at q: the cell's end, and RULE_BAD_QUOTE when there is text. */
static size_t behind_quote(const struct scan *s, size_t open, size_t q, bool repair, struct csv_cell *cells,
			   uint32_t cap, struct csv_record *r)
{
	size_t p = q + 1;
	struct csv_cell c = {(uint32_t)open + 1, (uint32_t)(q - open - 1), true, repair};
	if (p < s->limit && is_cr_end(s, p))
		p++;
	else if (p < s->limit && s->data[p] != s->k->sep && s->data[p] != s->k->newline) {
		p = scan_plain(s, p);
		c = (struct csv_cell){(uint32_t)open, (uint32_t)(without_cr(s, open, p) - open), false, false};
		if (!r->rule) {
			r->rule = RULE_BAD_QUOTE;
			r->at = c;
			r->at_col = r->ncell;
		}
	}
	put_cell(cells, cap, r, c);
	return p;
}

static bool blank(const struct scan *s, struct csv_record *r)
{
	size_t p = s->start;
	if (s->data[p] == '\r' && s->k->newline == '\n' && (p + 1 < s->limit ? s->data[p + 1] == '\n' : s->end))
		p++;
	if (p < s->limit && s->data[p] != s->k->newline && !(p > s->start))
		return false;
	r->next = (uint32_t)(p < s->limit ? p + 1 : p);
	return true;
}

enum scan_result csv_scan(const struct csv_rules *k, const char *data, size_t pos, size_t n, bool eof,
			  struct csv_cell *cells, uint32_t cap, struct csv_record *ret)
{
	struct scan s = {.k = k, .data = data, .start = pos, .limit = n, .end = eof};
	*ret = (struct csv_record){.off = (uint32_t)pos};
	if (pos == n)
		return eof ? SCAN_END : SCAN_MORE;
	if (n - pos >= k->max_row + 2) {
		s.limit = pos + k->max_row + 2;
		s.bounded = true;
		s.end = false;
	}
	if (blank(&s, ret))
		return SCAN_BLANK;
	size_t p = pos;
	for (;;) {
		size_t open = p;
		if (k->quotes && p < s.limit && data[p] == k->quote) {
			bool repair = false;
			p++;
			if (scan_quoted(&s, ret->ncell, &p, &repair) == QUOTED_OPEN) {
				if (p == s.limit && !s.bounded && !eof)
					return SCAN_MORE;
				if (p == s.limit && !s.end && !s.first_line)
					return too_long(&s, n, s.limit, ret);
				return unclosed(&s, open, ret);
			}
			/* the byte behind a quote decides what the quote is; a CR needs one more */
			if (!s.bounded && !eof && p + 2 >= s.limit)
				return SCAN_MORE;
			p = behind_quote(&s, open, p, repair, cells, cap, ret);
			/* with a line end before it, the quote that opened there is the likelier culprit */
			if (ret->rule && s.first_line)
				return unclosed(&s, open, ret);
		} else {
			p = scan_plain(&s, p);
			size_t e = p < s.limit && data[p] == k->sep ? p : without_cr(&s, open, p);
			put_cell(cells, cap, ret,
				 (struct csv_cell){(uint32_t)open, (uint32_t)(e - open), false, false});
		}
		if (p >= s.limit || data[p] == k->newline)
			break;
		p++;
	}
	if (p >= s.limit && !s.end)
		return s.bounded ? too_long(&s, n, s.limit, ret) : SCAN_MORE;
	ret->len = (uint32_t)(without_cr(&s, pos, p) - pos);
	ret->next = (uint32_t)(p < s.limit ? p + 1 : p);
	if (ret->len > k->max_row)
		return too_long(&s, n, p < s.limit ? p : s.limit, ret);
	return SCAN_RECORD;
}

size_t csv_unescape(const struct csv_rules *k, const char *p, size_t n, char *out)
{
	size_t o = 0, i = 0;
	while (i < n) {
		const char *q = memchr(p + i, k->escape, n - i);
		size_t run = q ? (size_t)(q - p) - i : n - i;
		memcpy(out + o, p + i, run);
		o += run;
		i += run;
		if (i == n)
			break;
		/* an escape before anything else than a quote or itself is a character */
		if (i + 1 < n && (p[i + 1] == k->quote || p[i + 1] == k->escape))
			i++;
		out[o++] = p[i++];
	}
	return o;
}

struct csv_rules csv_rules_of(const struct csv_dialect *d, const struct csv_options *opt)
{
	struct csv_rules k = {.sep = d->separator ? d->separator : ',',
			      .quote = d->quote,
			      .quotes = d->quote != 0,
			      .escape = d->escape ? d->escape : d->quote,
			      .newline = '\n',
			      .max_row = opt && opt->max_row ? opt->max_row : CSV_MAX_ROW};
	k.window = k.max_row;
	return k;
}

bool csv_find_newline(struct csv_rules *k, const char *data, size_t n, bool eof)
{
	size_t limit = n < k->max_row ? n : k->max_row;
	bool in = false;
	char before = k->sep;
	for (size_t i = 0; i < limit; before = data[i++]) {
		char c = data[i];
		/* a quote opens a cell only at its start; behind another one it is the second of a pair */
		bool start = before == k->sep || before == k->quote || before == '\n' || before == '\r';
		if (k->quotes && c == k->quote && (in || start))
			in = !in;
		if (in || (c != '\n' && c != '\r'))
			continue;
		if (c == '\r' && i + 1 == n && !eof)
			return false;
		/* a file that ends in its only CR is one line either way */
		k->newline = c == '\r' && i + 1 < n && data[i + 1] != '\n' ? '\r' : '\n';
		return true;
	}
	return eof || n > k->max_row;
}

void csv_window(struct csv_rules *k, uint64_t *full_at, uint64_t here, const char *rule)
{
	if (!rule) {
		if (k->window != k->max_row && here >= *full_at)
			k->window = k->max_row;
	} else if (strcmp(rule, RULE_UNCLOSED_QUOTE) == 0) {
		if (k->window == k->max_row)
			*full_at = here + k->max_row;
		k->window /= 2;
	}
}
