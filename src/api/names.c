/*
 * names.c: names of uploaded files, and the header parameters that carry them.
 *
 * A name becomes a directory entry that the tenant's program sees, a line in logs and a cell on terminals: so no
 * separators, no leading dot, no control characters, none of the invisible characters that turn text around.
 */
#include "api/names.h"

#include "api/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static unsigned decode(const unsigned char *s, size_t *ret_len)
{
	unsigned c = s[0];
	if (c < 0x80) {
		*ret_len = 1;
		return c;
	}
	if (c < 0xe0) {
		*ret_len = 2;
		return (c & 0x1f) << 6 | (s[1] & 0x3fu);
	}
	if (c < 0xf0) {
		*ret_len = 3;
		return (c & 0xf) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
	}
	*ret_len = 4;
	return (c & 7) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
}

const char *file_name_check(const char *name, size_t n)
{
	if (!n)
		return "is empty";
	if (n > FILE_NAME_MAX)
		return "is longer than 255 bytes";
	if (memchr(name, 0, n))
		return "has a NUL byte";
	if (!utf8_valid(name, n))
		return "is not UTF-8";
	if (memchr(name, '/', n) || memchr(name, '\\', n))
		return "has a path separator; only the last part of a path is a name";
	if (name[0] == '.')
		return "begins with a dot; such names are hidden or mean a directory";
	for (size_t i = 0, len; i < n; i += len) {
		unsigned c = decode((const unsigned char *)name + i, &len);
		if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			return "has a control character";
		if (c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
			return "has an invisible character that breaks or turns lines of text";
	}
	return NULL;
}

const char *name_printable(const char *name, size_t n, char out[360])
{
	size_t k = 0;
	bool valid = utf8_valid(name, n);
	for (size_t i = 0; i < n && i < 80; i++) {
		unsigned char c = (unsigned char)name[i];
		if (c >= 0x20 && c != 0x7f && (c < 0x80 || valid))
			out[k++] = (char)c;
		else
			k += (size_t)snprintf(out + k, 5, "\\x%02x", c);
	}
	while (valid && k && n > 80 && ((unsigned char)out[k - 1] & 0xc0) == 0x80)
		k--; /* not half of a character */
	if (n > 80) {
		if (k && (unsigned char)out[k - 1] >= 0xc0)
			k--;
		memcpy(out + k, "...", 3);
		k += 3;
	}
	out[k] = 0;
	return out;
}

static bool is_token(char c)
{
	return c > 0x20 && c < 0x7f && !strchr("()<>@,;:\\\"/[]?={}", c);
}

struct param {
	struct span name;
	const char *value; /* decoded quotes; NULL at the end */
	bool quoted;
};

/* The next "; name=value" of *s. False at the end; *ret_bad when the text is broken. */
static bool next_param(struct span *s, struct arena *a, struct param *ret, bool *ret_bad)
{
	const char *p = s->p, *end = s->p + s->n;
	while (p < end && (*p == ' ' || *p == '\t' || *p == ';'))
		p++;
	if (p == end)
		return false;
	*ret_bad = true;
	const char *name = p;
	while (p < end && is_token(*p))
		p++;
	ret->name = (struct span){name, (size_t)(p - name)};
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (!ret->name.n || p == end || *p != '=')
		return false;
	for (p++; p < end && (*p == ' ' || *p == '\t');)
		p++;
	char *out = arena_alloc(a, (size_t)(end - p) + 1);
	if (!out)
		return false;
	size_t k = 0;
	ret->quoted = p < end && *p == '"';
	if (ret->quoted) {
		for (p++; p < end && *p != '"'; p++) {
			if (*p == '\\' && p + 1 < end && (p[1] == '"' || p[1] == '\\'))
				p++;
			out[k++] = *p;
		}
		if (p == end)
			return false;
		p++;
	} else {
		while (p < end && *p != ';')
			out[k++] = *p++;
		while (k && (out[k - 1] == ' ' || out[k - 1] == '\t'))
			k--;
	}
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if ((p < end && *p != ';') || memchr(out, 0, k))
		return false;
	out[k] = 0;
	ret->value = out;
	*s = (struct span){p, (size_t)(end - p)};
	*ret_bad = false;
	return true;
}

static bool name_is(struct span s, const char *name)
{
	return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

/* WHATWG's form encoding writes a quote, CR and LF in a filename as %22, %0D and %0A, and nothing else. */
static void browser_unescape(char *s)
{
	char *out = s;
	for (; *s; s++) {
		if (strncmp(s, "%22", 3) == 0 || strncasecmp(s, "%0d", 3) == 0 || strncasecmp(s, "%0a", 3) == 0) {
			*out++ = s[1] == '2' ? '"' : s[2] == 'd' || s[2] == 'D' ? '\r' : '\n';
			s += 2;
		} else {
			*out++ = *s;
		}
	}
	*out = 0;
}

/* RFC 8187: charset'language'percent-encoded. Only UTF-8 must be supported, and only it is. */
static const char *extended(const char *value, struct arena *a)
{
	if (strncasecmp(value, "UTF-8'", 6) != 0)
		return NULL;
	const char *text = strchr(value + 6, '\'');
	return text ? url_unescape(a, text + 1, strlen(text + 1), false) : NULL;
}

enum err_code disposition_parse(struct span value, struct arena *a, struct disposition *ret, struct err *e)
{
	struct disposition d = {0};
	size_t n = 0;
	while (n < value.n && is_token(value.p[n]))
		n++;
	d.type = arena_strndup(a, value.p, n);
	struct span rest = {value.p + n, value.n - n};
	struct param p;
	bool bad = false, star = false;
	while (next_param(&rest, a, &p, &bad)) {
		if (name_is(p.name, "name")) {
			d.name = p.value;
		} else if (name_is(p.name, "filename") && !star) {
			if (p.quoted)
				browser_unescape((char *)p.value);
			d.filename = p.value;
		} else if (name_is(p.name, "filename*")) {
			d.filename = extended(p.value, a);
			star = true;
			if (!d.filename) {
				err_set(e, ERR_INVALID, "filename* in Content-Disposition can't be read");
				return err_hint(e, "RFC 8187: filename*=UTF-8''na%%C3%%AFve.csv");
			}
		}
	}
	if (bad || !d.type || !n) {
		err_set(e, ERR_INVALID, "the Content-Disposition header is broken");
		return err_hint(e, "allowed: form-data; name=\"file\"; filename=\"NAME\"");
	}
	*ret = d;
	return ERR_OK;
}

const char *header_param(struct span value, const char *name, struct arena *a)
{
	const char *semi = value.n ? memchr(value.p, ';', value.n) : NULL;
	if (!semi)
		return NULL;
	struct span rest = {semi, value.n - (size_t)(semi - value.p)};
	struct param p;
	bool bad = false;
	while (next_param(&rest, a, &p, &bad))
		if (name_is(p.name, name))
			return p.value;
	return NULL;
}
