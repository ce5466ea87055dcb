/*
 * budget.h: how many records may break a rule: a count (10), or a share of all records ("1%", "0.05%").
 *
 * More than the budget is too many: "0" allows none, "100%" allows all. Shares are exact: kept in millionths of the
 * whole, so at most four digits behind the point.
 */
#ifndef QUALITY_BUDGET_H
#define QUALITY_BUDGET_H

#include "base/json.h"

struct budget {
	bool set, share;
	uint64_t count; /* records, or millionths of all records */
	char text[32];	/* as written */
};

/* NULL when good, else what is allowed. */
const char *budget_parse(const struct json *v, struct budget *ret);
bool budget_used_up(const struct budget *b, uint64_t found, uint64_t records);

#endif
