/*
 * pattern.h: input.file.pattern: an anchored POSIX extended regular expression that a tenant wrote.
 *
 * Tenants are not trusted: what makes the C library's matcher take exponential time or memory (back references, huge
 * or nested counts) is refused before it is compiled.
 */
#ifndef TENANT_PATTERN_H
#define TENANT_PATTERN_H

#include <regex.h>
#include <stdbool.h>

#define PATTERN_MAX 512

/* Compile ^(text)$. False: why says what is wrong (freed by nobody: why is caller's memory). */
bool pattern_compile(const char *text, bool ignore_case, regex_t *ret, char why[160]);
/* The whole of name matches. */
bool pattern_matches(const regex_t *re, const char *name);

#endif
