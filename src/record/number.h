/*
 * number.h: the parts of number parsing that kernels of format/ share with convert.h. Pure functions.
 */
#ifndef RECORD_NUMBER_H
#define RECORD_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* 10^0 .. 10^22: the powers that a double holds exactly. */
extern const double pow10_exact[23];

/* Correctly rounded to float, as a double; *ret_range: beyond float. */
bool parse_f32(const char *p, size_t n, double *ret, bool *ret_range);
/* True when (float)d is the float nearest to the decimal text that d was correctly rounded from. */
bool f32_round_is_exact(double d);
/* The shortest text that reads back as the same float. */
size_t f32_format(double d, char out[32]);

#endif
