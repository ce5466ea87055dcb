/* schema_text.c: a schema in words and back as Avro JSON. */
#include "record/schema.h"

#include <stdio.h>

static const char *const type_names[] = {
    [AVRO_T_BOOLEAN] = "boolean", [AVRO_T_INT] = "int",	      [AVRO_T_LONG] = "long",
    [AVRO_T_FLOAT] = "float",	  [AVRO_T_DOUBLE] = "double", [AVRO_T_STRING] = "string",
    [AVRO_T_BYTES] = "bytes",	  [AVRO_T_FIXED] = "fixed",   [AVRO_T_ENUM] = "enum",
};

static const char *const logical_texts[] = {
    [LOGICAL_NONE] = "",
    [LOGICAL_DATE] = "date",
    [LOGICAL_TIME_MILLIS] = "time-millis",
    [LOGICAL_TIME_MICROS] = "time-micros",
    [LOGICAL_TIMESTAMP_MILLIS] = "timestamp-millis",
    [LOGICAL_TIMESTAMP_MICROS] = "timestamp-micros",
    [LOGICAL_DECIMAL] = "decimal",
    [LOGICAL_UUID] = "uuid",
};

const char *field_type_text(const struct field *f, char out[64])
{
	char detail[40] = "";
	if (f->logical == LOGICAL_DECIMAL)
		snprintf(detail, sizeof detail, " (decimal %u,%u)", f->precision, f->scale);
	else if (f->logical != LOGICAL_NONE)
		snprintf(detail, sizeof detail, " (%s)", logical_texts[f->logical]);
	else if (f->type == AVRO_T_FIXED)
		snprintf(detail, sizeof detail, " of %u bytes", f->fixed_size);
	else if (f->type == AVRO_T_ENUM)
		snprintf(detail, sizeof detail, " of %u symbols", f->nsymbols);
	snprintf(out, 64, "%s%s%s", f->nullable ? "union of null and " : "", type_names[f->type], detail);
	return out;
}

static void write_logical(const struct field *f, struct jsonw *w)
{
	if (f->logical == LOGICAL_NONE)
		return;
	jsonw_kstr(w, "logicalType", logical_texts[f->logical]);
	if (f->logical == LOGICAL_DECIMAL) {
		jsonw_kint(w, "precision", f->precision);
		jsonw_kint(w, "scale", f->scale);
	}
}

/* Avro wants a name for enum and fixed; ours are not kept, so the field gives one. */
static void write_type(const struct field *f, struct jsonw *w)
{
	bool named = f->type == AVRO_T_ENUM || f->type == AVRO_T_FIXED;
	if (f->logical == LOGICAL_NONE && !named) {
		jsonw_str(w, type_names[f->type]);
		return;
	}
	jsonw_begin(w, '{');
	jsonw_kstr(w, "type", type_names[f->type]);
	if (named) {
		char name[160];
		snprintf(name, sizeof name, "%s_t", f->name);
		jsonw_kstr(w, "name", name);
	}
	if (f->type == AVRO_T_FIXED)
		jsonw_kint(w, "size", f->fixed_size);
	if (f->type == AVRO_T_ENUM) {
		jsonw_key(w, "symbols");
		jsonw_begin(w, '[');
		for (uint32_t i = 0; i < f->nsymbols; i++)
			jsonw_str(w, f->symbols[i]);
		jsonw_end(w, ']');
	}
	write_logical(f, w);
	jsonw_end(w, '}');
}

static void write_field(const struct field *f, struct jsonw *w)
{
	jsonw_begin(w, '{');
	jsonw_kstr(w, "name", f->name);
	jsonw_key(w, "type");
	if (f->nullable) {
		jsonw_begin(w, '[');
		jsonw_str(w, "null");
		write_type(f, w);
		jsonw_end(w, ']');
	} else if (f->type == AVRO_T_STRING) {
		/* Beside the type, as tenants write it. */
		jsonw_str(w, "string");
		write_logical(f, w);
	} else {
		write_type(f, w);
	}
	jsonw_end(w, '}');
}

void schema_write(const struct schema *s, struct jsonw *w)
{
	jsonw_begin(w, '{');
	jsonw_kstr(w, "type", "record");
	jsonw_kstr(w, "name", s->name);
	if (s->ns && s->ns[0])
		jsonw_kstr(w, "namespace", s->ns);
	jsonw_key(w, "fields");
	jsonw_begin(w, '[');
	for (uint32_t i = 0; i < s->nfields; i++)
		write_field(&s->fields[i], w);
	jsonw_end(w, ']');
	jsonw_end(w, '}');
}
