/*
 * cron.c: schedules as Kubernetes' CronJob reads them and finds their starts.
 *
 * Kubernetes uses robfig/cron v3 (ParseStandard and SpecSchedule.Next); this file does the same with the same result
 * for every text and instant: a tenant's schedule must not change its meaning when the platform moves to Kubernetes.
 * What that means around clock changes:
 *   - forward: local times inside the gap do not occur, so they do not run that day;
 *   - back: local times inside the repeated hour occur twice, so they run twice;
 *   - the search goes from field to field, and steps over days by local midnight. Where a clock change removes midnight
 *     (Cairo, Beirut) a search that arrives there by days can leave out that day, as it does on Kubernetes. `schedule
 *     preview` shows the starts that really come.
 * A star with a step above 1 counts as restricted in the day rule, "?" is a star, N/S is N-max/S.
 */
#include "tenant/cron.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define YEARS_MAX 5
#define STEPS_MAX 100000 /* far more than five years of days: the search ends whatever a zone does */
#define DAY 86400

struct bounds {
	const char *name;
	int min, max;
	const char *names; /* three letters each, for min, min + 1 ... */
};

static const struct bounds fields[5] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {"day of week", 0, 6, "sunmontuewedthufrisat"},
};

/* ---- parsing */

struct parser {
	struct arena *a;
	const char *why;
};

static const char *complain(struct parser *p, const char *s)
{
	p->why = s ? s : "no memory";
	return p->why;
}

/* A number (a leading + is fine, as for Go's Atoi) or a name; -1 when it is neither. */
static int value_of(struct span s, const struct bounds *b)
{
	if (b->names && s.n == 3) {
		for (int i = 0; b->names[3 * i]; i++)
			if (strncasecmp(b->names + 3 * i, s.p, 3) == 0)
				return b->min + i;
	}
	size_t i = s.n && s.p[0] == '+';
	int v = 0;
	if (i == s.n)
		return -1;
	for (; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		if (v < 100000)
			v = v * 10 + (s.p[i] - '0');
	}
	return v;
}

/* The text up to a separator; *s moves behind it. False when nothing is left. */
static bool part(struct span *s, char sep, struct span *ret)
{
	if (!s->p)
		return false;
	const char *at = memchr(s->p, sep, s->n);
	*ret = (struct span){s->p, at ? (size_t)(at - s->p) : s->n};
	*s = at ? (struct span){at + 1, s->n - ret->n - 1} : (struct span){NULL, 0};
	return true;
}

static const char *range_parse(struct parser *p, struct span text, const struct bounds *b, uint64_t *bits, bool *star)
{
	struct span rest = text, range, step_text = {0}, low_text, high_text = {0}, more;
	part(&rest, '/', &range);
	bool has_step = part(&rest, '/', &step_text);
	if (part(&rest, '/', &more))
		return complain(
		    p, arena_printf(p->a, "%s \"" SPAN_FMT "\": more than one \"/\"", b->name, SPAN_ARG(text)));
	part(&range, '-', &low_text);
	bool single = !part(&range, '-', &high_text), any = span_is(low_text, "*") || span_is(low_text, "?");
	int low = any ? b->min : value_of(low_text, b), step = has_step ? value_of(step_text, &fields[0]) : 1;
	int high = any ? b->max : single ? low : value_of(high_text, b);
	if (!any && part(&range, '-', &more))
		return complain(
		    p, arena_printf(p->a, "%s \"" SPAN_FMT "\": more than one \"-\"", b->name, SPAN_ARG(text)));
	if (low < 0 || high < 0 || step < 0)
		return complain(p, arena_printf(p->a, "%s \"" SPAN_FMT "\": a number%s was expected", b->name,
						SPAN_ARG(text), b->names ? " or a name of three letters" : ""));
	if (single && has_step)
		high = b->max; /* N/S */
	if (low < b->min || high > b->max)
		return complain(p, arena_printf(p->a, "%s \"" SPAN_FMT "\": allowed are %d to %d", b->name,
						SPAN_ARG(text), b->min, b->max));
	if (low > high)
		return complain(p,
				arena_printf(p->a,
					     "%s \"" SPAN_FMT "\": the range ends before it begins; write it as two: "
					     "%d-%d,%d-%d",
					     b->name, SPAN_ARG(text), low, b->max, b->min, high));
	if (step == 0)
		return complain(
		    p, arena_printf(p->a, "%s \"" SPAN_FMT "\": a step is at least 1", b->name, SPAN_ARG(text)));
	for (int i = low; i <= high; i += step)
		*bits |= (uint64_t)1 << i;
	*star |= any && step == 1;
	return NULL;
}

static const char *field_parse(struct parser *p, struct span text, const struct bounds *b, uint64_t *bits, bool *star)
{
	struct span range;
	while (part(&text, ',', &range))
		if (range.n && range_parse(p, range, b, bits, star))
			return p->why;
	return NULL;
}

/* Go's time.ParseDuration, in whole seconds (at least one: also for 0 and for what is negative). */
static bool duration_parse(struct span s, int64_t *ret)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"ns", 1},	      {"us", 1000},	 {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
		     {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000}};
	bool negative = s.n && s.p[0] == '-';
	size_t i = negative || (s.n && s.p[0] == '+');
	__int128 total = 0;
	if (i == s.n)
		return false;
	if (s.n - i == 1 && s.p[i] == '0') {
		*ret = 1; /* the one duration without a unit */
		return true;
	}
	while (i < s.n) {
		__int128 v = 0, scale = 1;
		bool digits = false, point = false;
		for (; i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] == '.' && !point)); i++) {
			if (s.p[i] == '.') {
				point = true;
				continue;
			}
			digits = true;
			if (scale >= 1000000000000000)
				continue; /* below a nanosecond of an hour: no effect */
			v = v * 10 + (s.p[i] - '0');
			scale *= point ? 10 : 1;
			if (v > INT64_MAX)
				return false;
		}
		size_t n = 0;
		while (i + n < s.n && s.p[i + n] != '.' && (s.p[i + n] < '0' || s.p[i + n] > '9'))
			n++;
		int64_t ns = 0;
		for (size_t u = 0; u < sizeof units / sizeof *units; u++)
			if (strlen(units[u].name) == n && memcmp(units[u].name, s.p + i, n) == 0)
				ns = units[u].ns;
		if (!digits || !ns)
			return false;
		total += v * ns / scale;
		if (total > INT64_MAX)
			return false;
		i += n;
	}
	*ret = negative || total < 1000000000 ? 1 : (int64_t)(total / 1000000000);
	return true;
}

static bool macro_parse(struct span text, struct cron *c)
{
	static const struct {
		const char *name, *text;
	} macros[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
		      {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
		      {"@hourly", "0 * * * *"}};
	for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
		if (span_is(text, macros[i].name))
			return cron_parse(span_str(macros[i].text), NULL, c) == NULL;
	return false;
}

static bool blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static unsigned split(struct span text, struct span words[5])
{
	unsigned n = 0;
	for (size_t i = 0; i < text.n;) {
		while (i < text.n && blank(text.p[i]))
			i++;
		size_t start = i;
		while (i < text.n && !blank(text.p[i]))
			i++;
		if (i > start && n++ < 5)
			words[n - 1] = (struct span){text.p + start, i - start};
	}
	return n;
}

static const char *descriptor_parse(struct span text, struct arena *a, struct cron *c)
{
	struct parser p = {a, NULL};
	if (text.n > 7 && memcmp(text.p, "@every ", 7) == 0) {
		if (duration_parse((struct span){text.p + 7, text.n - 7}, &c->every_s))
			return NULL;
		return complain(&p, arena_printf(a,
						 "\"" SPAN_FMT
						 "\": a time such as \"@every 1h30m\" was expected (units h, m, s)",
						 SPAN_ARG(text)));
	}
	if (macro_parse(text, c))
		return NULL;
	return complain(&p, arena_printf(a,
					 "\"" SPAN_FMT "\" is none of @yearly, @annually, @monthly, @weekly, @daily, "
					 "@midnight, @hourly, @every DURATION",
					 SPAN_ARG(text)));
}

const char *cron_parse(struct span text, struct arena *a, struct cron *ret)
{
	struct parser p = {a, NULL};
	struct cron c = {.tz = NULL};
	struct span words[5];
	if (text.n == 0)
		return "an empty text is no schedule";
	if (text.n >= sizeof c.text)
		return "a schedule has at most 255 characters";
	memcpy(c.text, text.p, text.n);
	if (strstr(c.text, "TZ"))
		return "TZ= and CRON_TZ= are not available in a schedule: use \"timeZone\"";
	if (text.p[0] == '@') {
		const char *why = descriptor_parse(text, a, &c);
		if (why)
			return why;
		memcpy(c.text, text.p, text.n);
		c.text[text.n] = '\0';
		*ret = c;
		return NULL;
	}
	unsigned n = split(text, words);
	if (n != 5)
		return complain(
		    &p, arena_printf(a,
				     "%u field%s: five were expected (minute, hour, day of month, month, day of "
				     "week)%s",
				     n, n == 1 ? "" : "s", n == 6 ? "; seconds are not available" : ""));
	uint64_t *bits[5] = {&c.minute, &c.hour, &c.dom, &c.month, &c.dow};
	bool star[5] = {false};
	for (int i = 0; i < 5; i++)
		if (field_parse(&p, words[i], &fields[i], bits[i], &star[i]))
			return p.why;
	c.dom_star = star[2];
	c.dow_star = star[4];
	*ret = c;
	return NULL;
}

/* ---- the next start */

/* An instant and what a clock on the wall shows. */
struct wall {
	int64_t utc;
	int64_t year;
	unsigned month, day;
	int hour, minute, second, weekday;
};

static struct wall wall_of(const struct cron *c, int64_t utc)
{
	int64_t local = utc + timezone_offset(c->tz, utc);
	int64_t days = local >= 0 ? local / DAY : -((-local + DAY - 1) / DAY);
	int sec = (int)(local - days * DAY);
	struct wall w = {.utc = utc,
			 .hour = sec / 3600,
			 .minute = sec / 60 % 60,
			 .second = sec % 60,
			 .weekday = (int)(((days + 4) % 7 + 7) % 7)};
	civil_from_days(days, &w.year, &w.month, &w.day);
	return w;
}

/* The instant of a local time, as Go's time.Date picks it where there is none or two. */
static struct wall wall_at(const struct cron *c, int64_t year, unsigned month, unsigned day, int second_of_day)
{
	int64_t t = days_from_civil(year + (month - 1) / 12, (month - 1) % 12 + 1, 1) * DAY + (int64_t)(day - 1) * DAY +
		    second_of_day;
	int offset = timezone_offset(c->tz, t);
	if (offset != 0)
		t -= timezone_offset(c->tz, t - offset);
	return wall_of(c, t);
}

static struct wall wall_add_days(const struct cron *c, const struct wall *w, unsigned months, unsigned days)
{
	return wall_at(c, w->year, w->month + months, w->day + days, w->hour * 3600 + w->minute * 60 + w->second);
}

static bool bit(uint64_t set, unsigned n)
{
	return set >> n & 1;
}

static bool day_matches(const struct cron *c, const struct wall *w)
{
	bool dom = bit(c->dom, w->day), dow = bit(c->dow, (unsigned)w->weekday);
	return c->dom_star || c->dow_star ? dom && dow : dom || dow;
}

/* Each step_... moves t to the first fitting value of its field. False: the field in front of it changed, so the search
 * begins again at the month. *added says that smaller fields are at their beginning already. */

static bool step_month(const struct cron *c, struct wall *t, bool *added)
{
	while (!bit(c->month, t->month)) {
		if (!*added) {
			*added = true;
			*t = wall_at(c, t->year, t->month, 1, 0);
		}
		*t = wall_add_days(c, t, 1, 0);
		if (t->month == 1)
			return false;
	}
	return true;
}

static bool step_day(const struct cron *c, struct wall *t, bool *added)
{
	while (!day_matches(c, t)) {
		if (!*added) {
			*added = true;
			*t = wall_at(c, t->year, t->month, t->day, 0);
		}
		*t = wall_add_days(c, t, 0, 1);
		/* A midnight that a clock change moved: back to it. */
		if (t->hour > 12)
			*t = wall_of(c, t->utc + (24 - t->hour) * 3600);
		else if (t->hour != 0)
			*t = wall_of(c, t->utc - t->hour * 3600);
		if (t->day == 1)
			return false;
	}
	return true;
}

static bool step_hour(const struct cron *c, struct wall *t, bool *added)
{
	while (!bit(c->hour, (unsigned)t->hour)) {
		if (!*added) {
			*added = true;
			*t = wall_at(c, t->year, t->month, t->day, t->hour * 3600);
		}
		*t = wall_of(c, t->utc + 3600);
		if (t->hour == 0)
			return false;
	}
	return true;
}

static bool step_minute(const struct cron *c, struct wall *t, bool *added)
{
	while (!bit(c->minute, (unsigned)t->minute)) {
		if (!*added) {
			*added = true;
			*t = wall_of(c, t->utc - ((t->utc % 60) + 60) % 60);
		}
		*t = wall_of(c, t->utc + 60);
		if (t->minute == 0)
			return false;
	}
	return true;
}

int64_t cron_next(const struct cron *c, int64_t from)
{
	if (c->every_s)
		return from + c->every_s;
	if (!c->minute || !c->hour || !c->month || !(c->dom | c->dow))
		return INT64_MAX; /* a field of commas only: legal there, and never */
	struct wall t = wall_of(c, from + 1);
	int64_t last_year = t.year + YEARS_MAX;
	bool added = false;
	for (int steps = 0; t.year <= last_year && steps < STEPS_MAX; steps++) {
		if (!step_month(c, &t, &added) || !step_day(c, &t, &added) || !step_hour(c, &t, &added) ||
		    !step_minute(c, &t, &added))
			continue;
		if (t.second == 0)
			return t.utc;
		t = wall_of(c, t.utc + 60 - t.second);
		added = true;
	}
	return INT64_MAX;
}
