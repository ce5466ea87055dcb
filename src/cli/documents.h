/*
 * documents.h: what check and ingest have in common before the first file: both documents and the engine's options.
 *
 *   struct documents d;
 *   if (documents_load(cli, &d, &e)) return e.code;     // problems are told on stderr, ERR_DOCUMENT
 *   ... d.plan ...
 *   cli_documents_done(&d);
 */
#ifndef CLI_DOCUMENTS_H
#define CLI_DOCUMENTS_H

#include "cli/verb.h"
#include "ingest/ingest.h"

struct documents {
	struct data_file *data_file;
	struct ingest_plan plan;
};

#define DOCUMENT_MAX ((size_t)4 << 20)

/* Rows of the option table that both verbs have. */
#define DOCUMENT_OPTIONS                                                                                               \
	{"config", 'c', "FILE", "the data file configuration (JSON); `mysimbdp infer FILE` writes one", "file"},       \
	    {"agreement", 'a', "FILE", "the service agreement (JSON), for its quality rules", "file"},                 \
	    {"show", 0, "N", "show the first N defects (default 10)", NULL},                                           \
	    {"rejects", 0, "FILE", "write what is rejected: *.csv verbatim, else JSON lines with reasons", "file"},    \
	    {"source-batch", 0, "N", "records a batch of the reader (default 4096)", NULL},                            \
	    {"sort-memory", 0, "SIZE", "memory of a sort on disk, for instance 16Mi (default 8Mi)", NULL},             \
	    {"spill-dir", 0, "DIR", "where sorts put what does not fit (default $TMPDIR or /tmp)", "dir"},             \
	    {"simd", 0, "LEVEL", "auto (default), portable, avx2 or avx512", NULL},                                    \
	    {"now", 0, "TIME", "measure ages against this time (RFC 3339) instead of now", NULL},                      \
	{                                                                                                              \
		"verdict", 0, "FILE", "write the verdict document of each file, a JSON object a line", "file"          \
	}

enum err_code documents_load(const struct cli *cli, struct documents *ret, struct err *e) MUST_USE;
void cli_documents_done(struct documents *d);

/* Whole numbers of options, with their limits; *ret keeps its value when the option is not given. */
enum err_code option_uint(const struct cli *cli, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
			  struct err *e) MUST_USE;

/* A platform would refuse a file over max_file_size_mb; here it is only said, on stderr. */
void warn_size(const struct cli *cli, const struct documents *d, const char *path);

#endif
