/* conf_value.c: texts to numbers with units, and what a row allows. */
#include "conf/conf_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit byte_units[] = {
    {"", 1},
    {"B", 1},
    {"k", 1000},
    {"kB", 1000},
    {"M", 1000000},
    {"MB", 1000000},
    {"G", 1000000000},
    {"GB", 1000000000},
    {"T", 1000000000000},
    {"TB", 1000000000000},
    {"Ki", 1024},
    {"KiB", 1024},
    {"Mi", 1048576},
    {"MiB", 1048576},
    {"Gi", 1073741824},
    {"GiB", 1073741824},
    {"Ti", 1099511627776},
    {"TiB", 1099511627776},
    {NULL, 0},
};

static const struct unit second_units[] = {
    {"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0},
};

static const struct unit *unit_find(const struct unit *u, const char *name, size_t n)
{
	for (; u->name; u++)
		if (strlen(u->name) == n && strncasecmp(u->name, name, n) == 0)
			return u;
	return NULL;
}

/* One "1.5GiB": exact, a fraction must give whole units. *p moves behind it. */
static bool one_part(const char **p, const struct unit *units, int64_t *sum)
{
	const char *s = *p;
	__int128 value = 0, divisor = 1;
	int digits = 0;
	for (; isdigit((unsigned char)*s) && digits < 18; s++, digits++)
		value = value * 10 + (*s - '0');
	if (*s == '.' && digits) {
		for (s++; isdigit((unsigned char)*s) && digits < 18; s++, digits++) {
			value = value * 10 + (*s - '0');
			divisor *= 10;
		}
	}
	if (digits == 0 || isdigit((unsigned char)*s))
		return false;
	while (*s == ' ')
		s++;
	size_t n = 0;
	while (isalpha((unsigned char)s[n]))
		n++;
	const struct unit *u = unit_find(units, s, n);
	if (!u)
		return false;
	value *= u->factor;
	if (value % divisor != 0 || value / divisor > INT64_MAX - *sum)
		return false;
	*sum += (int64_t)(value / divisor);
	*p = s + n;
	return true;
}

/* "1h30m" is several parts; sizes are one. */
static bool with_unit(const char *text, const struct unit *units, bool several, int64_t *ret)
{
	int64_t sum = 0;
	const char *p = text;
	do {
		if (!one_part(&p, units, &sum))
			return false;
	} while (several && *p);
	if (*p)
		return false;
	*ret = sum;
	return true;
}

static bool parse_int(const char *text, int64_t *ret)
{
	int64_t v = 0;
	const char *s = *text == '-' ? text + 1 : text;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s) || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, *s - '0', &v))
			return false;
	}
	*ret = *text == '-' ? -v : v;
	return true;
}

static bool parse_bool(const char *text, int64_t *ret)
{
	static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
	for (int i = 0; i < 4; i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*ret = strcasecmp(text, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

static bool parse_choice(const char *choices, const char *text, int64_t *ret)
{
	size_t n = strlen(text);
	int64_t i = 0;
	for (const char *p = choices; *p; i++) {
		size_t len = strcspn(p, "|");
		if (len == n && strncmp(p, text, n) == 0) {
			*ret = i;
			return true;
		}
		p += len + (p[len] == '|');
	}
	return false;
}

void conf_bytes_text(int64_t n, char out[32])
{
	static const char *const names[] = {"", "KiB", "MiB", "GiB", "TiB"};
	int i = 0;
	while (i < 4 && n != 0 && n % 1024 == 0) {
		n /= 1024;
		i++;
	}
	snprintf(out, 32, "%lld%s", (long long)n, names[i]);
}

void conf_seconds_text(int64_t n, char out[32])
{
	static const struct unit show[] = {{"d", 86400}, {"h", 3600}, {"m", 60}};
	for (int i = 0; i < 3 && n; i++) {
		if (n % show[i].factor == 0) {
			snprintf(out, 32, "%lld%s", (long long)(n / show[i].factor), show[i].name);
			return;
		}
	}
	snprintf(out, 32, "%llds", (long long)n);
}

static void bound_text(const struct conf_row *r, int64_t n, char out[32])
{
	if (r->type == CONF_BYTES)
		conf_bytes_text(n, out);
	else if (r->type == CONF_SECONDS)
		conf_seconds_text(n, out);
	else
		snprintf(out, 32, "%lld", (long long)n);
}

const char *conf_allowed(const struct conf_row *r, struct arena *a)
{
	char low[32], high[32], range[80] = "";
	bound_text(r, r->min, low);
	bound_text(r, r->max, high);
	if (r->min || r->max)
		snprintf(range, sizeof range, ", %s to %s", low, high);
	const char *s = NULL;
	switch (r->type) {
	case CONF_STRING:
		s = "a text";
		break;
	case CONF_BOOL:
		s = "true or false";
		break;
	case CONF_INT:
		s = arena_printf(a, "a whole number%s", range);
		break;
	case CONF_BYTES:
		s = arena_printf(a, "a size such as 64MiB%s", range);
		break;
	case CONF_SECONDS:
		s = arena_printf(a, "a time such as 30s, 5m or 1h30m%s", range);
		break;
	case CONF_CHOICE:
		s = arena_printf(a, "one of %s", r->choices);
		break;
	}
	return s ? s : "";
}

bool conf_value_parse(const struct conf_row *r, const char *text, struct arena *a, int64_t *ret, const char **why)
{
	int64_t v = 0;
	bool good = true, bounded = false;
	switch (r->type) {
	case CONF_STRING:
		for (const char *s = text; *s; s++)
			good = good && ((unsigned char)*s >= ' ' && *s != 0x7f);
		break;
	case CONF_BOOL:
		good = parse_bool(text, &v);
		break;
	case CONF_INT:
		good = parse_int(text, &v);
		bounded = true;
		break;
	case CONF_BYTES:
		good = with_unit(text, byte_units, false, &v);
		bounded = true;
		break;
	case CONF_SECONDS:
		good = with_unit(text, second_units, true, &v);
		bounded = true;
		break;
	case CONF_CHOICE:
		good = parse_choice(r->choices, text, &v);
		break;
	}
	if (good && bounded && (r->min || r->max))
		good = v >= r->min && v <= r->max;
	if (good)
		*ret = v;
	else
		*why = conf_allowed(r, a);
	return good;
}
