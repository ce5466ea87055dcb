/* quarantine_json.c: a quarantined record as JSON. */
#include "base/clock.h"
#include "ingest/quarantine.h"
#include "record/utf8.h"

#include <inttypes.h>
#include <stdio.h>

static void write_id(struct jsonw *w, const char *key, char letter, int64_t id)
{
	char text[24];
	snprintf(text, sizeof text, "%c%" PRId64, letter, id);
	jsonw_kstr(w, key, id ? text : NULL);
}

static void write_hex(struct jsonw *w, struct span raw)
{
	static const char hex[] = "0123456789abcdef";
	struct buf b;
	buf_init(&b, 2 * raw.n);
	for (size_t i = 0; i < raw.n; i++) {
		unsigned char c = (unsigned char)raw.p[i];
		buf_char(&b, hex[c >> 4]);
		buf_char(&b, hex[c & 15]);
	}
	w->b->failed |= b.failed;
	jsonw_kstr(w, "raw_hex", buf_cstr(&b));
	buf_done(&b);
}

void quarantine_entry_write(const struct quarantine_entry *en, struct jsonw *w)
{
	char at[40];
	jsonw_begin(w, '{');
	write_id(w, "id", 'q', en->id);
	write_id(w, "output", 'o', en->output);
	jsonw_kstr(w, "file", en->file);
	jsonw_kint(w, "row", (int64_t)en->row);
	jsonw_kint(w, "line", (int64_t)en->line);
	jsonw_kint(w, "column", en->column);
	jsonw_kint(w, "offset", (int64_t)en->offset);
	jsonw_kstr(w, "stage", en->stage);
	jsonw_kstr(w, "rule", en->rule);
	jsonw_kstr(w, "field", en->field);
	jsonw_kstr(w, "reason", en->reason);
	jsonw_key(w, "header");
	jsonw_span(w, en->header);
	jsonw_key(w, "raw");
	jsonw_span(w, en->raw);
	if (utf8_valid_prefix(en->raw.p, en->raw.n) < en->raw.n)
		write_hex(w, en->raw);
	jsonw_kbool(w, "cut", en->cut);
	jsonw_kstr(w, "state", en->state);
	jsonw_kstr(w, "at", rfc3339(en->at_us, at));
	jsonw_key(w, "source");
	if (en->source_line) {
		jsonw_begin(w, '{');
		write_id(w, "file", 'f', en->source_file);
		jsonw_kint(w, "line", (int64_t)en->source_line);
		jsonw_end(w, '}');
	} else {
		jsonw_null(w);
	}
	jsonw_end(w, '}');
}
