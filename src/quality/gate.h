/*
 * gate.h: the quality gate: completeness, validity, timeliness over the batches of one file, and its verdict.
 *
 *   const struct quality_plan *plan = quality_plan_new(df, agreement_quality_node, &arena, &problems);   // const,
 * shared gate_new(plan, &opt, &gate, &err); for each batch: gate_batch(gate, batch, &err);      // adds defects, sets
 * bad[] gate_finish(gate, &verdict, &err);                  // file-level rules and budgets
 *
 * Without rules the plan holds only what the schema says (types and nulls are the reader's defects; the gate counts
 * them). Memory is flat: uniqueness works on disk. One thread per gate; a plan is const and shared.
 */
#ifndef QUALITY_GATE_H
#define QUALITY_GATE_H

#include "base/arena.h"
#include "base/json.h"
#include "base/problems.h"
#include "record/batch.h"
#include "tenant/data_file.h"

struct quality_plan;
struct gate;

/* quality: the agreement's "quality" node or NULL. NULL result: errors are in p. */
const struct quality_plan *quality_plan_new(const struct data_file *df, const struct json *quality, struct arena *a,
					    struct problems *p);
/* True when some rule needs the whole file before anything may be delivered (percent budgets, row counts, unique,
 * action "file" ...): then delivery reads the file again or spools. */
bool quality_plan_needs_whole_file(const struct quality_plan *p);
/* True when the plan has a rule of that name whose records only the whole file shows to be bad (uniqueness). */
bool quality_plan_rule_is_late(const struct quality_plan *p, const char *name);

struct gate_options {
	const char *spill_dir; /* for uniqueness; NULL: TMPDIR */
	size_t memory;	       /* 0: 8 MiB */
	int64_t file_time_us;  /* when the file arrived or was written (age of the file); 0: unknown */
	int64_t now_us; /* 0: the clock. Give a resumable file the same time again, so that it decides the same */
	/* The second pass over a file: the verdict of the first one. File-level work is not repeated, its late[]
	 * records are rejected in their batch, and its time is used. Must outlive the gate. */
	const struct verdict *verdict;
};

enum err_code gate_new(const struct quality_plan *p, const struct gate_options *opt, struct gate **ret,
		       struct err *e) MUST_USE;
enum err_code gate_batch(struct gate *g, struct batch *b, struct err *e) MUST_USE;

#define VERDICT_RULES_MAX 128

struct rule_count {
	const char *rule;  /* the name that is counted */
	const char *field; /* NULL: several or none */
	enum defect_action action;
	uint64_t records;     /* records it found (rejected or warned) */
	uint64_t records_new; /* of them, not yet found by an earlier rule of the same name: sums up by name */
	char budget[32];      /* as written; "" none */
	bool budget_used_up;
};

/* Records that a file-level check (uniqueness) rejected after their batch had passed are listed in late[], sorted. */
struct verdict {
	uint64_t records, accepted, rejected;
	struct rule_count rules[VERDICT_RULES_MAX];
	uint32_t nrules;
	bool refused;		  /* nothing of the file may be delivered */
	char reason[512];	  /* why it was refused */
	const uint64_t *late;	  /* record numbers */
	const uint64_t *late_of;  /* parallel: the earlier record that has the same values */
	const uint8_t *late_rule; /* parallel: which rule of the plan */
	uint64_t nlate;
	int64_t now_us; /* the time that ages were measured against */
};

enum err_code gate_finish(struct gate *g, struct verdict *ret, struct err *e) MUST_USE;
void gate_free(struct gate *g); /* frees late[] too */

/* Records found per rule name, each record once per name: "defects": {"type": 3, "range": 1}. Warnings included. */
uint64_t verdict_defects(const struct verdict *v, const char *rule);
void verdict_write_defects(const struct verdict *v, struct jsonw *w); /* the object's members */

/* The verdict document's members, into an open object. */
void verdict_write(const struct verdict *v, struct jsonw *w);

#endif
