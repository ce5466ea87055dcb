/*
 * routes.c: the one table of routes. Dispatch, /endpoints, /openapi.json and docs/api.md all follow it (a test compares
 * the last), so what is documented is what is served.
 *
 * A new route is a line here, its handler's declaration in server.h and its function.
 */
#include "api/server.h"

#include <string.h>

#define PAGED                                                                                                          \
	{"limit", "rows in a page, 1 to 1000 (100)"},                                                                  \
	{                                                                                                              \
		"cursor", "`next` of the page before"                                                                  \
	}

static const struct route_query query_upload[] = {
    {"name", "file name of a raw body (also header X-File-Name or Content-Disposition)"}, {0}};
static const struct route_query query_files[] = {
    {"state", "only these states, with commas"}, {"name", "only this file name"}, PAGED, {0}};
static const struct route_query query_all_files[] = {{"tenant", "only this tenant"},
						     {"state", "only these states, with commas"},
						     {"name", "only this file name"},
						     PAGED,
						     {0}};
static const struct route_query query_paged[] = {PAGED, {0}};
static const struct route_query query_runs[] = {{"tenant", "only this tenant"}, PAGED, {0}};
static const struct route_query query_run[] = {{"app", "which app of the agreement (the first batch app)"}, {0}};
static const struct route_query query_quarantine[] = {{"tenant", "whose; a tenant's token may leave it out"},
						      {"rule", "only this rule"},
						      {"field", "only this field"},
						      {"file", "only this file that the gate read"},
						      {"output", "only this output, o12"},
						      {"state", "open (default), replayed or erased"},
						      PAGED,
						      {0}};

#define UPLOAD_ANSWERS                                                                                                 \
	"201 taken; 200 a repeat of the latest version of that name; 207 several files with different results; "       \
	"400 bad name, broken or cut body; 409 an earlier file of that name is still to be processed; 413 too big; "   \
	"415 no configuration takes such a file; 507 disk full"

const struct route routes[] = {
    {"POST", "/upload-file/{tenant_id}", ACCESS_TENANT, BODY_UPLOAD, api_upload, "uploadFile", "files",
     "Upload one or more files as a form, or one as a raw body with a name.", UPLOAD_ANSWERS, query_upload},
    {"POST", "/v1/upload-file/{tenant_id}", ACCESS_TENANT, BODY_UPLOAD, api_upload, "uploadFileV1", "files",
     "The same as POST /upload-file/{tenant_id}.", UPLOAD_ANSWERS, query_upload},
    {"GET", "/tenant/{tenant_id}", ACCESS_TENANT, BODY_NONE, api_tenant_files, "listTenantFiles", "files",
     "Files of the tenant in client-staging-input-directory, newest first; refused ones with the reason.",
     "200 {tenant, files[], next}", query_files},
    {"GET", "/v1/tenant/{tenant_id}", ACCESS_TENANT, BODY_NONE, api_tenant_files, "listTenantFilesV1", "files",
     "The same as GET /tenant/{tenant_id}.", "200 {tenant, files[], next}", query_files},
    {"GET", "/v1/files", ACCESS_TOKEN, BODY_NONE, api_files, "listFiles", "files",
     "Files of all tenants that the caller may see, newest first, also deleted and expired ones.",
     "200 {files[], next}", query_all_files},
    {"GET", "/v1/files/{file}", ACCESS_TOKEN, BODY_NONE, api_file_get, "getFile", "files",
     "One file with its time line and what was made of it.",
     "200 the file with events[] and outputs[]; 404 no such file", NULL},
    {"DELETE", "/v1/files/{file}", ACCESS_TOKEN, BODY_NONE, api_file_delete, "deleteFile", "files",
     "Forget a file before a run took it.", "200 the file, deleted; 404 no such file; 409 a run has or had it", NULL},

    {"GET", "/v1/tenants", ACCESS_TOKEN, BODY_NONE, api_tenants, "listTenants", "tenants",
     "Tenants that the caller may see, with files by state, last run and next run.", "200 {tenants[], next}",
     query_paged},
    {"GET", "/v1/tenants/{tenant}", ACCESS_TENANT, BODY_NONE, api_tenant_get, "getTenant", "tenants",
     "One tenant with its documents.", "200 the tenant; 404 unknown tenant", NULL},
    {"PUT", "/v1/tenants/{tenant}", ACCESS_ADMIN, BODY_JSON, api_tenant_put, "putTenant", "tenants",
     "Add a tenant or change its documents: {\"data_file\": ..., \"agreement\": ...}, each an object or its text.",
     "201 added; 200 changed, or the same as before; 409 a name is taken; 422 all problems of both documents", NULL},
    {"POST", "/v1/tenants/{tenant}/pause", ACCESS_TENANT, BODY_NONE, api_tenant_pause, "pauseTenant", "tenants",
     "Start no more runs; uploads are still taken.", "200 {tenant, paused}", NULL},
    {"POST", "/v1/tenants/{tenant}/resume", ACCESS_TENANT, BODY_NONE, api_tenant_resume, "resumeTenant", "tenants",
     "Start runs again.", "200 {tenant, paused}", NULL},
    {"POST", "/v1/tenants/{tenant}/token", ACCESS_ADMIN, BODY_NONE, api_tenant_token, "newTenantToken", "tenants",
     "Make the tenant's token; the one before is no longer valid.", "201 {tenant, token}, shown this once", NULL},
    {"POST", "/v1/tenants/{tenant}/run", ACCESS_TENANT, BODY_NONE, api_tenant_run, "runTenant", "runs",
     "Run the tenant's batch app now.", "202 {run, started}; 200 nothing was started, with the reason", query_run},
    {"POST", "/v1/tenants/{tenant}/proposal", ACCESS_TENANT, BODY_NONE, api_tenant_proposal, "proposeSchema",
     "quarantine", "Ask for a data file configuration that takes what is in quarantine; a job.", "202 the job", NULL},
    {"POST", "/v1/tenants/{tenant}/preview", ACCESS_TENANT, BODY_JSON, api_tenant_preview, "previewDocuments",
     "tenants", "Run the gate over staged and quarantined records with new documents, changing nothing; a job.",
     "202 the job; 422 all problems of both documents", NULL},
    {"POST", "/v1/tenants/{tenant}/quarantine/replay", ACCESS_TENANT, BODY_JSON, api_tenant_replay, "replayQuarantine",
     "quarantine", "Deliver what now passes: {\"rule\", \"field\", \"output\", \"dry_run\"}, all optional; a job.",
     "202 the job", NULL},
    {"GET", "/v1/jobs/{job}", ACCESS_TOKEN, BODY_NONE, api_jobs_get, "getJob", "quarantine",
     "How far a job is, and its result.", "200 {id, state, result}; 404 no such job", NULL},
    {"GET", "/v1/quarantine", ACCESS_TOKEN, BODY_NONE, api_quarantine, "listQuarantine", "quarantine",
     "Rejected records of a tenant, each verbatim with its place and reason, oldest first.",
     "200 {tenant, records[], counts[], next}", query_quarantine},

    {"GET", "/v1/runs", ACCESS_TOKEN, BODY_NONE, api_runs, "listRuns", "runs",
     "Runs, and why a run did not start, newest first.", "200 {runs[], next}", query_runs},
    {"GET", "/v1/runs/{run}", ACCESS_TOKEN, BODY_NONE, api_run_get, "getRun", "runs",
     "One run with its files and outputs.", "200 the run with files[] and outputs[]; 404 no such run", NULL},
    {"GET", "/v1/runs/{run}/output", ACCESS_TOKEN, BODY_NONE, api_run_output, "getRunOutput", "runs",
     "What the run printed (stdout and stderr).", "200 text; 404 no such run, or it printed nothing", NULL},

    {"GET", "/v1/status", ACCESS_TOKEN, BODY_NONE, api_status, "getStatus", "system",
     "Everything at a glance: the server, and each tenant that the caller may see.", "200 {server, tenants[]}", NULL},
    {"GET", "/ping", ACCESS_OPEN, BODY_NONE, api_ping, "ping", "system", "Is the process alive?", "200 always", NULL},
    {"GET", "/livez", ACCESS_OPEN, BODY_NONE, api_ping, "livez", "system", "The same as /ping.", "200 always", NULL},
    {"GET", "/ready", ACCESS_OPEN, BODY_NONE, api_ready, "ready", "system", "May requests be sent here?",
     "200 yes; 503 starting, draining, or a part does not answer", NULL},
    {"GET", "/readyz", ACCESS_OPEN, BODY_NONE, api_ready, "readyz", "system", "The same as /ready.", "200 yes; 503 no",
     NULL},
    {"GET", "/health", ACCESS_OPEN, BODY_NONE, api_health, "health", "system", "How each part is.",
     "200 healthy; 503 draining; 500 a part is sick", NULL},
    {"GET", "/healthz", ACCESS_OPEN, BODY_NONE, api_health, "healthz", "system", "The same as /health.",
     "200 healthy; 503 draining; 500 a part is sick", NULL},
    {"GET", "/metrics", ACCESS_METRICS, BODY_NONE, api_metrics, "metrics", "system",
     "Prometheus text; needs the administrator's token unless api.open_metrics is set.", "200 text", NULL},
    {"GET", "/version", ACCESS_OPEN, BODY_NONE, api_version, "version", "system", "Which mysimbdp is this?",
     "200 {version}", NULL},
    {"GET", "/openapi.json", ACCESS_OPEN, BODY_NONE, api_openapi, "openapi", "system", "This interface as OpenAPI 3.0.",
     "200 the document", NULL},
    {"GET", "/endpoints", ACCESS_OPEN, BODY_NONE, api_endpoints, "endpoints", "system",
     "All routes with one line each.", "200 {endpoints[]}", NULL},
    {"GET", "/", ACCESS_OPEN, BODY_NONE, api_root, "root", "system", "Where to begin.", "200 text", NULL},
};
const size_t nroutes = sizeof routes / sizeof *routes;

/* Does path fit pattern? Segments in braces are decoded into param. */
static bool fits(struct req *r, const char *pattern, const char *path, const char *param[PATH_PARAMS_MAX],
		 bool *ret_bad)
{
	size_t n = 0;
	for (; *pattern || *path; pattern++, path++) {
		if (*pattern == '{') {
			size_t len = strcspn(path, "/");
			if (!len || n == PATH_PARAMS_MAX)
				return false;
			param[n] = url_unescape(&r->arena, path, len, false);
			*ret_bad |= !param[n++];
			pattern += strcspn(pattern, "}");
			path += len - 1;
		} else if (*pattern != *path) {
			return false;
		}
	}
	return true;
}

enum err_code route_find(struct req *r, const char **ret_allow, struct err *e)
{
	struct buf allow;
	size_t len = strlen(r->path);
	const char *path = len > 1 && r->path[len - 1] == '/' ? arena_strndup(&r->arena, r->path, len - 1) : r->path;
	if (!path)
		return err_oom(e);
	buf_init(&allow, 256);
	for (size_t i = 0; i < nroutes; i++) {
		const char *param[PATH_PARAMS_MAX] = {NULL};
		bool bad = false;
		if (!fits(r, routes[i].path, path, param, &bad))
			continue;
		if (bad) {
			buf_done(&allow);
			err_set(e, ERR_INVALID,
				"the path has broken %% escapes, a NUL byte or bytes that are no UTF-8");
			return err_hint(e, "encode UTF-8 bytes as %%XX");
		}
		bool head = strcmp(r->method, "HEAD") == 0 && strcmp(routes[i].method, "GET") == 0;
		if (head || strcmp(routes[i].method, r->method) == 0) {
			buf_done(&allow);
			r->route = &routes[i];
			memcpy(r->param, param, sizeof param);
			return ERR_OK;
		}
		buf_printf(&allow, "%s%s", allow.n ? ", " : "", routes[i].method);
	}
	if (allow.n) {
		*ret_allow = arena_strdup(&r->arena, buf_cstr(&allow));
		err_set(e, ERR_INVALID, "%.10s is not possible on \"%.200s\"; allowed: %s", r->method, r->path,
			buf_cstr(&allow));
		r->status = 405;
	} else {
		err_set(e, ERR_NOT_FOUND, "there is nothing at \"%.200s\"", r->path);
		err_hint(e, "%s/endpoints lists all routes", r->api->url);
	}
	buf_done(&allow);
	return e ? e->code : ERR_NOT_FOUND;
}
