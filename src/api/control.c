/*
 * control.c: DATA/control.sock: the ledger calls of workers (internal.h has what they are).
 *
 * A second libmicrohttpd server on a Unix socket of mode 0600. Nothing here is reachable over the network, and nothing
 * of the public interface is reachable here. Connections are kept by workers for their whole life, so there is no idle
 * timeout.
 */
#include "api/internal.h"
#include "api/listen.h"
#include "api/server.h"
#include "catalog/wire.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTROL_CONNECTIONS 1024u

struct call {
	struct buf body, answer;
};

static enum MHD_Result answer(struct MHD_Connection *mhd, struct call *k, const struct api *a, const char *path)
{
	struct err e = {0};
	enum err_code code;
	if (k->body.failed) {
		code = err_set(&e, ERR_TOO_BIG, "a call of a worker is longer than %zu bytes", INTERNAL_BODY_MAX);
		struct jsonw w;
		jsonw_init(&w, &k->answer);
		wire_error_write(&e, &w);
	} else {
		code = internal_call(a->o.catalog, path, (struct span){buf_cstr(&k->body), k->body.n}, &k->answer, &e);
	}
	struct MHD_Response *r =
	    MHD_create_response_from_buffer(k->answer.n, (void *)buf_cstr(&k->answer), MHD_RESPMEM_MUST_COPY);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", "application/json");
	enum MHD_Result ok = MHD_queue_response(mhd, code ? (unsigned)err_info(code)->http : 200, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result on_call(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
			       const char *version, const char *data, size_t *size, void **con)
{
	struct call *k = *con;
	(void)version;
	if (!k) {
		*con = k = calloc(1, sizeof *k);
		if (!k)
			return MHD_NO;
		buf_init(&k->body, INTERNAL_BODY_MAX);
		buf_init(&k->answer, WIRE_MAX + 4096);
		return MHD_YES;
	}
	if (*size) {
		buf_add(&k->body, data, *size);
		*size = 0;
		return MHD_YES;
	}
	return strcmp(method, "POST") == 0 ? answer(mhd, k, cls, url) : MHD_NO;
}

static void on_call_done(void *cls, struct MHD_Connection *mhd, void **con, enum MHD_RequestTerminationCode why)
{
	struct call *k = *con;
	(void)cls, (void)mhd, (void)why;
	if (!k)
		return;
	buf_done(&k->body);
	buf_done(&k->answer);
	free(k);
	*con = NULL;
}

enum err_code control_start(struct api *a, struct err *e)
{
	int fd;
	snprintf(a->socket_path, sizeof a->socket_path, "%s/control.sock", a->o.data);
	if (strlen(a->o.data) + strlen("/control.sock") >= sizeof a->socket_path)
		return err_set(e, ERR_CONFIG,
			       "the data directory's path \"%s\" is too long: a socket in it may have %zu bytes",
			       a->o.data, sizeof a->socket_path - 1);
	enum err_code code = listen_unix(a->socket_path, &fd, e);
	if (code)
		return code;
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC;
	a->control = MHD_start_daemon(flags, 0, NULL, NULL, on_call, a, MHD_OPTION_LISTEN_SOCKET, fd,
				      MHD_OPTION_CONNECTION_LIMIT, CONTROL_CONNECTIONS, MHD_OPTION_THREAD_STACK_SIZE,
				      (size_t)1 << 20, MHD_OPTION_NOTIFY_COMPLETED, on_call_done, NULL, MHD_OPTION_END);
	if (a->control)
		return ERR_OK;
	close(fd);
	return err_set(e, ERR_IO, "the control socket \"%s\" could not be served", a->socket_path);
}

void control_stop(struct api *a)
{
	if (!a->control)
		return;
	MHD_stop_daemon(a->control);
	unlink(a->socket_path);
}
