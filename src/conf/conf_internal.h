/*
 * conf_internal.h: what the files of conf/ share. Nobody else includes it.
 */
#ifndef CONF_CONF_INTERNAL_H
#define CONF_CONF_INTERNAL_H

#include "base/arena.h"
#include "conf/conf.h"

struct conf_value {
	const char *text; /* as given, or the default */
	int64_t i;	  /* INT, BYTES, SECONDS, BOOL, index of CHOICE */
	const char *origin;
	int rank; /* 0 default, then file, environment, flag */
};

enum { RANK_DEFAULT, RANK_FILE, RANK_ENVIRONMENT, RANK_FLAG };

struct conf {
	struct arena *arena;
	const char *file;
	struct conf_value *values; /* conf_nrows */
};

/* Index of a row; -1. */
int conf_row_find(const char *name);
/* "; did you mean \"api.port\"?" or "", in the arena. */
const char *conf_did_you_mean(struct arena *a, const char *name);

/* Check text against the row and give its number. false: why in the arena. */
bool conf_value_parse(const struct conf_row *r, const char *text, struct arena *a, int64_t *ret, const char **why);
/* "one of debug, info", "bytes such as 64MiB, 64 to 1GiB": what a row takes. */
const char *conf_allowed(const struct conf_row *r, struct arena *a);

/* Set a value; origin is kept. ERR_CONFIG (ERR_USAGE for flags) with what is allowed. */
enum err_code conf_set(struct conf *c, const char *name, const char *text, const char *origin, int rank,
		       struct err *e) MUST_USE;

/* conf_yaml.c: every scalar of a YAML file as a setting. */
enum err_code conf_yaml_read(struct conf *c, const char *path, struct err *e) MUST_USE;

/* "64MiB", "30s" of a number. */
void conf_bytes_text(int64_t n, char out[32]);
void conf_seconds_text(int64_t n, char out[32]);

#endif
