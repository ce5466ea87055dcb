/*
 * defect.h: bad data, recorded and never thrown.
 *
 * A defect belongs to one record (or to the file), has a rule (the name that is counted: "type", "not_null",
 * "field_count", "range", ...), a place and a reason. Spans point into the batch and are valid until the batch is
 * reset. A rejected record may have several defects; it is counted once per rule and rejected once.
 */
#ifndef RECORD_DEFECT_H
#define RECORD_DEFECT_H

#include "base/span.h"

#include <stdint.h>

enum defect_action { DEFECT_REJECT, DEFECT_FILE, DEFECT_WARN };

/* Rules of the parse and type stages; the quality gate adds its own names. */
#define RULE_FIELD_COUNT "field_count"
#define RULE_UNCLOSED_QUOTE "unclosed_quote"
#define RULE_BAD_QUOTE "bad_quote"
#define RULE_CELL_TOO_LONG "cell_too_long"
#define RULE_ROW_TOO_LONG "row_too_long"
#define RULE_ENCODING "encoding"
#define RULE_NUL "nul_byte"
#define RULE_TYPE "type"
#define RULE_NOT_NULL "not_null"
#define RULE_KEY "key" /* null or empty text in a key column */

struct defect {
	const char *rule;  /* static, or as long-lived as the plan */
	const char *stage; /* "parse", "type", "quality" or "sink" */
	enum defect_action action;
	uint64_t row;	  /* record number in the file, from 1; 0 for the file itself */
	uint32_t index;	  /* the record's index in its batch */
	uint64_t line;	  /* physical line where the record starts, from 1 (filled by batch_locate) */
	uint64_t offset;  /* byte offset of the record in the decoded text */
	uint32_t column;  /* character column of the cell in its line, from 1; 0 unknown */
	int32_t field;	  /* index into the schema's fields; -1 for the record */
	struct span cell; /* the cell as written, without its outer quotes; may be shortened */
	char reason[192]; /* "\"five\" is no int" */
};

#endif
