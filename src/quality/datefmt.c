/* datefmt.c: see datefmt.h. */
#include "quality/datefmt.h"

#include "base/clock.h"

#include <strings.h>

#define LETTERS "YymdHIMSjfzpbBaAs"

static bool add_op(struct datefmt *f, char op, char arg, bool loose)
{
	if (f->n == DATEFMT_OPS)
		return false;
	f->op[f->n++] = (struct datefmt_op){op, arg, loose};
	return true;
}

static const char *expansion(char c)
{
	switch (c) {
	case 'F':
		return "Y-m-d";
	case 'T':
		return "H:M:S";
	case 'R':
		return "H:M";
	case 'D':
		return "m/d/y";
	default:
		return NULL;
	}
}

static bool has_op(const struct datefmt *f, char c)
{
	for (uint32_t i = 0; i < f->n; i++) {
		if (f->op[i].op == c)
			return true;
	}
	return false;
}

const char *datefmt_compile(struct span s, struct datefmt *ret)
{
	static const char too_long[] = "at most 64 parts";

	*ret = (struct datefmt){0};
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			if (!add_op(ret, 0, s.p[i], false))
				return too_long;
			continue;
		}
		bool loose = i + 1 < s.n && s.p[i + 1] == '-';
		i += loose ? 2 : 1;
		char c = i < s.n ? s.p[i] : 0;
		const char *more = expansion(c);
		for (const char *m = more; m && *m; m++) {
			bool letter = strchr("YymdHMS", *m) != NULL;
			if (!add_op(ret, letter ? *m : 0, letter ? 0 : *m, false))
				return too_long;
		}
		if (more)
			continue;
		if (c == '%' && !loose) {
			if (!add_op(ret, 0, '%', false))
				return too_long;
			continue;
		}
		if (!c || !strchr(LETTERS, c) || (loose && !strchr("mdHIMS", c)))
			return "%Y %y %m %d %H %I %M %S %f %z %p %b %B %a %A %j %s %F %T %R %D %% and %-d for one or "
			       "two "
			       "digits";
		if (!add_op(ret, c, 0, loose))
			return too_long;
	}
	if (s.n == 0)
		return "a format like \"%Y-%m-%d\"";
	bool year = has_op(ret, 'Y') || has_op(ret, 'y');
	bool month = has_op(ret, 'm') || has_op(ret, 'b') || has_op(ret, 'B');
	ret->has_date = has_op(ret, 's') || (year && month && has_op(ret, 'd')) || (year && has_op(ret, 'j'));
	if (has_op(ret, 'I') && !has_op(ret, 'p'))
		return "%p (AM or PM) beside %I";
	return NULL;
}

struct parts {
	int64_t year, epoch;
	unsigned month, day, yday, hour, minute, second;
	int64_t us;
	int offset; /* seconds east of UTC */
	bool pm, has_epoch, has_yday;
};

/* min..max digits; the value; false when there are fewer. */
static bool digits(const char **p, const char *end, int min, int max, int64_t *ret)
{
	const char *s = *p;
	int64_t v = 0;
	int n = 0;

	for (; n < max && s < end && *s >= '0' && *s <= '9'; n++)
		v = v * 10 + (*s++ - '0');
	if (n < min)
		return false;
	*p = s;
	*ret = v;
	return true;
}

static int find_name(const char **p, const char *end, const char *const *names, int n, bool full)
{
	size_t left = (size_t)(end - *p);

	for (int i = 0; i < n; i++) {
		size_t len = full ? strlen(names[i]) : 3;
		if (left >= len && strncasecmp(*p, names[i], len) == 0) {
			*p += len;
			return i;
		}
	}
	return -1;
}

static bool match_name(char op, const char **p, const char *end, struct parts *t)
{
	static const char *const months[] = {"January", "February", "March",	 "April",   "May",	"June",
					     "July",	"August",   "September", "October", "November", "December"};
	static const char *const days[] = {"Monday", "Tuesday",	 "Wednesday", "Thursday",
					   "Friday", "Saturday", "Sunday"};
	int i;

	if (op == 'b' || op == 'B') {
		i = find_name(p, end, months, 12, op == 'B');
		t->month = (unsigned)(i + 1);
		return i >= 0;
	}
	return find_name(p, end, days, 7, op == 'A') >= 0;
}

static bool match_zone(const char **p, const char *end, struct parts *t)
{
	const char *s = *p;
	int64_t h, m;

	if (s < end && *s == 'Z') {
		*p = s + 1;
		return true;
	}
	if (s == end || (*s != '+' && *s != '-'))
		return false;
	int sign = *s++ == '-' ? -1 : 1;
	if (!digits(&s, end, 2, 2, &h))
		return false;
	if (s < end && *s == ':')
		s++;
	if (!digits(&s, end, 2, 2, &m) || h > 23 || m > 59)
		return false;
	t->offset = sign * (int)(h * 3600 + m * 60);
	*p = s;
	return true;
}

static bool match_fraction(const char **p, const char *end, struct parts *t)
{
	const char *from = *p;
	int64_t v;

	if (!digits(p, end, 1, 9, &v))
		return false;
	for (long n = *p - from; n < 6; n++)
		v *= 10;
	for (long n = *p - from; n > 6; n--)
		v /= 10;
	t->us = v;
	return true;
}

static bool match_number(const struct datefmt_op *o, const char **p, const char *end, struct parts *t)
{
	int min = o->loose ? 1 : 2;
	int64_t v = 0;

	if (o->op == 'Y' || o->op == 'j') {
		int n = o->op == 'Y' ? 4 : 3;
		min = n;
		if (!digits(p, end, n, n, &v))
			return false;
	} else if (o->op == 's') {
		t->has_epoch = true;
		return digits(p, end, 1, 12, &t->epoch);
	} else if (!digits(p, end, min, 2, &v)) {
		return false;
	}
	switch (o->op) {
	case 'Y':
		t->year = v;
		return true;
	case 'y':
		t->year = v + (v < 69 ? 2000 : 1900);
		return true;
	case 'j':
		t->has_yday = true;
		t->yday = (unsigned)v;
		return v >= 1 && v <= 366;
	case 'm':
		t->month = (unsigned)v;
		return v >= 1 && v <= 12;
	case 'd':
		t->day = (unsigned)v;
		return v >= 1 && v <= 31;
	case 'H':
		t->hour = (unsigned)v;
		return v <= 23;
	case 'I':
		t->hour = (unsigned)(v % 12);
		return v >= 1 && v <= 12;
	case 'M':
		t->minute = (unsigned)v;
		return v <= 59;
	default:
		t->second = (unsigned)v;
		return v <= 59;
	}
}

static bool match_op(const struct datefmt_op *o, const char **p, const char *end, struct parts *t)
{
	switch (o->op) {
	case 0:
		if (*p == end || **p != o->arg)
			return false;
		(*p)++;
		return true;
	case 'b':
	case 'B':
	case 'a':
	case 'A':
		return match_name(o->op, p, end, t);
	case 'z':
		return match_zone(p, end, t);
	case 'f':
		return match_fraction(p, end, t);
	case 'p':
		if (end - *p < 2 || ((*p)[1] | 0x20) != 'm' || (((*p)[0] | 0x20) != 'a' && ((*p)[0] | 0x20) != 'p'))
			return false;
		t->pm = ((*p)[0] | 0x20) == 'p';
		*p += 2;
		return true;
	default:
		return match_number(o, p, end, t);
	}
}

bool datefmt_match(const struct datefmt *f, const char *p, size_t n, int64_t *ret_us)
{
	struct parts t = {.year = 1970, .month = 1, .day = 1};
	const char *end = p + n;

	for (uint32_t i = 0; i < f->n; i++) {
		if (!match_op(&f->op[i], &p, end, &t))
			return false;
	}
	if (p != end)
		return false;
	if (t.has_epoch) {
		*ret_us = t.epoch * US_PER_S + t.us;
		return true;
	}
	if (!date_valid(t.year, t.month, t.day))
		return false;
	int64_t days = days_from_civil(t.year, t.month, t.day);
	if (t.has_yday) {
		days = days_from_civil(t.year, 1, 1) + t.yday - 1;
		if (t.yday == 366 && !date_valid(t.year, 2, 29))
			return false;
	}
	int64_t s = (int64_t)(t.hour + (t.pm && t.hour < 12 ? 12 : 0)) * 3600 + t.minute * 60 + t.second - t.offset;
	*ret_us = days * US_PER_DAY + s * US_PER_S + t.us;
	return true;
}
