/*
 * csv_scan.h: one record, byte by byte: the grammar of csv.h in one place.
 *
 * Slow and certain. The kernels take only records that need none of its exceptions, and stop at the first byte that
 * might: then this decides. It looks at no more than max_row + 2 bytes, so the answer depends on the text alone and not
 * on how it was cut into blocks.
 */
#ifndef FORMAT_CSV_SCAN_H
#define FORMAT_CSV_SCAN_H

#include "format/csv.h"

struct csv_rules {
	char sep, quote, escape,
	    newline; /* escape == quote: doubled quotes; newline '\r' where lines end in CR alone */
	bool quotes; /* there is a quote character */
	size_t max_row;
	size_t window; /* a quote still open behind so many bytes never closes; at most max_row */
};

struct csv_cell {
	uint32_t off, len; /* without outer quotes */
	bool quoted;
	bool repair; /* has doubled or escaped quotes inside */
};

enum scan_result { SCAN_RECORD, SCAN_BLANK, SCAN_MORE, SCAN_END };

struct csv_record {
	uint32_t off, len;  /* without its line end */
	uint32_t next;	    /* behind its line end */
	uint32_t ncell;	    /* as written; those that cells[] has room for are in it */
	const char *rule;   /* NULL, or what is wrong with the whole record */
	struct csv_cell at; /* where it is wrong */
	uint32_t at_col;    /* ... and in which column, UINT32_MAX when in none */
	bool skip;	    /* row too long and its end not seen: throw away up to the next line end */
};

/* The record at data[pos..n). SCAN_MORE: the answer depends on bytes behind n (never when eof). */
enum scan_result csv_scan(const struct csv_rules *k, const char *data, size_t pos, size_t n, bool eof,
			  struct csv_cell *cells, uint32_t cap, struct csv_record *ret);

/* Limits and dialect with their defaults; opt may be NULL. */
#define CSV_BLOCK (256u << 10)
#define CSV_MAX_CELL (1u << 20)
#define CSV_MAX_ROW (4u << 20)
struct csv_rules csv_rules_of(const struct csv_dialect *d, const struct csv_options *opt);

/* The first line end outside of quotes decides: CR alone, or LF with or without CR. False: not seen yet. */
bool csv_find_newline(struct csv_rules *k, const char *data, size_t n, bool eof);

/*
 * A quote that never closes costs a look at max_row bytes; a file full of them must not cost that for each line. So
 * each such record (rule) halves the window in which the next ones may close theirs, until max_row bytes behind the
 * first. Before each record: rule NULL; here: decoded offset of the record.
 */
void csv_window(struct csv_rules *k, uint64_t *full_at, uint64_t here, const char *rule);

/* Undo doubled or escaped quotes: at most cell.len bytes to out; returns how many. */
size_t csv_unescape(const struct csv_rules *k, const char *p, size_t n, char *out);

#endif
