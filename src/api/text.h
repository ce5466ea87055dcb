/*
 * text.h: texts of requests: UTF-8, percent escapes, numbers and ids. All of it is hostile until it went through here.
 */
#ifndef API_TEXT_H
#define API_TEXT_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

bool utf8_valid(const char *p, size_t n);
/* %XX (and '+' as a blank when plus) -> a NUL-terminated text in the arena; NULL for broken escapes, NUL bytes or bytes
 * that are no UTF-8. */
char *url_unescape(struct arena *a, const char *p, size_t n, bool plus);
/* Digits only, at most max. */
bool number_parse(const char *s, int64_t max, int64_t *ret);
/* "f17" or "17" -> 17. */
bool id_parse(const char *text, char letter, int64_t *ret);

#endif
