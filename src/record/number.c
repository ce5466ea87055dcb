/*
 * number.c: decimal text to int64 and double, and back, without any locale.
 *
 * Doubles: digits and a decimal exponent are read once; then Clinger's exact case ("How to read floating point numbers
 * accurately", 1990), Eisel-Lemire (Software: Practice and Experience 51, 2021, with the proof of Mushtak and Lemire,
 * "Fast number parsing without fallback", 2023), and for more than 19 digits that matter the C library in the C locale.
 */
#include "record/convert.h"

#include "record/number.h"
#include "record/pow5_table.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const double pow10_exact[23] = {1e0,  1e1,  1e2,  1e3,	1e4,  1e5,  1e6,  1e7,	1e8,  1e9,  1e10, 1e11,
				1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

bool parse_i64(const char *p, size_t n, int64_t *ret, bool *ret_range)
{
	*ret_range = false;
	bool neg = n && *p == '-';
	if (n && (*p == '-' || *p == '+')) {
		p++;
		n--;
	}
	if (n == 0)
		return false;
	uint64_t v = 0, limit = (uint64_t)INT64_MAX + neg;
	bool over = false;
	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned char)p[i] - (unsigned)'0';
		if (d > 9)
			return false;
		over = over || v > (limit - d) / 10;
		v = v * 10 + d;
	}
	*ret_range = over;
	if (over)
		return false;
	*ret = neg ? (int64_t)-v : (int64_t)v;
	return true;
}

/* digits, without leading zeros, times 10^exp10: a decimal text taken apart. */
struct decimal_text {
	bool neg;
	uint64_t w;    /* the first 19 digits that matter */
	unsigned nd;   /* how many of them, at most 19 */
	bool more;     /* others follow, not all zero */
	int64_t exp10; /* for w */
};

#define EXP_CAP INT64_C(100000)
#define DIGITS_MAX 19u

static void take_digit(struct decimal_text *t, unsigned d, bool fraction)
{
	if (t->nd == DIGITS_MAX) {
		t->more = t->more || d;
		t->exp10 += !fraction;
		return;
	}
	t->w = t->w * 10 + d;
	t->nd += t->w != 0;
	t->exp10 -= fraction;
}

/* e[+-]digits at p; false when it is none. Huge exponents stay huge, but bounded. */
static bool read_exponent(const char *p, const char *end, int64_t *ret)
{
	bool neg = p < end && *p == '-';
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (p == end)
		return false;
	int64_t x = 0;
	for (; p < end; p++) {
		unsigned d = (unsigned char)*p - (unsigned)'0';
		if (d > 9)
			return false;
		if (x < EXP_CAP * 1000000)
			x = x * 10 + d;
	}
	*ret = neg ? -x : x;
	return true;
}

static bool read_decimal(const char *p, size_t n, struct decimal_text *t)
{
	const char *end = p + n;
	*t = (struct decimal_text){.neg = n && *p == '-'};
	if (n && (*p == '-' || *p == '+'))
		p++;
	bool point = false, any = false;
	for (; p < end; p++) {
		unsigned d = (unsigned char)*p - (unsigned)'0';
		if (d <= 9) {
			take_digit(t, d, point);
			any = true;
		} else if (*p == '.' && !point) {
			point = true;
		} else {
			break;
		}
	}
	if (!any)
		return false;
	if (p == end)
		return true;
	int64_t x;
	if ((*p != 'e' && *p != 'E') || !read_exponent(p + 1, end, &x))
		return false;
	t->exp10 += x;
	return true;
}

static double from_bits(uint64_t mantissa, int64_t exponent)
{
	uint64_t bits = mantissa | (uint64_t)exponent << 52;
	double d;
	memcpy(&d, &bits, sizeof d);
	return d;
}

/* w * 10^q correctly rounded, w != 0; infinity when beyond. Names follow the paper. */
static double eisel_lemire(uint64_t w, int64_t q)
{
	if (q < POW5_MIN)
		return 0;
	if (q > POW5_MAX)
		return INFINITY;
	int lz = __builtin_clzll(w);
	w <<= lz;
	const uint64_t *t = pow5_table[q - POW5_MIN];
	unsigned __int128 z = (unsigned __int128)w * t[0];
	uint64_t hi = (uint64_t)(z >> 64), lo = (uint64_t)z;
	if ((hi & 0x1ff) == 0x1ff) {
		uint64_t second = (uint64_t)(((unsigned __int128)w * t[1]) >> 64);
		lo += second;
		hi += second > lo;
	}
	int upper = (int)(hi >> 63), shift = upper + 64 - 52 - 3;
	uint64_t m = hi >> shift;
	int64_t power = (((152170 + 65536) * q) >> 16) + 63 + upper - lz + 1023;
	if (power <= 0) {
		if (1 - power >= 64)
			return 0;
		m >>= 1 - power;
		m = (m + (m & 1)) >> 1;
		return from_bits(m, 0); /* a carry into bit 52 is the exponent 1 already */
	}
	/* exactly half way between two doubles: to even */
	if (lo <= 1 && q >= -4 && q <= 23 && (m & 3) == 1 && m << shift == hi)
		m &= ~UINT64_C(1);
	m = (m + (m & 1)) >> 1;
	if (m >= UINT64_C(2) << 52) {
		m = UINT64_C(1) << 52;
		power++;
	}
	return power >= 0x7ff ? INFINITY : from_bits(m & ~(UINT64_C(1) << 52), power);
}

/* Digits beyond this many cannot change a rounding but by not being zero (767 suffice for double). */
#define SLOW_DIGITS 800

/* The C library, on a normal form of bounded length: digits that matter, "1" for a rest that is not zero, exponent. */
static double slow_parse(const char *p, size_t n, bool as_float)
{
	char text[SLOW_DIGITS + 48];
	size_t k = 0;
	int64_t exp10 = 0, x = 0;
	bool point = false, rest = false;
	const char *end = p + n;
	if (*p == '-')
		text[k++] = '-';
	if (*p == '-' || *p == '+')
		p++;
	size_t first = k;
	for (; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		if (k == first && *p == '0') {
			exp10 -= point;
		} else if (k - first < SLOW_DIGITS) {
			text[k++] = *p;
			exp10 -= point;
		} else {
			rest = rest || *p != '0';
			exp10 += !point;
		}
	}
	if (rest) {
		text[k++] = '1';
		exp10--;
	}
	if (p < end && !read_exponent(p + 1, end, &x))
		return 0;
	x += exp10;
	x = x > EXP_CAP ? EXP_CAP : x < -EXP_CAP ? -EXP_CAP : x;
	snprintf(text + k, sizeof text - k, "%se%lld", k == first ? "0" : "", (long long)x);
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* glibc: a constant, nothing is allocated */
	double d = as_float ? (double)strtof_l(text, NULL, c) : strtod_l(text, NULL, c);
	freelocale(c);
	return d;
}

static double decimal_to_f64(const struct decimal_text *t, const char *p, size_t n)
{
	double d;
	if (t->w == 0) {
		d = 0;
	} else if (!t->more && t->w <= UINT64_C(1) << 53 && t->exp10 >= -22 && t->exp10 <= 22) {
		d = (double)t->w;
		d = t->exp10 < 0 ? d / pow10_exact[-t->exp10] : d * pow10_exact[t->exp10];
	} else {
		d = eisel_lemire(t->w, t->exp10);
		if (t->more && d != eisel_lemire(t->w + 1, t->exp10))
			return slow_parse(p, n, false);
	}
	return t->neg ? -d : d;
}

bool parse_f64(const char *p, size_t n, double *ret, bool *ret_range)
{
	struct decimal_text t;
	*ret_range = false;
	if (!read_decimal(p, n, &t))
		return false;
	double d = decimal_to_f64(&t, p, n);
	*ret_range = isinf(d);
	if (isinf(d))
		return false;
	*ret = d;
	return true;
}

bool f32_round_is_exact(double d)
{
	uint64_t bits;
	memcpy(&bits, &d, sizeof bits);
	double a = fabs(d);
	return d == 0 || ((bits & 0x1fffffff) != 0x10000000 && a >= 0x1p-126);
}

bool parse_f32(const char *p, size_t n, double *ret, bool *ret_range)
{
	double d;
	if (!parse_f64(p, n, &d, ret_range))
		return false;
	/* Rounding twice differs from rounding once only where the double lies exactly between two floats. */
	float f = f32_round_is_exact(d) ? (float)d : (float)slow_parse(p, n, true);
	*ret_range = isinf(f);
	if (isinf(f))
		return false;
	*ret = (double)f;
	return true;
}

/* The digits and exponent of d with `digits` digits, without the locale's decimal point. */
static int digits_of(double d, int digits, char out[32])
{
	char text[64];
	snprintf(text, sizeof text, "%.*e", digits - 1, fabs(d));
	size_t n = 0;
	const char *p = text;
	for (; *p && *p != 'e'; p++)
		if (*p >= '0' && *p <= '9')
			out[n++] = *p;
	while (n > 1 && out[n - 1] == '0')
		n--;
	out[n] = 0;
	return *p ? (int)strtol(p + 1, NULL, 10) : 0;
}

/* Digits d1d2d3... with the point behind the first one times 10^x, as people write it. */
static size_t lay_out(bool neg, const char *digits, int x, char out[32])
{
	int n = (int)strlen(digits), k = 0;
	if (neg)
		out[k++] = '-';
	if (x < -5 || x > 15) {
		out[k++] = digits[0];
		if (n > 1)
			out[k++] = '.';
		memcpy(out + k, digits + 1, (size_t)n - 1);
		k += n - 1;
		return (size_t)(k + snprintf(out + k, 32 - (size_t)k, "e%d", x));
	}
	if (x < 0) {
		memcpy(out + k, "0.00000", 7);
		k += 1 - x;
		memcpy(out + k, digits, (size_t)n);
		k += n;
	} else {
		for (int i = 0; i <= x || i < n; i++) {
			if (i == x + 1)
				out[k++] = '.';
			out[k++] = i < n ? digits[i] : '0';
		}
	}
	if (x >= n - 1) {
		out[k++] = '.';
		out[k++] = '0';
	}
	out[k] = 0;
	return (size_t)k;
}

static size_t shortest(double d, int from, int to, bool as_float, char out[32])
{
	char digits[32] = "0";
	int x = 0;
	for (int k = from; k <= to; k++) {
		x = digits_of(d, k, digits);
		char text[48];
		double back = 0;
		bool range;
		size_t n = (size_t)snprintf(text, sizeof text, "%se%d", digits, x + 1 - (int)strlen(digits));
		if (as_float ? parse_f32(text, n, &back, &range) : parse_f64(text, n, &back, &range))
			if (back == fabs(d))
				break;
	}
	return lay_out(signbit(d), digits, x, out);
}

size_t f64_format(double d, char out[32])
{
	/* 15 digits always survive, but for subnormals */
	return isfinite(d) ? shortest(d, fabs(d) < 0x1p-1022 ? 1 : 15, 17, false, out)
			   : (size_t)snprintf(out, 32, isnan(d) ? "nan" : "inf");
}

size_t f32_format(double d, char out[32])
{
	return isfinite(d) ? shortest(d, fabs(d) < 0x1p-126 ? 1 : 6, 9, true, out) : f64_format(d, out);
}
