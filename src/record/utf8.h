/*
 * utf8.h: is it UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF), and how many characters.
 * The certain, scalar way; format/ has the same rules for whole blocks at once.
 */
#ifndef RECORD_UTF8_H
#define RECORD_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length 1..4 of the character at p (n >= 1 bytes), 0 when it is none. */
unsigned utf8_step(const char *p, size_t n);
/* Bytes that are valid from the start: n when all are. */
size_t utf8_valid_prefix(const char *p, size_t n);
/* Characters; a byte that belongs to none counts as one. */
size_t utf8_count(const char *p, size_t n);

#endif
