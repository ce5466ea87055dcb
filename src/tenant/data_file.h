/*
 * data_file.h: a tenant's data file configuration, checked.
 *
 * Everything lives in the arena given to data_file_parse and is const afterwards. See docs/documents.md for each key.
 */
#ifndef TENANT_DATA_FILE_H
#define TENANT_DATA_FILE_H

#include "base/arena.h"
#include "base/problems.h"
#include "format/csv.h"
#include "record/packed.h"
#include "record/schema.h"

#include <regex.h>

#define NULL_WORDS_MAX 32
#define KEY_FIELDS_MAX 32

struct data_file {
	const char *name;
	const char *file_type; /* "csv" */
	const char *key_space;
	const struct schema *schema; /* its name is the table */
	const uint32_t *key;	     /* field indexes in the order of primary_key */
	uint32_t nkey, npartition;   /* the first npartition are the partition key */
	uint64_t max_file_size;	     /* bytes (max_file_size_mb * 1048576); 0 = not given */
	struct csv_dialect csv;
	const char *pattern; /* input.file.pattern as written or its default */
	regex_t regex;	     /* anchored; freed by data_file_done */
	bool regex_ready;
	struct span text; /* the document as given */
};

/* NULL when there was an error (all of them are in p). */
struct data_file *data_file_parse(struct span text, const char *document, struct arena *a, struct problems *p);
void data_file_done(struct data_file *d); /* frees the regex; NULL is fine */

bool data_file_matches(const struct data_file *d, const char *name);

static inline struct csv_plan data_file_csv_plan(const struct data_file *d)
{
	return (struct csv_plan){d->schema, d->key, d->nkey, d->csv};
}

static inline struct packed_plan data_file_packed_plan(const struct data_file *d)
{
	return (struct packed_plan){d->schema, d->key, d->nkey};
}

#endif
