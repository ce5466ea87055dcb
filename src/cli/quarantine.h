/*
 * quarantine.h: what the actions of `mysimbdp quarantine` share: where the rejected records are read from.
 *
 *   struct origin o;
 *   origin_open(cli, &o, &err);          // --db DIR, a tenant's database at hand, or the REST API
 *   origin_page(&o, &filter, &page, &err);
 *   origin_close(&o);
 *
 * A tenant's database is read directly when it is readable and neither --url nor --token (nor their environment) point
 * elsewhere; it then works without a running platform, and every byte is as it was.
 */
#ifndef CLI_QUARANTINE_H
#define CLI_QUARANTINE_H

#include "cli/client.h"
#include "ingest/quarantine.h"

struct origin {
	const struct cli *cli;
	const char *tenant; /* NULL: --db */
	const char *db;
	struct quarantine *q; /* NULL: over REST, or nothing was ever rejected */
	struct client *client;
};

struct origin_page {
	struct quarantine_entry *entry;
	size_t n;
	struct quarantine_count *count;
	size_t ncount;
	int64_t next; /* pass as filter.after for more; 0: the end */
};

/* The tenant is cli->argv[1]; exactly one of it and --db must be given (*ret_args: how many arguments that took). */
enum err_code origin_open(const struct cli *cli, struct origin *ret, int *ret_args, struct err *e) MUST_USE;
enum err_code origin_page(struct origin *o, const struct quarantine_filter *f, struct origin_page *ret,
			  struct err *e) MUST_USE;
void origin_close(struct origin *o);
/* Fill source_file and source_line when a running platform can be asked; else they stay unknown. */
void origin_add_source(struct origin *o, struct quarantine_entry *en);

/* --rule, --field, --file, --output, --state, --limit, --cursor; ids like o3 and q17. */
enum err_code origin_filter(const struct cli *cli, struct quarantine_filter *ret, struct err *e) MUST_USE;
/* "q17" or "17". */
bool origin_id(const char *s, char letter, int64_t *ret);

enum err_code quarantine_run_replay(const struct cli *cli, struct err *e) MUST_USE;
enum err_code quarantine_run_propose(const struct cli *cli, struct err *e) MUST_USE;

#endif
