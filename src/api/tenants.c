/* tenants.c: /v1/tenants: list, show, add and change with both documents, pause and resume, token, run now. */
#include "api/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/problems.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void write_app(struct jsonw *w, const struct app *app, const struct agreement *ag)
{
	static const char *const modes[] = {"batch", "streaming"};
	char text[160] = "";
	jsonw_begin(w, '{');
	jsonw_kstr(w, "name", app->name);
	jsonw_kstr(w, "mode", modes[app->mode]);
	if (app->has_schedule) {
		cron_describe(&app->schedule, text);
		jsonw_kstr(w, "schedule", app->schedule.text);
		jsonw_kstr(w, "means", text);
		jsonw_kstr(w, "time_zone", ag->time_zone);
		int64_t next = cron_next(&app->schedule, clock_now_us() / US_PER_S);
		write_time(w, "next", next == INT64_MAX ? 0 : next * US_PER_S);
	}
	jsonw_end(w, '}');
}

/* A tenant as listings and status show it; docs: also its documents. */
static enum err_code write_tenant(struct req *r, const struct catalog_tenant *t, bool docs, struct err *e)
{
	struct catalog_counts counts;
	struct catalog_run *runs;
	size_t nruns;
	enum err_code code = catalog_counts(r->api->o.catalog, t->id, &counts, e);
	if (!code)
		code = catalog_runs(r->api->o.catalog, t->id, 0, 1, &r->arena, &runs, &nruns, e);
	if (code)
		return code;
	struct problems p;
	problems_init(&p, "", &r->arena);
	struct documents d = {0};
	documents_parse(span_str(t->data_file), span_str(t->agreement), &r->arena, &p, &d);
	struct jsonw *w = &r->w;
	jsonw_begin(w, '{');
	jsonw_kstr(w, "id", t->id);
	jsonw_kstr(w, "tenant", t->id);
	jsonw_kbool(w, "paused", t->paused);
	if (d.agreement)
		jsonw_kbool(w, "suspended", d.agreement->suspend);
	jsonw_kint(w, "version", t->version);
	jsonw_kstr(w, "table", d.tables[0]);
	write_time(w, "created", t->created_us);
	write_time(w, "updated", t->updated_us);
	jsonw_key(w, "apps");
	jsonw_begin(w, '[');
	for (uint32_t i = 0; d.agreement && i < d.agreement->napps; i++)
		write_app(w, &d.agreement->apps[i], d.agreement);
	jsonw_end(w, ']');
	jsonw_key(w, "counts");
	write_counts(w, &counts);
	jsonw_key(w, "last_run");
	nruns ? write_run(w, &runs[0]) : jsonw_null(w);
	if (docs) {
		jsonw_kstr(w, "data_file", t->data_file);
		jsonw_kstr(w, "agreement", t->agreement);
	}
	jsonw_end(w, '}');
	documents_done(&d);
	return ERR_OK;
}

enum err_code api_write_tenants(struct req *r, struct err *e)
{
	struct catalog_tenant *t;
	size_t n;
	enum err_code code = catalog_tenants(r->api->o.catalog, &r->arena, &t, &n, e);
	if (code)
		return code;
	jsonw_begin(&r->w, '[');
	for (size_t i = 0; i < n && !code; i++)
		if (auth_may_see(r, t[i].id))
			code = write_tenant(r, &t[i], false, e);
	jsonw_end(&r->w, ']');
	return code;
}

enum err_code api_tenants(struct req *r, struct err *e)
{
	struct catalog_tenant *t;
	size_t n, limit;
	const char *cursor = req_query(r, "cursor");
	enum err_code code = catalog_tenants(r->api->o.catalog, &r->arena, &t, &n, e);
	if (code)
		return code;
	const char *s = req_query(r, "limit");
	limit = s ? (size_t)strtoul(s, NULL, 10) : 100;
	if (limit < 1 || limit > 1000)
		return err_set(e, ERR_INVALID, "limit is \"%.40s\"; allowed is 1 to 1000", s ? s : "");
	const char *next = NULL;
	size_t shown = 0;
	jsonw_begin(&r->w, '{');
	jsonw_key(&r->w, "tenants");
	jsonw_begin(&r->w, '[');
	for (size_t i = 0; i < n && !code; i++) {
		if (!auth_may_see(r, t[i].id) || (cursor && strcmp(t[i].id, cursor) <= 0))
			continue;
		if (shown == limit) {
			next = t[i - 1].id;
			break;
		}
		shown++;
		code = write_tenant(r, &t[i], false, e);
	}
	jsonw_end(&r->w, ']');
	jsonw_kstr(&r->w, "next", next);
	jsonw_end(&r->w, '}');
	return code;
}

enum err_code api_tenant_get(struct req *r, struct err *e)
{
	struct catalog_tenant t = {0};
	enum err_code code = tenant_find(r, r->param[0], &t, e);
	return code ? code : write_tenant(r, &t, true, e);
}

/* A document of the request: a text (places in messages are then those of the file) or an object. */
static enum err_code document_of(struct req *r, const struct json *root, const char *key, struct span *ret,
				 struct err *e)
{
	const struct json *v = json_get(root, key);
	if (v && v->type == JN_STRING) {
		*ret = v->s;
		return ERR_OK;
	}
	if (!v || v->type != JN_OBJECT) {
		err_set(e, ERR_INVALID, "member \"%s\" is %s", key, v ? json_type_name(v->type) : "missing");
		return err_hint(
		    e, "send {\"data_file\": {...}, \"agreement\": {...}}: each document as an object, or as its text");
	}
	struct buf b;
	struct jsonw w;
	buf_init(&b, BODY_JSON_MAX);
	jsonw_init(&w, &b);
	w.pretty = true;
	jsonw_json(&w, v);
	char *copy = b.failed ? NULL : arena_strndup(&r->arena, b.p, b.n);
	*ret = (struct span){copy, b.n};
	buf_done(&b);
	return copy ? ERR_OK : err_oom(e);
}

enum err_code api_documents_of_body(struct req *r, const char *tenant, struct documents *ret, struct err *e)
{
	struct json *root = NULL;
	struct span df = {0}, ag = {0};
	struct problems *p = arena_alloc(&r->arena, sizeof *p);
	enum err_code code = req_json(r, &root, e);
	if (!code)
		code = document_of(r, root, "data_file", &df, e);
	if (!code)
		code = document_of(r, root, "agreement", &ag, e);
	if (code || !p)
		return code ? code : err_oom(e);
	problems_init(p, "data-file.json", &r->arena);
	r->problems = p;
	documents_parse(df, ag, &r->arena, p, ret);
	if (ret->agreement && strcmp(ret->agreement->client, tenant) != 0) {
		p->document = "service-agreement.json";
		problem_add(p, PROBLEM_ERROR, NULL, "$.client", ret->agreement->client,
			    arena_printf(&r->arena, "\"%s\", the tenant that the request names", tenant),
			    "a tenant's id is the client of its service agreement and does not change");
	}
	if (!p->errors)
		return ERR_OK;
	documents_done(ret);
	*ret = (struct documents){0};
	err_set(e, ERR_DOCUMENT, "the documents of tenant \"%s\" have %u error%s", tenant, p->errors,
		p->errors == 1 ? "" : "s");
	return err_hint(e, "each is listed with its place in problems; nothing was changed");
}

enum err_code api_tenant_put(struct req *r, struct err *e)
{
	const char *id = r->param[0], *wrong = tenant_id_check(id);
	if (wrong)
		return err_set(e, ERR_INVALID, "the tenant id \"%.80s\" is not allowed: %s", id, wrong);
	struct documents d = {0};
	enum err_code code = api_documents_of_body(r, id, &d, e);
	if (code)
		return code;
	struct catalog_tenant before = {0};
	bool existed = catalog_tenant_get(r->api->o.catalog, id, &r->arena, &before, NULL) == ERR_OK;
	int64_t version = 0;
	code = catalog_tenant_put(r->api->o.catalog, id, d.data_file_text.p, d.agreement_text.p, d.tables, &version, e);
	documents_done(&d);
	if (code)
		return code;
	bool changed = !existed || before.version != version;
	if (changed)
		log_info(existed ? "tenant changed" : "tenant added", LF("tenant", "%s", id),
			 LF("version", "%" PRId64, version));
	int64_t job = 0;
	if (existed && changed && strcmp(before.data_file, d.data_file_text.p) != 0)
		code = catalog_job_add(r->api->o.catalog, id, "rebuild", "{}", &job, e);
	if (code)
		return code;
	if (r->api->o.manager)
		manager_wake(r->api->o.manager);
	r->status = existed ? 200 : 201;
	r->location = existed ? NULL : arena_printf(&r->arena, "/v1/tenants/%s", id);
	struct jsonw *w = &r->w;
	jsonw_begin(w, '{');
	jsonw_kstr(w, "id", id);
	jsonw_kstr(w, "tenant", id);
	jsonw_kint(w, "version", version);
	jsonw_kbool(w, "changed", changed);
	jsonw_kbool(w, "added", !existed);
	write_id(w, "job", 'j', job);
	jsonw_key(w, "problems");
	problems_json(r->problems, w);
	jsonw_end(w, '}');
	return ERR_OK;
}

static enum err_code set_paused(struct req *r, bool paused, struct err *e)
{
	struct catalog_tenant t = {0};
	enum err_code code = tenant_find(r, r->param[0], &t, e);
	if (!code)
		code = catalog_tenant_pause(r->api->o.catalog, t.id, paused, e);
	if (code)
		return code;
	if (t.paused != paused)
		log_info(paused ? "tenant paused" : "tenant resumed", LF("tenant", "%s", t.id));
	if (r->api->o.manager)
		manager_wake(r->api->o.manager);
	jsonw_begin(&r->w, '{');
	jsonw_kstr(&r->w, "tenant", t.id);
	jsonw_kbool(&r->w, "paused", paused);
	jsonw_kstr(&r->w, "status",
		   paused ? "uploads are still taken; no run starts until it is resumed"
			  : "runs start again by their schedule");
	jsonw_end(&r->w, '}');
	return ERR_OK;
}

enum err_code api_tenant_pause(struct req *r, struct err *e)
{
	return set_paused(r, true, e);
}

enum err_code api_tenant_resume(struct req *r, struct err *e)
{
	return set_paused(r, false, e);
}

enum err_code api_tenant_token(struct req *r, struct err *e)
{
	struct catalog_tenant t = {0};
	char token[64];
	enum err_code code = tenant_find(r, r->param[0], &t, e);
	if (!code)
		code = token_new(r->api->o.catalog, t.id, token, e);
	if (code)
		return code;
	log_info("token made", LF("tenant", "%s", t.id));
	r->status = 201;
	jsonw_begin(&r->w, '{');
	jsonw_kstr(&r->w, "tenant", t.id);
	jsonw_kstr(&r->w, "token", token);
	jsonw_kstr(&r->w, "status", "shown this once; it replaces the tenant's token before it");
	jsonw_end(&r->w, '}');
	explicit_bzero(token, sizeof token);
	return ERR_OK;
}

enum err_code api_tenant_run(struct req *r, struct err *e)
{
	struct catalog_tenant t = {0};
	enum err_code code = tenant_find(r, r->param[0], &t, e);
	if (code)
		return code;
	const char *app = req_query(r, "app");
	if (!r->api->o.manager)
		return err_set(e, ERR_UNAVAILABLE, "no batchingestmanager runs here");
	int64_t run = 0;
	char reason[256] = "";
	code = manager_run_now(r->api->o.manager, t.id, app, &run, reason, e);
	if (code)
		return code;
	r->status = run ? 202 : 200;
	r->location = run ? arena_printf(&r->arena, "/v1/runs/r%" PRId64, run) : NULL;
	jsonw_begin(&r->w, '{');
	jsonw_kstr(&r->w, "tenant", t.id);
	write_id(&r->w, "run", 'r', run);
	jsonw_kbool(&r->w, "started", run != 0);
	jsonw_kstr(&r->w, "reason", reason);
	jsonw_end(&r->w, '}');
	return ERR_OK;
}
