/*
 * convert.h: one cell's text to one typed value, exactly.
 *
 * The slow, certain path that the column kernels of format/ fall back to; everything that decides what a text means
 * lives here once. Numbers: optional sign, digits; doubles as C's decimal grammar without hex, inf or nan, correctly
 * rounded (Clinger 1990; Lemire 2021; the C library for the rest); no surrounding blanks. Pure functions, any thread.
 */
#ifndef RECORD_CONVERT_H
#define RECORD_CONVERT_H

#include "record/schema.h"

/* Why a text is no value of its field's type. */
enum convert_result {
	CONVERT_OK,
	CONVERT_BAD,	    /* not of this type at all */
	CONVERT_RANGE,	    /* a number, but beyond the type */
	CONVERT_INEXACT,    /* decimal: more digits than scale or precision */
	CONVERT_NOT_MEMBER, /* enum: no such symbol */
	CONVERT_LENGTH,	    /* fixed: wrong length */
};

struct value {
	bool null;
	int64_t i;     /* STORE_I64 */
	double d;      /* STORE_F64 */
	struct span s; /* STORE_TEXT, STORE_BYTES: the input itself, or in scratch */
};

#define CONVERT_SCRATCH 512

/* scratch: CONVERT_SCRATCH bytes for canonical forms (uuid, decimal, longer ones are CONVERT_BAD). */
enum convert_result convert_cell(const struct field *f, struct span text, struct value *ret, char *scratch);

/* Why, for people: `"five" is no int`, `6828878457269 is beyond int (-2147483648..2147483647); long would take it`. */
void convert_reason(const struct field *f, struct span text, enum convert_result why, char out[192]);

bool parse_i64(const char *p, size_t n, int64_t *ret, bool *ret_range);
bool parse_f64(const char *p, size_t n, double *ret, bool *ret_range);

/* The value as people and query --json see it ("2015-08-31", RFC 3339, shortest double ...). Returns the length. */
size_t value_format(const struct field *f, const struct value *v, char *out, size_t cap);
size_t f64_format(double d, char out[32]); /* shortest text that reads back the same */

#endif
