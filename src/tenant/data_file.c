/* data_file.c: a tenant's data file configuration: names, schema, key, size, pattern. The csv.* keys: data_file_csv.c.
 */
#include "tenant/data_file.h"

#include "base/doc.h"
#include "record/name.h"
#include "tenant/data_file_csv.h"
#include "tenant/pattern.h"
#include "tenant/quantity.h"

#include <stdio.h>
#include <strings.h>

#define MIB 1048576
#define NAME_BYTES_MAX 200

static const struct doc_key keys[] = {
    {"name", DOC_REQUIRED, "what the data is called, a text"},
    {"file_type", DOC_REQUIRED, "\"csv\""},
    {"key_space", DOC_REQUIRED, "the key space (database) of the table in coredms"},
    {"schema", DOC_REQUIRED, "an Avro record schema; its name is the table"},
    {"primary_key", DOC_REQUIRED, "a list of fields as in Cassandra's PRIMARY KEY, or [] to append"},
    {"max_file_size_mb", DOC_OPTIONAL, "the largest file in MiB"},
    {"csv.first.row.as.header", DOC_OPTIONAL, "true: the first line names the columns"},
    {"csv.separator.char", DOC_OPTIONAL, "the character between cells"},
    {"csv.quote.char", DOC_OPTIONAL, "the character around quoted cells"},
    {"csv.escape.char", DOC_OPTIONAL, "the character before a quote inside quotes"},
    {"csv.null.values", DOC_OPTIONAL, "cells without quotes that mean null"},
    {"csv.file.charset", DOC_OPTIONAL, "the character set of the files"},
    {"input.file.pattern", DOC_OPTIONAL, "which file names are taken"},
};

static const char default_pattern[] = ".*\\.csv(\\.gz|\\.zst)?$";

static void name_parse(const struct json *root, struct problems *p, struct data_file *d)
{
	if (!doc_string(p, root, "$", "name", &d->name))
		return;
	bool control = false;
	for (const char *s = d->name; *s; s++)
		control |= (unsigned char)*s < ' ' || *s == 0x7f;
	if (control || strlen(d->name) > NAME_BYTES_MAX)
		problem_add(p, PROBLEM_ERROR, json_get(root, "name"), "$.name", NULL,
			    "a text of at most 200 bytes without control characters", "");
}

static void file_type_parse(const struct json *root, struct problems *p, struct data_file *d)
{
	static const char *const later[] = {"json", "jsonl", "ndjson", "avro", "parquet",
					    "orc",  "xml",   "xlsx",   "text", NULL};
	if (!doc_string(p, root, "$", "file_type", &d->file_type))
		return;
	const struct json *v = json_get(root, "file_type");
	if (strcmp(d->file_type, "csv") == 0)
		return;
	for (size_t i = 0; later[i]; i++) {
		if (strcasecmp(d->file_type, later[i]) == 0) {
			problem_add(p, PROBLEM_ERROR, v, "$.file_type",
				    doc_printf(p, "\"%s\": known, not available yet", later[i]), "\"csv\"", "");
			return;
		}
	}
	bool tabs = strcasecmp(d->file_type, "tsv") == 0;
	problem_add(p, PROBLEM_ERROR, v, "$.file_type", NULL, "\"csv\"",
		    tabs				   ? "write \"csv\" and \"csv.separator.char\": \"\\t\""
		    : strcasecmp(d->file_type, "csv") == 0 ? "did you mean \"csv\"?"
							   : "");
}

static void key_space_parse(const struct json *root, struct problems *p, struct data_file *d)
{
	if (!doc_string(p, root, "$", "key_space", &d->key_space))
		return;
	const char *allowed = store_name_check(d->key_space);
	if (allowed)
		problem_add(p, PROBLEM_ERROR, json_get(root, "key_space"), "$.key_space", NULL, allowed, "");
}

/* ---- primary_key */

struct key_parser {
	struct problems *p;
	const struct schema *schema; /* NULL: it has errors, names are checked all the same */
	const char **names;	     /* of the fields, as far as the document has them */
	uint32_t nnames;
	uint32_t *key, n;
};

/* The field names of the document itself, so that a broken schema hides no mistake in the key. */
static bool names_collect(struct key_parser *k, const struct json *schema)
{
	const struct json *fields = json_get(schema, "fields");
	k->names = arena_array(k->p->arena, fields ? fields->count + 1 : 1, sizeof *k->names);
	if (!k->names)
		return false;
	for (const struct json *f = fields ? fields->child : NULL; f; f = f->next) {
		const char *name = json_get_str(f, "name", NULL);
		k->names[k->nnames++] = name ? name : "";
	}
	return true;
}

static int name_find(const struct key_parser *k, const char *name)
{
	int folded = -1;
	for (uint32_t i = 0; i < k->nnames; i++) {
		if (strcmp(k->names[i], name) == 0)
			return (int)i;
		if (folded < 0 && strcasecmp(k->names[i], name) == 0)
			folded = (int)i;
	}
	return folded;
}

/* Legal, but people are often surprised. */
static void key_warnings(struct key_parser *k, const struct json *v, const char *path, const struct field *f)
{
	if (f->nullable)
		problem_add(k->p, PROBLEM_WARNING, v, path, NULL, "key columns without null",
			    "its type has null, but null in a key column is a defect: such records are rejected");
	if (f->storage == STORE_F64)
		problem_add(k->p, PROBLEM_WARNING, v, path, NULL, "key columns with exact values",
			    "a float or double as key: two texts that differ may be the same key");
	if (f->storage == STORE_BYTES)
		problem_add(k->p, PROBLEM_WARNING, v, path, NULL, "key columns that people can type",
			    "bytes as key: compared byte by byte");
}

static void key_column(struct key_parser *k, const struct json *v, const char *path)
{
	if (v->type != JN_STRING) {
		problem_add(k->p, PROBLEM_ERROR, v, path, NULL, "the name of a field", "");
		return;
	}
	int f = name_find(k, v->s.p);
	if (f < 0 || strcmp(k->names[f], v->s.p) != 0) {
		const char *near = f >= 0 ? k->names[f] : nearest_name(v->s.p, k->names, k->nnames);
		problem_add(k->p, PROBLEM_ERROR, v, path, NULL, "a field of the schema",
			    near ? doc_printf(k->p, "did you mean \"%s\"?", near) : "");
		return;
	}
	for (uint32_t i = 0; i < k->n; i++) {
		if (k->key[i] == (uint32_t)f) {
			problem_add(k->p, PROBLEM_ERROR, v, path, NULL, "each field once", "remove the second one");
			return;
		}
	}
	if (k->n == KEY_FIELDS_MAX) {
		problem_add(k->p, PROBLEM_ERROR, v, path, NULL, "at most 32 fields", "");
		return;
	}
	if (k->schema)
		key_warnings(k, v, path, &k->schema->fields[f]);
	k->key[k->n++] = (uint32_t)f;
}

static void primary_key_parse(const struct json *root, struct problems *p, struct data_file *d)
{
	static const char path[] = "$.primary_key";
	const struct json *list = json_get(root, "primary_key");
	if (!list)
		return;
	if (list->type == JN_STRING) {
		problem_add(p, PROBLEM_ERROR, list, path, NULL, "a list of fields",
			    doc_printf(p, "write [\"%.100s\"]", list->s.p));
		return;
	}
	if (!doc_is_array(p, list, path, "a list of fields, or [] to append") || !json_get(root, "schema"))
		return;
	if (list->count > KEY_FIELDS_MAX) {
		problem_add(p, PROBLEM_ERROR, list, path, doc_printf(p, "%u entries", list->count), "at most 32 fields",
			    "");
		return;
	}
	struct key_parser k = {p, d->schema, NULL, 0, arena_array(p->arena, KEY_FIELDS_MAX, sizeof(uint32_t)), 0};
	if (!k.key || !names_collect(&k, json_get(root, "schema"))) {
		doc_no_memory(p);
		return;
	}
	uint32_t i = 0;
	for (const struct json *v = list->child; v; v = v->next, i++) {
		const char *at = doc_path_index(p, path, i);
		if (v->type == JN_ARRAY && i == 0 && v->count > 0) {
			uint32_t j = 0;
			for (const struct json *c = v->child; c; c = c->next, j++)
				key_column(&k, c, doc_path_index(p, at, j));
		} else if (v->type == JN_ARRAY) {
			problem_add(p, PROBLEM_ERROR, v, at, NULL,
				    i ? "the name of a field" : "a partition key of at least one field",
				    i ? "only the first entry may be a list: the partition key" : "");
		} else {
			key_column(&k, v, at);
		}
		if (i == 0)
			d->npartition = k.n;
	}
	d->key = k.key;
	d->nkey = k.n;
	if (d->schema && d->npartition == 1) {
		const struct field *f = &d->schema->fields[k.key[0]];
		if (f->type == AVRO_T_BOOLEAN || f->type == AVRO_T_ENUM)
			problem_add(p, PROBLEM_WARNING, list->child, doc_path_index(p, path, 0), NULL,
				    "a first entry with many different values",
				    doc_printf(p,
					       "it is the partition key: %u partitions at most would hold everything",
					       f->type == AVRO_T_BOOLEAN ? 2 : f->nsymbols));
	}
}

/* ---- size and pattern */

static void size_parse(const struct json *root, struct problems *p, struct data_file *d)
{
	static const char key[] = "max_file_size_mb", allowed[] = "a number of MiB above 0, for instance 50 or 0.5";
	struct span s;
	if (!doc_scalar(p, root, "$", key, allowed, &s))
		return;
	const struct json *v = json_get(root, key);
	struct quantity q;
	size_t plain = 0;
	while (plain < s.n && ((s.p[plain] >= '0' && s.p[plain] <= '9') || s.p[plain] == '.'))
		plain++;
	const char *why = quantity_parse(s, &q);
	if (plain < s.n && plain > 0 && v->type == JN_STRING) {
		problem_add(p, PROBLEM_ERROR, v, "$.max_file_size_mb", NULL, allowed,
			    doc_printf(p, "the unit is always MiB: write %.*s", (int)plain, s.p));
		return;
	}
	/* 2^53 bytes: every file system's limit is far below, and JSON keeps such numbers exactly. */
	__int128 bytes = why ? 0 : q.nano * MIB / 1000000000;
	if (bytes < 1 || bytes > (__int128)1 << 53) {
		problem_add(p, PROBLEM_ERROR, v, "$.max_file_size_mb", NULL, allowed, "");
		return;
	}
	d->max_file_size = (uint64_t)bytes;
}

static void pattern_parse(const struct json *root, struct problems *p, struct data_file *d)
{
	static const char key[] = "input.file.pattern";
	char why[160];
	const char *text = NULL;
	if (json_get(root, key)) {
		if (!doc_string(p, root, "$", key, &text))
			return;
		if (!pattern_compile(text, false, &d->regex, why)) {
			problem_add(p, PROBLEM_ERROR, json_get(root, key), doc_path(p, "$", key), NULL,
				    "a POSIX extended regular expression of at most 512 bytes for the whole name",
				    doc_printf(p, "%s", why));
			return;
		}
		d->pattern = text;
	} else {
		/* "A.CSV" is a csv file too: the default looks at no case. */
		if (!pattern_compile(default_pattern, true, &d->regex, why)) {
			doc_no_memory(p);
			return;
		}
		d->pattern = default_pattern;
	}
	d->regex_ready = true;
}

static struct data_file *parse(struct span text, struct arena *a, struct problems *p)
{
	unsigned before = p->errors;
	struct data_file *d = arena_alloc(a, sizeof *d);
	const struct json *root = doc_parse(p, text);
	if (!d)
		doc_no_memory(p);
	if (!d || !root ||
	    !doc_is_object(p, root, "$", "an object with name, file_type, key_space, schema, primary_key"))
		return NULL;
	if (json_get(root, "client") && !json_get(root, "schema")) {
		problem_add(p, PROBLEM_ERROR, root, "$", "a service agreement", "a data file configuration",
			    "the two documents seem to be swapped");
		return NULL;
	}
	doc_keys_check(p, root, "$", keys, ARRAY_LENGTH(keys));
	d->text = arena_span(a, text);
	if (!d->text.p)
		doc_no_memory(p);
	name_parse(root, p, d);
	file_type_parse(root, p, d);
	key_space_parse(root, p, d);
	const struct json *schema = json_get(root, "schema");
	if (schema)
		d->schema = schema_parse(schema, "$.schema", a, p);
	primary_key_parse(root, p, d);
	size_parse(root, p, d);
	csv_dialect_parse(root, p, &d->csv);
	pattern_parse(root, p, d);
	if (p->errors == before)
		return d;
	data_file_done(d);
	return NULL;
}

struct data_file *data_file_parse(struct span text, const char *document, struct arena *a, struct problems *p)
{
	struct problem **from = p->tail;
	p->document = document;
	struct data_file *d = parse(text, a, p);
	problems_sort(p, from);
	return d;
}

void data_file_done(struct data_file *d)
{
	if (!d || !d->regex_ready)
		return;
	regfree(&d->regex);
	d->regex_ready = false;
}

bool data_file_matches(const struct data_file *d, const char *name)
{
	return d->regex_ready && pattern_matches(&d->regex, name);
}
