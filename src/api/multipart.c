/*
 * multipart.c: the parser of multipart.h.
 *
 * The delimiter is CR LF "--" boundary. A boundary has no CR, so a CR can only be the delimiter's first byte: when a
 * match breaks off, the bytes matched so far are data and the search goes on at the byte that broke it. No byte is
 * ever looked at twice, and nothing but the count of matched bytes is carried from one chunk to the next.
 */
#include "api/multipart.h"

#include <string.h>
#include <strings.h>

enum err_code multipart_boundary(const char *content_type, struct arena *a, const char **ret, struct err *e)
{
	const char *b = header_param(span_str(content_type), "boundary", a);
	size_t n = b ? strlen(b) : 0;
	bool good = n >= 1 && n <= MULTIPART_BOUNDARY_MAX && b[n - 1] != ' ';
	for (size_t i = 0; good && i < n; i++)
		good = b[i] >= 0x20 && b[i] < 0x7f;
	if (!good) {
		err_set(e, ERR_INVALID,
			"the Content-Type multipart/form-data has no usable boundary (1 to 70 characters)");
		return err_hint(e, "let the client write that header: curl -F file=@NAME");
	}
	*ret = b;
	return ERR_OK;
}

void multipart_init(struct multipart *m, const char *boundary, const struct multipart_events *events, void *ctx)
{
	m->events = events;
	m->ctx = ctx;
	m->state = MP_PREAMBLE;
	size_t n = strlen(boundary);
	memcpy(m->delimiter, "\r\n--", 4);
	memcpy(m->delimiter + 4, boundary, n);
	m->ndelimiter = n + 4;
	m->matched = 2; /* the first delimiter may begin the body: as if a CR LF had gone before */
	m->nhead = m->preamble = 0;
	m->parts = 0;
	arena_init(&m->arena, 256 << 10);
}

void multipart_done(struct multipart *m)
{
	arena_done(&m->arena);
}

static enum err_code broken(const struct multipart *m, const char *what, struct err *e)
{
	err_set(e, ERR_INVALID, "the multipart body is broken: %s (after %u complete parts)", what, m->parts);
	return err_hint(e, "nothing of this request was kept; send it again, for instance with curl -F file=@NAME");
}

static enum err_code emit(struct multipart *m, const char *p, size_t n, struct err *e)
{
	if (!n)
		return ERR_OK;
	if (m->state == MP_DATA)
		return m->events->data(m->ctx, p, n, e);
	m->preamble += n;
	return m->preamble > MULTIPART_PREAMBLE_MAX ? broken(m, "its boundary does not appear", e) : ERR_OK;
}

/* Bytes up to and with the delimiter, or all of them. Returns how many were used through *ret_used. */
static enum err_code scan(struct multipart *m, const char *p, size_t n, size_t *ret_used, struct err *e)
{
	const char *start = p, *end = p + n, *from = p;
	enum err_code code = ERR_OK;
	while (p < end && !code) {
		if (m->matched == 0) {
			const char *cr = memchr(p, '\r', (size_t)(end - p));
			if (!cr) {
				p = end;
				break;
			}
			/* All of it in this chunk: the usual case, with no copy of what was matched. */
			if ((size_t)(end - cr) >= m->ndelimiter && memcmp(cr, m->delimiter, m->ndelimiter) != 0) {
				p = cr + 1;
				continue;
			}
			code = emit(m, from, (size_t)(cr - from), e);
			m->matched = 1;
			from = p = cr + 1;
		} else if (*p == m->delimiter[m->matched]) {
			from = ++p;
			if (++m->matched < m->ndelimiter)
				continue;
			m->matched = 0;
			bool inside = m->state == MP_DATA;
			m->state = MP_AFTER;
			m->parts += inside;
			if (inside)
				code = m->events->end(m->ctx, e);
			*ret_used = (size_t)(p - start);
			return code;
		} else {
			/* The two bytes that never were (start of the body) are no data. */
			bool virtual_crlf = m->state == MP_PREAMBLE && m->preamble == 0;
			size_t skip = virtual_crlf && m->matched >= 2 ? 2 : 0;
			code = emit(m, m->delimiter + skip, m->matched - skip, e);
			m->matched = 0;
			from = p;
		}
	}
	if (!code)
		code = emit(m, from, (size_t)(p - from), e);
	*ret_used = n;
	return code;
}

static bool header_is(struct span line, const char *name, struct span *ret_value)
{
	size_t n = strlen(name);
	if (line.n <= n || line.p[n] != ':' || strncasecmp(line.p, name, n) != 0)
		return false;
	const char *v = line.p + n + 1, *end = line.p + line.n;
	while (v < end && (*v == ' ' || *v == '\t'))
		v++;
	*ret_value = (struct span){v, (size_t)(end - v)};
	return true;
}

/* Encodings that leave the bytes as they are; base64 in a form is history (RFC 7578, 4.7), and no file is stored so. */
static bool plain_encoding(struct span v)
{
	return (v.n == 6 && strncasecmp(v.p, "binary", 6) == 0) || (v.n == 4 && strncasecmp(v.p, "8bit", 4) == 0) ||
	       (v.n == 4 && strncasecmp(v.p, "7bit", 4) == 0);
}

static enum err_code head_done(struct multipart *m, struct err *e)
{
	arena_reset(&m->arena);
	struct disposition d = {0};
	bool found = false;
	for (const char *p = m->head, *end = m->head + m->nhead; p < end;) {
		const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
		struct span line = {p, eol ? (size_t)(eol - p) : (size_t)(end - p)}, value;
		if (line.n && !memchr(p, ':', line.n))
			return broken(m, "a part's header line has no colon", e);
		if (header_is(line, "Content-Disposition", &value)) {
			enum err_code code = disposition_parse(value, &m->arena, &d, e);
			if (code)
				return code;
			found = true;
		} else if (header_is(line, "Content-Transfer-Encoding", &value) && !plain_encoding(value)) {
			return broken(
			    m, "a part has a Content-Transfer-Encoding other than binary, which is not decoded", e);
		}
		p += line.n + 2;
	}
	if (!found || strcasecmp(d.type, "form-data") != 0)
		return broken(m, "a part has no header \"Content-Disposition: form-data\"", e);
	m->state = MP_DATA;
	return m->events->begin(m->ctx, &d, e);
}

/* What may follow a delimiter: "--", or blanks and CR LF. */
static enum err_code after(struct multipart *m, char c, struct err *e)
{
	if (m->state == MP_AFTER && c == '-') {
		m->state = MP_AFTER_DASH;
	} else if (m->state == MP_AFTER && c == '\r') {
		m->state = MP_AFTER_CR;
	} else if (m->state == MP_AFTER_DASH && c == '-') {
		m->state = MP_EPILOGUE;
	} else if (m->state == MP_AFTER_CR && c == '\n') {
		m->state = MP_HEAD;
		m->nhead = 0;
	} else if (m->state != MP_AFTER || (c != ' ' && c != '\t')) {
		return broken(m, "something else than a line end follows a boundary", e);
	}
	return ERR_OK;
}

/* One byte of a part's head; an empty line ends it. */
static enum err_code head(struct multipart *m, char c, struct err *e)
{
	if (m->nhead == MULTIPART_HEAD_MAX)
		return broken(m, "the head of a part is longer than 16 KiB", e);
	if (!c)
		return broken(m, "the head of a part has a NUL byte", e);
	m->head[m->nhead++] = c;
	bool empty = m->nhead == 2 && memcmp(m->head, "\r\n", 2) == 0;
	if (empty || (m->nhead >= 4 && memcmp(m->head + m->nhead - 4, "\r\n\r\n", 4) == 0)) {
		m->nhead -= 2;
		return head_done(m, e);
	}
	return ERR_OK;
}

enum err_code multipart_feed(struct multipart *m, const char *p, size_t n, struct err *e)
{
	enum err_code code = ERR_OK;
	while (n && !code) {
		size_t used = 1;
		switch (m->state) {
		case MP_PREAMBLE:
		case MP_DATA:
			code = scan(m, p, n, &used, e);
			break;
		case MP_AFTER:
		case MP_AFTER_DASH:
		case MP_AFTER_CR:
			code = after(m, *p, e);
			break;
		case MP_HEAD:
			code = head(m, *p, e);
			break;
		case MP_EPILOGUE:
			return ERR_OK;
		}
		p += used;
		n -= used;
	}
	return code;
}

enum err_code multipart_finish(struct multipart *m, struct err *e)
{
	if (m->state == MP_EPILOGUE)
		return ERR_OK;
	if (m->state == MP_PREAMBLE)
		return broken(m, "its boundary does not appear", e);
	return broken(m, "it ends before the closing boundary", e);
}
