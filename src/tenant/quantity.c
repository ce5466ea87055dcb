/*
 * quantity.c: Kubernetes quantities in 128-bit integers.
 *
 * value = mantissa * 10^e * 2^k, all exact; a digit below 10^-9 rounds up, as Kubernetes does.
 * Source: Kubernetes API reference, resource.Quantity, <quantity> ::= <signedNumber><suffix>.
 */
#include "tenant/quantity.h"

#include <stdio.h>

typedef unsigned __int128 u128;

static const struct suffix {
	const char *text;
	int ten, two; /* powers */
} suffixes[] = {
    {"", 0, 0},	   {"n", -9, 0},  {"u", -6, 0},	 {"m", -3, 0},	{"k", 3, 0},   {"M", 6, 0},
    {"G", 9, 0},   {"T", 12, 0},  {"P", 15, 0},	 {"E", 18, 0},	{"Ki", 0, 10}, {"Mi", 0, 20},
    {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60},
};

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "e3", "E-2": a decimal exponent. */
static bool exponent_parse(struct span s, int *ret)
{
	if (s.n < 2 || (s.p[0] != 'e' && s.p[0] != 'E'))
		return false;
	size_t i = 1;
	bool negative = s.p[i] == '-';
	if (s.p[i] == '-' || s.p[i] == '+')
		i++;
	if (i == s.n)
		return false;
	int v = 0;
	for (; i < s.n; i++) {
		if (!digit(s.p[i]))
			return false;
		if (v < 1000)
			v = v * 10 + (s.p[i] - '0');
	}
	*ret = negative ? -v : v;
	return true;
}

static const char *suffix_parse(struct span s, int *ten, int *two)
{
	*two = 0;
	if (exponent_parse(s, ten))
		return NULL;
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		if (span_is(s, suffixes[i].text)) {
			*ten = suffixes[i].ten;
			*two = suffixes[i].two;
			return NULL;
		}
	}
	if (span_is(s, "K"))
		return "the suffix for 1000 is a small \"k\", for 1024 \"Ki\"";
	if (s.n > 1 && (s.p[s.n - 1] == 'B' || s.p[s.n - 1] == 'b'))
		return "suffixes have no B: \"Mi\", not \"MiB\" or \"MB\"";
	return "no such suffix: n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or an exponent such as e3";
}

/* mantissa * 10^ten * 2^two, rounded up; false when it does not fit. */
static bool scale(u128 mantissa, int ten, int two, u128 *ret)
{
	u128 v = mantissa, divisor = 1;
	for (; ten > 0 && v; ten--)
		if (__builtin_mul_overflow(v, (u128)10, &v))
			return false;
	for (; two > 0 && v; two--) {
		if (ten < 0) {
			/* 2 * 10^-1 = 5^-1: halve the divisor instead of doubling the value */
			ten++;
			if (__builtin_mul_overflow(divisor, (u128)5, &divisor))
				return false;
		} else if (__builtin_mul_overflow(v, (u128)2, &v)) {
			return false;
		}
	}
	for (; ten < 0 && v; ten++) {
		if (__builtin_mul_overflow(divisor, (u128)10, &divisor)) {
			*ret = 1; /* smaller than any digit we keep: up to the smallest */
			return true;
		}
	}
	*ret = v / divisor + (v % divisor != 0);
	return true;
}

const char *quantity_parse(struct span text, struct quantity *ret)
{
	if (text.n == 0)
		return "an empty text is no quantity";
	if (text.n >= sizeof ret->text)
		return "a quantity has at most 31 characters";
	size_t i = 0;
	if (text.p[0] == '-')
		return "a negative quantity makes no sense here";
	if (text.p[0] == '+')
		i++;
	u128 mantissa = 0;
	int ten = 9, suffix_ten = 0, two = 0; /* nano */
	bool any = false;
	for (; i < text.n && digit(text.p[i]); i++, any = true)
		mantissa = mantissa * 10 + (u128)(text.p[i] - '0');
	if (i < text.n && text.p[i] == '.') {
		for (i++; i < text.n && digit(text.p[i]); i++, any = true) {
			mantissa = mantissa * 10 + (u128)(text.p[i] - '0');
			ten--;
		}
	}
	if (!any)
		return "a quantity begins with a number: 500m, 64Mi, 0.5, 1e3";
	const char *why = suffix_parse((struct span){text.p + i, text.n - i}, &suffix_ten, &two);
	if (why)
		return why;
	u128 v = 0;
	if (!scale(mantissa, ten + suffix_ten, two, &v) || v / 1000000000u > (u128)INT64_MAX)
		return "more than 9223372036854775807, the largest quantity";
	*ret = (struct quantity){.nano = (__int128)v};
	memcpy(ret->text, text.p, text.n);
	return NULL;
}

static int64_t up(const struct quantity *q, int64_t unit)
{
	__int128 v = (q->nano + unit - 1) / unit;
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

int64_t quantity_units(const struct quantity *q)
{
	return up(q, 1000000000);
}

int64_t quantity_milli(const struct quantity *q)
{
	return up(q, 1000000);
}

void quantity_print_bytes(int64_t bytes, char out[32])
{
	static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	int i = 0;
	while (i < 6 && bytes != 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(out, 32, "%lld%s", (long long)bytes, names[i]);
}
