/*
 * schedule.c: when an app is due, from its cron schedule, the last start that was seen, and the clock. Pure.
 *
 * However many starts were missed (the platform was down, the machine asleep), only the latest one is due: one run
 * takes everything that is staged anyway. When the clock was set back behind the last start seen, the schedule goes on
 * from the new time; a start whose label comes twice does no harm, because files are dealt once, not times.
 */
#include "manager/internal.h"

#include <string.h>

/* A clock that differs by less is not "set back" (leap smearing, several threads). */
#define BACK_TOLERANCE_S 60

/* The latest start in (last, now], given that there is one: look back in growing windows, so that a schedule that was
 * not seen for a year costs a handful of steps. */
static int64_t latest(const struct cron *c, int64_t last, int64_t now)
{
	static const int64_t windows[] = {60, 3600, 86400, 7 * 86400, 31 * 86400, 366 * 86400};
	if (c->every_s > 0)
		return last + (now - last) / c->every_s * c->every_s;
	int64_t from = last;
	for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
		if (now - windows[i] > last && cron_next(c, now - windows[i]) <= now) {
			from = now - windows[i];
			break;
		}
	int64_t at = cron_next(c, from), next;
	while ((next = cron_next(c, at)) <= now)
		at = next;
	return at;
}

struct due schedule_due(const struct cron *c, int64_t last, int64_t now)
{
	struct due d = {0};
	if (last > now + BACK_TOLERANCE_S) {
		d.clock_back = true;
		return d;
	}
	int64_t t = cron_next(c, last);
	if (t > now)
		return d;
	d.due = true;
	d.at = latest(c, last, now);
	while (t < d.at && d.missed < DUE_COUNT_MAX) {
		d.missed++;
		t = cron_next(c, t);
	}
	return d;
}

const char *trigger_name(enum trigger t)
{
	static const char *const names[] = {"", "schedule", "manual", "retry", "drain"};
	return names[t];
}
