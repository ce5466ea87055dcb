/* schema_internal.h: what the two files that read a schema share; inside record/ only. */
#ifndef RECORD_SCHEMA_INTERNAL_H
#define RECORD_SCHEMA_INTERNAL_H

#include "base/doc.h"
#include "record/schema.h"

extern const char schema_types_allowed[];

/* An enum or fixed that later fields may name. */
struct named_type {
	const char *name;
	struct field shape;
	struct named_type *next;
};

struct schema_parser {
	struct arena *a;
	struct problems *p;
	struct named_type *named;
};

/* As doc_keys_check, but Avro lets anybody add attributes: a strange key is an error only when it looks like a slip of
 * a known one, and a warning otherwise. */
void schema_keys_check(struct schema_parser *ps, const struct json *node, const char *path, const struct doc_key *keys,
		       size_t n);
/* "com.example.orders" -> "orders". */
const char *schema_last_part(const char *name);

/* The type at node into *f (its name is kept); false and problems when it is none. */
bool schema_type_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f);
/* The logicalType of node (a field or a type object) on the type already in f. */
bool schema_logical_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f);
enum storage schema_storage(const struct field *f);

#endif
