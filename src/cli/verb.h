/*
 * verb.h: what a command-line verb is: a header comment, a const entry and a function, one file each; registry.c lists
 * them all.
 *
 *   static enum err_code run(const struct cli *cli, struct err *e);
 *   static const struct cli_option options[] = {{"to", 0, "URI", "where records go: sqlite:DIR"}, {0}};
 *   const struct verb verb_ingest = {"ingest", "--config DATA-FILE --to sqlite:DIR FILE...", "summary", options, 1, -1,
 *                                    "longer help text", run};
 *
 * Options that every verb has: --help, --json, --quiet, --verbose, --config-file (mysimbdp.yaml), --data, --url,
 * --token, --set NAME=VALUE, --color auto|always|never. `check` and `ingest` use --config for the data file
 * configuration.
 * Data goes to stdout, everything else to stderr. The error that run returns is printed once by main with its hint and
 * gives the exit code through err_info; a verb with a special exit code (check: 1, 2) sets cli->exit_code.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"

#include <stdatomic.h>
#include <stdbool.h>

struct cli_option {
	const char *name; /* long name without dashes */
	char letter;	  /* 0: none */
	const char *arg;  /* NULL: a switch */
	const char *text;
	const char *complete; /* shell completion: "file", "dir", "tenant", NULL */
};

struct cli {
	const struct verb *verb;
	int argc; /* positional arguments */
	const char *const *argv;
	bool json, quiet, verbose, colour_out, colour_err, progress; /* progress: stderr is a terminal and not quiet */
	int width;						     /* of the terminal, 100 when none */
	struct arena *arena;					     /* lives as long as the command */
	int *exit_code;						     /* set to override err_info */
	const atomic_bool *stop; /* SIGINT/SIGTERM arrived (not for serve, which handles them itself) */
	struct cli_values *values;
};

/* NULL or false when not given; the last one given wins. */
const char *cli_get(const struct cli *c, const char *option);
bool cli_has(const struct cli *c, const char *option);
/* All values of a repeatable option, NULL-terminated. */
const char *const *cli_all(const struct cli *c, const char *option);
/* Settings (file, environment, flags), loaded on first use. */
enum err_code cli_conf(const struct cli *c, struct conf **ret, struct err *e) MUST_USE;
/* Read them anew (SIGHUP); the old ones stay valid, and stay in use when this fails. */
enum err_code cli_conf_again(const struct cli *c, struct conf **ret, struct err *e) MUST_USE;
/* The data directory by the rule of conf.h. */
enum err_code cli_data_dir(const struct cli *c, const char **ret, struct err *e) MUST_USE;

struct verb {
	const char *name;		  /* "quarantine" */
	const char *usage;		  /* after the name */
	const char *summary;		  /* one line */
	const struct cli_option *options; /* ends with {0} */
	int min_args, max_args;		  /* max -1: any */
	const char *help;		  /* paragraphs and examples; NULL */
	enum err_code (*run)(const struct cli *cli, struct err *e);
	bool hidden;
};

extern const struct verb *const verbs[]; /* registry.c */
extern const size_t nverbs;
extern const struct cli_option global_options[]; /* ends with {0} */

/* The verb of that name, or NULL. */
const struct verb *verb_find(const char *name);

/* Parse argv (after the verb's name) into *ret_values and positional arguments; ERR_USAGE with the nearest option. */
enum err_code cli_parse(struct cli *cli, int argc, char **argv, struct err *e) MUST_USE;

/* Write s as one JSON line (or pretty on a terminal) to stdout: for answers that are already JSON. */
void cli_print_json(const struct cli *c, struct span json);

#endif
