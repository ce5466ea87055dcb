/*
 * rule_parse.c: helpers of the rules' parse and reason functions (see rule.h).
 */
#include "quality/rule.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>

void rule_error(struct rule_parse *x, const char *key, const char *found, const char *allowed, const char *suggestion)
{
	const struct json *v = json_get(x->node, key);

	if (!v && !found)
		found = "";
	problem_add(x->p, PROBLEM_ERROR, v ? v : x->node, arena_printf(x->a, "%s.%s", x->path, key), found, allowed,
		    suggestion ? suggestion : "");
	x->errors++;
}

bool rule_has(const struct rule_parse *x, const char *key)
{
	return json_get(x->node, key) != NULL;
}

const char *rule_str(struct rule_parse *x, const char *key)
{
	const struct json *v = json_get(x->node, key);

	if (!v)
		return NULL;
	if (v->type != JN_STRING || memchr(v->s.p, 0, v->s.n)) {
		rule_error(x, key, NULL, "a text", "");
		return NULL;
	}
	return v->s.p;
}

uint64_t rule_uint(struct rule_parse *x, const char *key, uint64_t dflt)
{
	const struct json *v = json_get(x->node, key);
	int64_t i;
	bool range;

	if (!v)
		return dflt;
	if ((v->type == JN_INT || v->type == JN_STRING) && parse_i64(v->s.p, v->s.n, &i, &range) && i >= 0)
		return (uint64_t)i;
	rule_error(x, key, NULL, "a whole number from 0", "");
	return dflt;
}

bool rule_duration(struct rule_parse *x, const char *key, int64_t *ret_us)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
	const struct json *v = json_get(x->node, key);
	int64_t i;
	bool range;

	if (!v)
		return false;
	if (v->type == JN_STRING && v->s.n > 1 && v->s.n < 12 && parse_i64(v->s.p, v->s.n - 1, &i, &range) && i >= 0) {
		for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
			if (v->s.p[v->s.n - 1] != units[u].unit)
				continue;
			if (__builtin_mul_overflow(i, units[u].seconds * US_PER_S, ret_us))
				break;
			return true;
		}
	}
	rule_error(x, key, NULL, "a time span like \"90s\", \"15m\", \"24h\", \"7d\" or \"2w\"", "");
	return false;
}

bool rule_value(struct rule_parse *x, const struct field *f, const struct json *v, const char *key, int index,
		struct value *ret)
{
	char type[64], scratch[CONVERT_SCRATCH];
	struct span text = v->s;
	const char *allowed = arena_printf(x->a, "a value of type %s", field_type_text(f, type));

	if (v->type == JN_BOOL)
		text = v->b ? SPAN_LIT("true") : SPAN_LIT("false");
	bool scalar = v->type == JN_STRING || v->type == JN_INT || v->type == JN_REAL || v->type == JN_BOOL;
	*ret = (struct value){0};
	if (scalar && convert_cell(f, text, ret, scratch) == CONVERT_OK) {
		if (f->storage == STORE_TEXT || f->storage == STORE_BYTES)
			ret->s = arena_span(x->a, ret->s);
		return true;
	}
	if (index < 0) {
		rule_error(x, key, NULL, allowed, "");
		return false;
	}
	problem_add(x->p, PROBLEM_ERROR, v, arena_printf(x->a, "%s.%s[%d]", x->path, key, index), NULL, allowed, "");
	x->errors++;
	return false;
}

bool rule_need_one(struct rule_parse *x, const char *a, const char *b)
{
	if (rule_has(x, a) || rule_has(x, b))
		return true;
	rule_error(x, a, "", arena_printf(x->a, "\"%s\" or \"%s\" or both", a, b), "without one the rule says nothing");
	return false;
}

void rule_wrong_type(struct rule_parse *x, const struct field *f, const char *allowed, const char *suggestion)
{
	char type[64];

	rule_error(x, "column", arena_printf(x->a, "\"%s\", a %s", f->name, field_type_text(f, type)), allowed,
		   suggestion);
}

const char *rule_cell_text(const struct rule *r, uint32_t field, const struct batch *b, uint32_t row, char out[200])
{
	const struct field *f = &r->schema->fields[field];
	struct value v = batch_value(b, row, field);

	if (v.null) {
		memcpy(out, "null", 5);
		return out;
	}
	if (f->storage == STORE_TEXT || f->storage == STORE_BYTES)
		return cell_quote(v.s, out);
	size_t n = value_format(f, &v, out, 199);
	out[n < 199 ? n : 199] = 0;
	return out;
}

void rule_say(char out[REASON_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(out, REASON_MAX, fmt, ap);
	va_end(ap);
	if (n < REASON_MAX)
		return;
	size_t at = REASON_MAX - 1;
	while (at && ((unsigned char)out[at - 1] & 0xc0) == 0x80)
		at--;
	if (at && (unsigned char)out[at - 1] >= 0xc0)
		at--;
	out[at] = 0;
}
