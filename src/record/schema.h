/*
 * schema.h: an Avro record schema as checked structs.
 *
 * Parsed from the "schema" part of a data file configuration. The struct and all it points to live in the caller's
 * arena and are const afterwards; any thread may read it. Columns of a table are the fields, in their order.
 * Source: Apache Avro 1.11 specification, "Schema Declaration" and "Logical Types".
 */
#ifndef RECORD_SCHEMA_H
#define RECORD_SCHEMA_H

#include "base/arena.h"
#include "base/json.h"
#include "base/problems.h"

#include <stdbool.h>
#include <stdint.h>

#define SCHEMA_FIELDS_MAX 1024

enum avro_type {
	AVRO_T_BOOLEAN,
	AVRO_T_INT,
	AVRO_T_LONG,
	AVRO_T_FLOAT,
	AVRO_T_DOUBLE,
	AVRO_T_STRING,
	AVRO_T_BYTES,
	AVRO_T_FIXED,
	AVRO_T_ENUM,
};

enum avro_logical {
	LOGICAL_NONE,
	LOGICAL_DATE,
	LOGICAL_TIME_MILLIS,
	LOGICAL_TIME_MICROS,
	LOGICAL_TIMESTAMP_MILLIS,
	LOGICAL_TIMESTAMP_MICROS,
	LOGICAL_DECIMAL,
	LOGICAL_UUID,
};

/* How a value lies in a column batch and in a packed row. */
enum storage {
	STORE_I64, /* boolean 0/1, int, long, date (days), time-* (microseconds), timestamp-millis (ms), -micros (us) */
	STORE_F64, /* float (rounded to float), double */
	STORE_TEXT,  /* string, enum, uuid (lower case), decimal (canonical text with its scale) */
	STORE_BYTES, /* bytes, fixed */
};

struct field {
	const char *name;
	enum avro_type type;
	enum avro_logical logical;
	enum storage storage;
	bool nullable;		    /* union with null */
	uint32_t precision, scale;  /* decimal */
	uint32_t fixed_size;	    /* fixed */
	const char *const *symbols; /* enum */
	uint32_t nsymbols;
};

struct schema {
	const char *name; /* the table */
	const char *ns;	  /* "" when absent */
	const struct field *fields;
	uint32_t nfields;
};

/* Parse node (the schema object, at JSON path `path`), adding every problem; NULL when there was an error. */
const struct schema *schema_parse(const struct json *node, const char *path, struct arena *a, struct problems *p);

/* Index of a field by exact name, else ignoring case; -1. */
int schema_find(const struct schema *s, const char *name, size_t n);

/* "long", "string (date)", "union of null and int": for people. Written into out. */
const char *field_type_text(const struct field *f, char out[64]);

/* The Avro JSON of a schema (used by infer and by a proposed change). */
void schema_write(const struct schema *s, struct jsonw *w);

#endif
