/* clock.c: civil dates by Hinnant's algorithms; parsing is strict and knows no locale. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

int64_t clock_mono_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	unsigned yoe = (unsigned)(y - era * 400);
	unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + (int64_t)doe - 719468;
}

void civil_from_days(int64_t days, int64_t *ret_y, unsigned *ret_m, unsigned *ret_d)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	unsigned doe = (unsigned)(days - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;
	*ret_d = doy - (153 * mp + 2) / 5 + 1;
	*ret_m = mp < 10 ? mp + 3 : mp - 9;
	*ret_y = (int64_t)yoe + era * 400 + (*ret_m <= 2);
}

bool date_valid(int64_t y, unsigned m, unsigned d)
{
	static const unsigned char days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	if (m < 1 || m > 12 || d < 1)
		return false;
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	return d <= days[m] + (m == 2 && leap ? 1u : 0u);
}

static bool digits(const char *p, size_t n, unsigned *ret)
{
	unsigned v = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned char)p[i] - (unsigned)'0';
		if (d > 9)
			return false;
		v = v * 10 + d;
	}
	*ret = v;
	return true;
}

bool date_parse(const char *p, size_t n, int64_t *ret_days)
{
	unsigned y, m, d;
	if (n != DATE_LEN || p[4] != '-' || p[7] != '-' || !digits(p, 4, &y) || !digits(p + 5, 2, &m) ||
	    !digits(p + 8, 2, &d) || !date_valid(y, m, d))
		return false;
	*ret_days = days_from_civil(y, m, d);
	return true;
}

/* ".123456": at most nine digits, those beyond microseconds zero. */
static bool fraction(const char *p, size_t n, int64_t *ret_us)
{
	if (n < 2 || n > 10 || p[0] != '.')
		return false;
	int64_t us = 0;
	for (size_t i = 1; i < 10; i++) {
		unsigned d = i < n ? (unsigned char)p[i] - (unsigned)'0' : 0;
		if (d > 9 || (i > 6 && d))
			return false;
		if (i <= 6)
			us = us * 10 + d;
	}
	*ret_us = us;
	return true;
}

bool time_parse(const char *p, size_t n, int64_t *ret_us)
{
	unsigned h, m, s = 0;
	int64_t us = 0;
	if (n < 5 || p[2] != ':' || !digits(p, 2, &h) || !digits(p + 3, 2, &m) || h > 23 || m > 59)
		return false;
	if (n > 5 && (n < 8 || p[5] != ':' || !digits(p + 6, 2, &s) || s > 59))
		return false;
	if (n > 8 && !fraction(p + 8, n - 8, &us))
		return false;
	*ret_us = ((int64_t)h * 3600 + m * 60 + s) * US_PER_S + us;
	return true;
}

/* "Z", "+hh:mm", "+hhmm", "+hh" at the end; *ret_n is what remains before it. */
static bool zone(const char *p, size_t n, size_t *ret_n, int64_t *ret_us)
{
	*ret_n = n;
	*ret_us = 0;
	if (n && (p[n - 1] == 'Z' || p[n - 1] == 'z')) {
		*ret_n = n - 1;
		return true;
	}
	for (size_t k = 3; k <= 6 && k < n; k++) {
		const char *z = p + n - k;
		if (*z != '+' && *z != '-')
			continue;
		unsigned h, m = 0;
		if (k == 4 || !digits(z + 1, 2, &h) || (k == 6 && z[3] != ':') ||
		    (k >= 5 && !digits(z + k - 2, 2, &m)) || h > 23 || m > 59)
			return false;
		int64_t us = ((int64_t)h * 3600 + m * 60) * US_PER_S;
		*ret_us = *z == '-' ? -us : us;
		*ret_n = n - k;
		return true;
	}
	return true;
}

bool timestamp_parse(const char *p, size_t n, int64_t *ret_us)
{
	int64_t days, us, off;
	if (n < DATE_LEN + 6 || !date_parse(p, DATE_LEN, &days) || (p[10] != 'T' && p[10] != 't' && p[10] != ' '))
		return false;
	const char *t = p + 11;
	if (!zone(t, n - 11, &n, &off) || !time_parse(t, n, &us))
		return false;
	*ret_us = days * US_PER_DAY + us - off;
	return true;
}

static size_t put2(char *out, unsigned v)
{
	out[0] = (char)('0' + v / 10 % 10);
	out[1] = (char)('0' + v % 10);
	return 2;
}

size_t date_format(int64_t days, char out[16])
{
	int64_t y;
	unsigned m, d;
	civil_from_days(days, &y, &m, &d);
	size_t n = 0;
	if (y < 0 || y > 9999)
		n = (size_t)snprintf(out, 9, "%+06d", (int)(y > 99999 ? 99999 : y < -99999 ? -99999 : y));
	else {
		put2(out, (unsigned)y / 100);
		put2(out + 2, (unsigned)y % 100);
		n = 4;
	}
	out[n++] = '-';
	n += put2(out + n, m);
	out[n++] = '-';
	n += put2(out + n, d);
	return n;
}

size_t time_format(int64_t us, int frac, char out[24])
{
	unsigned s = (unsigned)(us / US_PER_S), f = (unsigned)(us % US_PER_S);
	size_t n = put2(out, s / 3600);
	out[n++] = ':';
	n += put2(out + n, s / 60 % 60);
	out[n++] = ':';
	n += put2(out + n, s % 60);
	if (frac) {
		out[n++] = '.';
		unsigned div = 100000;
		for (int i = 0; i < frac; i++, div /= 10)
			out[n++] = (char)('0' + f / div % 10);
	}
	return n;
}

size_t timestamp_format(int64_t us, int frac, char out[40])
{
	int64_t days = us / US_PER_DAY, rest = us % US_PER_DAY;
	if (rest < 0) {
		rest += US_PER_DAY;
		days--;
	}
	size_t n = date_format(days, out);
	out[n++] = 'T';
	n += time_format(rest, frac, out + n);
	out[n++] = 'Z';
	return n;
}

char *rfc3339(int64_t us, char out[40])
{
	out[timestamp_format(us, 3, out)] = 0;
	return out;
}
