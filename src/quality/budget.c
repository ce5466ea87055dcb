/* budget.c: see budget.h. */
#include "quality/budget.h"

#include <stdio.h>

#define MILLION 1000000
#define BUDGET_ALLOWED "a count like 10, or a share of the records like \"1%\" (0 to 100, four digits behind the point)"

/* digits[.digits] in units of 10^-4; false when malformed or over 10^15. */
static bool parse_share(struct span s, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0, digits = 0;

	for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, digits++) {
		if (digits > 10)
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	if (digits == 0)
		return false;
	size_t frac = 0;
	if (i < s.n && s.p[i] == '.') {
		for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, frac++) {
			if (frac == 4)
				return false;
			v = v * 10 + (uint64_t)(s.p[i] - '0');
		}
		if (frac == 0)
			return false;
	}
	for (; frac < 4; frac++)
		v *= 10;
	*ret = v;
	return i == s.n;
}

const char *budget_parse(const struct json *v, struct budget *ret)
{
	struct span s = v->s;
	struct budget b = {.set = true};

	if (v->type != JN_STRING && v->type != JN_INT)
		return BUDGET_ALLOWED;
	if (s.n == 0 || s.n >= sizeof(b.text))
		return BUDGET_ALLOWED;
	memcpy(b.text, s.p, s.n);
	if (v->type == JN_STRING && s.p[s.n - 1] == '%') {
		s.n--;
		b.share = true;
		if (!parse_share(s, &b.count) || b.count > MILLION)
			return BUDGET_ALLOWED;
	} else {
		if (s.n > 18)
			return BUDGET_ALLOWED;
		for (size_t i = 0; i < s.n; i++) {
			if (s.p[i] < '0' || s.p[i] > '9')
				return BUDGET_ALLOWED;
			b.count = b.count * 10 + (uint64_t)(s.p[i] - '0');
		}
	}
	*ret = b;
	return NULL;
}

bool budget_used_up(const struct budget *b, uint64_t found, uint64_t records)
{
	if (!b->set)
		return false;
	if (!b->share)
		return found > b->count;
	return (unsigned __int128)found * MILLION > (unsigned __int128)b->count * records;
}
