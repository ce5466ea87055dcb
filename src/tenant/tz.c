/*
 * tz.c: time zones from the system's TZif files (RFC 8536), without the process-wide TZ.
 *
 * The 64-bit block of version 2 and later is used; instants behind its last transition follow the POSIX TZ text of the
 * footer. Version 1 files (32 bits, no footer) are read too.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/problems.h"
#include "tenant/cron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TZIF_MAX (1 << 20)
#define ZI_MAX (4 << 20)
#define DAY 86400

enum rule_kind { RULE_JULIAN, RULE_DAY, RULE_WEEKDAY };

/* When a year's clock changes: "M3.5.0/3", "J60", "59". */
struct rule {
	enum rule_kind kind;
	int month, week, day;
	int32_t time; /* seconds after local midnight, may be negative */
};

struct timezone_rules {
	uint32_t n; /* transitions */
	const int64_t *when;
	const int32_t *offset; /* from when[i] on */
	int32_t first;	       /* before when[0] */
	bool has_footer, has_dst;
	int32_t std, dst; /* of the footer */
	struct rule to_dst, to_std;
};

static const struct timezone_rules utc_rules;
static const char *const zone_dirs[] = {"/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo",
					"/etc/zoneinfo"};

/* ---- the footer: POSIX TZ, with RFC 8536's hours beyond 24 */

static bool number(const char **p, int max, int *ret)
{
	int v = 0;
	const char *s = *p;
	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (*s - '0');
		if (v > max)
			return false;
	}
	*p = s;
	*ret = v;
	return true;
}

/* [+-]h[:m[:s]], in seconds. */
static bool clock_time(const char **p, int32_t *ret)
{
	int h = 0, m = 0, s = 0;
	bool negative = **p == '-';
	if (**p == '-' || **p == '+')
		(*p)++;
	if (!number(p, 24 * 7, &h))
		return false;
	if (**p == ':') {
		(*p)++;
		if (!number(p, 59, &m))
			return false;
		if (**p == ':') {
			(*p)++;
			if (!number(p, 59, &s))
				return false;
		}
	}
	*ret = (negative ? -1 : 1) * (h * 3600 + m * 60 + s);
	return true;
}

static bool zone_name(const char **p)
{
	const char *s = *p;
	if (*s == '<') {
		s = strchr(s, '>');
		if (!s)
			return false;
		*p = s + 1;
		return true;
	}
	while (*s && !strchr("0123456789,+-", *s))
		s++;
	bool good = s - *p >= 3;
	*p = s;
	return good;
}

static bool rule_text(const char **p, struct rule *r)
{
	bool good;
	*r = (struct rule){.time = 2 * 3600};
	if (**p == 'M') {
		r->kind = RULE_WEEKDAY;
		(*p)++;
		good = number(p, 12, &r->month) && *(*p)++ == '.' && number(p, 5, &r->week) && *(*p)++ == '.' &&
		       number(p, 6, &r->day) && r->month && r->week;
	} else {
		r->kind = **p == 'J' ? RULE_JULIAN : RULE_DAY;
		*p += r->kind == RULE_JULIAN;
		good = number(p, 365, &r->day);
	}
	if (good && **p == '/') {
		(*p)++;
		good = clock_time(p, &r->time);
	}
	return good;
}

static bool footer(const char *text, struct timezone_rules *tz)
{
	const char *p = text;
	if (!zone_name(&p) || !clock_time(&p, &tz->std))
		return false;
	tz->std = -tz->std; /* POSIX counts west, we count east */
	tz->has_footer = true;
	if (!*p)
		return true;
	if (!zone_name(&p))
		return false;
	tz->dst = tz->std + 3600;
	if (*p && *p != ',') {
		if (!clock_time(&p, &tz->dst))
			return false;
		tz->dst = -tz->dst;
	}
	tz->has_dst = true;
	return *p++ == ',' && rule_text(&p, &tz->to_dst) && *p++ == ',' && rule_text(&p, &tz->to_std) && !*p;
}

/* Local midnight-based second of the year at which the rule acts, as UTC seconds of that year. */
static int64_t rule_at(const struct rule *r, int64_t year, int32_t offset_before)
{
	int64_t jan1 = days_from_civil(year, 1, 1), day;
	if (r->kind == RULE_JULIAN) {
		day = jan1 + r->day - 1 + (date_valid(year, 2, 29) && r->day >= 60);
	} else if (r->kind == RULE_DAY) {
		day = jan1 + r->day;
	} else {
		int64_t first = days_from_civil(year, (unsigned)r->month, 1);
		int64_t next =
		    r->month == 12 ? days_from_civil(year + 1, 1, 1) : days_from_civil(year, (unsigned)r->month + 1, 1);
		int weekday = (int)(((first + 4) % 7 + 7) % 7);
		day = first + (r->day - weekday + 7) % 7 + (int64_t)(r->week - 1) * 7;
		while (day >= next)
			day -= 7;
	}
	return day * DAY + r->time - offset_before;
}

static int32_t footer_offset(const struct timezone_rules *tz, int64_t t)
{
	if (!tz->has_dst)
		return tz->std;
	int64_t year;
	unsigned month, day;
	civil_from_days(t >= 0 ? t / DAY : -((-t + DAY - 1) / DAY), &year, &month, &day);
	int64_t on = rule_at(&tz->to_dst, year, tz->std), off = rule_at(&tz->to_std, year, tz->dst);
	if (on < off)
		return t >= on && t < off ? tz->dst : tz->std;
	return t >= off && t < on ? tz->std : tz->dst; /* southern summers span New Year */
}

int timezone_offset(const struct timezone_rules *tz, int64_t t)
{
	if (!tz || (tz->n == 0 && !tz->has_footer))
		return tz ? tz->first : 0;
	if (tz->n == 0)
		return footer_offset(tz, t);
	if (t < tz->when[0])
		return tz->first;
	uint32_t lo = 0, hi = tz->n;
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (t < tz->when[mid])
			hi = mid;
		else
			lo = mid;
	}
	return lo == tz->n - 1 && tz->has_footer ? footer_offset(tz, t) : tz->offset[lo];
}

int64_t timezone_change(const struct timezone_rules *tz, int64_t from, int64_t to)
{
	/* No zone changes twice within ten days (the shortest so far: Morocco, around Ramadan, a month). */
	for (int64_t low = from; low < to;) {
		int64_t high = to - low > 10 * DAY ? low + 10 * DAY : to;
		int before = timezone_offset(tz, low);
		if (timezone_offset(tz, high) != before) {
			while (high - low > 1) {
				int64_t mid = low + (high - low) / 2;
				if (timezone_offset(tz, mid) == before)
					low = mid;
				else
					high = mid;
			}
			return high;
		}
		low = high;
	}
	return INT64_MAX;
}

/* ---- TZif */

struct header {
	int version;
	uint32_t isut, isstd, leap, time, type, chars;
};

static uint32_t be32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static int64_t be64(const char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static bool header_read(struct span s, struct header *h)
{
	if (s.n < 44 || memcmp(s.p, "TZif", 4) != 0)
		return false;
	h->version = s.p[4] ? s.p[4] - '0' : 1;
	uint32_t *counts[] = {&h->isut, &h->isstd, &h->leap, &h->time, &h->type, &h->chars};
	for (int i = 0; i < 6; i++) {
		*counts[i] = be32(s.p + 20 + 4 * i);
		if (*counts[i] > 65536)
			return false;
	}
	return h->type > 0 && h->type <= 256;
}

static size_t block_size(const struct header *h, size_t time_size)
{
	return h->time * (time_size + 1) + h->type * 6 + h->chars + h->leap * (time_size + 4) + h->isstd + h->isut;
}

/* One data block behind its header; false when it is no good. */
static bool block_read(struct span s, const struct header *h, size_t time_size, struct arena *a,
		       struct timezone_rules *tz)
{
	int64_t *when = arena_array(a, h->time + 1, sizeof *when);
	int32_t *offset = arena_array(a, h->time + 1, sizeof *offset);
	const char *index = s.p + h->time * time_size, *types = index + h->time;
	if (!when || !offset || s.n < block_size(h, time_size))
		return false;
	for (uint32_t i = 0; i < h->time; i++) {
		uint8_t type = (uint8_t)index[i];
		if (type >= h->type)
			return false;
		when[i] = time_size == 8 ? be64(s.p + 8 * i) : (int32_t)be32(s.p + 4 * i);
		if (i && when[i] <= when[i - 1])
			return false;
		offset[i] = (int32_t)be32(types + 6 * type);
	}
	*tz = (struct timezone_rules){.n = h->time, .when = when, .offset = offset, .first = (int32_t)be32(types)};
	return true;
}

static bool tzif_read(struct span s, struct arena *a, struct timezone_rules *tz)
{
	struct header h;
	if (!header_read(s, &h))
		return false;
	s = (struct span){s.p + 44, s.n - 44};
	if (h.version < 2)
		return block_read(s, &h, 4, a, tz);
	size_t skip = block_size(&h, 4);
	if (s.n < skip)
		return false;
	s = (struct span){s.p + skip, s.n - skip};
	if (!header_read(s, &h))
		return false;
	s = (struct span){s.p + 44, s.n - 44};
	if (!block_read(s, &h, 8, a, tz))
		return false;
	s = (struct span){s.p + block_size(&h, 8), s.n - block_size(&h, 8)};
	if (s.n < 2 || s.p[0] != '\n' || s.p[s.n - 1] != '\n')
		return false;
	char *text = arena_strndup(a, s.p + 1, s.n - 2);
	return text && (!*text || footer(text, tz));
}

/* ---- names */

/* A component of an IANA name: Kubernetes' rule, which keeps paths inside the directory. */
static bool name_good(const char *name)
{
	size_t part = 0;
	for (const char *s = name; *s; s++) {
		if (*s == '/') {
			if (part == 0)
				return false;
			part = 0;
			continue;
		}
		bool word = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
			    strchr("_+-.", *s);
		if (!word || (part == 0 && (*s == '-' || *s == '.')) || ++part > 14)
			return false;
	}
	return part > 0 && strlen(name) < 64;
}

/* The nearest name of the installed zones, from the list that tzdata ships; NULL when there is none. */
static const char *nearest_zone(const char *name, struct arena *a)
{
	struct span zi;
	struct err e = {0};
	char path[64];
	snprintf(path, sizeof path, "%s/tzdata.zi", zone_dirs[0]);
	if (file_read(path, ZI_MAX, a, &zi, &e) != ERR_OK)
		return NULL;
	const char **names = arena_array(a, 2048, sizeof *names);
	size_t n = 0;
	/* "Z Europe/Berlin ..." and "L Europe/Berlin Europe/Oslo": zones and links. */
	for (char *save = NULL, *line = strtok_r((char *)zi.p, "\n", &save); names && line && n < 2048;
	     line = strtok_r(NULL, "\n", &save)) {
		if (line[0] != 'Z' && line[0] != 'L')
			continue;
		char *word = strrchr(line, ' ');
		if (line[0] == 'Z') {
			word = line + 1;
			word[1 + strcspn(word + 1, " ")] = '\0';
		}
		if (word)
			names[n++] = word + 1;
	}
	for (size_t i = 0; i < n; i++) {
		const char *city = strrchr(names[i], '/');
		if (strcasecmp(names[i], name) == 0 || (city && strcasecmp(city + 1, name) == 0))
			return names[i];
	}
	return nearest_name(name, names, n);
}

enum err_code timezone_load(const char *name, struct arena *a, const struct timezone_rules **ret, struct err *e)
{
	if (strcmp(name, "UTC") == 0) {
		*ret = &utc_rules;
		return ERR_OK;
	}
	if (strcasecmp(name, "Local") == 0)
		return err_set(e, ERR_INVALID, "\"%s\" is no time zone; name one explicitly, such as \"Europe/Berlin\"",
			       name);
	if (!name_good(name))
		return err_set(e, ERR_INVALID, "\"%.80s\" is no name of a time zone such as \"Europe/Berlin\"", name);
	bool any_dir = false;
	for (size_t i = 0; i < sizeof zone_dirs / sizeof *zone_dirs; i++) {
		char path[160];
		struct span text;
		struct err why = {0};
		snprintf(path, sizeof path, "%s/%s", zone_dirs[i], name);
		enum err_code c = file_read(path, TZIF_MAX, a, &text, &why);
		if (c == ERR_NOT_FOUND || c == ERR_IO) {
			snprintf(path, sizeof path, "%s/Europe/London", zone_dirs[i]);
			any_dir |= file_read(path, TZIF_MAX, a, &text, &why) == ERR_OK;
			continue;
		}
		if (c)
			return err_set(e, c, "time zone \"%s\": %s", name, why.msg);
		struct timezone_rules *tz = arena_alloc(a, sizeof *tz);
		if (!tz)
			return err_oom(e);
		if (!tzif_read(text, a, tz))
			return err_set(e, ERR_INVALID, "\"%s\" is no time zone (its file is no TZif)", name);
		*ret = tz;
		return ERR_OK;
	}
	if (!any_dir) {
		err_set(e, ERR_INVALID, "time zone \"%s\": this machine has no time zone files", name);
		return err_hint(e, "install the package tzdata, or use \"UTC\"");
	}
	const char *near = nearest_zone(name, a);
	err_set(e, ERR_INVALID, "\"%s\" is no time zone of this machine", name);
	return near ? err_hint(e, "did you mean \"%s\"?", near) : ERR_INVALID;
}
