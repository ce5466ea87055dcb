/* type.c: see type.h. Encodings: specification v5, section 6. */
#include "sink/cassandra/type.h"

#include "base/clock.h"
#include "sink/cassandra/wire.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>

#define DIGITS_MAX 4096u /* of a decimal or varint that is shown as a number */
#define NEST_MAX 16

enum {
	T_CUSTOM = 0x00,
	T_ASCII = 0x01,
	T_BIGINT = 0x02,
	T_BLOB = 0x03,
	T_BOOLEAN = 0x04,
	T_COUNTER = 0x05,
	T_DECIMAL = 0x06,
	T_DOUBLE = 0x07,
	T_FLOAT = 0x08,
	T_INT = 0x09,
	T_TIMESTAMP = 0x0B,
	T_UUID = 0x0C,
	T_TEXT = 0x0D,
	T_VARINT = 0x0E,
	T_TIMEUUID = 0x0F,
	T_INET = 0x10,
	T_DATE = 0x11,
	T_TIME = 0x12,
	T_SMALLINT = 0x13,
	T_TINYINT = 0x14,
	T_LIST = 0x20,
	T_MAP = 0x21,
	T_SET = 0x22,
	T_UDT = 0x30,
	T_TUPLE = 0x31,
};

const char *cql_type_name(const struct field *f)
{
	switch (f->logical) {
	case LOGICAL_DATE:
		return "date";
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS:
		return "time";
	case LOGICAL_TIMESTAMP_MILLIS:
		return "timestamp";
	case LOGICAL_TIMESTAMP_MICROS:
		return "bigint";
	case LOGICAL_DECIMAL:
		return "decimal";
	case LOGICAL_UUID:
		return "uuid";
	default:
		break;
	}
	static const char *const names[] = {
	    [AVRO_T_BOOLEAN] = "boolean", [AVRO_T_INT] = "int",	      [AVRO_T_LONG] = "bigint",
	    [AVRO_T_FLOAT] = "float",	  [AVRO_T_DOUBLE] = "double", [AVRO_T_STRING] = "text",
	    [AVRO_T_BYTES] = "blob",	  [AVRO_T_FIXED] = "blob",    [AVRO_T_ENUM] = "text",
	};
	return names[f->type];
}

/* ---- to the wire */

/* Decimal text ("-12.30") as scale and two's complement, most significant byte first. Base 2^8 at a time: numbers here
 * have some dozens of digits. */
static char *put_decimal(char *w, struct span s)
{
	uint8_t n[CONVERT_SCRATCH] = {0}; /* magnitude, least significant byte first */
	size_t len = 0;
	int32_t scale = 0;
	bool minus = s.n && s.p[0] == '-', point = false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.')
			point = true;
		if (s.p[i] < '0' || s.p[i] > '9')
			continue;
		scale += point;
		unsigned carry = (unsigned)(s.p[i] - '0');
		for (size_t k = 0; k < len; k++) {
			carry += n[k] * 10u;
			n[k] = (uint8_t)carry;
			carry >>= 8;
		}
		if (carry && len < sizeof n - 1)
			n[len++] = (uint8_t)carry;
	}
	unsigned carry = 1;
	for (size_t k = 0; minus && k < sizeof n; k++) {
		carry += (uint8_t)~n[k];
		n[k] = (uint8_t)carry;
		carry >>= 8;
	}
	/* One more byte where the sign would read wrong. */
	if (len == 0 || (n[len - 1] >> 7) != minus)
		len++;
	w = be32(w, (uint32_t)(4 + len));
	w = be32(w, (uint32_t)scale);
	while (len--)
		*w++ = (char)n[len];
	return w;
}

static unsigned hex_digit(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 32) - 'a' + 10);
}

static char *put_uuid(char *w, struct span s)
{
	size_t k = 0;
	char digits[32] = {0};
	for (size_t i = 0; i < s.n && k < 32; i++) {
		if (s.p[i] != '-')
			digits[k++] = s.p[i];
	}
	w = be32(w, 16);
	for (k = 0; k < 16; k++)
		*w++ = (char)(hex_digit(digits[2 * k]) << 4 | hex_digit(digits[2 * k + 1]));
	return w;
}

static char *put_number(char *w, const struct field *f, int64_t i)
{
	switch (f->logical) {
	case LOGICAL_DATE: /* days, with 1970-01-01 in the middle of the range */
		return be32(be32(w, 4), (uint32_t)i + (1u << 31));
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS: /* nanoseconds */
		return be64(be32(w, 8), (uint64_t)i * 1000);
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_TIMESTAMP_MICROS:
		return be64(be32(w, 8), (uint64_t)i);
	default:
		break;
	}
	if (f->type == AVRO_T_BOOLEAN) {
		w = be32(w, 1);
		*w++ = i != 0;
		return w;
	}
	return f->type == AVRO_T_INT ? be32(be32(w, 4), (uint32_t)i) : be64(be32(w, 8), (uint64_t)i);
}

char *cql_put_value(char *w, const struct field *f, const struct value *v)
{
	uint64_t bits;
	uint32_t half;
	float single;
	if (v->null)
		return be32(w, UINT32_MAX);
	if (f->storage == STORE_I64)
		return put_number(w, f, v->i);
	if (f->storage == STORE_F64 && f->type == AVRO_T_FLOAT) {
		single = (float)v->d;
		memcpy(&half, &single, 4);
		return be32(be32(w, 4), half);
	}
	if (f->storage == STORE_F64) {
		memcpy(&bits, &v->d, 8);
		return be64(be32(w, 8), bits);
	}
	if (f->logical == LOGICAL_DECIMAL)
		return put_decimal(w, v->s);
	if (f->logical == LOGICAL_UUID)
		return put_uuid(w, v->s);
	w = be32(w, (uint32_t)v->s.n);
	if (v->s.n)
		memcpy(w, v->s.p, v->s.n);
	return w + v->s.n;
}

/* ---- from the wire */

static struct query_value text_value(struct arena *a, struct span s)
{
	struct span copy = arena_span(a, s);
	return (struct query_value){.type = copy.p || !s.n ? QUERY_TEXT : QUERY_NULL, .s = copy};
}

static struct query_value buf_value(struct arena *a, struct buf *b)
{
	struct query_value v = {.type = QUERY_NULL};
	if (!b->failed)
		v = text_value(a, (struct span){buf_cstr(b), b->n});
	buf_done(b);
	return v;
}

/* Two's complement, most significant byte first, as digits; scale < 0 appends zeros. */
static void varint_text(struct span s, int32_t scale, struct buf *b)
{
	bool minus = s.n && (uint8_t)s.p[0] >> 7;
	size_t n = s.n, k = 0;
	uint8_t *m = malloc(n + 1);
	char *digits = malloc(n * 3 + 2); /* backwards */
	unsigned carry = 1;
	for (size_t i = n; m && minus && i-- > 0;) {
		carry += (uint8_t)~s.p[i];
		m[i] = (uint8_t)carry;
		carry >>= 8;
	}
	if (m && !minus && n)
		memcpy(m, s.p, n);
	for (size_t first = 0; m && digits && first < n;) {
		unsigned rest = 0;
		for (size_t i = first; i < n; i++) {
			rest = rest << 8 | m[i];
			m[i] = (uint8_t)(rest / 10);
			rest %= 10;
		}
		digits[k++] = (char)('0' + rest);
		while (first < n && m[first] == 0)
			first++;
	}
	if (!m || !digits)
		b->failed = true;
	if (minus)
		buf_char(b, '-');
	size_t whole = scale > 0 ? (k > (size_t)scale ? k - (size_t)scale : 0) : k;
	if (whole == 0 && !b->failed)
		buf_char(b, '0');
	for (size_t i = 0; i < whole; i++)
		buf_char(b, digits[k - 1 - i]);
	if (scale > 0 && !b->failed) {
		buf_char(b, '.');
		for (size_t i = (size_t)scale; i-- > 0;)
			buf_char(b, i < k ? digits[i] : '0');
	}
	for (int32_t i = scale; i < 0 && k; i++)
		buf_char(b, '0');
	free(m);
	free(digits);
}

static struct query_value number_text(struct arena *a, struct span s, int32_t scale)
{
	struct buf b;
	if (s.n > DIGITS_MAX / 3 || scale > (int32_t)DIGITS_MAX || scale < -(int32_t)DIGITS_MAX)
		return (struct query_value){.type = QUERY_BLOB, .s = s};
	buf_init(&b, DIGITS_MAX * 3);
	varint_text(s, scale, &b);
	return buf_value(a, &b);
}

static struct query_value uuid_text(struct arena *a, struct span s)
{
	struct buf b;
	buf_init(&b, 64);
	for (size_t i = 0; i < 16; i++)
		buf_printf(&b, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", (uint8_t)s.p[i]);
	return buf_value(a, &b);
}

static struct query_value inet_text(struct arena *a, struct span s)
{
	char text[INET6_ADDRSTRLEN];
	const char *t = inet_ntop(s.n == 4 ? AF_INET : AF_INET6, s.p, text, sizeof text);
	return text_value(a, span_str(t ? t : "?"));
}

/* As the other stores print them. */
static struct query_value field_text(struct arena *a, enum avro_logical logical, int64_t i)
{
	const struct field f = {.type = AVRO_T_LONG, .logical = logical, .storage = STORE_I64};
	const struct value v = {.i = i};
	char text[64];
	return text_value(a, (struct span){text, value_format(&f, &v, text, sizeof text)});
}

static void put_json(struct buf *b, const struct cql_type *t, struct span cell, bool null, struct arena *a, int depth);

static void put_string_json(struct buf *b, struct span s)
{
	buf_char(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c < 32)
			buf_printf(b, "\\u%04x", c);
		else
			buf_char(b, (char)c);
	}
	buf_char(b, '"');
}

static void put_collection(struct buf *b, const struct cql_type *t, struct cql_in *in, struct arena *a, int depth)
{
	bool map = t->id == T_MAP, counted = t->id == T_LIST || t->id == T_SET || map, named = t->id == T_UDT;
	uint32_t n = counted ? (uint32_t)get_int(in) : t->nsub;
	buf_char(b, map || named ? '{' : '[');
	for (uint32_t i = 0; i < n && !in->failed && !b->failed && in->p < in->end; i++) {
		bool null;
		buf_str(b, i ? "," : "");
		if (named) {
			put_string_json(b, t->names[i]);
			buf_char(b, ':');
		}
		struct span cell = get_bytes(in, &null);
		put_json(b, &t->sub[counted ? 0 : i], cell, null, a, depth + 1);
		if (!map)
			continue;
		buf_char(b, ':');
		cell = get_bytes(in, &null);
		put_json(b, &t->sub[1], cell, null, a, depth + 1);
	}
	buf_char(b, map || named ? '}' : ']');
}

static void put_json(struct buf *b, const struct cql_type *t, struct span cell, bool null, struct arena *a, int depth)
{
	char text[64];
	if (null || depth > NEST_MAX) {
		buf_str(b, "null");
		return;
	}
	if (t->nsub) {
		struct cql_in in = cql_in(cell.p, cell.n);
		put_collection(b, t, &in, a, depth);
		return;
	}
	struct query_value v = cql_get_value(t, cell, false, a);
	if (v.type == QUERY_INT)
		buf_printf(b, "%" PRId64, v.i);
	else if (v.type == QUERY_BOOL)
		buf_str(b, v.i ? "true" : "false");
	else if (v.type == QUERY_REAL || v.type == QUERY_FLOAT)
		buf_add(b, text, f64_format(v.d, text));
	else
		put_string_json(b, v.s);
}

static struct query_value whole(int64_t i)
{
	return (struct query_value){.type = QUERY_INT, .i = i};
}

static struct query_value fixed_value(const struct cql_type *t, struct span cell, struct arena *a)
{
	struct cql_in in = cql_in(cell.p, cell.n);
	uint64_t u = get_unsigned(&in, cell.n <= 8 ? cell.n : 0);
	struct query_value v = {.type = QUERY_REAL};
	uint32_t half = (uint32_t)u;
	float single;
	switch (t->id) {
	case T_BIGINT:
	case T_COUNTER:
		return whole((int64_t)u);
	case T_INT:
		return whole((int32_t)u);
	case T_SMALLINT:
		return whole((int16_t)u);
	case T_TINYINT:
		return whole((int8_t)u);
	case T_BOOLEAN:
		return (struct query_value){.type = QUERY_BOOL, .i = u != 0};
	case T_DOUBLE:
		memcpy(&v.d, &u, 8);
		return v;
	case T_FLOAT:
		memcpy(&single, &half, 4);
		return (struct query_value){.type = QUERY_FLOAT, .d = (double)single};
	case T_TIMESTAMP:
		return field_text(a, LOGICAL_TIMESTAMP_MILLIS, (int64_t)u);
	case T_DATE:
		return field_text(a, LOGICAL_DATE, (int64_t)half - (INT64_C(1) << 31));
	case T_TIME: /* the type does not say whether milli- or microseconds were meant */
		return field_text(a, u % 1000000 ? LOGICAL_TIME_MICROS : LOGICAL_TIME_MILLIS, (int64_t)u / 1000);
	default:
		return uuid_text(a, cell);
	}
}

/* Bytes that a value of a fixed length has; 0 for the others. */
static size_t fixed_size(uint16_t id)
{
	static const uint8_t size[] = {
	    [T_BIGINT] = 8, [T_BOOLEAN] = 1,   [T_COUNTER] = 8, [T_DOUBLE] = 8,	   [T_FLOAT] = 4,
	    [T_INT] = 4,    [T_TIMESTAMP] = 8, [T_UUID] = 16,	[T_TIMEUUID] = 16, [T_DATE] = 4,
	    [T_TIME] = 8,   [T_SMALLINT] = 2,  [T_TINYINT] = 1};
	return id < sizeof size ? size[id] : 0;
}

struct query_value cql_get_value(const struct cql_type *t, struct span cell, bool null, struct arena *a)
{
	size_t fixed = fixed_size(t->id);
	if (null || (fixed && cell.n == 0))
		return (struct query_value){.type = QUERY_NULL};
	if (fixed && fixed == cell.n)
		return fixed_value(t, cell, a);
	if (t->id == T_TEXT || t->id == T_ASCII)
		return (struct query_value){.type = QUERY_TEXT, .s = cell};
	if (t->id == T_VARINT && cell.n)
		return number_text(a, cell, 0);
	if (t->id == T_DECIMAL && cell.n > 4) {
		struct cql_in in = cql_in(cell.p, 4);
		return number_text(a, (struct span){cell.p + 4, cell.n - 4}, get_int(&in));
	}
	if (t->id == T_INET && (cell.n == 4 || cell.n == 16))
		return inet_text(a, cell);
	if (t->nsub) {
		struct buf b;
		buf_init(&b, 64u << 20);
		put_json(&b, t, cell, false, a, 0);
		return buf_value(a, &b);
	}
	return (struct query_value){.type = QUERY_BLOB, .s = cell};
}
