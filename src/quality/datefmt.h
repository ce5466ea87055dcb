/*
 * datefmt.h: dates as text by a strptime-like format, without locale and without surprises.
 *
 *   struct datefmt f;
 *   const char *wrong = datefmt_compile(SPAN_LIT("%d/%m/%Y %H:%M:%S"), &f);
 *   datefmt_match(&f, "01/08/2019 11:38:33", 19, &us);
 *
 * %Y four digits, %y two (69..99 are 19xx, as POSIX), %m %d %H %I %M %S two digits each, with a '-' (%-d) one or two;
 * %j three; %f 1 to 9 digits of a second (kept to the microsecond); %z +hhmm, +hh:mm or Z; %p AM or PM; %b %B English
 * month names, %a %A English week days (ignored beyond being one); %s seconds since 1970; %F = %Y-%m-%d,
 * %T = %H:%M:%S, %R = %H:%M, %D = %m/%d/%y; %% a percent sign. Everything else stands for itself. The whole text must
 * match, the date must exist; without %z the time is UTC. Pure functions.
 */
#ifndef QUALITY_DATEFMT_H
#define QUALITY_DATEFMT_H

#include "base/span.h"

#include <stdint.h>

#define DATEFMT_OPS 64

struct datefmt_op {
	char op; /* the letter behind '%'; 0: the byte in `arg` itself */
	char arg;
	bool loose; /* %-d: one or two digits */
};

struct datefmt {
	struct datefmt_op op[DATEFMT_OPS];
	uint32_t n;
	bool has_date; /* year, month and day are there: the value is an instant, not only a time of day */
};

/* NULL when good, else what is allowed. */
const char *datefmt_compile(struct span format, struct datefmt *ret);
/* *ret_us: microseconds since 1970 (or of the day without a date). */
bool datefmt_match(const struct datefmt *f, const char *p, size_t n, int64_t *ret_us);

#endif
