/* pattern.c: file name patterns, anchored and harmless. */
#include "tenant/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX 32
#define EXPANDED_MAX 4096 /* length times the product of all counts in {}: the matcher copies what is repeated */

/* NULL when nothing in it can blow the matcher up. */
static const char *danger(const char *s)
{
	unsigned long copies = 1, length = strlen(s);
	int groups = 0;
	bool in_list = false;
	for (; *s; s++) {
		if (in_list) {
			/* "]" first in a list stands for itself; being strict about it costs nothing here */
			in_list = *s != ']';
			continue;
		}
		if (*s == '\\') {
			if (s[1] >= '0' && s[1] <= '9')
				return "back references (\\1) are not available";
			if (s[1])
				s++;
		} else if (*s == '[') {
			in_list = true;
			if (s[1] == '^')
				s++;
			if (s[1] == ']')
				s++;
		} else if (*s == '(') {
			if (++groups > GROUPS_MAX)
				return "more than 32 groups";
		} else if (*s == '{') {
			char *end;
			unsigned long low = strtoul(s + 1, &end, 10), high = low;
			if (*end == ',')
				high = strtoul(end + 1, &end, 10);
			unsigned long n = high > low ? high : low;
			if (n > EXPANDED_MAX || (n > 1 && (copies *= n) * length > EXPANDED_MAX))
				return "the counts in {} make it too large (length times counts: at most 4096)";
		}
	}
	return NULL;
}

bool pattern_compile(const char *text, bool ignore_case, regex_t *ret, char why[160])
{
	char anchored[PATTERN_MAX + 8];
	const char *bad = strlen(text) > PATTERN_MAX ? "longer than 512 bytes" : danger(text);
	if (bad) {
		snprintf(why, 160, "%s", bad);
		return false;
	}
	/* A pattern that its author anchored stays as it is: ^ and $ may stand inside a group. */
	snprintf(anchored, sizeof anchored, "^(%s)$", text);
	int rc = regcomp(ret, anchored, REG_EXTENDED | REG_NOSUB | (ignore_case ? REG_ICASE : 0));
	if (rc != 0) {
		char msg[128];
		regerror(rc, ret, msg, sizeof msg);
		snprintf(why, 160, "%s", msg);
		return false;
	}
	return true;
}

bool pattern_matches(const regex_t *re, const char *name)
{
	return regexec(re, name, 0, NULL, 0) == 0;
}
