/*
 * sink.h: the contract of a store that takes records.
 *
 * The engine (ingest/) owns retries, backoff, batching and dead letters; a sink says "retriable" and never sleeps,
 * retries or logs. One sink handle is used by one thread. Calls come in this order:
 *
 *   open -> table (make or check it) -> begin(file) -> [position] -> write* -> end -> close
 *
 * A transaction is one write, or several when all but the last say `more`: its rows and the position become durable
 * together or not at all, so an engine can hand over small chunks from flat memory and still have few transactions. A
 * position is the number of records of the file (in its deterministic delivery order) that the store has; begin returns
 * where to go on.
 *
 * After an error that is not ERR_INVALID the open transaction is gone: all rows since the last write without `more`
 * have to be given again (the same calls, or anew from begin's position).
 */
#ifndef SINK_SINK_H
#define SINK_SINK_H

#include "base/err.h"
#include "record/packed.h"
#include "tenant/data_file.h"

struct sink;

enum sink_caps {
	SINK_KEY_ORDER = 1, /* wants records sorted by key */
	SINK_TELLS_SUPERSEDED = 2,
	SINK_REMOTE = 4, /* the target is no directory: the ledger lies elsewhere */
};

/* Identity of a file at a sink. id is the ledger's output id and unique for ever. */
struct sink_file {
	int64_t id;
	const char *name;
	int64_t version_base; /* version of record n is version_base + n */
	int64_t epoch;	      /* of the worker; a lower one than the store has seen is ERR_FENCED */
};

struct sink_rows {
	const struct packed_row *const *rows; /* in delivery order; equal keys: the later one is the last of them */
	uint32_t n;
	uint64_t position; /* after these rows, counting also those dropped as superseded inside
			      the file */
	bool more;	   /* the transaction stays open for the next write; n may be 0 in
			      the call that ends it */
};

/* Of the transaction that a write without `more` ended; zeros while it is open. */
struct sink_result {
	uint64_t delivered;  /* rows acknowledged */
	uint64_t superseded; /* of them, lost against a newer version already there (when told) */
};

/* For metrics and for saying why a worker waits. */
struct sink_status {
	uint64_t backlog_bytes, limit_bytes; /* SQLite: the write-ahead log */
	bool blocked;			     /* writes are refused (ERR_BUSY, retriable) until the backlog shrinks */
	char reason[256];		     /* "" unless blocked */
};

/* A record that the store can't take. */
struct sink_refusal {
	uint64_t row;
	char reason[192];
};

struct sink_class {
	const char *name;	 /* "sqlite" */
	const char *target_hint; /* what follows the colon: "DIR" */
	const char *summary;
	unsigned caps;
	/* target: what follows "sqlite:"; created when missing. */
	enum err_code (*open)(const char *target, const struct data_file *df, struct sink **ret, struct err *e);
	/* Create the table or compare it; ERR_CONFLICT with the difference in the message when it differs. */
	enum err_code (*table)(struct sink *s, struct err *e);
	enum err_code (*begin)(struct sink *s, const struct sink_file *f, uint64_t *ret_position, struct err *e);
	/* On ERR_INVALID a single row was refused (ret_refusal): make the same call again without it, all else stands.
	 * A sink that hears of refusals late may name a row of an earlier call of the transaction, which it has left
	 * out itself. */
	enum err_code (*write)(struct sink *s, const struct sink_rows *r, struct sink_result *ret,
			       struct sink_refusal *ret_refusal, struct err *e);
	/* All rows are there; the position row is kept as proof of completeness. */
	enum err_code (*end)(struct sink *s, struct err *e);
	void (*status)(const struct sink *s, struct sink_status *ret);
	/* NULL is fine. An open transaction is rolled back. */
	void (*close)(struct sink *s);
};

extern const struct sink_class sink_sqlite, sink_cassandra;

/* "sqlite:DIR" -> class and target; ERR_USAGE with the known names. */
enum err_code sink_find(const char *uri, const struct sink_class **ret, const char **ret_target,
			struct err *e) MUST_USE;

#endif
