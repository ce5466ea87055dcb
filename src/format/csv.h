/*
 * csv.h: CSV to typed batches: RFC 4180, and files as they are in life.
 *
 *   csv_open(source, &plan, &opt, &reader, &err);         // reads the header line, maps columns
 *   while (csv_next(reader, batch, &more, &err) == ERR_OK && more) ...
 *   csv_close(reader);
 *
 * A batch has at most opt.batch_rows records; every record of the file is in exactly one batch, in order, the bad ones
 * with bad[r] set and at least one defect each. Same bytes, same records and defects, whatever the block size and the
 * SIMD level (tested). Memory is flat: blocks of opt.block bytes and one row of at most opt.max_row.
 *
 * What counts as what (design section 6): unquoted empty or a null word = null; "" = empty string; null in a field
 * without null: RULE_NOT_NULL; null or empty text in a key column: RULE_KEY; blank line: no record; wrong field count:
 * RULE_FIELD_COUNT; invalid UTF-8: RULE_ENCODING; NUL byte: RULE_NUL; a quote that never closes: one
 * RULE_UNCLOSED_QUOTE for the record it starts in, and reading goes on at the next line (bounded by max_row); text
 * behind a closing quote: RULE_BAD_QUOTE; a quote inside an unquoted cell is a character like any other.
 * A file whose header lacks a column of a field without null is refused: csv_open gives ERR_REFUSED. An empty file has
 * no records and a warning.
 *
 * A batch stays valid until it is refilled itself or freed, also when the reader goes on with another batch (so two
 * batches can be in flight); locate needs the reader to be open.
 */
#ifndef FORMAT_CSV_H
#define FORMAT_CSV_H

#include "format/source.h"
#include "record/batch.h"

struct csv_reader;

struct csv_dialect {
	char separator;		       /* csv.separator.char, default ',' */
	char quote;		       /* csv.quote.char, default '"'; 0 = none ("") */
	char escape;		       /* csv.escape.char, default = quote (doubled); else for instance '\\' */
	bool header;		       /* csv.first.row.as.header */
	const struct span *null_words; /* csv.null.values; the unquoted empty cell is always null */
	uint32_t nnull_words;
	const char *charset; /* csv.file.charset, default "UTF-8" */
};

/* What a reader must know; const, outlives it. */
struct csv_plan {
	const struct schema *schema;
	const uint32_t *key; /* field indexes that must have a value */
	uint32_t nkey;
	struct csv_dialect dialect;
};

enum simd_level { SIMD_AUTO, SIMD_PORTABLE, SIMD_AVX2, SIMD_AVX512 };

struct csv_options {
	enum simd_level simd; /* more than the machine has falls back */
	size_t block;	      /* bytes a read; 0: 256 KiB; at least 64 */
	size_t max_cell;      /* 0: 1 MiB */
	size_t max_row;	      /* 0: 4 MiB */
	uint32_t batch_rows;  /* 0: 4096 ("source batch size"); at most BATCH_ROWS_MAX */
};

struct csv_warning {
	const char *text; /* "column \"note\" is not in the schema: ignored" */
	uint64_t count;
};

enum err_code csv_open(struct source *src, const struct csv_plan *plan, const struct csv_options *opt,
		       struct csv_reader **ret, struct err *e) MUST_USE;
/* Refills b (made with batch_new of the same schema and at least batch_rows). *ret_more false: the end, no rows. */
enum err_code csv_next(struct csv_reader *r, struct batch *b, bool *ret_more, struct err *e) MUST_USE;
/* The header line as read, without its line end; empty without a header. Keep it with rejected records: they can be
 * read again with it (csv_open_records). */
struct span csv_header(const struct csv_reader *r);

/*
 * Records one by one, for a replay of rejected ones: no source, the header line as csv_header gave it ("" for a plan
 * without header). csv_records makes row i of b from raw[i], n at most batch_rows; a record that is no single record
 * (an unclosed quote, text behind its line end) is a defect. Row numbers and lines count the records from 1.
 */
enum err_code csv_open_records(const char *header_line, const struct csv_plan *plan, const struct csv_options *opt,
			       struct csv_reader **ret, struct err *e) MUST_USE;
enum err_code csv_records(struct csv_reader *r, const struct span *raw, uint32_t n, struct batch *b,
			  struct err *e) MUST_USE;

/* Things worth a warning: extra columns, columns filled with null, a missing last newline inside quotes ... */
const struct csv_warning *csv_warnings(const struct csv_reader *r, uint32_t *ret_n);
enum simd_level csv_simd(const struct csv_reader *r);
void csv_close(struct csv_reader *r);

const char *simd_level_name(enum simd_level l);

#endif
