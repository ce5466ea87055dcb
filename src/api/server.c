/*
 * server.c: one request from libmicrohttpd's callbacks to its handler and back.
 *
 *   on_uri        the request line is here: make struct req
 *   on_request    first call: headers are here: Host, route, token; uploads are opened
 *                 next calls: pieces of the body
 *                 last call: run the handler, queue the answer
 *   on_completed  count, free; a body that was cut gets its 400 (or 408) here if somebody still listens
 */
#include "api/callbacks.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define IGNORED_BODY_MAX (64u << 10) /* of requests that need none */

static struct conn *conn_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

void *on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	struct req *r = req_new(cls, uri);
	if (r) {
		r->mhd = mhd;
		r->conn = conn_of(mhd);
		r->method = "";
	}
	return r;
}

static bool body_announced(const struct req *r)
{
	const char *length = req_header(r, "Content-Length");
	return req_header(r, "Transfer-Encoding") || (length && strtoull(length, NULL, 10) > 0);
}

static enum err_code begin(struct req *r, struct err *e)
{
	enum err_code code = req_parse_uri(r, e);
	if (!code)
		code = auth_host(r, e);
	if (!code)
		code = route_find(r, &r->allow, e);
	if (!code)
		code = auth_check(r, e);
	if (!code && r->route->body == BODY_UPLOAD)
		code = upload_begin(r, e);
	return code;
}

static enum err_code feed(struct req *r, const char *p, size_t n, struct err *e)
{
	r->received += n;
	if (r->route->body == BODY_UPLOAD)
		return upload_feed(r, p, n, e);
	bool wanted = r->route->body == BODY_JSON;
	size_t max = wanted ? BODY_JSON_MAX : IGNORED_BODY_MAX;
	if (r->received > max)
		return err_set(e, ERR_TOO_BIG, "the request's body is bigger than %zu bytes", max);
	if (wanted)
		buf_add(&r->body, p, n);
	return ERR_OK;
}

static void fail(struct req *r, const struct err *e)
{
	problem_answer(r, e);
	upload_free(r->upload); /* what is incomplete goes before the answer does */
	r->upload = NULL;
	if (r->status >= 500)
		log_err("request failed", e,
			(struct log_field[]){LF("request", "%s", r->id), LF("method", "%s", r->method),
					     LF("path", "%s", r->path ? r->path : ""), LF("status", "%d", r->status)},
			4);
	else
		log_debug("request refused", LF("request", "%s", r->id), LF("method", "%s", r->method),
			  LF("path", "%s", r->path ? r->path : ""), LF("status", "%d", r->status),
			  LF("detail", "%s", e->msg));
}

static enum MHD_Result first_call(struct req *r, const char *method)
{
	struct err e = {0};
	r->started = true;
	if (r->conn)
		atomic_store(&r->conn->waiting_since_ns, 0);
	r->method = arena_strdup(&r->arena, method);
	if (!r->method)
		return MHD_NO;
	r->expects_body = body_announced(r);
	if (begin(r, &e) == ERR_OK)
		return MHD_YES;
	fail(r, &e);
	r->failed = true;
	return r->expects_body ? reply_now(r) : MHD_YES;
}

enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
			   const char *version, const char *data, size_t *size, void **con)
{
	struct req *r = *con;
	struct err e = {0};
	(void)cls, (void)mhd, (void)url, (void)version;
	if (!r)
		return MHD_NO;
	if (!r->started)
		return first_call(r, method);
	if (*size) {
		size_t n = *size;
		*size = 0;
		if (feed(r, data, n, &e) == ERR_OK)
			return MHD_YES;
		fail(r, &e);
		return reply_now(r);
	}
	if (!r->failed && r->route->run(r, &e))
		fail(r, &e);
	return reply_queue(r);
}

/* The other side stopped in the middle of its body, or was too slow. It may have closed only its sending half. */
static void cut(struct req *r, enum MHD_RequestTerminationCode why)
{
	struct err e = {0};
	if (why == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED) {
		err_set(&e, ERR_TIMEOUT, "nothing more of the request arrived for too long");
		r->status = 408;
	} else {
		err_set(&e, ERR_INVALID, "the body was cut after %llu bytes", (unsigned long long)r->received);
		err_hint(&e, "nothing of it was kept; send it again");
	}
	fail(r, &e);
	reply_last_words(r);
}

void on_completed(void *cls, struct MHD_Connection *mhd, void **con, enum MHD_RequestTerminationCode why)
{
	struct req *r = *con;
	(void)cls;
	struct conn *c = conn_of(mhd);
	if (r) {
		if (!r->answered && why != MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN &&
		    why != MHD_REQUEST_TERMINATED_COMPLETED_OK)
			cut(r, why);
		count_request(r);
		req_free(r);
		*con = NULL;
	}
	if (c)
		atomic_store(&c->waiting_since_ns, clock_mono_ns());
}

void on_connection(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode what)
{
	struct api *a = cls;
	struct conn *c = *context;
	pthread_mutex_lock(&a->lock);
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
		c = calloc(1, sizeof *c);
		if (c && info) {
			c->fd = info->connect_fd;
			atomic_store(&c->waiting_since_ns, clock_mono_ns());
			c->next = a->conns;
			if (a->conns)
				a->conns->prev = c;
			a->conns = c;
		}
		*context = c;
	} else if (c) {
		if (c->prev)
			c->prev->next = c->next;
		else
			a->conns = c->next;
		if (c->next)
			c->next->prev = c->prev;
		free(c);
		*context = NULL;
	}
	pthread_mutex_unlock(&a->lock);
}

/* Headers that drip in a byte at a time keep libmicrohttpd's idle clock at bay; this one looks at the whole. */
void *watch_connections(void *cls)
{
	struct api *a = cls;
	pthread_mutex_lock(&a->lock);
	while (!atomic_load(&a->stopping)) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
		pthread_cond_timedwait(&a->tick, &a->lock, &until);
		int64_t now = clock_mono_ns();
		for (struct conn *c = a->conns; c; c = c->next) {
			int64_t since = atomic_load(&c->waiting_since_ns);
			if (since && now - since > a->header_timeout_ns)
				shutdown(c->fd, SHUT_RDWR);
		}
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}
