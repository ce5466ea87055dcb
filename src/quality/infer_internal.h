/*
 * infer_internal.h: between infer.c, sniff.c, profile.c and keyfind.c only.
 */
#ifndef QUALITY_INFER_INTERNAL_H
#define QUALITY_INFER_INTERNAL_H

#include "format/csv_raw.h"
#include "quality/infer.h"
#include "tenant/data_file.h"

#define INFER_NOTES_MAX 64
#define INFER_KEY_MAX 4
#define INFER_WORDS 24

/* Types that a text may be a value of. */
enum fit {
	FIT_INT = 1,
	FIT_LONG = 2,
	FIT_DOUBLE = 4,
	FIT_BOOLEAN = 8,
	FIT_DATE = 16,
	FIT_MILLIS = 32,
	FIT_MICROS = 64,
	FIT_ALL = 127, /* string always fits */
};

extern const char *const infer_words[INFER_WORDS];

struct profile {
	uint64_t values;	     /* cells that are no null and no null word */
	uint64_t empty;		     /* unquoted empty cells */
	uint64_t empty_text;	     /* "" */
	uint64_t nword[INFER_WORDS]; /* unquoted cells with each null word */
	uint32_t words;		     /* bits of those that occurred */
	unsigned fits;
	char example[48];
	char odd[48];	     /* the value that made it a string, when others were more */
	unsigned before_odd; /* what fitted until then */
};

struct infer {
	const char *path;
	const struct infer_options *opt;
	struct infer_result *ret;
	struct arena *a;
	uint64_t size; /* of the file */
	struct csv_dialect dialect;
	const char *charset;
	uint32_t ncol;
	const char **name; /* per column; NULL: no name */
	struct profile *col;
	uint64_t records, ragged;
	bool whole; /* the dialect is chosen by all rows, not only the first */
	/* The first records, for finding a key: text hashes, row-major. */
	uint64_t *sample;
	uint32_t nsample, sample_cap;
	uint32_t null_words; /* bits of those that mean null */
	/* The schema. */
	struct field *field;
	uint32_t *column_of; /* per field */
	uint32_t nfield;
	uint32_t key[INFER_KEY_MAX]; /* field indexes */
	uint32_t nkey;
};

void infer_note(struct infer *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum err_code infer_stopped(const struct infer *x, struct err *e) MUST_USE;
enum err_code infer_source(const struct infer *x, struct source **ret, struct err *e) MUST_USE;
void infer_tick(const struct infer *x, const char *phase, const struct source *src);

/* profile.c: which types a text fits, exactly as record/convert.h will read it. */
unsigned infer_fits(struct span text);
/* Bit number of a null word, -1. */
int infer_word(struct span text);
/* True: the text is UTF-8. */
bool infer_utf8(struct span s);
/* Every record once; ERR_UNSUPPORTED with *ret_not_utf8 when the charset was wrong. */
enum err_code infer_profile(struct infer *x, bool *ret_not_utf8, struct err *e) MUST_USE;

/* sniff.c */
enum err_code sniff_charset(struct infer *x, struct err *e) MUST_USE;
/* The file is not UTF-8: which one-byte charset? */
enum err_code sniff_one_byte(struct infer *x, struct err *e) MUST_USE;
enum err_code sniff_dialect(struct infer *x, struct err *e) MUST_USE;

/* keyfind.c: fills x->key; counts records that df rejects. */
enum err_code infer_key(struct infer *x, const struct data_file *df, struct err *e) MUST_USE;

#endif
