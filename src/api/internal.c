/* internal.c: routes under /internal/: one function a call of the ledger, and a table of them. */
#include "api/internal.h"

#include "catalog/guard.h"
#include "catalog/wire.h"

#include <string.h>

#define CALL_MEMORY ((size_t)128 << 20)

struct question {
	struct catalog *c; /* guarded: acts for the caller's tenant and epoch only */
	const struct json *body;
	struct arena *a;
	struct jsonw *w;
};

static enum err_code q_tenant_get(struct question *q, struct err *e)
{
	struct catalog_tenant t;
	enum err_code code = catalog_tenant_get(q->c, json_get_str(q->body, "id", ""), q->a, &t, e);
	if (!code)
		wire_tenant_write(&t, q->w);
	return code;
}

static enum err_code q_output_get(struct question *q, struct err *e)
{
	struct catalog_output o;
	enum err_code code = catalog_output_get(q->c, json_get_int(q->body, "id", 0), q->a, &o, e);
	if (!code)
		wire_output_write(&o, q->w);
	return code;
}

static enum err_code q_outputs(struct question *q, struct err *e)
{
	struct catalog_output *o;
	size_t n;
	enum err_code code = catalog_outputs(
	    q->c, json_get_str(q->body, "tenant", ""), (unsigned)json_get_int(q->body, "states", 0),
	    json_get_int(q->body, "run", 0), (size_t)json_get_int(q->body, "limit", 0), q->a, &o, &n, e);
	if (code)
		return code;
	jsonw_begin(q->w, '{');
	jsonw_key(q->w, "outputs");
	jsonw_begin(q->w, '[');
	for (size_t i = 0; i < n; i++)
		wire_output_write(&o[i], q->w);
	jsonw_end(q->w, ']');
	jsonw_end(q->w, '}');
	return ERR_OK;
}

static enum err_code q_output_versions(struct question *q, struct err *e)
{
	int64_t base;
	enum err_code code =
	    catalog_output_versions(q->c, json_get_int(q->body, "id", 0), json_get_str(q->body, "table", ""),
				    json_get_int(q->body, "rows", 0), &base, e);
	if (code)
		return code;
	jsonw_begin(q->w, '{');
	jsonw_kint(q->w, "base", base);
	jsonw_end(q->w, '}');
	return ERR_OK;
}

static enum err_code done(struct question *q, enum err_code code)
{
	if (!code)
		jsonw_raw(q->w, SPAN_LIT("{}"));
	return code;
}

static uint64_t count_of(const struct question *q, const char *key)
{
	int64_t v = json_get_int(q->body, key, 0);
	return v < 0 ? 0 : (uint64_t)v;
}

static enum err_code q_output_checked(struct question *q, struct err *e)
{
	const char *reason = wire_get_text(q->body, "reason", q->a), *verdict = wire_get_text(q->body, "verdict", q->a);
	if (!reason || !verdict)
		return err_oom(e);
	return done(q, catalog_output_checked(q->c, json_get_int(q->body, "id", 0), count_of(q, "records"),
					      count_of(q, "accepted"), count_of(q, "rejected"),
					      json_get_bool(q->body, "refused", false), reason, verdict, e));
}

static enum err_code q_delivery(struct question *q, struct err *e)
{
	return done(q, catalog_delivery(q->c, json_get_int(q->body, "id", 0), json_get_str(q->body, "sink", ""),
					count_of(q, "from"), count_of(q, "to"), count_of(q, "delivered"),
					count_of(q, "superseded"), count_of(q, "refused"), e));
}

static enum err_code q_output_done(struct question *q, struct err *e)
{
	const char *reason = wire_get_text(q->body, "reason", q->a);
	if (!reason)
		return err_oom(e);
	return done(q, catalog_output_done(q->c, json_get_int(q->body, "id", 0),
					   (enum output_state)json_get_int(q->body, "state", -1), reason, e));
}

static enum err_code q_output_replayed(struct question *q, struct err *e)
{
	return done(q, catalog_output_replayed(q->c, json_get_int(q->body, "id", 0), count_of(q, "gate"),
					       count_of(q, "sink"), e));
}

static enum err_code q_job_next(struct question *q, struct err *e)
{
	struct catalog_job j;
	enum err_code code = catalog_job_next(q->c, json_get_str(q->body, "tenant", ""), q->a, &j, e);
	if (!code)
		wire_job_write(&j, q->w);
	return code;
}

static enum err_code q_job_end(struct question *q, struct err *e)
{
	const char *result = wire_get_text(q->body, "result", q->a);
	if (!result)
		return err_oom(e);
	return done(
	    q, catalog_job_end(q->c, json_get_int(q->body, "id", 0), json_get_bool(q->body, "ok", false), result, e));
}

static enum err_code q_sync(struct question *q, struct err *e)
{
	return done(q, catalog_sync(q->c, e));
}

static const struct {
	const char *name;
	enum err_code (*answer)(struct question *q, struct err *e);
} calls[] = {
    {"tenant_get", q_tenant_get},
    {"output_get", q_output_get},
    {"outputs", q_outputs},
    {"output_versions", q_output_versions},
    {"output_checked", q_output_checked},
    {"delivery", q_delivery},
    {"output_done", q_output_done},
    {"output_replayed", q_output_replayed},
    {"job_next", q_job_next},
    {"job_end", q_job_end},
    {"sync", q_sync},
};

static enum err_code answer_call(struct catalog *c, const char *name, const struct json *body, struct arena *a,
				 struct jsonw *w, struct err *e)
{
	const char *tenant = json_get_str(body, "tenant", "");
	if (!tenant[0])
		return err_set(e, ERR_INVALID, "a worker's call names its tenant");
	struct catalog guarded;
	catalog_guard(c, tenant, json_get_int(body, "epoch", 0), &guarded);
	struct question q = {&guarded, body, a, w};
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].answer(&q, e);
	}
	return err_set(e, ERR_NOT_FOUND, "there is no call \"%.60s\"", name);
}

enum err_code internal_call(struct catalog *c, const char *path, struct span body, struct buf *answer, struct err *e)
{
	static const char prefix[] = "/internal/";
	struct err local = {0};
	struct arena a;
	struct jsonw w;
	struct json *root = NULL;
	buf_clear(answer);
	jsonw_init(&w, answer);
	arena_init(&a, CALL_MEMORY);
	enum err_code code;
	if (strncmp(path, prefix, sizeof prefix - 1) != 0)
		code = err_set(&local, ERR_NOT_FOUND, "\"%.60s\" is no path of this socket", path);
	else if (!(code = json_parse(body, &a, &root, &local)))
		code = answer_call(c, path + sizeof prefix - 1, root, &a, &w, &local);
	if (!code && answer->failed)
		code = err_set(&local, ERR_LIMIT, "the answer to %s is too long", path);
	if (code) {
		buf_clear(answer);
		jsonw_init(&w, answer);
		wire_error_write(&local, &w);
		if (e)
			*e = local;
	}
	arena_done(&a);
	return code;
}
