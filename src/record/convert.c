/* convert.c: one function a family of types; the switch at the end picks it. Reasons for people are in reason.c. */
#include "record/convert.h"

#include "base/clock.h"
#include "record/number.h"

#include <stdio.h>
#include <string.h>

static enum convert_result number_result(bool ok, bool range)
{
	return ok ? CONVERT_OK : range ? CONVERT_RANGE : CONVERT_BAD;
}

static bool same_word(struct span text, const char *word)
{
	size_t n = strlen(word);
	if (text.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((text.p[i] | 0x20) != word[i])
			return false;
	return true;
}

static enum convert_result to_boolean(struct span text, struct value *ret)
{
	bool one = text.n == 1 && text.p[0] == '1', zero = text.n == 1 && text.p[0] == '0';
	if (!one && !zero && !same_word(text, "true") && !same_word(text, "false"))
		return CONVERT_BAD;
	ret->i = one || (text.n == 4);
	return CONVERT_OK;
}

static enum convert_result to_int(struct span text, int64_t min, int64_t max, struct value *ret)
{
	bool range;
	int64_t v;
	if (!parse_i64(text.p, text.n, &v, &range))
		return number_result(false, range);
	if (v < min || v > max)
		return CONVERT_RANGE;
	ret->i = v;
	return CONVERT_OK;
}

static enum convert_result to_double(const struct field *f, struct span text, struct value *ret)
{
	bool range;
	bool ok = f->type == AVRO_T_FLOAT ? parse_f32(text.p, text.n, &ret->d, &range)
					  : parse_f64(text.p, text.n, &ret->d, &range);
	return number_result(ok, range);
}

/* Microseconds to the unit of the type; what is finer than the unit is not cut off but refused. */
static enum convert_result from_us(bool ok, int64_t us, int64_t unit, int64_t scale, struct value *ret)
{
	if (!ok)
		return CONVERT_BAD;
	if (us % unit)
		return CONVERT_INEXACT;
	ret->i = us / scale;
	return CONVERT_OK;
}

static enum convert_result to_time(const struct field *f, struct span text, struct value *ret)
{
	int64_t us = 0;
	bool ok = text.n > 0;
	switch (f->logical) {
	case LOGICAL_TIME_MILLIS:
		ok = ok && time_parse(text.p, text.n, &us);
		return from_us(ok, us, 1000, 1, ret);
	case LOGICAL_TIME_MICROS:
		ok = ok && time_parse(text.p, text.n, &us);
		return from_us(ok, us, 1, 1, ret);
	case LOGICAL_TIMESTAMP_MILLIS:
		ok = ok && timestamp_parse(text.p, text.n, &us);
		return from_us(ok, us, 1000, 1000, ret);
	default:
		ok = ok && timestamp_parse(text.p, text.n, &us);
		return from_us(ok, us, 1, 1, ret);
	}
}

/* Canonical: "-" when below zero, no leading zeros but one before the point, exactly scale digits behind it. */
static enum convert_result to_decimal(const struct field *f, struct span text, struct value *ret, char *scratch)
{
	const char *p = text.p, *end = text.p + text.n;
	bool neg = p < end && *p == '-';
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	const char *whole = p;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	size_t nwhole = (size_t)(p - whole), nfrac = 0;
	const char *frac = p;
	if (p < end && *p == '.') {
		frac = ++p;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
		nfrac = (size_t)(p - frac);
	}
	if (p != end || nwhole + nfrac == 0)
		return CONVERT_BAD;
	while (nwhole && *whole == '0') {
		whole++;
		nwhole--;
	}
	while (nfrac && frac[nfrac - 1] == '0')
		nfrac--;
	if (nfrac > f->scale || nwhole + f->scale > f->precision)
		return CONVERT_INEXACT;
	if (nwhole + f->scale + 4 > CONVERT_SCRATCH)
		return CONVERT_BAD;
	size_t k = 0;
	if (neg && nwhole + nfrac) /* zero has no sign */
		scratch[k++] = '-';
	if (!nwhole)
		scratch[k++] = '0';
	memcpy(scratch + k, whole, nwhole);
	k += nwhole;
	if (f->scale) {
		scratch[k++] = '.';
		memcpy(scratch + k, frac, nfrac);
		memset(scratch + k + nfrac, '0', f->scale - nfrac);
		k += f->scale;
	}
	ret->s = (struct span){scratch, k};
	return CONVERT_OK;
}

static enum convert_result to_uuid(struct span text, struct value *ret, char *scratch)
{
	if (text.n != 36)
		return CONVERT_BAD;
	for (size_t i = 0; i < 36; i++) {
		char c = text.p[i];
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (c != '-')
				return CONVERT_BAD;
		} else if (c >= 'A' && c <= 'F') {
			c = (char)(c | 0x20);
		} else if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
			return CONVERT_BAD;
		}
		scratch[i] = c;
	}
	ret->s = (struct span){scratch, 36};
	return CONVERT_OK;
}

static enum convert_result to_enum(const struct field *f, struct span text)
{
	for (uint32_t i = 0; i < f->nsymbols; i++)
		if (span_is(text, f->symbols[i]))
			return CONVERT_OK;
	return CONVERT_NOT_MEMBER;
}

static enum convert_result to_plain(const struct field *f, struct span text, struct value *ret)
{
	switch (f->type) {
	case AVRO_T_BOOLEAN:
		return to_boolean(text, ret);
	case AVRO_T_INT:
		return to_int(text, INT32_MIN, INT32_MAX, ret);
	case AVRO_T_LONG:
		return to_int(text, INT64_MIN, INT64_MAX, ret);
	case AVRO_T_FLOAT:
	case AVRO_T_DOUBLE:
		return to_double(f, text, ret);
	case AVRO_T_ENUM:
		return to_enum(f, text);
	case AVRO_T_FIXED:
		return text.n == f->fixed_size ? CONVERT_OK : CONVERT_LENGTH;
	default:
		return CONVERT_OK;
	}
}

enum convert_result convert_cell(const struct field *f, struct span text, struct value *ret, char *scratch)
{
	ret->null = false;
	ret->s = text;
	switch (f->logical) {
	case LOGICAL_NONE:
		return to_plain(f, text, ret);
	case LOGICAL_DATE:
		return text.n && date_parse(text.p, text.n, &ret->i) ? CONVERT_OK : CONVERT_BAD;
	case LOGICAL_DECIMAL:
		return to_decimal(f, text, ret, scratch);
	case LOGICAL_UUID:
		return to_uuid(text, ret, scratch);
	default:
		return to_time(f, text, ret);
	}
}

static size_t copy_out(struct span s, char *out, size_t cap)
{
	size_t n = s.n < cap ? s.n : cap;
	if (n)
		memcpy(out, s.p, n);
	return n;
}

static size_t format_i64(const struct field *f, int64_t v, char text[48])
{
	switch (f->logical) {
	case LOGICAL_DATE:
		return date_format(v, text);
	case LOGICAL_TIME_MILLIS:
		return time_format(v, 3, text);
	case LOGICAL_TIME_MICROS:
		return time_format(v, 6, text);
	case LOGICAL_TIMESTAMP_MILLIS:
		/* no text beyond year 9999 comes in; a store may hold anything */
		v = v > INT64_MAX / 1000 ? INT64_MAX / 1000 : v < INT64_MIN / 1000 ? INT64_MIN / 1000 : v;
		return timestamp_format(v * 1000, 3, text);
	case LOGICAL_TIMESTAMP_MICROS:
		return timestamp_format(v, 6, text);
	default:
		if (f->type == AVRO_T_BOOLEAN)
			return (size_t)snprintf(text, 48, "%s", v ? "true" : "false");
		return (size_t)snprintf(text, 48, "%lld", (long long)v);
	}
}

size_t value_format(const struct field *f, const struct value *v, char *out, size_t cap)
{
	if (v->null)
		return 0;
	char text[48];
	size_t n;
	if (f->storage == STORE_I64)
		n = format_i64(f, v->i, text);
	else if (f->storage == STORE_F64)
		n = f->type == AVRO_T_FLOAT ? f32_format(v->d, text) : f64_format(v->d, text);
	else
		return copy_out(v->s, out, cap);
	return copy_out((struct span){text, n}, out, cap);
}
