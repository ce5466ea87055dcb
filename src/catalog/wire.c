/* wire.c: ledger structs as JSON, for remote.c and the control plane's side of it. */
#include "catalog/wire.h"

#include "record/utf8.h"

#include <stdio.h>
#include <string.h>

/* ---- text */

void wire_text(struct jsonw *w, const char *key, const char *s)
{
	if (!s || utf8_valid_prefix(s, strlen(s)) == strlen(s)) {
		jsonw_kstr(w, key, s ? s : "");
		return;
	}
	char hex[2 * 4096 + 1];
	size_t n = 0;
	for (; n < 4096 && s[n]; n++)
		snprintf(hex + 2 * n, 3, "%02x", (unsigned char)s[n]);
	jsonw_key(w, key);
	jsonw_begin(w, '{');
	jsonw_kstr(w, "hex", hex);
	jsonw_end(w, '}');
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

const char *wire_get_text(const struct json *v, const char *key, struct arena *a)
{
	const struct json *m = json_get(v, key);
	if (m && m->type == JN_STRING)
		return arena_strndup(a, m->s.p, m->s.n);
	const struct json *hex = json_get(m, "hex");
	if (!hex || hex->type != JN_STRING)
		return arena_strdup(a, "");
	char *out = arena_alloc(a, hex->s.n / 2 + 1);
	for (size_t i = 0; out && i < hex->s.n / 2; i++)
		out[i] = (char)(nibble(hex->s.p[2 * i]) << 4 | nibble(hex->s.p[2 * i + 1]));
	return out;
}

/* ---- structs */

void wire_tenant_write(const struct catalog_tenant *t, struct jsonw *w)
{
	jsonw_begin(w, '{');
	jsonw_kstr(w, "id", t->id);
	jsonw_kint(w, "created_us", t->created_us);
	jsonw_kint(w, "updated_us", t->updated_us);
	jsonw_kbool(w, "paused", t->paused);
	jsonw_kint(w, "version", t->version);
	wire_text(w, "data_file", t->data_file);
	wire_text(w, "agreement", t->agreement);
	jsonw_end(w, '}');
}

enum err_code wire_tenant_read(const struct json *v, struct arena *a, struct catalog_tenant *ret, struct err *e)
{
	*ret = (struct catalog_tenant){
	    .id = wire_get_text(v, "id", a),
	    .created_us = json_get_int(v, "created_us", 0),
	    .updated_us = json_get_int(v, "updated_us", 0),
	    .paused = json_get_bool(v, "paused", false),
	    .version = json_get_int(v, "version", 0),
	    .data_file = wire_get_text(v, "data_file", a),
	    .agreement = wire_get_text(v, "agreement", a),
	};
	return ret->id && ret->data_file && ret->agreement ? ERR_OK : err_oom(e);
}

void wire_output_write(const struct catalog_output *o, struct jsonw *w)
{
	jsonw_begin(w, '{');
	jsonw_kint(w, "id", o->id);
	jsonw_kint(w, "run", o->run);
	jsonw_kstr(w, "tenant", o->tenant);
	wire_text(w, "name", o->name);
	wire_text(w, "source", o->source);
	jsonw_kint(w, "size", (int64_t)o->size);
	jsonw_kstr(w, "sha256", o->sha256);
	jsonw_kint(w, "state", o->state);
	wire_text(w, "reason", o->reason);
	jsonw_kint(w, "version_base", o->version_base);
	jsonw_kint(w, "version_rows", o->version_rows);
	jsonw_kstr(w, "table", o->table);
	jsonw_kint(w, "document_version", o->document_version);
	jsonw_kint(w, "records", (int64_t)o->records);
	jsonw_kint(w, "accepted", (int64_t)o->accepted);
	jsonw_kint(w, "rejected", (int64_t)o->rejected);
	jsonw_kint(w, "delivered", (int64_t)o->delivered);
	jsonw_kint(w, "superseded", (int64_t)o->superseded);
	jsonw_kint(w, "refused_by_sink", (int64_t)o->refused_by_sink);
	wire_text(w, "verdict", o->verdict);
	jsonw_kint(w, "created_us", o->created_us);
	jsonw_kint(w, "updated_us", o->updated_us);
	jsonw_end(w, '}');
}

enum err_code wire_output_read(const struct json *v, struct arena *a, struct catalog_output *ret, struct err *e)
{
	*ret = (struct catalog_output){
	    .id = json_get_int(v, "id", 0),
	    .run = json_get_int(v, "run", 0),
	    .tenant = wire_get_text(v, "tenant", a),
	    .name = wire_get_text(v, "name", a),
	    .source = wire_get_text(v, "source", a),
	    .size = (uint64_t)json_get_int(v, "size", 0),
	    .sha256 = wire_get_text(v, "sha256", a),
	    .state = (enum output_state)json_get_int(v, "state", 0),
	    .reason = wire_get_text(v, "reason", a),
	    .version_base = json_get_int(v, "version_base", 0),
	    .version_rows = json_get_int(v, "version_rows", 0),
	    .table = wire_get_text(v, "table", a),
	    .document_version = json_get_int(v, "document_version", 0),
	    .records = (uint64_t)json_get_int(v, "records", 0),
	    .accepted = (uint64_t)json_get_int(v, "accepted", 0),
	    .rejected = (uint64_t)json_get_int(v, "rejected", 0),
	    .delivered = (uint64_t)json_get_int(v, "delivered", 0),
	    .superseded = (uint64_t)json_get_int(v, "superseded", 0),
	    .refused_by_sink = (uint64_t)json_get_int(v, "refused_by_sink", 0),
	    .verdict = wire_get_text(v, "verdict", a),
	    .created_us = json_get_int(v, "created_us", 0),
	    .updated_us = json_get_int(v, "updated_us", 0),
	};
	return ret->table && ret->tenant && ret->name && ret->source && ret->sha256 && ret->reason && ret->verdict
		   ? ERR_OK
		   : err_oom(e);
}

void wire_job_write(const struct catalog_job *j, struct jsonw *w)
{
	jsonw_begin(w, '{');
	jsonw_kint(w, "id", j->id);
	jsonw_kstr(w, "tenant", j->tenant ? j->tenant : "");
	jsonw_kstr(w, "kind", j->kind ? j->kind : "");
	wire_text(w, "params", j->params);
	jsonw_kint(w, "state", j->state);
	wire_text(w, "result", j->result);
	jsonw_kint(w, "created_us", j->created_us);
	jsonw_kint(w, "ended_us", j->ended_us);
	jsonw_end(w, '}');
}

enum err_code wire_job_read(const struct json *v, struct arena *a, struct catalog_job *ret, struct err *e)
{
	*ret = (struct catalog_job){
	    .id = json_get_int(v, "id", 0),
	    .tenant = wire_get_text(v, "tenant", a),
	    .kind = wire_get_text(v, "kind", a),
	    .params = wire_get_text(v, "params", a),
	    .state = (enum job_state)json_get_int(v, "state", 0),
	    .result = wire_get_text(v, "result", a),
	    .created_us = json_get_int(v, "created_us", 0),
	    .ended_us = json_get_int(v, "ended_us", 0),
	};
	return ret->tenant && ret->kind && ret->params && ret->result ? ERR_OK : err_oom(e);
}

/* ---- errors */

void wire_error_write(const struct err *e, struct jsonw *w)
{
	jsonw_begin(w, '{');
	jsonw_key(w, "error");
	jsonw_begin(w, '{');
	jsonw_kstr(w, "code", err_info(e->code)->name);
	wire_text(w, "message", e->msg);
	wire_text(w, "hint", e->hint);
	jsonw_kbool(w, "retriable", e->retriable);
	jsonw_end(w, '}');
	jsonw_end(w, '}');
}

bool wire_error_read(const struct json *v, struct err *ret)
{
	const struct json *error = json_get(v, "error");
	if (!error)
		return false;
	const char *name = json_get_str(error, "code", "internal");
	enum err_code code = ERR_INTERNAL;
	for (int i = 1; i < ERR_COUNT; i++) {
		if (strcmp(err_info((enum err_code)i)->name, name) == 0)
			code = (enum err_code)i;
	}
	err_set(ret, code, "%s", json_get_str(error, "message", "the control plane gave no reason"));
	err_hint(ret, "%s", json_get_str(error, "hint", ""));
	ret->retriable = json_get_bool(error, "retriable", false);
	return true;
}
