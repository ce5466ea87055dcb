/*
 * jobs.c: work on a tenant's tables that only its worker may do: propose, preview, replay. The answer is 202 with the
 * job's address; the worker picks it up, GET /v1/jobs/{job} tells how far it is.
 */
#include "api/server.h"

#include <inttypes.h>
#include <string.h>

static enum err_code add_job(struct req *r, const char *tenant, const char *kind, const char *params, struct err *e)
{
	struct catalog_job job = {0};
	int64_t id;
	enum err_code code = catalog_job_add(r->api->o.catalog, tenant, kind, params, &id, e);
	if (!code)
		code = catalog_job_get(r->api->o.catalog, id, &r->arena, &job, e);
	if (code)
		return code;
	if (r->api->o.manager)
		manager_wake(r->api->o.manager);
	r->status = 202;
	r->location = arena_printf(&r->arena, "/v1/jobs/j%" PRId64, id);
	write_job(&r->w, &job);
	return ERR_OK;
}

enum err_code api_tenant_proposal(struct req *r, struct err *e)
{
	struct catalog_tenant t = {0};
	enum err_code code = tenant_find(r, r->param[0], &t, e);
	return code ? code : add_job(r, t.id, "propose", "{}", e);
}

enum err_code api_tenant_preview(struct req *r, struct err *e)
{
	struct catalog_tenant t = {0};
	struct documents d = {0};
	enum err_code code = tenant_find(r, r->param[0], &t, e);
	if (!code)
		code = api_documents_of_body(r, t.id, &d, e);
	if (code)
		return code;
	documents_done(&d);
	struct buf b;
	struct jsonw w;
	buf_init(&b, 2 * BODY_JSON_MAX);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	jsonw_key(&w, "data_file");
	jsonw_span(&w, d.data_file_text);
	jsonw_key(&w, "agreement");
	jsonw_span(&w, d.agreement_text);
	jsonw_end(&w, '}');
	code = b.failed ? err_oom(e) : add_job(r, t.id, "preview", buf_cstr(&b), e);
	buf_done(&b);
	return code;
}

/* Only members that the job knows, with the type that it expects. */
static enum err_code replay_params(struct req *r, struct jsonw *w, struct err *e)
{
	struct json *root = NULL;
	if (r->body.n) {
		enum err_code code = req_json(r, &root, e);
		if (code)
			return code;
	}
	jsonw_begin(w, '{');
	for (const struct json *v = root ? root->child : NULL; v; v = v->next) {
		bool text = span_is(v->key, "rule") || span_is(v->key, "field");
		int64_t output;
		if (text && v->type == JN_STRING) {
			jsonw_kstr(w, v->key.p, v->s.p);
		} else if (span_is(v->key, "output") && v->type == JN_STRING && id_parse(v->s.p, 'o', &output)) {
			jsonw_kint(w, "output", output);
		} else if (span_is(v->key, "dry_run") && v->type == JN_BOOL) {
			jsonw_kbool(w, "dry_run", v->b);
		} else if (v->type != JN_NULL) {
			err_set(e, ERR_INVALID, "member \"%.40s\" is not known or has the wrong type", v->key.p);
			return err_hint(e, "allowed: {\"rule\": \"type\", \"field\": \"ONUID\", \"output\": \"o3\", "
					   "\"dry_run\": true}");
		}
	}
	jsonw_end(w, '}');
	return ERR_OK;
}

enum err_code api_tenant_replay(struct req *r, struct err *e)
{
	struct catalog_tenant t = {0};
	enum err_code code = tenant_find(r, r->param[0], &t, e);
	if (code)
		return code;
	struct buf b;
	struct jsonw w;
	buf_init(&b, BODY_JSON_MAX);
	jsonw_init(&w, &b);
	code = replay_params(r, &w, e);
	if (!code)
		code = b.failed ? err_oom(e) : add_job(r, t.id, "replay", buf_cstr(&b), e);
	buf_done(&b);
	return code;
}

enum err_code api_jobs_get(struct req *r, struct err *e)
{
	int64_t id;
	struct catalog_job job = {0};
	enum err_code code = ERR_NOT_FOUND;
	if (id_parse(r->param[0], 'j', &id))
		code = catalog_job_get(r->api->o.catalog, id, &r->arena, &job, e);
	if (code == ERR_NOT_FOUND || (!code && !auth_may_see(r, job.tenant)))
		return err_set(e, ERR_NOT_FOUND, "there is no job \"%.40s\"", r->param[0]);
	if (!code)
		write_job(&r->w, &job);
	return code;
}
