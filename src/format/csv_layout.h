/*
 * csv_layout.h: which column of the file is which field of the schema.
 */
#ifndef FORMAT_CSV_LAYOUT_H
#define FORMAT_CSV_LAYOUT_H

#include "base/arena.h"
#include "format/csv.h"

struct csv_layout {
	uint32_t ncol;	    /* columns of the file */
	int32_t *column_of; /* per field: column of the file, -1: not there, null */
	int32_t *field_of;  /* per column: field, -1: ignored */
	uint32_t nmissing, nextra;
	const struct csv_warning *warnings;
	uint32_t nwarnings;
};

/* Columns in the order of the fields. */
enum err_code layout_by_position(const struct schema *s, struct arena *a, struct csv_layout *ret,
				 struct err *e) MUST_USE;
/* By header names: exact, else ignoring case. ERR_REFUSED when a column is missing or there twice. */
enum err_code layout_by_header(const struct schema *s, const struct span *name, uint32_t n, struct arena *a,
			       struct csv_layout *ret, struct err *e) MUST_USE;

#endif
