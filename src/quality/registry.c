/*
 * registry.c: all rules, and the lines about what the reader finds by itself.
 */
#include "quality/rules.h"

#define BUILTIN(var, text, what)                                                                                       \
	static const struct rule_class var = {.name = text, .kind = "validity", .summary = what, .flags = RULE_BUILTIN}

BUILTIN(rule_type, RULE_TYPE, "the cell is a value of its column's type (the schema's)");
BUILTIN(rule_key, RULE_KEY, "the key columns have a value");
BUILTIN(rule_field_count, RULE_FIELD_COUNT, "the record has as many fields as the file has columns");
BUILTIN(rule_unclosed_quote, RULE_UNCLOSED_QUOTE, "a quote is closed");
BUILTIN(rule_bad_quote, RULE_BAD_QUOTE, "quotes stand where they may");
BUILTIN(rule_encoding, RULE_ENCODING, "text is valid UTF-8");
BUILTIN(rule_nul, RULE_NUL, "there are no NUL bytes");
BUILTIN(rule_cell_too_long, RULE_CELL_TOO_LONG, "no cell is longer than the reader's limit");
BUILTIN(rule_row_too_long, RULE_ROW_TOO_LONG, "no record is longer than the reader's limit");

const struct rule_class *const rule_classes[] = {
    /* completeness */
    &rule_not_null,
    &rule_null_share,
    &rule_row_count,
    /* validity */
    &rule_type,
    &rule_range,
    &rule_set,
    &rule_pattern,
    &rule_length,
    &rule_date_format,
    &rule_unique,
    &rule_compare,
    /* timeliness */
    &rule_age,
    &rule_freshness,
    &rule_file_age,
    /* what the reader finds */
    &rule_key,
    &rule_field_count,
    &rule_encoding,
    &rule_unclosed_quote,
    &rule_bad_quote,
    &rule_nul,
    &rule_cell_too_long,
    &rule_row_too_long,
    NULL,
};

static const char *columns_text(unsigned flags)
{
	if (flags & RULE_COLUMNS_OPT)
		return "`column` or `columns`, optional";
	if ((flags & RULE_COLUMN) && (flags & RULE_COLUMNS))
		return "`column` or `columns`";
	if (flags & RULE_COLUMNS)
		return "`columns`";
	return flags & RULE_COLUMN ? "`column`" : "";
}

static const char *actions_text(unsigned flags)
{
	if (flags & RULE_FILE)
		return "**file**, warn";
	return flags & RULE_BUILTIN ? "**record**, file" : "**record**, file, warn";
}

void rules_write_docs(struct buf *out)
{
	buf_str(out, "| rule | kind | what must hold | columns | parameters | actions |\n| --- | --- | --- | --- | --- "
		     "| --- |\n");
	for (size_t i = 0; rule_classes[i]; i++) {
		const struct rule_class *c = rule_classes[i];
		buf_printf(out, "| `%s` | %s | %s | %s | ", c->name, c->kind, c->summary, columns_text(c->flags));
		for (const struct rule_param *p = c->params; p && p->name; p++)
			buf_printf(out, "%s`%s`: %s", p == c->params ? "" : "; ", p->name, p->text);
		buf_printf(out, " | %s |\n", actions_text(c->flags));
	}
}
