/*
 * remote.c: the ledger as a worker sees it: the calls marked [worker] over the control plane's Unix socket.
 *
 * Each call is one POST of a small JSON object to /internal/NAME (api/internal.c answers); tenant and epoch go along
 * and are checked over there. libcurl keeps one connection. Nothing is retried here: a control plane that is away is
 * ERR_UNAVAILABLE and retriable, and the engine decides how long to wait.
 */
#include "base/json.h"
#include "catalog/ops.h"
#include "catalog/wire.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_S 5L
#define CALL_TIMEOUT_S 60L

struct remote {
	struct catalog catalog;
	pthread_mutex_t lock; /* of curl */
	CURL *curl;
	struct curl_slist *headers;
	char *socket, *tenant;
	int64_t epoch;
};

/* One question and its answer. */
struct call {
	struct buf body, reply;
	struct jsonw w;
	struct arena arena;
	struct json *answer;
};

static void call_begin(struct catalog *c, struct call *k)
{
	*k = (struct call){0};
	buf_init(&k->body, WIRE_MAX);
	buf_init(&k->reply, WIRE_MAX);
	arena_init(&k->arena, 4 * (size_t)WIRE_MAX);
	jsonw_init(&k->w, &k->body);
	jsonw_begin(&k->w, '{');
	jsonw_kstr(&k->w, "tenant", c->remote->tenant);
	jsonw_kint(&k->w, "epoch", c->remote->epoch);
}

static void call_done(struct call *k)
{
	buf_done(&k->body);
	buf_done(&k->reply);
	arena_done(&k->arena);
}

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
	struct buf *b = ctx;
	buf_add(b, p, size * n);
	return b->failed ? 0 : size * n;
}

static enum err_code transport_error(const struct remote *r, CURLcode rc, const char *path, struct err *e)
{
	if (rc == CURLE_OUT_OF_MEMORY)
		return err_oom(e);
	if (rc == CURLE_WRITE_ERROR)
		return err_set(e, ERR_LIMIT, "the control plane's answer to %s is longer than %u bytes", path,
			       WIRE_MAX);
	err_set(e, ERR_UNAVAILABLE, "the control plane at \"%s\" does not answer %s: %s", r->socket, path,
		curl_easy_strerror(rc));
	if (e)
		e->retriable = true;
	return err_hint(e, "check that mysimbdp serve is running");
}

/* An answer that is no JSON of ours (a proxy, a starting server): judge by its status. */
static enum err_code status_error(long status, const char *path, struct err *e)
{
	enum err_code code = status == 404 ? ERR_UNSUPPORTED : status >= 500 ? ERR_UNAVAILABLE : ERR_INTERNAL;
	err_set(e, code, "the control plane answered %s with status %ld", path, status);
	if (e)
		e->retriable = code == ERR_UNAVAILABLE;
	return code;
}

static enum err_code call_perform(struct remote *r, struct call *k, const char *path, long *ret_status, struct err *e)
{
	char url[256];
	snprintf(url, sizeof url, "http://control%s", path);
	pthread_mutex_lock(&r->lock);
	curl_easy_setopt(r->curl, CURLOPT_URL, url);
	curl_easy_setopt(r->curl, CURLOPT_POSTFIELDS, buf_cstr(&k->body));
	curl_easy_setopt(r->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)k->body.n);
	curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, &k->reply);
	CURLcode rc = curl_easy_perform(r->curl);
	curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, ret_status);
	pthread_mutex_unlock(&r->lock);
	return rc == CURLE_OK ? ERR_OK : transport_error(r, rc, path, e);
}

static enum err_code call_send(struct catalog *c, struct call *k, const char *path, struct err *e)
{
	long status = 0;
	jsonw_end(&k->w, '}');
	if (k->body.failed)
		return err_set(e, ERR_LIMIT, "the question %s to the control plane is too long", path);
	enum err_code code = call_perform(c->remote, k, path, &status, e);
	if (code)
		return code;
	struct err parse, said;
	bool json = json_parse((struct span){k->reply.p, k->reply.n}, &k->arena, &k->answer, &parse) == ERR_OK;
	if (json && wire_error_read(k->answer, &said)) {
		if (e)
			*e = said;
		return said.code;
	}
	return json && status == 200 ? ERR_OK : status_error(status, path, e);
}

/* ---- calls */

static enum err_code remote_tenant_get(struct catalog *c, const char *id, struct arena *a, struct catalog_tenant *ret,
				       struct err *e)
{
	struct call k;
	struct catalog_tenant t;
	call_begin(c, &k);
	jsonw_kstr(&k.w, "id", id);
	enum err_code code = call_send(c, &k, "/internal/tenant_get", e);
	if (!code)
		code = wire_tenant_read(k.answer, a, &t, e);
	if (!code)
		*ret = t;
	call_done(&k);
	return code;
}

static enum err_code remote_output_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_output *ret,
				       struct err *e)
{
	struct call k;
	struct catalog_output o;
	call_begin(c, &k);
	jsonw_kint(&k.w, "id", id);
	enum err_code code = call_send(c, &k, "/internal/output_get", e);
	if (!code)
		code = wire_output_read(k.answer, a, &o, e);
	if (!code)
		*ret = o;
	call_done(&k);
	return code;
}

static enum err_code remote_outputs(struct catalog *c, const char *tenant, unsigned states, int64_t run, size_t limit,
				    struct arena *a, struct catalog_output **ret, size_t *ret_n, struct err *e)
{
	struct call k;
	call_begin(c, &k);
	jsonw_kstr(&k.w, "of", tenant);
	jsonw_kint(&k.w, "states", states);
	jsonw_kint(&k.w, "run", run);
	jsonw_kint(&k.w, "limit", (int64_t)limit);
	enum err_code code = call_send(c, &k, "/internal/outputs", e);
	const struct json *list = code ? NULL : json_get(k.answer, "outputs");
	size_t n = list ? list->count : 0, i = 0;
	struct catalog_output *o = code ? NULL : arena_array(a, n, sizeof *o);
	if (!code && !o)
		code = err_oom(e);
	for (const struct json *v = list ? list->child : NULL; !code && v; v = v->next)
		code = wire_output_read(v, a, &o[i++], e);
	if (!code) {
		*ret = o;
		*ret_n = n;
	}
	call_done(&k);
	return code;
}

static enum err_code remote_output_versions(struct catalog *c, int64_t id, const char *table, int64_t rows,
					    int64_t *ret_base, struct err *e)
{
	struct call k;
	call_begin(c, &k);
	jsonw_kint(&k.w, "id", id);
	jsonw_kstr(&k.w, "table", table);
	jsonw_kint(&k.w, "rows", rows);
	enum err_code code = call_send(c, &k, "/internal/output_versions", e);
	if (!code)
		*ret_base = json_get_int(k.answer, "base", 0);
	call_done(&k);
	return code;
}

static enum err_code remote_output_checked(struct catalog *c, int64_t id, uint64_t records, uint64_t accepted,
					   uint64_t rejected, bool refused, const char *reason,
					   const char *verdict_json, struct err *e)
{
	struct call k;
	call_begin(c, &k);
	jsonw_kint(&k.w, "id", id);
	jsonw_kint(&k.w, "records", (int64_t)records);
	jsonw_kint(&k.w, "accepted", (int64_t)accepted);
	jsonw_kint(&k.w, "rejected", (int64_t)rejected);
	jsonw_kbool(&k.w, "refused", refused);
	wire_text(&k.w, "reason", reason);
	wire_text(&k.w, "verdict", verdict_json);
	enum err_code code = call_send(c, &k, "/internal/output_checked", e);
	call_done(&k);
	return code;
}

static enum err_code remote_delivery(struct catalog *c, int64_t id, const char *sink, uint64_t from, uint64_t to,
				     uint64_t delivered, uint64_t superseded, uint64_t refused, struct err *e)
{
	struct call k;
	call_begin(c, &k);
	jsonw_kint(&k.w, "id", id);
	jsonw_kstr(&k.w, "sink", sink);
	jsonw_kint(&k.w, "from", (int64_t)from);
	jsonw_kint(&k.w, "to", (int64_t)to);
	jsonw_kint(&k.w, "delivered", (int64_t)delivered);
	jsonw_kint(&k.w, "superseded", (int64_t)superseded);
	jsonw_kint(&k.w, "refused", (int64_t)refused);
	enum err_code code = call_send(c, &k, "/internal/delivery", e);
	call_done(&k);
	return code;
}

static enum err_code remote_output_done(struct catalog *c, int64_t id, enum output_state state, const char *reason,
					struct err *e)
{
	struct call k;
	call_begin(c, &k);
	jsonw_kint(&k.w, "id", id);
	jsonw_kint(&k.w, "state", state);
	wire_text(&k.w, "reason", reason);
	enum err_code code = call_send(c, &k, "/internal/output_done", e);
	call_done(&k);
	return code;
}

static enum err_code remote_output_replayed(struct catalog *c, int64_t id, uint64_t gate, uint64_t sink, struct err *e)
{
	struct call k;
	call_begin(c, &k);
	jsonw_kint(&k.w, "id", id);
	jsonw_kint(&k.w, "gate", (int64_t)gate);
	jsonw_kint(&k.w, "sink", (int64_t)sink);
	enum err_code code = call_send(c, &k, "/internal/output_replayed", e);
	call_done(&k);
	return code;
}

static enum err_code remote_job_next(struct catalog *c, const char *tenant, struct arena *a, struct catalog_job *ret,
				     struct err *e)
{
	struct call k;
	struct catalog_job j;
	call_begin(c, &k);
	jsonw_kstr(&k.w, "of", tenant);
	enum err_code code = call_send(c, &k, "/internal/job_next", e);
	if (!code)
		code = wire_job_read(k.answer, a, &j, e);
	if (!code)
		*ret = j;
	call_done(&k);
	return code;
}

static enum err_code remote_job_end(struct catalog *c, int64_t id, bool ok, const char *result, struct err *e)
{
	struct call k;
	call_begin(c, &k);
	jsonw_kint(&k.w, "id", id);
	jsonw_kbool(&k.w, "ok", ok);
	wire_text(&k.w, "result", result);
	enum err_code code = call_send(c, &k, "/internal/job_end", e);
	call_done(&k);
	return code;
}

static enum err_code remote_sync(struct catalog *c, struct err *e)
{
	struct call k;
	call_begin(c, &k);
	enum err_code code = call_send(c, &k, "/internal/sync", e);
	call_done(&k);
	return code;
}

/* ---- opening */

static void remote_close(struct catalog *c)
{
	struct remote *r = c->remote;
	curl_easy_cleanup(r->curl);
	curl_slist_free_all(r->headers);
	pthread_mutex_destroy(&r->lock);
	free(r->socket);
	free(r->tenant);
	free(r);
}

static const struct catalog_ops remote_ops = {
    .name = "remote",
    .close = remote_close,
    .sync = remote_sync,
    .tenant_get = remote_tenant_get,
    .output_get = remote_output_get,
    .outputs = remote_outputs,
    .output_versions = remote_output_versions,
    .output_checked = remote_output_checked,
    .delivery = remote_delivery,
    .output_done = remote_output_done,
    .output_replayed = remote_output_replayed,
    .job_next = remote_job_next,
    .job_end = remote_job_end,
};

static bool curl_prepare(struct remote *r)
{
	r->curl = curl_easy_init();
	r->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!r->curl || !r->headers)
		return false;
	curl_easy_setopt(r->curl, CURLOPT_UNIX_SOCKET_PATH, r->socket);
	curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, r->headers);
	curl_easy_setopt(r->curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(r->curl, CURLOPT_POST, 1L);
	curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(r->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(r->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(r->curl, CURLOPT_TIMEOUT, CALL_TIMEOUT_S);
	curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_data);
	return true;
}

enum err_code catalog_open_remote(const char *socket_path, const char *tenant, int64_t epoch, struct catalog **ret,
				  struct err *e)
{
	struct remote *r = calloc(1, sizeof *r);
	if (!r)
		return err_oom(e);
	r->catalog = (struct catalog){.ops = &remote_ops, .remote = r};
	r->epoch = epoch;
	r->socket = strdup(socket_path);
	r->tenant = strdup(tenant);
	pthread_mutex_init(&r->lock, NULL);
	if (!r->socket || !r->tenant || !curl_prepare(r)) {
		catalog_close(&r->catalog);
		return err_oom(e);
	}
	*ret = &r->catalog;
	return ERR_OK;
}
