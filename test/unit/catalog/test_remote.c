/* test_remote.c: the ledger over a socket: the same answers as the ledger itself, and what a worker may not do. */
#include "api/internal.h"
#include "base/fd.h"
#include "catalog/wire.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	char dir[64], socket[100];
	struct catalog *c; /* the control plane's */
	struct catalog *r; /* a worker's */
	int64_t epoch;
	struct arena a;
	struct err e;
	int listener;
	pthread_t thread;
};

#define OK(w, call)                                                                                                    \
	do {                                                                                                           \
		if ((call) != ERR_OK)                                                                                  \
			fail_msg("%s: %s", #call, (w)->e.msg);                                                         \
	} while (0)

/* ---- the least server that libcurl talks to: connections are kept alive, each has a thread */

static bool serve_one(struct world *w, int fd)
{
	static _Thread_local char in[1 << 18];
	size_t n = 0;
	char *end = NULL;
	while (n < sizeof in - 1 && !end) {
		ssize_t got = read(fd, in + n, sizeof in - 1 - n);
		if (got <= 0)
			return false;
		n += (size_t)got;
		in[n] = 0;
		end = strstr(in, "\r\n\r\n");
	}
	const char *length = strcasestr(in, "content-length:");
	size_t head = (size_t)(end - in) + 4, body = length ? strtoul(length + 15, NULL, 10) : 0;
	while (n < head + body) {
		ssize_t got = read(fd, in + n, sizeof in - 1 - n);
		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	char path[128] = "";
	sscanf(in, "POST %127s", path);
	struct buf answer;
	char header[128];
	buf_init(&answer, WIRE_MAX);
	enum err_code code = internal_call(w->c, path, (struct span){in + head, body}, &answer, NULL);
	int h = snprintf(header, sizeof header, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n",
			 code ? err_info(code)->http : 200, answer.n);
	bool ok = send(fd, header, (size_t)h, MSG_NOSIGNAL) == h &&
		  send(fd, answer.p, answer.n, MSG_NOSIGNAL) == (ssize_t)answer.n;
	buf_done(&answer);
	return ok;
}

struct connection {
	struct world *w;
	int fd;
};

static void *connection(void *arg)
{
	struct connection *k = arg;
	while (serve_one(k->w, k->fd))
		continue;
	close(k->fd);
	free(k);
	return NULL;
}

static void *serve(void *arg)
{
	struct world *w = arg;
	for (;;) {
		pthread_t t;
		struct connection *k = calloc(1, sizeof *k);
		*k = (struct connection){w, accept(w->listener, NULL, NULL)};
		if (k->fd < 0) {
			free(k);
			return NULL;
		}
		pthread_create(&t, NULL, connection, k);
		pthread_detach(t);
	}
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int64_t v;
	strcpy(w->dir, "/tmp/test_remote.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->socket, sizeof w->socket, "%s/control.sock", w->dir);
	strcpy(addr.sun_path, w->socket);
	arena_init(&w->a, 64 << 20);
	OK(w, catalog_open_sqlite(w->dir, &w->c, &w->e));
	w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->listener, (struct sockaddr *)&addr, sizeof addr), 0);
	assert_int_equal(listen(w->listener, 5), 0);
	assert_int_equal(pthread_create(&w->thread, NULL, serve, w), 0);
	OK(w, catalog_tenant_put(w->c, "client_a", "{\"a\": \"\xc3\xa9\"}", "{}", NULL, &v, &w->e));
	OK(w, catalog_tenant_put(w->c, "client_b", "{}", "{}", NULL, &v, &w->e));
	OK(w, catalog_epoch_next(w->c, "client_a", &w->epoch, &w->e));
	OK(w, catalog_open_remote(w->socket, "client_a", w->epoch, &w->r, &w->e));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	catalog_close(w->r);
	shutdown(w->listener, SHUT_RDWR);
	pthread_join(w->thread, NULL);
	close(w->listener);
	catalog_close(w->c);
	arena_done(&w->a);
	OK(w, dir_remove_all(w->dir, &w->e));
	free(w);
	return 0;
}

static int64_t output(struct world *w, const char *tenant, const char *name)
{
	struct catalog_output o;
	bool existing;
	OK(w, catalog_output_add(w->c, tenant, name, 10, "abc", false, &existing, &w->a, &o, &w->e));
	return o.id;
}

static void test_calls(void **state)
{
	struct world *w = *state;
	struct catalog_tenant t;
	struct catalog_output o, *list, direct;
	size_t n;
	int64_t base, id = output(w, "client_a", "x \xff\xfe y.csv"), again;
	output(w, "client_b", "other.csv");
	OK(w, catalog_tenant_get(w->r, "client_a", &w->a, &t, &w->e));
	assert_string_equal(t.data_file, "{\"a\": \"\xc3\xa9\"}");
	assert_int_equal(t.version, 1);
	OK(w, catalog_outputs(w->r, "client_a", 1u << OUTPUT_WAITING, 0, 0, &w->a, &list, &n, &w->e));
	assert_int_equal(n, 1);
	assert_string_equal(list[0].name, "x \xff\xfe y.csv");
	OK(w, catalog_output_versions(w->r, id, "S.T", 100, &base, &w->e));
	OK(w, catalog_output_versions(w->c, id, "S.T", 100, &again, &w->e));
	assert_int_equal(base, again);
	OK(w, catalog_output_checked(w->r, id, 5, 3, 2, false, "", "{\"records\":5}", &w->e));
	OK(w, catalog_delivery(w->r, id, "coredms", 0, 3, 3, 1, 0, &w->e));
	OK(w, catalog_output_done(w->r, id, OUTPUT_DELIVERED, "", &w->e));
	OK(w, catalog_output_replayed(w->r, id, 1, 0, &w->e));
	OK(w, catalog_output_get(w->r, id, &w->a, &o, &w->e));
	OK(w, catalog_output_get(w->c, id, &w->a, &direct, &w->e));
	assert_int_equal(o.state, OUTPUT_DELIVERED);
	assert_int_equal(o.accepted, 4);
	assert_int_equal(o.superseded, 1);
	assert_string_equal(o.verdict, "{\"records\":5}");
	assert_int_equal(o.version_base, direct.version_base);
	assert_int_equal(o.updated_us, direct.updated_us);
	OK(w, catalog_sync(w->r, &w->e));
	assert_int_equal(catalog_output_done(w->r, id, OUTPUT_WAITING, "", &w->e), ERR_INVALID);
}

static void test_jobs(void **state)
{
	struct world *w = *state;
	int64_t id;
	struct catalog_job j;
	OK(w, catalog_job_next(w->r, "client_a", &w->a, &j, &w->e));
	assert_int_equal(j.id, 0);
	OK(w, catalog_job_add(w->c, "client_b", "propose", "{}", &id, &w->e));
	OK(w, catalog_job_next(w->r, "client_a", &w->a, &j, &w->e));
	assert_int_equal(j.id, 0);
	assert_int_equal(catalog_job_end(w->r, id, true, "{}", &w->e), ERR_DENIED);
	OK(w, catalog_job_add(w->c, "client_a", "replay", "{\"rule\": \"type\"}", &id, &w->e));
	OK(w, catalog_job_next(w->r, "client_a", &w->a, &j, &w->e));
	assert_int_equal(j.id, id);
	assert_string_equal(j.params, "{\"rule\": \"type\"}");
	OK(w, catalog_job_end(w->r, id, false, "it failed", &w->e));
	OK(w, catalog_job_get(w->c, id, &w->a, &j, &w->e));
	assert_int_equal(j.state, JOB_FAILED);
	assert_string_equal(j.result, "it failed");
}

static void test_only_its_own(void **state)
{
	struct world *w = *state;
	int64_t id = output(w, "client_b", "b.csv"), base;
	struct catalog_output o;
	struct catalog_tenant t;
	assert_int_equal(catalog_output_get(w->r, id, &w->a, &o, &w->e), ERR_DENIED);
	assert_int_equal(catalog_output_versions(w->r, id, "S.T", 1, &base, &w->e), ERR_DENIED);
	assert_int_equal(catalog_output_checked(w->r, id, 1, 1, 0, false, "", "", &w->e), ERR_DENIED);
	assert_int_equal(catalog_delivery(w->r, id, "coredms", 0, 1, 1, 0, 0, &w->e), ERR_DENIED);
	assert_int_equal(catalog_output_done(w->r, id, OUTPUT_DELIVERED, "", &w->e), ERR_DENIED);
	assert_int_equal(catalog_output_replayed(w->r, id, 1, 0, &w->e), ERR_DENIED);
	assert_int_equal(catalog_tenant_get(w->r, "client_b", &w->a, &t, &w->e), ERR_DENIED);
	OK(w, catalog_output_get(w->c, id, &w->a, &o, &w->e));
	assert_int_equal(o.state, OUTPUT_WAITING);
	assert_int_equal(o.version_rows, 0);
	/* The rest of the ledger is not there for workers at all. */
	assert_int_equal(catalog_tenant_pause(w->r, "client_a", true, &w->e), ERR_UNSUPPORTED);
}

static void test_fenced(void **state)
{
	struct world *w = *state;
	int64_t id = output(w, "client_a", "a.csv"), epoch;
	OK(w, catalog_delivery(w->r, id, "coredms", 0, 1, 1, 0, 0, &w->e));
	OK(w, catalog_epoch_next(w->c, "client_a", &epoch, &w->e));
	assert_int_equal(catalog_delivery(w->r, id, "coredms", 1, 2, 1, 0, 0, &w->e), ERR_FENCED);
	assert_false(w->e.retriable);
	assert_int_equal(catalog_output_done(w->r, id, OUTPUT_DELIVERED, "", &w->e), ERR_FENCED);
	struct catalog *ahead;
	OK(w, catalog_open_remote(w->socket, "client_a", epoch + 5, &ahead, &w->e));
	assert_int_equal(catalog_output_done(ahead, id, OUTPUT_DELIVERED, "", &w->e), ERR_DENIED);
	catalog_close(ahead);
	struct catalog_output o;
	OK(w, catalog_output_get(w->c, id, &w->a, &o, &w->e));
	assert_int_equal(o.delivered, 1);
	assert_int_equal(o.state, OUTPUT_WAITING);
}

static void test_away(void **state)
{
	struct world *w = *state;
	struct catalog *c;
	struct catalog_job j;
	OK(w, catalog_open_remote("/tmp/there-is-no-such.sock", "client_a", 1, &c, &w->e));
	assert_int_equal(catalog_job_next(c, "client_a", &w->a, &j, &w->e), ERR_UNAVAILABLE);
	assert_true(w->e.retriable);
	catalog_close(c);
}

static void expect(struct world *w, const char *path, const char *body, enum err_code code)
{
	struct buf b;
	buf_init(&b, WIRE_MAX);
	assert_int_equal(internal_call(w->c, path, span_str(body), &b, &w->e), code);
	assert_non_null(strstr(buf_cstr(&b), err_info(code)->name));
	buf_done(&b);
}

static void test_bad_questions(void **state)
{
	struct world *w = *state;
	expect(w, "/v1/files", "{}", ERR_NOT_FOUND);
	expect(w, "/internal/output_get", "", ERR_DOCUMENT);
	expect(w, "/internal/output_get", "[1", ERR_DOCUMENT);
	expect(w, "/internal/output_get", "[]", ERR_INVALID);
	expect(w, "/internal/output_get", "{\"tenant\": 5}", ERR_INVALID);
	expect(w, "/internal/output_get", "{\"tenant\": \"client_a\", \"id\": \"x\"}", ERR_NOT_FOUND);
	expect(w, "/internal/drop", "{\"tenant\": \"client_a\"}", ERR_NOT_FOUND);
	expect(w, "/internal/output_done", "{\"tenant\": \"client_a\", \"epoch\": 1, \"id\": 1}", ERR_INVALID);
	expect(w, "/internal/delivery", "{\"tenant\": \"client_a\", \"epoch\": 1, \"from\": 5, \"to\": 1}",
	       ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_jobs, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_only_its_own, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fenced, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_away, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_questions, setup, teardown),
	};
	return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}
