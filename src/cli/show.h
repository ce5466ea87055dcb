/*
 * show.h: results of check and ingest: one JSON object, or a report for people with the first defects.
 *
 *   struct show s;
 *   show_init(&s, cli, true, &err);
 *   for each file: show_file(&s, path, sha256, &result, code, &err);
 *   show_end(&s);                        // totals; prints the JSON object; sets the exit code
 *
 * Exit code: the worst of all files: 4 interrupted, 3 fatal, 2 refused, 1 records rejected, 0.
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/verb.h"
#include "ingest/ingest.h"

#include <stdio.h>

#define SHOW_RULES_MAX 256

struct show {
	const struct cli *cli;
	bool ingest;	  /* else check */
	FILE *verdicts;	  /* --verdict, NULL */
	struct buf files; /* JSON of the files so far */
	bool interrupted, fatal, refused, rejected;
	uint32_t nfiles;
	uint64_t records, accepted, nrejected, delivered, bytes;
	double seconds;
	struct {
		const char *rule;
		uint64_t n;
	} defects[SHOW_RULES_MAX];
	uint32_t ndefects;
};

/* Fails when the file of --verdict can't be written. */
enum err_code show_init(struct show *s, const struct cli *cli, bool ingest, struct err *e) MUST_USE;
/* One file. code: what the engine returned; a failure is told on stderr and the others go on. sha256 "" when unknown.
 */
void show_file(struct show *s, const char *path, const char *sha256, const struct ingest_result *r, enum err_code code,
	       const struct err *e);
void show_end(struct show *s);

/* One defect as a compiler would tell it, the record below it with the cell marked. */
void show_defect(const struct cli *cli, const char *path, const struct shown_defect *d);

#endif
