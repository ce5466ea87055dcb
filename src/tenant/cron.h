/*
 * cron.h: schedules as Kubernetes' CronJob reads them (robfig/cron v3's standard parser).
 *
 * Five fields (minute hour day-of-month month day-of-week) with * ? lists, ranges, steps and names (JAN, MON); @yearly
 * @annually @monthly @weekly @daily @midnight @hourly and @every DURATION. When both day fields are restricted, either
 * may match. With a time zone: a local time that a clock change skips does not run that day; one that occurs twice
 * runs twice. The odd cases (changes at midnight, of half an hour) go as robfig/cron does them (see cron.c). Time zones
 * come from the system's zoneinfo files (TZif, RFC 8536), read by us, so that no process-wide TZ is touched.
 */
#ifndef TENANT_CRON_H
#define TENANT_CRON_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct timezone_rules; /* tz.c */

/* "UTC", "Europe/Berlin", "Local" is refused as Kubernetes does. */
enum err_code timezone_load(const char *name, struct arena *a, const struct timezone_rules **ret,
			    struct err *e) MUST_USE;
/* Seconds east of UTC at an instant; NULL is UTC. */
int timezone_offset(const struct timezone_rules *tz, int64_t utc_s);
/* The first instant in (from, to] that has another offset than the one before it; INT64_MAX: none. */
int64_t timezone_change(const struct timezone_rules *tz, int64_t from, int64_t to);

struct cron {
	uint64_t minute, hour, dom, month, dow; /* bit n set: n matches */
	bool dom_star, dow_star;
	int64_t every_s;		 /* @every; 0 otherwise */
	const struct timezone_rules *tz; /* NULL: UTC */
	char text[256];
};

/* NULL when good, else what is wrong with which field (in the arena). */
const char *cron_parse(struct span text, struct arena *a, struct cron *ret);
/* The first start strictly after t (seconds since 1970 UTC); INT64_MAX when there is none within five years. */
int64_t cron_next(const struct cron *c, int64_t t);
/* "every hour at minute 0", for people. */
void cron_describe(const struct cron *c, char out[160]);

#endif
