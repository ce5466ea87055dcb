/*
 * ingest.h: the ingestion processor: one file through parse, gate, quarantine and sink.
 *
 *   struct ingest_plan plan = {.data_file = df, .quality = qp, .options = ...};     // const: shared by all files
 *   ingest_check(&plan, path, &progress, &result, &err);                           // gate only
 *   ingest_file(&plan, &target, path, output_id ..., &result, &err);               // gate, quarantine, deliver
 *
 * Both run the same pass over the file, so they agree on every record. ingest_file is resumable: called again for the
 * same output it goes on behind the sink's position. Work overlaps on two threads.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "base/arena.h"
#include "base/err.h"
#include "catalog/catalog.h"
#include "format/csv.h"
#include "ingest/quarantine.h"
#include "quality/gate.h"
#include "sink/sink.h"

#include <stdatomic.h>

struct ingest_options {
	struct csv_options csv; /* csv.batch_rows: source batch size */
	uint64_t max_decoded;	/* limit on decoded bytes; 0: as format/source.h */
	uint32_t sink_rows;	/* rows a transaction ("sink batch size"); 0: 250000 */
	int64_t file_time_us;	/* when the file arrived; 0: its modification time */
	int64_t now_us;		/* the time that ages are measured against; 0: now, and for ingest_file the time
				   when the ledger first saw the file, so that a resumed file is judged the same */
	size_t sort_memory;	/* 0: 8 MiB */
	const char *spill_dir;
	unsigned show_defects; /* keep the first n for people */
	/* Called for every rejected record, those that only the whole file showed to be bad last; may be NULL. */
	enum err_code (*rejected)(void *ctx, const struct batch *b, uint32_t row, struct span header, struct err *e);
	void *rejected_ctx;
	const atomic_bool *stop; /* set by a signal handler: ERR_INTERRUPTED at the next batch; may be NULL */
};

struct ingest_plan {
	const struct data_file *data_file;
	const struct quality_plan *quality;
	struct ingest_options options;
};

struct shown_defect {
	struct defect d;	/* spans copied into the result's arena */
	const char *field_name; /* NULL for the record */
	struct span record;	/* first line of the raw record, shortened */
};

struct ingest_progress {
	void (*tick)(void *ctx, const char *phase, uint64_t done_bytes, uint64_t total_bytes, uint64_t records);
	void *ctx; /* called at most every 50 ms, from one thread */
};

struct ingest_result {
	struct arena arena;
	const char *state; /* "checked", "delivered", "refused", "already", "interrupted" */
	bool already, refused, resumed;
	uint64_t bytes; /* decoded */
	double seconds;
	struct verdict verdict; /* late[] is not kept */
	uint64_t delivered, superseded, sink_refused;
	int64_t output;
	struct shown_defect *shown;
	uint32_t nshown;
	const struct csv_warning *warnings; /* copied */
	uint32_t nwarnings;
};

void ingest_result_done(struct ingest_result *r);

/* path "-" reads standard input. A refused file is not an error: result.refused says so. */
enum err_code ingest_check(const struct ingest_plan *p, const char *path, const struct ingest_progress *progress,
			   struct ingest_result *ret, struct err *e) MUST_USE;

struct ingest_target {
	struct catalog *catalog;
	const struct sink_class *sink_class;
	struct sink *sink;     /* open, table() done */
	const char *sink_name; /* cursor's name in the ledger, "coredms" */
	struct quarantine *quarantine;
	int64_t epoch;
};

/* out: the ledger's row of this file (from catalog_output_add or the manager). */
enum err_code ingest_file(const struct ingest_plan *p, const struct ingest_target *t, const char *path,
			  const struct catalog_output *out, const struct ingest_progress *progress,
			  struct ingest_result *ret, struct err *e) MUST_USE;

/* ---- replay: quarantined records again through the plan's gate; those that pass are delivered once, with their
 * original versions, and marked replayed. dry_run only counts. */
struct replay_result {
	uint64_t tried, passed, still_bad, delivered;
};
enum err_code ingest_replay(const struct ingest_plan *p, const struct ingest_target *t,
			    const struct quarantine_filter *f, bool dry_run, struct replay_result *ret,
			    struct err *e) MUST_USE;

/* ---- proposal: the smallest change of the schema that takes all quarantined values (type defects): int -> long ->
 * decimal/string, double, nullable for nulls. NULL when nothing would help. The text is a whole data file
 * configuration with the schema changed, formatted as the original where untouched. */
struct proposal_change {
	const char *field, *from, *to, *because; /* "222277164261810113006 fits no long" */
	uint64_t records;
};
struct proposal {
	const char *data_file;
	struct proposal_change *changes;
	size_t nchanges;
	uint64_t helped, left; /* quarantined records that would pass, and not */
};
enum err_code ingest_propose(struct quarantine *q, const struct data_file *df, const struct quality_plan *quality,
			     struct arena *a, struct proposal *ret, struct err *e) MUST_USE;

/* ---- preview of changed documents: the gate over staged files and quarantined records, nothing written. */
struct preview_result {
	uint64_t files, records, accepted, rejected; /* staged files under the new documents */
	uint64_t quarantined, would_pass;
	struct rule_count rules[VERDICT_RULES_MAX];
	uint32_t nrules;
};
enum err_code ingest_preview(const struct ingest_plan *changed, const char *const *paths, size_t npaths,
			     struct quarantine *q, struct preview_result *ret, struct err *e) MUST_USE;

#endif
