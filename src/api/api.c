/* api.c: the server's life: sockets, libmicrohttpd, the watchdog, draining and stopping. */
#include "api/api.h"

#include "api/callbacks.h"
#include "api/incoming.h"
#include "api/listen.h"
#include "base/clock.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTION_MEMORY (96u << 10) /* libmicrohttpd's buffer of one connection: headers, pieces of bodies */
#define THREAD_STACK (1u << 20)
#define DRAIN_STEP_US 20000

uint64_t api_min_free(const struct api *a, uint64_t total)
{
	return a->min_free < total / 20 ? a->min_free : total / 20;
}

static void mhd_log(void *cls, const char *fmt, va_list ap)
{
	char text[256];
	(void)cls;
	vsnprintf(text, sizeof text, fmt, ap);
	text[strcspn(text, "\r\n")] = 0;
	log_debug("http", LF("detail", "%s", text));
}

static struct MHD_Daemon *daemon_start(struct api *a, int fd)
{
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC |
			 MHD_USE_ERROR_LOG;
	return MHD_start_daemon(
	    flags, 0, NULL, NULL, on_request, a, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL, MHD_OPTION_LISTEN_SOCKET,
	    fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned)conf_int(a->o.conf, "api.max_connections"), MHD_OPTION_CONNECTION_TIMEOUT,
	    (unsigned)a->body_idle_s, MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK, MHD_OPTION_URI_LOG_CALLBACK,
	    on_uri, a, MHD_OPTION_NOTIFY_COMPLETED, on_completed, a, MHD_OPTION_NOTIFY_CONNECTION, on_connection, a,
	    MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

static enum err_code start_http(struct api *a, struct err *e)
{
	struct listener l;
	enum err_code code = listen_tcp(conf_str(a->o.conf, "api.listen"), (int)conf_int(a->o.conf, "api.port"), &l, e);
	if (code)
		return code;
	a->loopback = l.loopback;
	memcpy(a->url, l.url, sizeof a->url);
	if (a->o.no_auth && !l.loopback) {
		close(l.fd);
		err_set(e, ERR_CONFIG, "--no-auth is possible on a loopback address only, not on \"%s\"",
			conf_str(a->o.conf, "api.listen"));
		return err_hint(e, "leave --no-auth out, or listen on 127.0.0.1");
	}
	a->http = daemon_start(a, l.fd);
	if (a->http)
		return ERR_OK;
	close(l.fd);
	return err_set(e, ERR_IO, "the HTTP server did not start on %s", l.url);
}

static enum err_code start_parts(struct api *a, struct err *e)
{
	enum err_code code = incoming_recover(a, e);
	if (!code)
		code = control_start(a, e);
	if (!code)
		code = start_http(a, e);
	if (code)
		return code;
	if (pthread_create(&a->watchdog, NULL, watch_connections, a))
		return err_set(e, ERR_MEMORY, "a thread could not be started");
	a->watchdog_started = true;
	if (a->o.no_auth)
		log_warn("requests need no token: everybody on this machine may do everything",
			 LF("url", "%s", a->url));
	return ERR_OK;
}

enum err_code api_start(const struct api_options *o, struct api **ret, struct err *e)
{
	struct api *a = calloc(1, sizeof *a);
	if (!a)
		return err_oom(e);
	a->o = *o;
	a->started_us = clock_now_us();
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->tick, NULL);
	a->header_timeout_ns = conf_int(o->conf, "api.header_timeout") * INT64_C(1000000000);
	a->body_idle_s = conf_int(o->conf, "api.idle_timeout");
	a->max_upload = (uint64_t)conf_int(o->conf, "api.max_upload");
	a->min_free = (uint64_t)conf_int(o->conf, "upload.min_free");
	a->max_uploads = (int)conf_int(o->conf, "upload.max_parallel");
	a->max_files_per_request = (int)conf_int(o->conf, "upload.max_files");
	signal(SIGPIPE, SIG_IGN);
	enum err_code code = start_parts(a, e);
	if (code) {
		api_stop(a);
		return code;
	}
	*ret = a;
	return ERR_OK;
}

const char *api_url(const struct api *a)
{
	return a->url;
}

void api_drain(struct api *a)
{
	atomic_store(&a->draining, true);
}

/* Uploads under way may end; they have as long as a run has. */
static void wait_uploads(struct api *a)
{
	int64_t until = clock_mono_ns() + conf_int(a->o.conf, "shutdown.grace") * INT64_C(1000000000);
	while (atomic_load(&a->active_uploads) && clock_mono_ns() < until)
		usleep(DRAIN_STEP_US);
}

void api_stop(struct api *a)
{
	if (!a)
		return;
	if (atomic_exchange(&a->draining, true))
		wait_uploads(a);
	atomic_store(&a->stopping, true);
	if (a->watchdog_started) {
		pthread_mutex_lock(&a->lock);
		pthread_cond_signal(&a->tick);
		pthread_mutex_unlock(&a->lock);
		pthread_join(a->watchdog, NULL);
	}
	if (a->http)
		MHD_stop_daemon(a->http);
	control_stop(a);
	pthread_cond_destroy(&a->tick);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
