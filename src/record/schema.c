/*
 * schema.c: an Avro record schema, as far as a table can hold it, with every problem at its place. The types of its
 * fields are schema_type.c's. Source: Apache Avro 1.11 specification.
 */
#include "record/schema.h"

#include "record/name.h"
#include "record/schema_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct doc_key record_keys[] = {
    {"type", DOC_REQUIRED, "\"record\""},
    {"name", DOC_REQUIRED, "the name of the table"},
    {"fields", DOC_REQUIRED, "a list of fields, each {\"name\": ..., \"type\": ...}"},
    {"namespace", DOC_OPTIONAL, "Avro's name space"},
    {"doc", DOC_OPTIONAL, "a comment"},
    {"aliases", DOC_OPTIONAL, "other names"},
};

static const struct doc_key field_keys[] = {
    {"name", DOC_REQUIRED, "the name of the column"},
    {"type", DOC_REQUIRED, schema_types_allowed},
    {"logicalType", DOC_OPTIONAL, "what the values mean: date, decimal ..."},
    {"precision", DOC_OPTIONAL, "digits of a decimal"},
    {"scale", DOC_OPTIONAL, "digits of a decimal behind its point"},
    {"doc", DOC_OPTIONAL, "a comment"},
    {"default", DOC_OPTIONAL, "Avro's default for readers"},
    {"order", DOC_OPTIONAL, "Avro's sort order"},
    {"aliases", DOC_OPTIONAL, "other names"},
};

/* Legal parts of a field that do something else than people may think. */
static void field_warnings(struct schema_parser *ps, const struct json *node, const char *path)
{
	const struct json *d = json_get(node, "default");
	if (d && d->type != JN_NULL)
		problem_add(ps->p, PROBLEM_WARNING, d, doc_path(ps->p, path, "default"), NULL,
			    "Avro's defaults are for readers of old data",
			    "it fills no cells: an empty cell is null, and null needs a union with null");
	const struct json *al = json_get(node, "aliases");
	if (al)
		problem_add(ps->p, PROBLEM_WARNING, al, doc_path(ps->p, path, "aliases"), NULL,
			    "header lines name columns by \"name\"",
			    "aliases are kept in the document and not looked at");
}

static bool name_is_new(struct schema_parser *ps, const struct json *nm, const char *at, const struct field *fields,
			uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!fields[i].name || strcasecmp(fields[i].name, nm->s.p) != 0)
			continue;
		bool same = strcmp(fields[i].name, nm->s.p) == 0;
		problem_add(ps->p, PROBLEM_ERROR, nm, at, NULL,
			    same ? "each column once" : "names that differ by more than case (stores fold them)",
			    same ? "remove or rename one of them"
				 : doc_printf(ps->p, "field %u is \"%s\": rename one of them", i + 1, fields[i].name));
		return false;
	}
	return true;
}

static bool field_parse(struct schema_parser *ps, const struct json *node, const char *path, struct field *fields,
			uint32_t n)
{
	struct field *f = &fields[n];
	if (!doc_is_object(ps->p, node, path, "a field: {\"name\": ..., \"type\": ...}"))
		return false;
	schema_keys_check(ps, node, path, field_keys, ARRAY_LENGTH(field_keys));
	const struct json *nm = json_get(node, "name"), *t = json_get(node, "type");
	bool good = nm && t;
	if (nm) {
		const char *at = doc_path(ps->p, path, "name");
		const char *allowed = nm->type == JN_STRING ? column_name_check(nm->s.p) : "a text in double quotes";
		if (allowed)
			problem_add(ps->p, PROBLEM_ERROR, nm, at, NULL, allowed, "");
		good = good && !allowed && name_is_new(ps, nm, at, fields, n);
		if (nm->type == JN_STRING && !(f->name = arena_strdup(ps->a, nm->s.p)))
			doc_no_memory(ps->p);
	}
	if (t) {
		struct field shape = {.name = f->name};
		if (schema_type_parse(ps, t, doc_path(ps->p, path, "type"), &shape) &&
		    schema_logical_parse(ps, node, path, &shape)) {
			shape.storage = schema_storage(&shape);
			*f = shape;
		} else {
			good = false;
		}
	}
	field_warnings(ps, node, path);
	return good;
}

static const struct field *fields_parse(struct schema_parser *ps, const struct json *list, const char *path,
					uint32_t *ret_n)
{
	if (!doc_is_array(ps->p, list, path, "a list of fields"))
		return NULL;
	if (list->count == 0 || list->count > SCHEMA_FIELDS_MAX) {
		problem_add(ps->p, PROBLEM_ERROR, list, path, doc_printf(ps->p, "%u fields", list->count),
			    "1 to 1024 fields", "");
		return NULL;
	}
	struct field *fields = arena_array(ps->a, list->count, sizeof *fields);
	if (!fields) {
		doc_no_memory(ps->p);
		return NULL;
	}
	uint32_t n = 0;
	for (const struct json *f = list->child; f; f = f->next, n++)
		(void)field_parse(ps, f, doc_path_index(ps->p, path, n), fields, n);
	*ret_n = n;
	return fields;
}

/* "com.example.reviews" or "reviews" with "namespace" beside it. */
static void name_parse(struct schema_parser *ps, const struct json *node, const char *path, struct schema *s)
{
	const char *full = NULL, *ns = "";
	doc_string(ps->p, node, path, "namespace", &ns);
	if (!doc_string(ps->p, node, path, "name", &full))
		return;
	const char *table = schema_last_part(full);
	if (table != full)
		ns = arena_strndup(ps->a, full, (size_t)(table - full) - 1);
	const char *allowed = store_name_check(table);
	if (allowed)
		problem_add(ps->p, PROBLEM_ERROR, json_get(node, "name"), doc_path(ps->p, path, "name"), NULL, allowed,
			    "the schema's name is the name of the table");
	s->name = arena_strdup(ps->a, table);
	s->ns = ns ? arena_strdup(ps->a, ns) : NULL;
	if (!s->name || !s->ns)
		doc_no_memory(ps->p);
}

const struct schema *schema_parse(const struct json *node, const char *path, struct arena *a, struct problems *p)
{
	unsigned before = p->errors;
	struct schema_parser ps = {a, p, NULL};
	if (!doc_is_object(p, node, path,
			   "an Avro record schema: {\"type\": \"record\", \"name\": ..., \"fields\": [...]}"))
		return NULL;
	struct schema *s = arena_alloc(a, sizeof *s);
	if (!s) {
		doc_no_memory(p);
		return NULL;
	}
	schema_keys_check(&ps, node, path, record_keys, ARRAY_LENGTH(record_keys));
	const struct json *t = json_get(node, "type");
	if (t && (t->type != JN_STRING || strcmp(t->s.p, "record") != 0))
		problem_add(p, PROBLEM_ERROR, t, doc_path(p, path, "type"), NULL, "\"record\"",
			    "a table is a record of fields");
	name_parse(&ps, node, path, s);
	const struct json *fields = json_get(node, "fields");
	if (fields)
		s->fields = fields_parse(&ps, fields, doc_path(p, path, "fields"), &s->nfields);
	return p->errors == before ? s : NULL;
}

int schema_find(const struct schema *s, const char *name, size_t n)
{
	int folded = -1;
	for (uint32_t i = 0; i < s->nfields; i++) {
		const char *f = s->fields[i].name;
		if (strlen(f) != n)
			continue;
		if (memcmp(f, name, n) == 0)
			return (int)i;
		if (folded < 0 && strncasecmp(f, name, n) == 0)
			folded = (int)i;
	}
	return folded;
}
