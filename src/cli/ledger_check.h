/*
 * ledger_check.h: recounting a tenant's records from evidence: the retained files, the store, the quarantine.
 *
 *   recount_run(&r, take, ctx, &err);        // take is called for every output with what was found and what is wrong
 *
 * Nothing is compared with itself: the ledger's numbers are held against what the gate says of the file read once more,
 * what lies in the quarantine, and rows and position of the store.
 */
#ifndef CLI_LEDGER_CHECK_H
#define CLI_LEDGER_CHECK_H

#include "cli/verb.h"
#include "ingest/ingest.h"

struct recount {
	const struct cli *cli;
	const char *tenant;	  /* "": stand-alone */
	const char *data;	  /* of a platform; NULL: stand-alone */
	const char *coredms;	  /* directory of KEY_SPACE.db */
	const char *const *files; /* stand-alone: where files may still be found, NULL-terminated */
	struct catalog *catalog;
	struct quarantine *quarantine; /* NULL: there is none */
	struct ingest_plan plan;       /* stand-alone: of the documents given */
	bool quick;		       /* files are not read */

	struct quarantine_sums *sums; /* by output */
	size_t nsums;
	struct arena arena; /* of the whole check */

	/* documents of the version that an output was checked with */
	struct arena docs_arena;
	int64_t docs_version;
	struct data_file *docs_file;
};

#define RECOUNT_PROBLEMS 6

struct recounted {
	struct catalog_output out;
	bool reread; /* the file was there: parsed, accepted, rejected as the gate says today */
	uint64_t parsed, accepted, rejected;
	struct quarantine_sums q;
	bool in_store, done;
	uint64_t position, rows;
	const char *note; /* why something could not be looked at; "" */
	char problem[RECOUNT_PROBLEMS][200];
	unsigned nproblems;
};

enum err_code recount_open(struct recount *r, struct err *e) MUST_USE;
enum err_code recount_run(struct recount *r, enum err_code (*take)(void *ctx, const struct recounted *c, struct err *e),
			  void *ctx, struct err *e) MUST_USE;
void recount_close(struct recount *r);

/* Uploads that were acknowledged and whose originals must be on disk: how many, and what is wrong with them. */
struct recounted_files {
	uint64_t kept, missing, wrong_size;
	char problem[RECOUNT_PROBLEMS][200];
	unsigned nproblems;
};
enum err_code recount_files(struct recount *r, struct recounted_files *ret, struct err *e) MUST_USE;

#endif
