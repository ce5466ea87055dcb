/*
 * quarantine.h: rejected records, each verbatim, with where it was and why.
 *
 * One SQLite database a tenant (DIR/quarantine.db), written by that tenant's worker only. Entries are upserts keyed by
 * (output, row, stage), so that a repeated pass doubles nothing. A record with several defects has one entry per stage
 * with its first defect as rule and reason. File name and header line are kept once per output.
 *
 * Bytes are kept verbatim, whatever they are, up to QUARANTINE_RAW_MAX a record; a longer one is kept cut, says so
 * (cut), and is never replayed. The file is private (0600). Another process may read it at any time.
 */
#ifndef INGEST_QUARANTINE_H
#define INGEST_QUARANTINE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "record/defect.h"

#include <stdint.h>

#define QUARANTINE_FORMAT 1
#define QUARANTINE_RAW_MAX ((size_t)16 << 20)

struct quarantine;

struct quarantine_entry {
	int64_t id;
	int64_t output;	  /* ledger id of the file that the gate read */
	const char *file; /* its name */
	uint64_t row, line, offset;
	uint32_t column;
	const char *stage, *rule, *field, *reason;
	struct span raw;    /* the record as written */
	bool cut;	    /* raw is only the start of it: a row over the limit (rule row_too_long) */
	struct span header; /* the file's header line, empty without; replay needs the file's own column order */
	const char *state;  /* "open", "replayed", "erased" */
	int64_t at_us;
	/* Where it stands in the upload, filled by source_line.h and not kept; 0 unknown. */
	int64_t source_file; /* ledger id */
	uint64_t source_line;
};

/* The entry as one JSON object, for the API and the command line. Bytes that are no UTF-8 can't be said in JSON:
 * raw_hex has them exactly then. */
void quarantine_entry_write(const struct quarantine_entry *en, struct jsonw *w);

/* dir/quarantine.db, made when missing; a newer format is ERR_VERSION. Read-only: ERR_NOT_FOUND when there is none. */
enum err_code quarantine_open(const char *dir, struct quarantine **ret, struct err *e) MUST_USE;
enum err_code quarantine_open_readonly(const char *dir, struct quarantine **ret, struct err *e) MUST_USE;
/* What was not committed is lost. */
void quarantine_close(struct quarantine *q);

/* Buffered; quarantine_commit makes all of it durable. After an error what was added since the last commit is gone. */
enum err_code quarantine_add(struct quarantine *q, const struct quarantine_entry *en, struct err *e) MUST_USE;
/* Also buffered. A state "erased" drops the bytes and the reason. */
enum err_code quarantine_set_state(struct quarantine *q, int64_t id, const char *state, struct err *e) MUST_USE;
/* Also buffered: an open record was looked at again and is bad for another reason (stage to column of en). */
enum err_code quarantine_set_reason(struct quarantine *q, const struct quarantine_entry *en, struct err *e) MUST_USE;
enum err_code quarantine_commit(struct quarantine *q, struct err *e) MUST_USE;

struct quarantine_filter {
	int64_t output;				 /* 0: all */
	const char *file, *rule, *field, *state; /* NULL: all; state NULL: open, "*": all */
	int64_t after;				 /* ids above */
	size_t limit;				 /* 0: 100 */
	size_t bytes; /* stop after so many bytes of records, but not before the first; 0: 16 MiB */
	int64_t id;   /* this one only; 0: all */
};
/* In order of id. */
enum err_code quarantine_list(struct quarantine *q, const struct quarantine_filter *f, struct arena *a,
			      struct quarantine_entry **ret, size_t *ret_n, struct err *e) MUST_USE;
/* Count by rule and field. */
struct quarantine_count {
	const char *rule, *field;
	uint64_t open, replayed;
};
enum err_code quarantine_counts(struct quarantine *q, int64_t output, struct arena *a, struct quarantine_count **ret,
				size_t *ret_n, struct err *e) MUST_USE;

/* Records (not entries) of one output, for the ledger: by the gate and by the sink. What retention erased counts on. */
struct quarantine_sums {
	int64_t output;
	uint64_t open, replayed, erased;		/* rejected by the gate */
	uint64_t sink_open, sink_replayed, sink_erased; /* refused by the sink */
};
/* output 0: one element for each that ever had an entry, in order of output. */
enum err_code quarantine_sum(struct quarantine *q, int64_t output, struct arena *a, struct quarantine_sums **ret,
			     size_t *ret_n, struct err *e) MUST_USE;

/* Erase what is older, now and durably; returns how many. */
enum err_code quarantine_expire(struct quarantine *q, int64_t before_us, uint64_t *ret_n, struct err *e) MUST_USE;

#endif
