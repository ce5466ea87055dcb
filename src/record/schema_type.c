/*
 * schema_type.c: the type of a field: a primitive name, an object, a union with null, or the name of an enum or fixed
 * declared earlier. logicalType (with precision and scale) is taken inside the type, where the specification has it,
 * and beside it, where people write it. Source: Apache Avro 1.11 specification.
 */
#include "record/schema_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SYMBOLS_MAX 1000
#define FIXED_MAX 65536
#define PRECISION_MAX 256
#define TYPE_DEPTH_MAX 8

static const char *const primitive_names[] = {"boolean", "int", "long", "float", "double", "string", "bytes"};
static const enum avro_type primitive_types[] = {AVRO_T_BOOLEAN, AVRO_T_INT,	AVRO_T_LONG, AVRO_T_FLOAT,
						 AVRO_T_DOUBLE,	 AVRO_T_STRING, AVRO_T_BYTES};
const char schema_types_allowed[] = "one of boolean, int, long, float, double, string, bytes, an enum, a fixed, or a "
				    "union of null and one of them";

/* What people of other systems write, and the Avro type they mean. */
static const struct {
	const char *word, *avro;
} foreign[] = {
    {"integer", "int"},
    {"int32", "int"},
    {"smallint", "int"},
    {"tinyint", "int"},
    {"short", "int"},
    {"number", "double"},
    {"int64", "long"},
    {"bigint", "long"},
    {"real", "float"},
    {"numeric", "double"},
    {"bool", "boolean"},
    {"float64", "double"},
    {"float32", "float"},
    {"text", "string"},
    {"varchar", "string"},
    {"char", "string"},
    {"str", "string"},
    {"blob", "bytes"},
    {"binary", "bytes"},
    {"bit", "boolean"},
    {"utf8", "string"},
    {"decimal", "bytes\", \"logicalType\": \"decimal"},
    {"date", "int\", \"logicalType\": \"date"},
    {"timestamp", "long\", \"logicalType\": \"timestamp-millis"},
    {"datetime", "long\", \"logicalType\": \"timestamp-millis"},
    {"time", "int\", \"logicalType\": \"time-millis"},
    {"uuid", "string\", \"logicalType\": \"uuid"},
};

struct logical_row {
	const char *name;
	enum avro_logical logical;
	uint32_t types; /* bit set of enum avro_type it may stand on */
	const char *on; /* for people */
	const char *example;
};

#define BIT(t) (1u << (t))

static const struct logical_row logical_rows[] = {
    {"date", LOGICAL_DATE, BIT(AVRO_T_INT) | BIT(AVRO_T_STRING), "int or string", "int"},
    {"time-millis", LOGICAL_TIME_MILLIS, BIT(AVRO_T_INT), "int", "int"},
    {"time-micros", LOGICAL_TIME_MICROS, BIT(AVRO_T_LONG), "long", "long"},
    {"timestamp-millis", LOGICAL_TIMESTAMP_MILLIS, BIT(AVRO_T_LONG), "long", "long"},
    {"timestamp-micros", LOGICAL_TIMESTAMP_MICROS, BIT(AVRO_T_LONG), "long", "long"},
    {"decimal", LOGICAL_DECIMAL, BIT(AVRO_T_BYTES) | BIT(AVRO_T_FIXED), "bytes or fixed", "bytes"},
    {"uuid", LOGICAL_UUID, BIT(AVRO_T_STRING), "string", "string"},
};

static const char *const logical_names[] = {
    "date", "time-millis", "time-micros", "timestamp-millis", "timestamp-micros", "decimal", "uuid"};
static const char *const logical_later[] = {"local-timestamp-millis", "local-timestamp-micros", "duration",
					    "timestamp-nanos", "local-timestamp-nanos"};

static const struct doc_key type_keys[] = {
    {"type", DOC_REQUIRED, schema_types_allowed},
    {"logicalType", DOC_OPTIONAL, "what the values mean: date, decimal ..."},
    {"precision", DOC_OPTIONAL, "digits of a decimal"},
    {"scale", DOC_OPTIONAL, "digits of a decimal behind its point"},
    {"name", DOC_OPTIONAL, "name of an enum or fixed"},
    {"namespace", DOC_OPTIONAL, "Avro's name space"},
    {"symbols", DOC_OPTIONAL, "the values of an enum"},
    {"size", DOC_OPTIONAL, "bytes of a fixed"},
    {"doc", DOC_OPTIONAL, "a comment"},
    {"default", DOC_OPTIONAL, "default symbol of an enum"},
    {"aliases", DOC_OPTIONAL, "other names"},
};

/* Avro lets anybody add attributes, so a strange key is an error only when it looks like a slip of a known one. */
void schema_keys_check(struct schema_parser *ps, const struct json *node, const char *path, const struct doc_key *keys,
		       size_t n)
{
	const char *names[16];
	for (size_t i = 0; i < n; i++)
		names[i] = keys[i].name;
	for (const struct json *m = node->child; m; m = m->next) {
		bool known = false, slip = nearest_name(m->key.p, names, n) != NULL;
		for (size_t i = 0; i < n; i++) {
			known |= strcmp(names[i], m->key.p) == 0;
			slip |= strcasecmp(names[i], m->key.p) == 0;
		}
		if (known)
			continue;
		if (slip) {
			doc_unknown_key(ps->p, m, path, keys, n);
			continue;
		}
		struct json at = *m;
		at.line = m->key_line;
		at.col = m->key_col;
		problem_add(ps->p, PROBLEM_WARNING, &at, doc_path(ps->p, path, m->key.p),
			    doc_printf(ps->p, "attribute \"%.80s\"", m->key.p),
			    "attributes of Avro's specification have a meaning here",
			    "it is kept in the document and otherwise ignored");
	}
	doc_missing_keys(ps->p, node, path, keys, n);
}

/* Avro's full name: the part behind the last dot. */
const char *schema_last_part(const char *name)
{
	const char *dot = strrchr(name, '.');
	return dot ? dot + 1 : name;
}

static bool avro_word(const char *s)
{
	if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '_'))
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_'))
			return false;
	return true;
}

static bool type_by_name(struct schema_parser *ps, const struct json *node, const char *path, struct field *f)
{
	const char *name = node->s.p;
	for (size_t i = 0; i < ARRAY_LENGTH(primitive_names); i++) {
		if (strcmp(name, primitive_names[i]) == 0) {
			f->type = primitive_types[i];
			return true;
		}
	}
	for (const struct named_type *t = ps->named; t; t = t->next) {
		if (strcmp(t->name, schema_last_part(name)) == 0) {
			const char *keep = f->name;
			bool nullable = f->nullable;
			*f = t->shape;
			f->name = keep;
			f->nullable = nullable;
			return true;
		}
	}
	if (strcmp(name, "null") == 0) {
		problem_add(ps->p, PROBLEM_ERROR, node, path, NULL, schema_types_allowed,
			    "a column that is always null holds nothing: name the type its values will have, for "
			    "instance [\"null\", \"string\"]");
		return false;
	}
	if (strcmp(name, "array") == 0 || strcmp(name, "map") == 0 || strcmp(name, "record") == 0) {
		problem_add(ps->p, PROBLEM_ERROR, node, path,
			    doc_printf(ps->p, "\"%s\": known, not available for file_type csv", name),
			    schema_types_allowed, "a cell of a CSV file holds one value: use string and keep its text");
		return false;
	}
	const char *means = NULL;
	for (size_t i = 0; i < ARRAY_LENGTH(foreign) && !means; i++)
		if (strcasecmp(name, foreign[i].word) == 0)
			means = foreign[i].avro;
	for (size_t i = 0; i < ARRAY_LENGTH(primitive_names) && !means; i++)
		if (strcasecmp(name, primitive_names[i]) == 0)
			means = primitive_names[i];
	if (!means)
		means = nearest_name(name, primitive_names, ARRAY_LENGTH(primitive_names));
	problem_add(ps->p, PROBLEM_ERROR, node, path, NULL, schema_types_allowed,
		    means ? doc_printf(ps->p, "did you mean \"%s\"?", means) : "");
	return false;
}

static bool symbols_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f)
{
	const struct json *list = json_get(node, "symbols");
	const char *at = doc_path(ps->p, path, "symbols");
	if (!list || list->type != JN_ARRAY || list->count == 0 || list->count > SYMBOLS_MAX) {
		problem_add(ps->p, PROBLEM_ERROR, list ? list : node, at, list ? NULL : "nothing",
			    "a list of 1 to 1000 different names", "for instance \"symbols\": [\"NEW\", \"USED\"]");
		return false;
	}
	const char **symbols = arena_array(ps->a, list->count + 1, sizeof *symbols);
	if (!symbols) {
		doc_no_memory(ps->p);
		return false;
	}
	bool good = true;
	uint32_t i = 0;
	for (const struct json *s = list->child; s; s = s->next, i++) {
		if (s->type != JN_STRING || !avro_word(s->s.p)) {
			problem_add(ps->p, PROBLEM_ERROR, s, doc_path_index(ps->p, at, i), NULL,
				    "a letter or _, then letters, digits and _ (Avro's rule for symbols)",
				    "for other texts use type string and a rule \"in set\" of the agreement");
			good = false;
			continue;
		}
		for (uint32_t j = 0; j < f->nsymbols; j++) {
			if (strcmp(symbols[j], s->s.p) == 0) {
				problem_add(ps->p, PROBLEM_ERROR, s, doc_path_index(ps->p, at, i), NULL,
					    "each symbol once", "remove the second one");
				good = false;
				break;
			}
		}
		if (!(symbols[f->nsymbols] = arena_strdup(ps->a, s->s.p))) {
			doc_no_memory(ps->p);
			return false;
		}
		f->nsymbols++;
	}
	f->symbols = symbols;
	const struct json *dflt = json_get(node, "default");
	bool member = !dflt;
	for (i = 0; dflt && dflt->type == JN_STRING && i < f->nsymbols; i++)
		member |= symbols[i] && strcmp(symbols[i], dflt->s.p) == 0;
	if (good && !member) {
		problem_add(ps->p, PROBLEM_ERROR, dflt, doc_path(ps->p, path, "default"), NULL, "one of the symbols",
			    "");
		good = false;
	}
	return good;
}

/* enum and fixed: {"type": "enum", "name": "...", "symbols": [...]}. */
static bool named_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f)
{
	const char *name = NULL;
	const struct json *nm = json_get(node, "name");
	bool good = true;
	if (!nm || nm->type != JN_STRING || !avro_word(schema_last_part(nm->s.p))) {
		problem_add(ps->p, PROBLEM_ERROR, nm ? nm : node, doc_path(ps->p, path, "name"), nm ? NULL : "nothing",
			    "a name for the type (letters, digits and _): Avro asks for one",
			    doc_printf(ps->p, "for instance \"name\": \"%s_t\"", f->name ? f->name : "status"));
		good = false;
	} else {
		name = schema_last_part(nm->s.p);
	}
	if (f->type == AVRO_T_ENUM) {
		good &= symbols_parse(ps, node, path, f);
	} else {
		int64_t size = 0;
		if (!json_get(node, "size")) {
			problem_add(ps->p, PROBLEM_ERROR, node, doc_path(ps->p, path, "size"), "nothing",
				    "the number of bytes of the fixed", "for instance \"size\": 16");
			good = false;
		} else {
			good &= doc_int(ps->p, node, path, "size", 1, FIXED_MAX, &size);
		}
		f->fixed_size = (uint32_t)size;
	}
	for (const struct named_type *t = ps->named; t && name; t = t->next) {
		if (strcmp(t->name, name) == 0) {
			problem_add(ps->p, PROBLEM_ERROR, nm, doc_path(ps->p, path, "name"), NULL,
				    "a name that no earlier type has",
				    doc_printf(ps->p, "to use the earlier one again write \"type\": \"%s\"", name));
			return false;
		}
	}
	if (!good)
		return false;
	struct named_type *t = arena_alloc(ps->a, sizeof *t);
	if (!t) {
		doc_no_memory(ps->p);
		return false;
	}
	*t = (struct named_type){name, *f, ps->named};
	ps->named = t;
	return true;
}

static uint32_t fixed_digits(uint32_t size)
{
	return (uint32_t)floor(log10(2) * (8.0 * size - 1));
}

static bool decimal_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f)
{
	int64_t precision = 0, scale = 0;
	int64_t max = f->type == AVRO_T_FIXED && fixed_digits(f->fixed_size) < PRECISION_MAX
			  ? fixed_digits(f->fixed_size)
			  : PRECISION_MAX;
	if (!json_get(node, "precision")) {
		problem_add(ps->p, PROBLEM_ERROR, node, doc_path(ps->p, path, "precision"), "nothing",
			    "the number of digits of the decimal", "for instance \"precision\": 12, \"scale\": 2");
		return false;
	}
	if (!doc_int(ps->p, node, path, "precision", 1, max, &precision))
		return false;
	if (json_get(node, "scale") && !doc_int(ps->p, node, path, "scale", 0, precision, &scale))
		return false;
	f->precision = (uint32_t)precision;
	f->scale = (uint32_t)scale;
	return true;
}

/* The logicalType of node (a field or a type object), on the type already in f. */
bool schema_logical_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f)
{
	const struct json *l = json_get(node, "logicalType");
	if (!l)
		return true;
	const char *at = doc_path(ps->p, path, "logicalType");
	if (l->type != JN_STRING) {
		problem_add(ps->p, PROBLEM_ERROR, l, at, NULL, "a text such as \"date\"", "");
		return false;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(logical_rows); i++) {
		const struct logical_row *r = &logical_rows[i];
		if (strcmp(l->s.p, r->name) != 0)
			continue;
		if (!(r->types & BIT(f->type))) {
			problem_add(
			    ps->p, PROBLEM_ERROR, l, at, NULL, doc_printf(ps->p, "\"%s\" on type %s", r->name, r->on),
			    doc_printf(ps->p, "write \"type\": \"%s\", \"logicalType\": \"%s\"", r->example, r->name));
			return false;
		}
		if (f->logical != LOGICAL_NONE && f->logical != r->logical) {
			problem_add(ps->p, PROBLEM_ERROR, l, at, NULL, "one logicalType a field",
				    "the type inside names another one: remove one of them");
			return false;
		}
		f->logical = r->logical;
		return r->logical == LOGICAL_DECIMAL && !f->precision ? decimal_parse(ps, node, path, f) : true;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(logical_later); i++) {
		if (strcmp(l->s.p, logical_later[i]) == 0) {
			problem_add(ps->p, PROBLEM_ERROR, l, at,
				    doc_printf(ps->p, "\"%s\": known, not available yet", l->s.p),
				    "one of date, time-millis, time-micros, timestamp-millis, timestamp-micros, "
				    "decimal, uuid",
				    "");
			return false;
		}
	}
	const char *near = nearest_name(l->s.p, logical_names, ARRAY_LENGTH(logical_names));
	problem_add(ps->p, near ? PROBLEM_ERROR : PROBLEM_WARNING, l, at, NULL,
		    "one of date, time-millis, time-micros, timestamp-millis, timestamp-micros, decimal, uuid",
		    near ? doc_printf(ps->p, "did you mean \"%s\"?", near)
			 : "it is ignored, as Avro says of unknown ones: values are of the plain type");
	return !near;
}

static bool type_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f, int depth);

static bool union_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f, int depth)
{
	const struct json *other = NULL;
	uint32_t nulls = 0, others = 0, i = 0, other_i = 0;
	for (const struct json *b = node->child; b; b = b->next, i++) {
		if (b->type == JN_STRING && strcmp(b->s.p, "null") == 0) {
			nulls++;
		} else {
			if (others++ == 0) {
				other = b;
				other_i = i;
			}
		}
	}
	if (nulls > 1 || others != 1 || depth > 0) {
		problem_add(
		    ps->p, PROBLEM_ERROR, node, path,
		    others > 1
			? doc_printf(ps->p, "a union of %u types: known, not available for file_type csv", others)
		    : depth > 0 ? "a union inside a type"
				: NULL,
		    "a union of null and one other type: [\"null\", \"long\"]",
		    others > 1 ? "use the widest of them, or string" : "");
		return false;
	}
	if (other->type == JN_ARRAY) {
		problem_add(ps->p, PROBLEM_ERROR, other, doc_path_index(ps->p, path, other_i), "a union inside a union",
			    "a union of null and one other type: [\"null\", \"long\"]", "");
		return false;
	}
	f->nullable = nulls == 1;
	return type_parse(ps, other, doc_path_index(ps->p, path, other_i), f, depth + 1);
}

static bool type_object_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f,
			      int depth)
{
	const struct json *t = json_get(node, "type");
	const char *at = doc_path(ps->p, path, "type");
	if (t && t->type == JN_STRING &&
	    (strcmp(t->s.p, "array") == 0 || strcmp(t->s.p, "map") == 0 || strcmp(t->s.p, "record") == 0))
		return type_by_name(ps, t, at, f);
	schema_keys_check(ps, node, path, type_keys, ARRAY_LENGTH(type_keys));
	if (!t)
		return false;
	bool good;
	if (t->type == JN_STRING && (strcmp(t->s.p, "enum") == 0 || strcmp(t->s.p, "fixed") == 0)) {
		f->type = strcmp(t->s.p, "enum") == 0 ? AVRO_T_ENUM : AVRO_T_FIXED;
		good = named_parse(ps, node, path, f);
	} else {
		good = type_parse(ps, t, at, f, depth + 1);
	}
	return good && schema_logical_parse(ps, node, path, f);
}

static bool type_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f, int depth)
{
	if (depth > TYPE_DEPTH_MAX) {
		problem_add(ps->p, PROBLEM_ERROR, node, path, "a type nested too deeply", schema_types_allowed, "");
		return false;
	}
	if (node->type == JN_STRING)
		return type_by_name(ps, node, path, f);
	if (node->type == JN_ARRAY)
		return union_parse(ps, node, path, f, depth);
	if (node->type == JN_OBJECT)
		return type_object_parse(ps, node, path, f, depth);
	problem_add(ps->p, PROBLEM_ERROR, node, path, NULL, schema_types_allowed, "write the type in double quotes");
	return false;
}

enum storage schema_storage(const struct field *f)
{
	switch (f->logical) {
	case LOGICAL_DATE:
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS:
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_TIMESTAMP_MICROS:
		return STORE_I64;
	case LOGICAL_DECIMAL:
	case LOGICAL_UUID:
		return STORE_TEXT;
	case LOGICAL_NONE:
		break;
	}
	switch (f->type) {
	case AVRO_T_BOOLEAN:
	case AVRO_T_INT:
	case AVRO_T_LONG:
		return STORE_I64;
	case AVRO_T_FLOAT:
	case AVRO_T_DOUBLE:
		return STORE_F64;
	case AVRO_T_BYTES:
	case AVRO_T_FIXED:
		return STORE_BYTES;
	case AVRO_T_STRING:
	case AVRO_T_ENUM:
		break;
	}
	return STORE_TEXT;
}

bool schema_type_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *f)
{
	return type_parse(ps, node, path, f, 0);
}
