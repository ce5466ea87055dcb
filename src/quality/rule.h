/*
 * rule.h: what a quality rule is: one const class in one file, listed in registry.c.
 *
 *   const struct rule_class rule_range = {.name = "range", ..., .parse = range_parse, .scan = range_scan,
 *                                         .reason = range_reason};
 *
 * parse  is called once per line of "quality.rules" when the documents are read; it tells every problem it sees and
 *        leaves the class's own parameters (arena, const afterwards) in rule->param.
 * open   once per file and rule, before the first batch; may be NULL. rule_run.state is state_size zeroed bytes.
 * scan   once per batch, column at a time. It lists the rows that break the rule in run->hit (ascending) and must skip
 *        rows with run->skip set and cells that are null (only completeness rules look at nulls). It changes nothing.
 * reason for each listed row, right after scan: the sentence that people read.
 * judge  once at the end of the file: false when the file as a whole breaks the rule, with the reason.
 * late   once at the end: hands out records that only the whole file shows to be bad (uniqueness).
 * close  always called when open was.
 *
 * A plan with its rules is shared by threads; states belong to one gate. Rules never log, wait or retry.
 */
#ifndef QUALITY_RULE_H
#define QUALITY_RULE_H

#include "base/extsort.h"
#include "quality/budget.h"
#include "quality/gate.h"

enum rule_flags {
	RULE_COLUMN = 1,      /* takes exactly one column */
	RULE_COLUMNS = 2,     /* takes "columns" (or one "column") */
	RULE_COLUMNS_OPT = 4, /* ... and has a default without them */
	RULE_FILE = 8,	      /* judges the file, never a record: action "record" makes no sense */
	RULE_BUILTIN = 16,    /* found by the reader; a line in the agreement only adds an action or a budget */
	RULE_WHOLE = 32,      /* nothing may be delivered before the end of the file was seen */
};

/* One key that a rule understands beside rule, column(s), action, budget and name. */
struct rule_param {
	const char *name;
	const char *arg; /* what it takes: "number or date" */
	const char *text;
};

struct rule {
	const struct rule_class *class;
	const char *name; /* counted under this name */
	enum defect_action action;
	struct budget budget;
	const struct schema *schema;
	const uint32_t *field; /* field indexes */
	uint32_t nfield;
	uint32_t number; /* index in the plan */
	const void *param;
};

/* A rule at work on one file. */
struct rule_run {
	const struct rule *rule;
	void *state;
	const struct gate_options *opt; /* now_us is set */
	const struct batch *b;
	const uint8_t *skip; /* NULL, or per row: 1 = rejected before the rules */
	uint32_t *hit;	     /* room for b->nrow */
	uint32_t nhit;
};

struct file_facts {
	uint64_t records; /* all of them */
	uint64_t rejected;
};

/* Takes one late record: row has the same values as the earlier record `of`. */
typedef enum err_code late_fn(void *ctx, const struct rule *r, uint64_t row, uint64_t of, struct err *e);

#define REASON_MAX 192

struct rule_parse;

struct rule_class {
	const char *name;
	const char *kind; /* "completeness", "validity", "timeliness" */
	const char *summary;
	unsigned flags;
	const struct rule_param *params; /* ends with {0} */
	size_t state_size;
	void (*parse)(struct rule_parse *x, struct rule *r);
	enum err_code (*open)(struct rule_run *x, struct err *e);
	enum err_code (*scan)(struct rule_run *x, struct err *e);
	void (*reason)(const struct rule_run *x, uint32_t row, char out[REASON_MAX]);
	bool (*judge)(const struct rule_run *x, const struct file_facts *f, uint64_t *ret_records,
		      char out[REASON_MAX]);
	enum err_code (*late)(struct rule_run *x, late_fn *put, void *ctx, struct err *e);
	void (*close)(struct rule_run *x);
};

extern const struct rule_class *const rule_classes[]; /* registry.c; NULL-terminated */

/* The table of docs/quality.md. */
void rules_write_docs(struct buf *out);

/* ---- for parse functions: everything that is wrong is told, nothing stops at the first problem */
struct rule_parse {
	const struct json *node; /* the rule's object */
	const char *path;	 /* "$.quality.rules[3]" */
	const struct data_file *df;
	struct arena *a;
	struct problems *p;
	unsigned errors; /* of this rule */
};

/* Errors at key (its value's place when it is there). allowed and suggestion as problem_add. */
void rule_error(struct rule_parse *x, const char *key, const char *found, const char *allowed, const char *suggestion);
/* A string member, NULL when absent or wrong (told). */
const char *rule_str(struct rule_parse *x, const char *key);
/* A whole number >= 0, or dflt. */
uint64_t rule_uint(struct rule_parse *x, const char *key, uint64_t dflt);
bool rule_has(const struct rule_parse *x, const char *key);
/* "90s", "15m", "24h", "7d", "2w" as microseconds; false when absent or wrong (told). */
bool rule_duration(struct rule_parse *x, const char *key, int64_t *ret_us);
/* A JSON value as a value of field f; false when it is none (told as key, or key[index] when index >= 0). Text lives
 * in the arena. */
bool rule_value(struct rule_parse *x, const struct field *f, const struct json *v, const char *key, int index,
		struct value *ret);
/* At least one of two keys must be there. */
bool rule_need_one(struct rule_parse *x, const char *a, const char *b);
/* The column's type does not fit the rule. */
void rule_wrong_type(struct rule_parse *x, const struct field *f, const char *allowed, const char *suggestion);

/* ---- for scan functions */
static inline bool rule_skips(const struct rule_run *x, uint32_t r)
{
	return x->skip && x->skip[r];
}

static inline void rule_hit(struct rule_run *x, uint32_t r)
{
	x->hit[x->nhit++] = r;
}

/* The cell as people see it, quoted when it is text. Returns out. */
const char *rule_cell_text(const struct rule *r, uint32_t field, const struct batch *b, uint32_t row, char out[200]);

/* printf into a reason; what does not fit is cut between characters. */
void rule_say(char out[REASON_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
