/*
 * doc.h: reading the members of a JSON document that people wrote: one row per known key, and getters that take
 * numbers and booleans as strings or natively and report what is wrong with document, path, line and column.
 *
 *   static const struct doc_key keys[] = {{"name", DOC_REQUIRED, "what the files are called"}, ...};
 *   doc_keys_check(p, node, path, keys, ARRAY_LENGTH(keys));      // unknown, missing and not yet available keys
 *   int64_t days = -1;
 *   doc_int(p, node, path, "data_retention_period_days", 0, 36500, &days);
 *
 * Getters answer true when the key is there and good, and touch the output only then; an absent key is no problem
 * (DOC_REQUIRED reports it). Strings live in the arena of p.
 */
#ifndef BASE_DOC_H
#define BASE_DOC_H

#include "base/problems.h"

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

enum doc_presence {
	DOC_OPTIONAL,
	DOC_REQUIRED,
	DOC_LATER, /* known, not available yet */
};

struct doc_key {
	const char *name;
	enum doc_presence presence;
	const char *text; /* one line for people: what it is for */
};

/* "$.schema" + "fields" -> "$.schema.fields"; a key that is no plain name is quoted: $['csv.separator.char']. */
const char *doc_path(struct problems *p, const char *path, const char *key);
const char *doc_path_index(struct problems *p, const char *path, uint32_t i);

/* Report every unknown key (with the nearest known name), every missing required one and every one that is not
 * available yet. node must be an object. */
void doc_keys_check(struct problems *p, const struct json *node, const char *path, const struct doc_key *keys,
		    size_t n);
/* Only the missing ones (a key that was written wrongly is not missing). */
void doc_missing_keys(struct problems *p, const struct json *node, const char *path, const struct doc_key *keys,
		      size_t n);
/* The key is not there, and no other one looks like it. */
bool doc_absent(const struct json *node, const struct doc_key *keys, size_t n, const char *key);
/* One unknown key, at the key's own place. */
void doc_unknown_key(struct problems *p, const struct json *member, const char *path, const struct doc_key *keys,
		     size_t n);

/* Parse a document; every text and key in it is free of NUL characters, so that all of them are C strings. NULL: the
 * problem (with its line and column) is in p. */
const struct json *doc_parse(struct problems *p, struct span text);

/* False and a problem when node is no object / array. what: "an object with ...". */
bool doc_is_object(struct problems *p, const struct json *node, const char *path, const char *what);
bool doc_is_array(struct problems *p, const struct json *node, const char *path, const char *what);

/* A text that is not empty. */
bool doc_string(struct problems *p, const struct json *obj, const char *path, const char *key, const char **ret);
/* A text that may be empty. */
bool doc_text(struct problems *p, const struct json *obj, const char *path, const char *key, struct span *ret);
/* true, false, "true", "false" (case is ignored in strings). */
bool doc_bool(struct problems *p, const struct json *obj, const char *path, const char *key, bool *ret);
/* 7 or "7", min..max. */
bool doc_int(struct problems *p, const struct json *obj, const char *path, const char *key, int64_t min, int64_t max,
	     int64_t *ret);
/* One of choices (NULL-terminated), exactly; *ret is the index. */
bool doc_choice(struct problems *p, const struct json *obj, const char *path, const char *key,
		const char *const *choices, int *ret);
/* The text of a number or of a string: "50", "64Mi". */
bool doc_scalar(struct problems *p, const struct json *obj, const char *path, const char *key, const char *allowed,
		struct span *ret);

/* printf into the arena of p; "" when there is no memory left. */
const char *doc_printf(struct problems *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An allocation failed: counts as an error, so that the document is not taken. */
void doc_no_memory(struct problems *p);

#endif
