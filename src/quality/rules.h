/* rules.h: the rules of this folder, one line each; registry.c lists them. */
#ifndef QUALITY_RULES_H
#define QUALITY_RULES_H

#include "quality/rule.h"

extern const struct rule_class rule_not_null, rule_null_share, rule_row_count;
extern const struct rule_class rule_range, rule_set, rule_pattern, rule_length, rule_date_format;
extern const struct rule_class rule_unique, rule_compare;
extern const struct rule_class rule_age, rule_freshness, rule_file_age;

#endif
