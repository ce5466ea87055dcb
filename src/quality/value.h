/*
 * value.h: comparing typed values the way rules need it; exact, without conversion to double where digits could go.
 */
#ifndef QUALITY_VALUE_H
#define QUALITY_VALUE_H

#include "quality/datefmt.h"
#include "quality/rule.h"

/* How the values of a column are ordered. */
enum order {
	ORDER_NONE, /* only equal or not */
	ORDER_I64,
	ORDER_F64,
	ORDER_DECIMAL,
	ORDER_DATE_TEXT, /* text that a date format reads */
};

/* -1, 0, 1 of two decimal texts ("-12.50"), digit by digit. */
int decimal_compare(struct span a, struct span b);

/* Microseconds since 1970 of a date or timestamp column's value; false for columns that are neither. */
bool field_has_time(const struct field *f);
int64_t field_time_us(const struct field *f, int64_t v);

/* The optional "format" of a rule on a text column: false when there is none or it is wrong (told). */
bool rule_format(struct rule_parse *x, const struct field *f, struct datefmt *ret);

#endif
