/* cron_text.c: a schedule in words: "at 02:30 on Monday to Friday", "every 15 minutes". */
#include "tenant/cron.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const months[] = {"",     "January", "February",  "March",	"April",    "May",     "June",
				     "July", "August",	"September", "October", "November", "December"};
static const char *const weekdays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

#define TEXT_MAX 160
#define TIMES_MAX 4 /* more starts a day are told as minutes and hours */

static void add(char out[TEXT_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(char out[TEXT_MAX], const char *fmt, ...)
{
	size_t n = strlen(out);
	va_list ap;
	va_start(ap, fmt);
	int more = vsnprintf(out + n, TEXT_MAX - n, fmt, ap);
	va_end(ap);
	if (more >= 0 && n + (size_t)more >= TEXT_MAX)
		memcpy(out + TEXT_MAX - 4, "...", 4);
}

static uint64_t all_of(int min, int max)
{
	return (((uint64_t)1 << (max - min + 1)) - 1) << min;
}

/* The step when set is min, min + s, min + 2s ... up to max; 0 otherwise. */
static int step_of(uint64_t set, int min, int max)
{
	for (int s = 1; s <= (max - min) / 2 + 1; s++) {
		uint64_t want = 0;
		for (int i = min; i <= max; i += s)
			want |= (uint64_t)1 << i;
		if (want == set)
			return s;
	}
	return 0;
}

static void add_value(char out[TEXT_MAX], int v, const char *const *names)
{
	if (names)
		add(out, "%s", names[v]);
	else
		add(out, "%d", v);
}

/* "1, 3 to 5 and 9" */
static void add_set(char out[TEXT_MAX], uint64_t set, int max, const char *const *names)
{
	bool first = true;
	for (int i = 0; i <= max; i++) {
		if (!(set >> i & 1))
			continue;
		int end = i;
		while (end < max && set >> (end + 1) & 1)
			end++;
		bool last = end == max || !(set >> (end + 1));
		add(out, "%s", first ? "" : last ? " and " : ", ");
		add_value(out, i, names);
		if (end > i + 1) {
			add(out, " to ");
			add_value(out, end, names);
			i = end;
		}
		first = false;
	}
}

static void add_times(char out[TEXT_MAX], const struct cron *c)
{
	int n = 0, total = __builtin_popcountll(c->hour) * __builtin_popcountll(c->minute);
	add(out, "at ");
	for (int h = 0; h < 24; h++) {
		for (int m = 0; m < 60; m++) {
			if (!(c->hour >> h & 1) || !(c->minute >> m & 1))
				continue;
			n++;
			add(out, "%s%02d:%02d", n == 1 ? "" : n == total ? " and " : ", ", h, m);
		}
	}
}

static void add_clock(char out[TEXT_MAX], const struct cron *c)
{
	bool every_hour = c->hour == all_of(0, 23);
	int step = step_of(c->minute, 0, 59), hours = step_of(c->hour, 0, 23);
	if (__builtin_popcountll(c->hour) * __builtin_popcountll(c->minute) <= TIMES_MAX) {
		add_times(out, c);
		return;
	}
	if (step == 1)
		add(out, "every minute");
	else if (step > 1 && 60 % step == 0)
		add(out, "every %d minutes", step);
	else {
		add(out, "%s at minute%s ", every_hour ? "every hour" : "",
		    __builtin_popcountll(c->minute) > 1 ? "s" : "");
		if (!every_hour)
			memmove(out, out + 1, strlen(out));
		add_set(out, c->minute, 59, NULL);
	}
	if (every_hour)
		return;
	if (hours > 1 && 24 % hours == 0) {
		add(out, " of every %d%s hour", hours, hours == 2 ? "nd" : hours == 3 ? "rd" : "th");
	} else {
		add(out, " of the hour%s ", __builtin_popcountll(c->hour) > 1 ? "s" : "");
		add_set(out, c->hour, 23, NULL);
	}
}

void cron_describe(const struct cron *c, char out[TEXT_MAX])
{
	out[0] = '\0';
	if (c->every_s) {
		int64_t s = c->every_s;
		add(out, "every ");
		if (s >= 3600)
			add(out, "%lldh", (long long)(s / 3600));
		if (s % 3600 >= 60)
			add(out, "%lldm", (long long)(s % 3600 / 60));
		if (s % 60)
			add(out, "%llds", (long long)(s % 60));
		return;
	}
	if (!c->minute || !c->hour || !c->month || !(c->dom | c->dow)) {
		add(out, "never");
		return;
	}
	add_clock(out, c);
	bool any_dom = c->dom == all_of(1, 31), any_dow = c->dow == all_of(0, 6);
	bool either = !c->dom_star && !c->dow_star;
	if (!any_dom && !(either && any_dow)) {
		add(out, " on day%s ", __builtin_popcountll(c->dom) > 1 ? "s" : "");
		add_set(out, c->dom, 31, NULL);
		add(out, " of the month");
	}
	if (!any_dow && !(either && any_dom)) {
		add(out, any_dom ? " on " : either ? " or on " : " that is a ");
		add_set(out, c->dow, 6, weekdays);
	}
	if (c->month != all_of(1, 12)) {
		add(out, " in ");
		add_set(out, c->month, 12, months);
	}
}
