/*
 * quarantine.h: rejected records, each verbatim, with where it was and why.
 *
 * One SQLite database a tenant (DIR/quarantine.db), written by that tenant's worker only. Entries are upserts keyed by
 * (output, row, stage), so that a repeated pass doubles nothing. A record with several defects has one entry per stage
 * with its first defect as rule and reason, and all of them in `defects` (JSON).
 */
#ifndef INGEST_QUARANTINE_H
#define INGEST_QUARANTINE_H

#include "base/arena.h"
#include "base/err.h"
#include "record/defect.h"

#include <stdint.h>

struct quarantine;

struct quarantine_entry {
	int64_t id;
	int64_t output;              /* ledger id of the file that the gate read */
	const char *file;            /* its name */
	uint64_t row, line, offset;
	uint32_t column;
	const char *stage, *rule, *field, *reason;
	struct span raw;             /* the record as written */
	const char *header;          /* the file's header line, "" without; replay needs the file's own column order */
	int64_t version;             /* the record's own row version; 0 until known */
	const char *state;           /* "open", "replayed", "erased" */
	int64_t at_us;
};

enum err_code quarantine_open(const char *dir, struct quarantine **ret, struct err *e) MUST_USE;
enum err_code quarantine_open_readonly(const char *dir, struct quarantine **ret, struct err *e) MUST_USE;
void quarantine_close(struct quarantine *q);

/* Buffered; quarantine_commit makes all of it durable. */
enum err_code quarantine_add(struct quarantine *q, const struct quarantine_entry *en, struct err *e) MUST_USE;
enum err_code quarantine_commit(struct quarantine *q, struct err *e) MUST_USE;

struct quarantine_filter {
	int64_t output;              /* 0: all */
	const char *file, *rule, *field, *state;   /* NULL: all; state NULL: open */
	int64_t after;               /* ids above */
	size_t limit;                /* 0: 100 */
};
enum err_code quarantine_list(struct quarantine *q, const struct quarantine_filter *f, struct arena *a,
			      struct quarantine_entry **ret, size_t *ret_n, struct err *e) MUST_USE;
/* Count by rule and field. */
struct quarantine_count {
	const char *rule, *field;
	uint64_t open, replayed;
};
enum err_code quarantine_counts(struct quarantine *q, int64_t output, struct arena *a, struct quarantine_count **ret,
				size_t *ret_n, struct err *e) MUST_USE;
enum err_code quarantine_set_state(struct quarantine *q, int64_t id, const char *state, struct err *e) MUST_USE;

/* Erase what is older; returns how many. */
enum err_code quarantine_expire(struct quarantine *q, int64_t before_us, uint64_t *ret_n, struct err *e) MUST_USE;

#endif
