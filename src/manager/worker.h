/*
 * worker.h: inside the worker process: what worker.c and worker_jobs.c share. Nobody outside src/manager includes it.
 */
#ifndef MANAGER_WORKER_H
#define MANAGER_WORKER_H

#include "ingest/ingest.h"
#include "manager/manager.h"

/* A tenant's documents, parsed, and what the engine makes of them. */
struct worker_docs {
	struct arena arena;
	int64_t version;
	struct data_file *data_file;
	struct agreement *agreement;
	const struct quality_plan *quality;
};

struct worker_ctx {
	const char *data, *tenant;
	int64_t epoch;
	const struct conf *conf;
	const atomic_bool *stop;
	struct catalog *catalog;
	struct worker_docs docs;
	const struct sink_class *sink_class;
	struct sink *sink; /* NULL: not open */
	struct quarantine *quarantine;
	const char *coredms; /* directory */
	struct arena arena;  /* reset each turn */
};

enum err_code worker_docs_parse(struct worker_docs *d, const char *data_file, const char *agreement,
				struct err *e) MUST_USE;
void worker_docs_done(struct worker_docs *d);
struct ingest_plan worker_plan(const struct worker_ctx *w, const struct worker_docs *d);
struct ingest_target worker_target(const struct worker_ctx *w);

/* Do one job and tell the ledger how it ended. An error is the ledger's, or ERR_INTERRUPTED, ERR_FENCED. */
enum err_code worker_job(struct worker_ctx *w, const struct catalog_job *j, struct err *e) MUST_USE;

#endif
