/*
 * clock.h: time. Wall time is int64 microseconds since 1970-01-01 UTC, elapsed time is monotonic nanoseconds.
 * Civil dates follow the proleptic Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define US_PER_S INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_S)

int64_t clock_now_us(void);
int64_t clock_mono_ns(void);

/* Days since 1970-01-01; y in -9999..9999, m 1..12, d 1..31 (valid for that month, see date_valid). */
int64_t days_from_civil(int64_t y, unsigned m, unsigned d);
void civil_from_days(int64_t days, int64_t *ret_y, unsigned *ret_m, unsigned *ret_d);
bool date_valid(int64_t y, unsigned m, unsigned d);

/* "YYYY-MM-DD" exactly -> days. */
bool date_parse(const char *p, size_t n, int64_t *ret_days);
/* "HH:MM[:SS[.f{1,9}]]" -> microseconds of the day (digits beyond microseconds must be zero). */
bool time_parse(const char *p, size_t n, int64_t *ret_us);
/* RFC 3339, also with a blank for the T, without seconds' fraction, with Z, +hh:mm or nothing (UTC) -> microseconds. */
bool timestamp_parse(const char *p, size_t n, int64_t *ret_us);

#define DATE_LEN 10
#define TIME_MAX 15
#define RFC3339_MAX 27
/* Write without NUL, return the length. digits: 0, 3 or 6 of the fraction. Years outside 0..9999 get a sign. */
size_t date_format(int64_t days, char out[16]);
size_t time_format(int64_t us, int digits, char out[24]);
size_t timestamp_format(int64_t us, int digits, char out[40]);

/* "2026-11-22T14:32:05.123Z" with a NUL, for logs and JSON. Returns out. */
char *rfc3339(int64_t us, char out[40]);

#endif
