/*
 * catalog.h: the ledger: tenants, files, runs, outputs, and what became of every record.
 *
 * A catalog handle may be used by several threads. Implementations: sqlite.c (the database itself; the control plane
 * and the stand-alone verbs) and remote.c (the same calls over the control plane's Unix socket; workers). Which calls
 * remote.c carries is marked [worker]; the others answer ERR_UNSUPPORTED there.
 *
 * Durability: calls marked [durable] return after the commit reached the disk (group commit across threads); the rest
 * is written soon and can be rebuilt from directories and store positions (catalog_sync waits for it).
 *
 * Ids are small integers that people can say: file f17, run r5, output o12; in JSON and on the command line they carry
 * their letter. Times are microseconds since 1970 UTC. Strings in returned structs live in the arena that was passed.
 */
#ifndef CATALOG_CATALOG_H
#define CATALOG_CATALOG_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct catalog;

#define CATALOG_FORMAT 2

/* dir/ledger.db; made when missing; older formats are migrated, newer ones are ERR_VERSION naming the version needed.
 */
enum err_code catalog_open_sqlite(const char *dir, struct catalog **ret, struct err *e) MUST_USE;
/* The control plane's socket; epoch goes with every call, an old one answers ERR_FENCED. */
enum err_code catalog_open_remote(const char *socket_path, const char *tenant, int64_t epoch, struct catalog **ret,
				  struct err *e) MUST_USE;
void catalog_close(struct catalog *c);
enum err_code catalog_sync(struct catalog *c, struct err *e) MUST_USE;

/* ---- tenants and their documents */
struct catalog_tenant {
	const char *id;
	int64_t created_us, updated_us;
	bool paused;
	int64_t version;       /* of the documents, from 1 */
	const char *data_file; /* texts as given */
	const char *agreement;
};

/* Add a tenant or give it new documents (same texts: nothing changes). tables: "KEY_SPACE.TABLE" names that it
 * registers; ERR_CONFLICT when another tenant has one (ignoring case), or the id collides after '_' becomes '-'. */
enum err_code catalog_tenant_put(struct catalog *c, const char *id, const char *data_file, const char *agreement,
				 const char *const *tables, int64_t *ret_version,
				 struct err *e) MUST_USE; /* [durable] */
enum err_code catalog_tenant_get(struct catalog *c, const char *id, struct arena *a, struct catalog_tenant *ret,
				 struct err *e) MUST_USE; /* [worker] */
/* Documents of an older version. */
enum err_code catalog_tenant_version(struct catalog *c, const char *id, int64_t version, struct arena *a,
				     struct catalog_tenant *ret, struct err *e) MUST_USE;
enum err_code catalog_tenants(struct catalog *c, struct arena *a, struct catalog_tenant **ret, size_t *ret_n,
			      struct err *e) MUST_USE; /* in order of id */
enum err_code catalog_tenant_pause(struct catalog *c, const char *id, bool paused,
				   struct err *e) MUST_USE; /* [durable] */

/* ---- tokens: only SHA-256 digests are kept. owner: a tenant id, or "" for the administrator. */
enum err_code catalog_token_put(struct catalog *c, const uint8_t digest[SHA256_LEN], const char *owner,
				struct err *e) MUST_USE; /* [durable]; replaces the owner's older token */
enum err_code catalog_token_find(struct catalog *c, const uint8_t digest[SHA256_LEN], struct arena *a,
				 const char **ret_owner, struct err *e) MUST_USE; /* ERR_NOT_FOUND */

/* ---- files: what was uploaded. States as design section 4. */
enum file_state {
	FILE_RECEIVED,
	FILE_STAGED,
	FILE_ASSIGNED,
	FILE_PROCESSED,
	FILE_CHECKED,
	FILE_DELIVERED,
	FILE_EXPIRED,
	FILE_REFUSED,
	FILE_FAILED,
	FILE_DELETED,
	FILE_STATES
};
const char *file_state_name(enum file_state s);
bool file_state_find(const char *name, enum file_state *ret);

struct catalog_file {
	int64_t id;
	const char *tenant, *name;
	uint64_t size;
	const char *sha256; /* hex; "" for a refused upload whose body was not kept */
	enum file_state state;
	const char *status; /* one sentence for people: what happens next, or why not */
	int64_t run;	    /* the run that has or had it; 0 */
	int64_t attempts;
	int64_t received_us, updated_us;
};

enum receive_result { RECEIVE_NEW, RECEIVE_REPEAT, RECEIVE_CONFLICT };

/* In one transaction: a repeat of the latest version of the name gives its id; an earlier file of the name with other
 * content still received, staged or assigned is a conflict (ret is that file); else a new file in state received.
 * [durable] */
enum err_code catalog_file_receive(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				   const char *sha256, struct arena *a, enum receive_result *ret_what,
				   struct catalog_file *ret, struct err *e) MUST_USE;
/* An upload that was not taken, with the reason, so that its owner sees it. [durable] */
enum err_code catalog_file_refuse(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				  const char *reason, int64_t *ret_id, struct err *e) MUST_USE;
enum err_code catalog_file_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_file *ret,
			       struct err *e) MUST_USE;
/* Move to a state with a sentence; also an event of the time line. from: the states it may be in (bit mask of
 * 1 << state; 0 any), else ERR_CONFLICT. [durable for delivered] */
enum err_code catalog_file_move(struct catalog *c, int64_t id, unsigned from, enum file_state to, int64_t run,
				const char *status, struct err *e) MUST_USE;

struct catalog_file_filter {
	const char *tenant; /* NULL: all */
	const char *name;   /* exact; NULL: all */
	unsigned states;    /* bit mask; 0: all */
	int64_t before;	    /* only ids below; 0: newest first from the top */
	size_t limit;	    /* 0: 100, at most 1000 */
	bool oldest_first;  /* then `before` means ids above */
};
enum err_code catalog_files(struct catalog *c, const struct catalog_file_filter *f, struct arena *a,
			    struct catalog_file **ret, size_t *ret_n, struct err *e) MUST_USE;

struct catalog_event {
	int64_t at_us;
	const char *what; /* "received", "staged", "run", "output", "delivered" ... */
	const char *text; /* one sentence */
};
enum err_code catalog_file_event(struct catalog *c, int64_t id, const char *what, const char *text,
				 struct err *e) MUST_USE;
enum err_code catalog_file_events(struct catalog *c, int64_t id, struct arena *a, struct catalog_event **ret,
				  size_t *ret_n, struct err *e) MUST_USE;
/* Files per state, and the age of the oldest not yet delivered; tenant NULL: all. */
struct catalog_counts {
	uint64_t files[FILE_STATES];
	uint64_t backlog_bytes;
	int64_t oldest_us; /* received_us of the oldest unprocessed; 0 none */
	uint64_t accepted, rejected, delivered, outputs_waiting;
	uint64_t refused_by_sink;
	/* Came out of the quarantine later: part of accepted and delivered, no longer of rejected or refused_by_sink.
	 */
	uint64_t replayed, replayed_sink;
	uint64_t imbalance; /* records that the sums of an output can't account for; 0 or a bug */
};
enum err_code catalog_counts(struct catalog *c, const char *tenant, struct catalog_counts *ret, struct err *e) MUST_USE;

/* ---- runs of apps */
enum run_state { RUN_STARTING, RUN_RUNNING, RUN_SUCCEEDED, RUN_FAILED, RUN_SKIPPED, RUN_LOST, RUN_STATES };
const char *run_state_name(enum run_state s);

struct catalog_run {
	int64_t id;
	const char *tenant, *app, *trigger; /* "schedule", "manual", "retry", "drain" */
	enum run_state state;
	const char *reason; /* why it failed or was skipped; "" */
	int64_t scheduled_us, started_us, ended_us;
	int64_t repeats; /* consecutive empty ticks folded into this row */
	uint64_t files_in, files_out, bytes_in, bytes_out;
	int64_t records_in, records_out; /* -1 not counted */
	int exit_code, signal;
	int64_t cpu_us, peak_bytes;
	const char *limits;	/* JSON: how each limit was enforced, or "not enforced" */
	int64_t pid, pid_start; /* of the supervisor; for the clean-up of a next incarnation */
	const char *cgroup;
};
enum err_code catalog_run_start(struct catalog *c, const struct catalog_run *r, const int64_t *files, size_t nfiles,
				int64_t *ret_id, struct err *e) MUST_USE; /* files become assigned. [durable] */
enum err_code catalog_run_child(struct catalog *c, int64_t id, int64_t pid, int64_t pid_start, const char *cgroup,
				struct err *e) MUST_USE; /* [durable] */
/* Ends the run: outputs (names in out/, promoted) become rows in state waiting; its inputs become processed (success)
 * or staged again (failure, attempts + 1). One transaction. [durable] */
struct catalog_output_new {
	const char *name;
	uint64_t size;
	const char *sha256;
	const char *source; /* name of the input that it was made of, or "" */
};
enum err_code catalog_run_end(struct catalog *c, const struct catalog_run *r, const struct catalog_output_new *outputs,
			      size_t noutputs, struct err *e) MUST_USE;
/* A start that did not happen, with the reason; the same reason again only raises repeats. */
enum err_code catalog_run_skip(struct catalog *c, const char *tenant, const char *app, int64_t scheduled_us,
			       const char *reason, struct err *e) MUST_USE;
enum err_code catalog_run_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_run *ret,
			      struct err *e) MUST_USE;
/* tenant NULL: all; newest first, ids below `before` (0: from the top). */
enum err_code catalog_runs(struct catalog *c, const char *tenant, int64_t before, size_t limit, struct arena *a,
			   struct catalog_run **ret, size_t *ret_n, struct err *e) MUST_USE;
/* Files of a run (its inputs). */
enum err_code catalog_run_files(struct catalog *c, int64_t run, struct arena *a, struct catalog_file **ret,
				size_t *ret_n, struct err *e) MUST_USE;
/* Last scheduled_us that was started, skipped or seen of an app; 0. */
enum err_code catalog_last_schedule(struct catalog *c, const char *tenant, const char *app, int64_t *ret_us,
				    struct err *e) MUST_USE;
enum err_code catalog_schedule_seen(struct catalog *c, const char *tenant, const char *app, int64_t us,
				    struct err *e) MUST_USE;

/* ---- outputs: the files that the gate reads (out/ of a run, or the argument of `mysimbdp ingest`) */
enum output_state {
	OUTPUT_WAITING,
	OUTPUT_CHECKED,
	OUTPUT_DELIVERED,
	OUTPUT_REFUSED,
	OUTPUT_FAILED,
	OUTPUT_EXPIRED,
	OUTPUT_STATES
};
const char *output_state_name(enum output_state s);

struct catalog_output {
	int64_t id;
	int64_t run;	    /* 0: stand-alone */
	const char *tenant; /* "" stand-alone */
	const char *name, *source;
	uint64_t size;
	const char *sha256;
	enum output_state state;
	const char *reason;
	int64_t version_base, version_rows; /* reserved range; 0 rows: none yet */
	const char *table;		    /* "KEY_SPACE.TABLE" that they were reserved for; "" none yet */
	int64_t document_version;
	uint64_t records, accepted, rejected, delivered, superseded, refused_by_sink;
	const char *verdict; /* JSON or "" */
	int64_t created_us, updated_us;
};

/* Stand-alone identity: (name, sha256) -> the existing output, or a new one; again: always a new one. [durable] */
enum err_code catalog_output_add(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				 const char *sha256, bool again, bool *ret_existing, struct arena *a,
				 struct catalog_output *ret, struct err *e) MUST_USE;
enum err_code catalog_output_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_output *ret,
				 struct err *e) MUST_USE; /* [worker] */
/* Outputs in a state, oldest first; tenant NULL: all; run 0: all. */
enum err_code catalog_outputs(struct catalog *c, const char *tenant, unsigned states, int64_t run, size_t limit,
			      struct arena *a, struct catalog_output **ret, size_t *ret_n,
			      struct err *e) MUST_USE; /* [worker] */
/* All outputs of a tenant ("": the stand-alone ones) with ids above `after`, oldest first, at most 1000: for a walk
 * over all of them. */
enum err_code catalog_outputs_after(struct catalog *c, const char *tenant, int64_t after, struct arena *a,
				    struct catalog_output **ret, size_t *ret_n, struct err *e) MUST_USE;
/* Reserve row versions: start = max(now, end of the last range of that table); reused when the output has a range that
 * is long enough. table: "KEY_SPACE.TABLE". [durable] [worker] */
enum err_code catalog_output_versions(struct catalog *c, int64_t id, const char *table, int64_t rows, int64_t *ret_base,
				      struct err *e) MUST_USE;
/* What the gate said. [worker] */
enum err_code catalog_output_checked(struct catalog *c, int64_t id, uint64_t records, uint64_t accepted,
				     uint64_t rejected, bool refused, const char *reason, const char *verdict_json,
				     struct err *e) MUST_USE;
/* What a sink acknowledged, an upsert keyed by (sink, from): positions from..to. [worker] */
enum err_code catalog_delivery(struct catalog *c, int64_t id, const char *sink, uint64_t from, uint64_t to,
			       uint64_t delivered, uint64_t superseded, uint64_t refused, struct err *e) MUST_USE;
/* Every required sink has it all; when it was the last output of its run, the run's files become delivered. A refused
 * output: files become refused... with the reason. [durable] [worker] */
enum err_code catalog_output_done(struct catalog *c, int64_t id, enum output_state state, const char *reason,
				  struct err *e) MUST_USE;
/* Records that have come out of the quarantine, in all and not since the last call, so that it may be repeated: `gate`
 * of those that the gate rejected (rejected - gate, accepted + gate, delivered + gate), `sink` of those that the sink
 * refused (refused_by_sink - sink, delivered + sink). A lower number than told before changes nothing.
 * [durable] [worker] */
enum err_code catalog_output_replayed(struct catalog *c, int64_t id, uint64_t gate, uint64_t sink,
				      struct err *e) MUST_USE;

/* ---- workers: an epoch per tenant; a new worker gets a higher one and fences the old. [durable] */
enum err_code catalog_epoch_next(struct catalog *c, const char *tenant, int64_t *ret, struct err *e) MUST_USE;
enum err_code catalog_epoch(struct catalog *c, const char *tenant, int64_t *ret, struct err *e) MUST_USE;

/* ---- jobs: work on a tenant's tables that only its worker may do, asked for by the API. kind: "replay" (params
 * {"rule","field","output","dry_run"}), "preview" (params {"data_file","agreement"}: the gate over staged, waiting and
 * quarantined records with new documents), "propose", "rebuild". The result is JSON. */
enum job_state { JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_FAILED };
struct catalog_job {
	int64_t id;
	const char *tenant, *kind, *params;
	enum job_state state;
	const char *result; /* JSON, or the error's text */
	int64_t created_us, ended_us;
};
enum err_code catalog_job_add(struct catalog *c, const char *tenant, const char *kind, const char *params,
			      int64_t *ret_id, struct err *e) MUST_USE; /* [durable] */
enum err_code catalog_job_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_job *ret,
			      struct err *e) MUST_USE;
/* The oldest waiting one of a tenant becomes running (one left running by a dead worker counts as waiting once a newer
 * epoch asks); ret->id 0: none. [worker] */
enum err_code catalog_job_next(struct catalog *c, const char *tenant, struct arena *a, struct catalog_job *ret,
			       struct err *e) MUST_USE;
enum err_code catalog_job_end(struct catalog *c, int64_t id, bool ok, const char *result,
			      struct err *e) MUST_USE; /* [worker] */
/* Does a tenant have waiting or running jobs? tenant NULL: names of those that have. */
enum err_code catalog_jobs_waiting(struct catalog *c, struct arena *a, const char ***ret_tenants, size_t *ret_n,
				   struct err *e) MUST_USE;

/* ---- retention: what was erased, when, why. */
enum err_code catalog_erased(struct catalog *c, const char *tenant, const char *kind, int64_t id, const char *name,
			     uint64_t bytes, const char *why, struct err *e) MUST_USE;
struct catalog_erasure {
	int64_t at_us;
	const char *tenant, *kind, *name, *why;
	int64_t id;
	uint64_t bytes;
};
enum err_code catalog_erasures(struct catalog *c, const char *tenant, size_t limit, struct arena *a,
			       struct catalog_erasure **ret, size_t *ret_n, struct err *e) MUST_USE;

/* ---- children of this control plane that may outlive a crash (design section 4, Children): kind "run", "worker". */
struct catalog_child {
	int64_t pid, pid_start;
	const char *kind, *tenant, *cgroup;
	int64_t ref; /* run id, or the worker's epoch */
};
enum err_code catalog_child_add(struct catalog *c, const struct catalog_child *ch,
				struct err *e) MUST_USE; /* [durable] */
enum err_code catalog_child_remove(struct catalog *c, int64_t pid, int64_t pid_start, struct err *e) MUST_USE;
enum err_code catalog_children(struct catalog *c, struct arena *a, struct catalog_child **ret, size_t *ret_n,
			       struct err *e) MUST_USE;

#endif
