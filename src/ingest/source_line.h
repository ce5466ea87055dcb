/*
 * source_line.h: where a quarantined record stands in the file that was uploaded.
 *
 * The gate reads what the tenant's program wrote, so its line numbers are of `out/NAME`. When the record's text occurs
 * exactly once in the upload, that line is known too; a program that changed the record, or a text that occurs twice,
 * leaves it unknown, and nothing is guessed. Only plain files are looked at, not compressed ones.
 */
#ifndef INGEST_SOURCE_LINE_H
#define INGEST_SOURCE_LINE_H

#include "base/err.h"
#include "ingest/quarantine.h"

/* Sets source_line of the n entries (0 unknown), in one pass over the file at path. A file that is gone leaves all
 * unknown. Any thread. */
enum err_code source_lines(const char *path, struct quarantine_entry *en, size_t n, struct err *e) MUST_USE;

#endif
