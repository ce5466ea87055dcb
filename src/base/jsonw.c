/* jsonw.c: the JSON writer. Bytes that are no UTF-8 become U+FFFD, so the output is always valid. */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jsonw_init(struct jsonw *w, struct buf *b)
{
	*w = (struct jsonw){.b = b};
}

static void indent(struct jsonw *w)
{
	buf_char(w->b, '\n');
	for (int i = 0; i < w->depth; i++)
		buf_str(w->b, "  ");
}

/* Values at this depth stand on lines of their own. */
static bool breaks_lines(const struct jsonw *w, int depth)
{
	return w->pretty && (w->pretty_depth == 0 || depth <= w->pretty_depth);
}

/* Before a value or key: the comma that is due, and the line break of pretty output. */
static void before(struct jsonw *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->depth == 0)
		return;
	bool comma = w->comma[w->depth - 1];
	if (comma)
		buf_char(w->b, ',');
	w->comma[w->depth - 1] = true;
	if (breaks_lines(w, w->depth))
		indent(w);
	else if (comma && w->pretty)
		buf_char(w->b, ' ');
}

void jsonw_begin(struct jsonw *w, char open)
{
	before(w);
	buf_char(w->b, open);
	if (w->depth == JSON_MAX_DEPTH) {
		w->b->failed = true;
		return;
	}
	w->comma[w->depth++] = false;
}

void jsonw_end(struct jsonw *w, char close)
{
	if (w->depth == 0) {
		w->b->failed = true;
		return;
	}
	bool any = w->comma[--w->depth];
	if (any && breaks_lines(w, w->depth + 1))
		indent(w);
	buf_char(w->b, close);
}

/* Length of the valid UTF-8 sequence at p, 0 if there is none (RFC 3629). */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	if (p[0] < 0x80)
		return 1;
	size_t k = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
	if (!k || p[0] > 0xf4 || n < k)
		return 0;
	for (size_t i = 1; i < k; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return k;
}

static void escaped(struct buf *b, struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	buf_char(b, '"');
	for (size_t i = 0; i < s.n;) {
		size_t plain = i;
		while (plain < s.n && p[plain] >= 0x20 && p[plain] < 0x7f && p[plain] != '"' && p[plain] != '\\')
			plain++;
		buf_add(b, p + i, plain - i);
		if ((i = plain) == s.n)
			break;
		size_t k = utf8_len(p + i, s.n - i);
		static const char two[] = "\"\"\\\\\bb\ff\nn\rr\tt";
		const char *t = NULL;
		for (size_t j = 0; j < sizeof two - 1; j += 2) {
			if ((unsigned char)two[j] == p[i])
				t = two + j + 1;
		}
		if (k == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0) /* C1 controls steer some terminals */
			buf_printf(b, "\\u%04x", p[i + 1]);
		else if (k > 1)
			buf_add(b, p + i, k);
		else if (k == 0)
			buf_str(b, "\xef\xbf\xbd");
		else if (t)
			buf_printf(b, "\\%c", *t);
		else
			buf_printf(b, "\\u%04x", p[i]);
		i += k ? k : 1;
	}
	buf_char(b, '"');
}

void jsonw_key(struct jsonw *w, const char *key)
{
	before(w);
	escaped(w->b, span_str(key));
	buf_str(w->b, w->pretty ? ": " : ":");
	w->after_key = true;
}

void jsonw_span(struct jsonw *w, struct span s)
{
	before(w);
	escaped(w->b, s);
}

void jsonw_str(struct jsonw *w, const char *s)
{
	if (s)
		jsonw_span(w, span_str(s));
	else
		jsonw_null(w);
}

void jsonw_int(struct jsonw *w, int64_t v)
{
	before(w);
	buf_printf(w->b, "%" PRId64, v);
}

void jsonw_uint(struct jsonw *w, uint64_t v)
{
	before(w);
	buf_printf(w->b, "%" PRIu64, v);
}

void jsonw_double(struct jsonw *w, double v)
{
	char text[40];
	if (!isfinite(v)) {
		jsonw_null(w);
		return;
	}
	before(w);
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_str(w->b, text);
}

void jsonw_bool(struct jsonw *w, bool v)
{
	before(w);
	buf_str(w->b, v ? "true" : "false");
}

void jsonw_null(struct jsonw *w)
{
	before(w);
	buf_str(w->b, "null");
}

void jsonw_raw(struct jsonw *w, struct span json)
{
	before(w);
	buf_span(w->b, json);
}

void jsonw_json(struct jsonw *w, const struct json *v)
{
	switch (v->type) {
	case JN_NULL:
		jsonw_null(w);
		return;
	case JN_BOOL:
		jsonw_bool(w, v->b);
		return;
	case JN_INT:
	case JN_REAL:
		jsonw_raw(w, v->s);
		return;
	case JN_STRING:
		jsonw_span(w, v->s);
		return;
	default:
		break;
	}
	jsonw_begin(w, v->type == JN_OBJECT ? '{' : '[');
	for (const struct json *c = v->child; c; c = c->next) {
		if (v->type == JN_OBJECT)
			jsonw_key(w, c->key.p);
		jsonw_json(w, c);
	}
	jsonw_end(w, v->type == JN_OBJECT ? '}' : ']');
}

void jsonw_kstr(struct jsonw *w, const char *key, const char *s)
{
	jsonw_key(w, key);
	jsonw_str(w, s);
}

void jsonw_kint(struct jsonw *w, const char *key, int64_t v)
{
	jsonw_key(w, key);
	jsonw_int(w, v);
}

void jsonw_kdouble(struct jsonw *w, const char *key, double v)
{
	jsonw_key(w, key);
	jsonw_double(w, v);
}

void jsonw_kbool(struct jsonw *w, const char *key, bool v)
{
	jsonw_key(w, key);
	jsonw_bool(w, v);
}
