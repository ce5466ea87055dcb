/*
 * worker_jobs.c: jobs that only a tenant's worker may do, because it alone writes the tenant's tables and quarantine:
 * replay, preview, propose, rebuild, and expire (retention's). Each ends with a JSON result or the error's text.
 */
#include "manager/worker.h"

#include "base/fd.h"
#include "base/log.h"
#include "manager/internal.h"
#include "sink/sqlite.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RESULT_MAX (4 << 20)
#define PREVIEW_FILES_MAX 1000

static enum err_code job_replay(struct worker_ctx *w, const struct json *params, struct jsonw *out, struct err *e)
{
	struct ingest_plan plan = worker_plan(w, &w->docs);
	struct ingest_target target = worker_target(w);
	struct quarantine_filter f = {
	    .output = json_get_int(params, "output", 0),
	    .rule = json_get_str(params, "rule", NULL),
	    .field = json_get_str(params, "field", NULL),
	};
	struct replay_result r = {0};
	bool dry_run = json_get_bool(params, "dry_run", false);
	enum err_code rc = ingest_replay(&plan, &target, &f, dry_run, &r, e);
	if (rc)
		return rc;
	jsonw_kint(out, "tried", (int64_t)r.tried);
	jsonw_kint(out, "passed", (int64_t)r.passed);
	jsonw_kint(out, "still_bad", (int64_t)r.still_bad);
	jsonw_kint(out, "delivered", (int64_t)r.delivered);
	jsonw_kbool(out, "dry_run", dry_run);
	return ERR_OK;
}

static enum err_code job_propose(struct worker_ctx *w, struct jsonw *out, struct err *e)
{
	struct proposal p = {0};
	enum err_code rc = ingest_propose(w->quarantine, w->docs.data_file, w->docs.quality, &w->arena, &p, e);
	if (rc)
		return rc;
	jsonw_kstr(out, "data_file", p.data_file);
	jsonw_key(out, "changes");
	jsonw_begin(out, '[');
	for (size_t i = 0; i < p.nchanges; i++) {
		const struct proposal_change *c = &p.changes[i];
		jsonw_begin(out, '{');
		jsonw_kstr(out, "field", c->field);
		jsonw_kstr(out, "from", c->from);
		jsonw_kstr(out, "to", c->to);
		jsonw_kstr(out, "because", c->because);
		jsonw_kint(out, "records", (int64_t)c->records);
		jsonw_end(out, '}');
	}
	jsonw_end(out, ']');
	jsonw_kint(out, "helped", (int64_t)p.helped);
	jsonw_kint(out, "left", (int64_t)p.left);
	return ERR_OK;
}

/* What is staged, and what waits for the gate. */
static enum err_code preview_paths(struct worker_ctx *w, const char **paths, size_t *ret_n, struct err *e)
{
	struct catalog_output *o;
	size_t n, k = 0;
	char *in = arena_printf(&w->arena, "%s/staging/%s/in", w->data, w->tenant);
	DIR *d = in ? opendir(in) : NULL;
	for (struct dirent *en; d && k < PREVIEW_FILES_MAX && (en = readdir(d));)
		if (en->d_name[0] != '.' && !(paths[k++] = path_join(&w->arena, in, en->d_name)))
			k--;
	if (d)
		closedir(d);
	enum err_code rc =
	    catalog_outputs(w->catalog, w->tenant, 1u << OUTPUT_WAITING, 0, PREVIEW_FILES_MAX, &w->arena, &o, &n, e);
	for (size_t i = 0; !rc && i < n && k < PREVIEW_FILES_MAX; i++)
		if (!(paths[k++] = path_output(&w->arena, w->data, w->tenant, o[i].id, o[i].name)))
			k--;
	*ret_n = k;
	return rc;
}

static void preview_write(struct jsonw *out, const struct preview_result *r)
{
	jsonw_kint(out, "files", (int64_t)r->files);
	jsonw_kint(out, "records", (int64_t)r->records);
	jsonw_kint(out, "accepted", (int64_t)r->accepted);
	jsonw_kint(out, "rejected", (int64_t)r->rejected);
	jsonw_kint(out, "quarantined", (int64_t)r->quarantined);
	jsonw_kint(out, "would_pass", (int64_t)r->would_pass);
	jsonw_key(out, "rules");
	jsonw_begin(out, '[');
	for (uint32_t i = 0; i < r->nrules; i++) {
		jsonw_begin(out, '{');
		jsonw_kstr(out, "rule", r->rules[i].rule);
		jsonw_kstr(out, "field", r->rules[i].field);
		jsonw_kint(out, "records", (int64_t)r->rules[i].records);
		jsonw_end(out, '}');
	}
	jsonw_end(out, ']');
}

static enum err_code job_preview(struct worker_ctx *w, const struct json *params, struct jsonw *out, struct err *e)
{
	struct worker_docs docs = {0};
	const char **paths = arena_array(&w->arena, PREVIEW_FILES_MAX + 1, sizeof *paths);
	struct preview_result *r = arena_alloc(&w->arena, sizeof *r);
	size_t n = 0;
	if (!paths || !r)
		return err_oom(e);
	enum err_code rc =
	    worker_docs_parse(&docs, json_get_str(params, "data_file", ""), json_get_str(params, "agreement", ""), e);
	if (!rc)
		rc = preview_paths(w, paths, &n, e);
	if (!rc) {
		struct ingest_plan plan = worker_plan(w, &docs);
		rc = ingest_preview(&plan, paths, n, w->quarantine, r, e);
	}
	if (!rc)
		preview_write(out, r);
	worker_docs_done(&docs);
	return rc;
}

/* prepare() has rebuilt the table if it differed; here only its size is told. */
static enum err_code job_rebuild(struct worker_ctx *w, struct jsonw *out, struct err *e)
{
	(void)e;
	jsonw_kstr(out, "table", w->docs.data_file->schema->name);
	jsonw_kint(out, "version", w->docs.version);
	return ERR_OK;
}

static enum err_code job_expire(struct worker_ctx *w, const struct json *params, struct jsonw *out, struct err *e)
{
	uint64_t n = 0;
	enum err_code rc = quarantine_expire(w->quarantine, json_get_int(params, "before_us", 0), &n, e);
	if (!rc)
		jsonw_kint(out, "erased", (int64_t)n);
	return rc;
}

static enum err_code dispatch(struct worker_ctx *w, const struct catalog_job *j, struct jsonw *out, struct err *e)
{
	struct json *params = NULL;
	const char *text = j->params && j->params[0] ? j->params : "{}";
	enum err_code rc = json_parse(span_str(text), &w->arena, &params, e);
	if (rc)
		return rc;
	if (!strcmp(j->kind, "replay"))
		return job_replay(w, params, out, e);
	if (!strcmp(j->kind, "propose"))
		return job_propose(w, out, e);
	if (!strcmp(j->kind, "preview"))
		return job_preview(w, params, out, e);
	if (!strcmp(j->kind, "rebuild"))
		return job_rebuild(w, out, e);
	if (!strcmp(j->kind, "expire"))
		return job_expire(w, params, out, e);
	return err_set(e, ERR_UNSUPPORTED, "there is no job of kind \"%.40s\"", j->kind);
}

enum err_code worker_job(struct worker_ctx *w, const struct catalog_job *j, struct err *e)
{
	struct buf b;
	struct jsonw out;
	struct err why = {0};
	buf_init(&b, RESULT_MAX);
	jsonw_init(&out, &b);
	log_info("job started", LF("tenant", "%s", w->tenant), LF("job", "j%" PRId64, j->id),
		 LF("kind", "%s", j->kind));
	jsonw_begin(&out, '{');
	enum err_code rc = dispatch(w, j, &out, &why);
	jsonw_end(&out, '}');
	if (rc == ERR_INTERRUPTED || rc == ERR_FENCED) { /* the next worker does it again */
		*e = why;
	} else {
		char text[1200];
		snprintf(text, sizeof text, "%s%s%s", why.msg, why.hint[0] ? "; " : "", why.hint);
		if (!rc && b.failed)
			snprintf(text, sizeof text, "the result is over %d bytes", RESULT_MAX);
		bool ok = !rc && !b.failed;
		log_event(ok ? LOG_INFO_ : LOG_WARN_, "job ended",
			  (struct log_field[]){LF("tenant", "%s", w->tenant), LF("job", "j%" PRId64, j->id),
					       LF("kind", "%s", j->kind), LF("ok", "%s", ok ? "yes" : "no"),
					       LF("result", "%.200s", ok ? buf_cstr(&b) : text)},
			  5);
		rc = catalog_job_end(w->catalog, j->id, ok, ok ? buf_cstr(&b) : text, e);
	}
	buf_done(&b);
	return rc;
}
