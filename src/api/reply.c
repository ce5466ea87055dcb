/*
 * reply.c: how an answer leaves.
 *
 * The ordinary way is libmicrohttpd's: queue it after the whole request was read; the connection stays open. When a
 * body is refused before its end (too big, no permission, broken), libmicrohttpd would close the socket with unread
 * bytes in it; the kernel then sends a reset, which may overtake the answer, and the client shows "connection reset"
 * in place of the reason. So we write such an answer ourselves, half-close, and read on for a while (nginx calls that
 * lingering close). A thread per connection makes that safe: nobody else uses the socket.
 */
#include "api/server.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_IDLE_MS 2000
#define LINGER_MS 20000
#define LINGER_BYTES (INT64_C(1) << 30)
#define WRITE_MS 5000

static const char *status_text(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 207:
		return "Multi-Status";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 422:
		return "Unprocessable Content";
	case 429:
		return "Too Many Requests";
	case 503:
		return "Service Unavailable";
	case 507:
		return "Insufficient Storage";
	default:
		return status < 500 ? "Error" : "Internal Server Error";
	}
}

/* What every answer carries; call is given each name and value. */
static void each_header(const struct req *r, void (*call)(void *ctx, const char *name, const char *value), void *ctx)
{
	char text[32];
	call(ctx, "Content-Type", r->content_type ? r->content_type : "application/json");
	call(ctx, "X-Request-Id", r->id);
	call(ctx, "X-Content-Type-Options", "nosniff");
	call(ctx, "Cache-Control", "no-store");
	if (r->location)
		call(ctx, "Location", r->location);
	if (r->status == 405 && r->allow)
		call(ctx, "Allow", r->allow);
	if (r->status == 401)
		call(ctx, "WWW-Authenticate", "Bearer realm=\"mysimbdp\"");
	if (r->retry_after_s) {
		snprintf(text, sizeof text, "%d", r->retry_after_s);
		call(ctx, "Retry-After", text);
	}
}

static void add_mhd(void *ctx, const char *name, const char *value)
{
	MHD_add_response_header(ctx, name, value);
}

static void add_text(void *ctx, const char *name, const char *value)
{
	buf_printf(ctx, "%s: %s\r\n", name, value);
}

static void finish_body(struct req *r)
{
	if (!r->status)
		r->status = 200;
	if (!r->content_type && r->out.n && r->out.p[r->out.n - 1] != '\n')
		buf_char(&r->out, '\n');
	if (r->out.failed) {
		buf_clear(&r->out);
		buf_str(&r->out,
			"{\"title\": \"Over a limit\", \"status\": 500, \"detail\": \"the answer is too big\"}\n");
		r->status = 500;
		r->content_type = "application/problem+json";
	}
}

enum MHD_Result reply_queue(struct req *r)
{
	finish_body(r);
	struct MHD_Response *resp =
	    MHD_create_response_from_buffer(r->out.n, (void *)buf_cstr(&r->out), MHD_RESPMEM_MUST_COPY);
	if (!resp)
		return MHD_NO;
	each_header(r, add_mhd, resp);
	enum MHD_Result ok = MHD_queue_response(r->mhd, (unsigned)r->status, resp);
	MHD_destroy_response(resp);
	r->answered = true;
	return ok;
}

static int socket_of(const struct req *r)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	return info ? info->connect_fd : -1;
}

/* False when the other side does not take it in time. */
static bool send_all(int fd, const char *p, size_t n)
{
	int64_t until = clock_mono_ns() + WRITE_MS * INT64_C(1000000);
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (k > 0) {
			p += k;
			n -= (size_t)k;
			continue;
		}
		if (k < 0 && errno == EINTR)
			continue;
		int64_t left = (until - clock_mono_ns()) / 1000000;
		if ((k < 0 && errno != EAGAIN) || left <= 0)
			return false;
		poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, (int)left);
	}
	return true;
}

static void write_answer(struct req *r, int fd)
{
	finish_body(r);
	struct buf head;
	buf_init(&head, 64 << 10);
	buf_printf(&head, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n", r->status,
		   status_text(r->status), r->out.n);
	each_header(r, add_text, &head);
	buf_str(&head, "\r\n");
	if (!head.failed && send_all(fd, head.p, head.n))
		(void)!send_all(fd, buf_cstr(&r->out), r->out.n);
	buf_done(&head);
	r->answered = true;
}

/* Read and forget until the other side closes, is quiet for LINGER_IDLE_MS, or has had enough of our time. */
static void linger(const struct req *r, int fd)
{
	static const size_t size = 64 << 10;
	char *trash = arena_alloc(&((struct req *)r)->arena, size);
	int64_t until = clock_mono_ns() + LINGER_MS * INT64_C(1000000), left = LINGER_BYTES;
	shutdown(fd, SHUT_WR);
	while (trash && left > 0 && clock_mono_ns() < until && !atomic_load(&r->api->stopping)) {
		int ready = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, LINGER_IDLE_MS);
		if (ready == 0 || (ready < 0 && errno != EINTR))
			break;
		ssize_t k = recv(fd, trash, size, MSG_DONTWAIT);
		if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR))
			break;
		left -= k > 0 ? k : 0;
	}
}

enum MHD_Result reply_now(struct req *r)
{
	int fd = socket_of(r);
	if (fd >= 0) {
		write_answer(r, fd);
		linger(r, fd);
	}
	return MHD_NO;
}

void reply_last_words(struct req *r)
{
	int fd = socket_of(r);
	if (fd >= 0)
		write_answer(r, fd);
}
