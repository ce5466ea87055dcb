/*
 * plan.h: what a quality plan holds; for the files of this folder only. Others use gate.h.
 */
#ifndef QUALITY_PLAN_H
#define QUALITY_PLAN_H

#include "quality/rule.h"

#define QUALITY_RULES_MAX 100
#define NAME_BIT_NONE 255

struct quality_plan {
	const struct data_file *df;
	const struct rule *rule;
	uint32_t nrule;
	struct budget max_rejected;
	bool whole_file;
	uint32_t nscan;	   /* rules that look at batches */
	uint8_t *name_bit; /* per rule: a bit for those that share their name with another, else NAME_BIT_NONE */
};

/* Rules that the reader itself applies; their order is the order of bits and of the verdict. */
#define BUILTIN_RULES 10
extern const char *const builtin_rules[BUILTIN_RULES];

#endif
