/*
 * conf.h: settings: one row each, from file, environment and flags, each value with its origin.
 *
 * Precedence: flag, environment (MYSIMBDP_ + upper case with '.' and '-' as '_'), file, default. The file is YAML:
 * --config FILE, $MYSIMBDP_CONFIG, ./mysimbdp.yaml, /etc/mysimbdp/mysimbdp.yaml; ${VAR} and ${VAR:default} are
 * expanded. Unknown keys are errors with the nearest name. Secrets print as ***.
 * The rows are in settings.c; help, docs/configuration.md and the template are printed from them.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum conf_type { CONF_STRING, CONF_BOOL, CONF_INT, CONF_BYTES, CONF_SECONDS, CONF_CHOICE };

struct conf_row {
	const char *name; /* "api.listen" */
	enum conf_type type;
	const char *dflt;    /* as text */
	int64_t min, max;    /* INT, BYTES, SECONDS; 0,0: any */
	const char *choices; /* CHOICE: "a|b|c" */
	const char *text;    /* one sentence, what it is for */
	bool secret;
};

extern const struct conf_row conf_rows[];
extern const size_t conf_nrows;

struct conf;

/* file NULL: search. flags: "name=value" texts (from --set or --NAME). */
enum err_code conf_load(const char *file, const char *const *flags, size_t nflags, struct arena *a, struct conf **ret,
			struct err *e) MUST_USE;
/* A row's value; asking for an unknown name is a bug and aborts. */
const char *conf_str(const struct conf *c, const char *name);
int64_t conf_int(const struct conf *c, const char *name); /* INT, BYTES (bytes), SECONDS */
bool conf_bool(const struct conf *c, const char *name);
const char *conf_origin(const struct conf *c,
			const char *name);   /* "default", "mysimbdp.yaml:3", "environment MYSIMBDP_...", "flag" */
const char *conf_file(const struct conf *c); /* NULL: none read */

/* The data directory: --data, $MYSIMBDP_DATA, /var/lib/mysimbdp (root), $XDG_STATE_HOME/mysimbdp
 * (default ~/.local/state/mysimbdp). It is the setting "data". */

/* docs/configuration.md and the commented template. */
void conf_write_docs(struct buf *out);
void conf_write_template(struct buf *out);

#endif
