/*
 * test_cassandra.c: the session against a server that misbehaves in every way the protocol knows.
 *
 * The server is a thread here; it speaks v4, refuses v5 (so every test also falls back), and answers each EXECUTE as a
 * script says: with an error, with silence, with garbage, half an answer, a closed connection, a byte at a time.
 */
#include "base/clock.h"
#include "sink/cassandra/session.h"
#include "sink/cassandra/wire.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum what { FINE, FAIL, CLOSE, SILENT, GARBAGE, HALF, SLOWLY, NOTHING_ASKED };

struct step {
	enum what what;
	int32_t code; /* FAIL */
};

struct server {
	int fd;
	char target[160];
	pthread_t thread;
	atomic_bool stop;
	atomic_uint at, executes, prepares, connections;
	const struct step *script; /* then everything is FINE */
	uint32_t nsteps;
	bool password;
};

static bool send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static struct buf message(int16_t stream, uint8_t opcode, const void *body, size_t n)
{
	struct buf b;
	char head[FRAME_HEAD];
	buf_init(&b, 1 << 20);
	frame_head(head, 0x84, stream, opcode, n);
	buf_add(&b, head, sizeof head);
	buf_add(&b, body, n);
	return b;
}

static bool answer(int fd, int16_t stream, uint8_t opcode, const void *body, size_t n)
{
	struct buf b = message(stream, opcode, body, n);
	bool ok = send_all(fd, b.p, b.n);
	buf_done(&b);
	return ok;
}

static bool answer_error(int fd, int16_t stream, int32_t code)
{
	struct buf b;
	buf_init(&b, 1 << 16);
	put_int(&b, code);
	put_string(&b, SPAN_LIT("as the script says"));
	if (code == CQL_E_UNPREPARED) {
		put_string(&b, SPAN_LIT("id"));
	} else if ((code & 0xff00) >= 0x1000 && code != CQL_E_OVERLOADED && code != CQL_E_BOOTSTRAPPING) {
		put_short(&b, CQL_QUORUM);
		put_int(&b, 1);
		put_int(&b, 2);
		put_string(&b, SPAN_LIT("UNLOGGED_BATCH"));
	}
	bool ok = answer(fd, stream, CQL_ERROR, b.p, b.n);
	buf_done(&b);
	return ok;
}

static void put_columns(struct buf *b, uint32_t n, uint16_t type)
{
	put_int(b, CQL_RESULT_ROWS);
	put_int(b, 1);
	put_int(b, (int32_t)n);
	put_string(b, SPAN_LIT("k"));
	put_string(b, SPAN_LIT("t"));
	for (uint32_t i = 0; i < n; i++) {
		put_string(b, SPAN_LIT("c"));
		put_short(b, type);
	}
}

/* system.local has one row; all else is empty. */
static bool answer_query(int fd, int16_t stream, struct span body)
{
	struct buf b;
	bool local = memmem(body.p, body.n, "partitioner", 11);
	buf_init(&b, 1 << 16);
	put_columns(&b, local ? 4 : 6, 0x0d);
	put_int(&b, local);
	if (local) {
		put_bytes(&b, SPAN_LIT("dc1"));
		put_bytes(&b, SPAN_LIT("r1"));
		put_bytes(&b, SPAN_LIT("org.apache.cassandra.dht.Murmur3Partitioner"));
		put_bytes(&b, SPAN_LIT("\0\0\0\1\0\0\0\1"
				       "7"));
	}
	bool ok = answer(fd, stream, CQL_RESULT, b.p, b.n);
	buf_done(&b);
	return ok;
}

static bool slowly(int fd, int16_t stream)
{
	struct buf b = message(stream, CQL_RESULT, "\0\0\0\1", 4);
	bool ok = true;
	for (size_t i = 0; i < b.n && ok; i++) {
		ok = send_all(fd, b.p + i, 1);
		poll(NULL, 0, 5);
	}
	buf_done(&b);
	return ok;
}

static bool execute(struct server *s, int fd, int16_t stream)
{
	uint32_t at = atomic_fetch_add(&s->at, 1);
	struct step step = at < s->nsteps ? s->script[at] : (struct step){FINE, 0};
	atomic_fetch_add(&s->executes, 1);
	switch (step.what) {
	case FAIL:
		return answer_error(fd, stream, step.code);
	case CLOSE:
		return false;
	case SILENT:
		return true;
	case GARBAGE:
		return send_all(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	case HALF:
		send_all(fd, "\x84\0\0\1\x08\0\0", 7);
		return false;
	case SLOWLY:
		return slowly(fd, stream);
	case NOTHING_ASKED:
		return answer(fd, 4000, CQL_RESULT, "\0\0\0\1", 4);
	case FINE:
	default:
		return answer(fd, stream, CQL_RESULT, "\0\0\0\1", 4);
	}
}

static bool serve_one(struct server *s, int fd, uint8_t version, int16_t stream, uint8_t opcode, struct span body)
{
	static const char prepared[] = "\0\0\0\4\0\2id\0\0\0\1\0\0\0\0\0\0\0\0\0\1k\0\1t\0\0\0\4\0\0\0\0";
	if (version != 4) {
		answer_error(fd, stream, CQL_E_PROTOCOL);
		return false;
	}
	switch (opcode) {
	case CQL_OPTIONS:
		return answer(fd, stream, CQL_SUPPORTED, "\0\0", 2);
	case CQL_STARTUP:
		return s->password ? answer(fd, stream, CQL_AUTHENTICATE, "\0\1a", 3)
				   : answer(fd, stream, CQL_READY, "", 0);
	case CQL_AUTH_RESPONSE:
		return memmem(body.p, body.n, "\0me\0right", 9)
			   ? answer(fd, stream, CQL_AUTH_SUCCESS, "\xff\xff\xff\xff", 4)
			   : answer_error(fd, stream, CQL_E_CREDENTIALS);
	case CQL_REGISTER:
		return answer(fd, stream, CQL_READY, "", 0);
	case CQL_PREPARE:
		atomic_fetch_add(&s->prepares, 1);
		return answer(fd, stream, CQL_RESULT, prepared, sizeof prepared - 1);
	case CQL_QUERY:
		return answer_query(fd, stream, body);
	default:
		return execute(s, fd, stream);
	}
}

struct peer {
	struct server *s;
	int fd;
};

static void *peer_run(void *arg)
{
	struct peer *p = arg;
	struct buf in;
	bool ok = true;
	buf_init(&in, 1 << 22);
	while (ok && !atomic_load(&p->s->stop)) {
		struct pollfd pf = {p->fd, POLLIN, 0};
		if (poll(&pf, 1, 20) <= 0)
			continue;
		buf_reserve(&in, 65536);
		ssize_t n = recv(p->fd, in.p + in.n, 65536, 0);
		if (n <= 0)
			break;
		in.n += (size_t)n;
		while (ok && in.n >= FRAME_HEAD) {
			struct cql_in h = cql_in(in.p, FRAME_HEAD);
			uint8_t version = get_byte(&h);
			get_byte(&h);
			int16_t stream = (int16_t)get_short(&h);
			uint8_t opcode = get_byte(&h);
			size_t size = FRAME_HEAD + (size_t)get_int(&h);
			if (in.n < size)
				break;
			ok = serve_one(p->s, p->fd, version, stream, opcode,
				       (struct span){in.p + FRAME_HEAD, size - FRAME_HEAD});
			memmove(in.p, in.p + size, in.n - size);
			in.n -= size;
		}
	}
	close(p->fd);
	buf_done(&in);
	free(p);
	return NULL;
}

static void *server_run(void *arg)
{
	struct server *s = arg;
	pthread_t peers[256];
	uint32_t n = 0;
	while (!atomic_load(&s->stop)) {
		struct pollfd pf = {s->fd, POLLIN, 0};
		if (poll(&pf, 1, 20) <= 0 || n == 256)
			continue;
		struct peer *p = malloc(sizeof *p);
		*p = (struct peer){s, accept(s->fd, NULL, NULL)};
		atomic_fetch_add(&s->connections, 1);
		pthread_create(&peers[n++], NULL, peer_run, p);
	}
	while (n)
		pthread_join(peers[--n], NULL);
	return NULL;
}

static void server_start(struct server *s, const char *options)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
	snprintf(s->target, sizeof s->target, "127.0.0.1:%u?%s", ntohs(a.sin_port), options);
	assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void server_stop(struct server *s)
{
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

struct outcome {
	uint32_t fine, failed;
	struct err err;
};

static void done(void *ctx, struct cql_request *r, const struct frame *f, const struct cql_error *ce,
		 const struct err *e)
{
	struct outcome *o = ctx;
	o->fine += f != NULL;
	o->failed += f == NULL;
	if (e)
		o->err = *e;
}

static struct cql_session *session_open(struct server *s)
{
	struct cql_target t;
	struct cql_session *c;
	struct err e = {0};
	assert_int_equal(cql_target_parse(s->target, &t, &e), ERR_OK);
	if (cql_open(&t, &c, &e))
		fail_msg("%s", e.msg);
	cql_target_done(&t);
	assert_int_equal(cql_version(c), 4);
	return c;
}

static struct outcome run(struct cql_session *c, const struct cql_statement *st, uint32_t n)
{
	struct outcome o = {0};
	struct err e = {0};
	for (uint32_t i = 0; i < n; i++) {
		struct cql_request *r = cql_request_new(c);
		r->opcode = CQL_EXECUTE;
		r->statement = st;
		put_string(&r->body, (struct span){st->id, st->id_n});
		cql_put_params(&r->body, 4, &(struct cql_params){.consistency = CQL_ONE});
		r->done = done;
		r->ctx = &o;
		r->has_token = true;
		r->token = (int64_t)i;
		assert_int_equal(cql_submit(c, r, &e), ERR_OK);
	}
	cql_drain(c, 0);
	assert_int_equal(o.fine + o.failed, n);
	return o;
}

static struct outcome play(const struct step *script, uint32_t nsteps, const char *options, uint32_t n,
			   struct cql_stats *stats, struct server *s)
{
	struct cql_statement st = {0};
	struct err e = {0};
	*s = (struct server){.script = script, .nsteps = nsteps};
	server_start(s, options);
	struct cql_session *c = session_open(s);
	assert_int_equal(cql_prepare(c, "INSERT", &st, &e), ERR_OK);
	struct outcome o = run(c, &st, n);
	if (stats)
		cql_stats(c, stats);
	cql_close(c);
	cql_statement_done(&st);
	server_stop(s);
	return o;
}

static void many_in_flight(void **state)
{
	struct server s;
	struct outcome o = play(NULL, 0, "window=64&connections=2", 20000, NULL, &s);
	assert_int_equal(o.fine, 20000);
	assert_int_equal(atomic_load(&s.executes), 20000);
}

static void passing_errors_are_repeated(void **state)
{
	static const int32_t codes[] = {
	    CQL_E_SERVER,	CQL_E_UNAVAILABLE,   CQL_E_OVERLOADED,	 CQL_E_BOOTSTRAPPING, CQL_E_WRITE_TIMEOUT,
	    CQL_E_READ_TIMEOUT, CQL_E_WRITE_FAILURE, CQL_E_READ_FAILURE, CQL_E_TRUNCATE,      CQL_E_CAS_UNKNOWN};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		const struct step script[] = {{FAIL, codes[i]}, {FINE, 0}, {FAIL, codes[i]}};
		struct cql_stats stats;
		struct server s;
		struct outcome o = play(script, 3, "", 5, &stats, &s);
		assert_int_equal(o.fine, 5);
		assert_int_equal(stats.retries, 2);
		assert_int_equal(atomic_load(&s.executes), 7);
	}
}

static void final_errors_are_not(void **state)
{
	static const struct {
		int32_t code;
		enum err_code err;
	} known[] = {
	    {CQL_E_SYNTAX, ERR_INVALID},   {CQL_E_INVALID, ERR_INVALID},	  {CQL_E_UNAUTHORIZED, ERR_DENIED},
	    {CQL_E_CONFIG, ERR_CONFIG},	   {CQL_E_EXISTS, ERR_CONFLICT},	  {CQL_E_PROTOCOL, ERR_INTERNAL},
	    {CQL_E_CREDENTIALS, ERR_AUTH}, {CQL_E_FUNCTION_FAILURE, ERR_INVALID}, {0x7777, ERR_UNAVAILABLE}};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		const struct step script[] = {{FAIL, known[i].code}};
		struct server s;
		struct outcome o = play(script, 1, "", 3, NULL, &s);
		assert_int_equal(o.fine, 2);
		assert_int_equal(o.err.code, known[i].err);
		assert_non_null(strstr(o.err.msg, "as the script says"));
		assert_int_equal(atomic_load(&s.executes), 3);
	}
}

static void forgotten_statements_are_prepared_again(void **state)
{
	static const struct step script[] = {
	    {FAIL, CQL_E_UNPREPARED}, {FAIL, CQL_E_UNPREPARED}, {FINE, 0}, {FAIL, CQL_E_UNPREPARED}};
	struct cql_stats stats;
	struct server s;
	struct outcome o = play(script, 4, "", 10, &stats, &s);
	assert_int_equal(o.fine, 10);
	assert_int_equal(stats.prepared_again, 3);
	assert_int_equal(atomic_load(&s.prepares), 4);
}

/* Whatever ends a connection, what was on it is sent again and nothing is answered twice. */
static void broken_connections(void **state)
{
	static const enum what kinds[] = {CLOSE, GARBAGE, HALF, NOTHING_ASKED};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct step script[40];
		struct cql_stats stats;
		struct server s;
		for (uint32_t k = 0; k < 40; k++)
			script[k] = (struct step){k == 20 || k == 39 ? kinds[i] : FINE, 0};
		struct outcome o = play(script, 40, "window=4", 100, &stats, &s);
		assert_int_equal(o.fine, 100);
		assert_true(atomic_load(&s.connections) >= 3);
		assert_true(stats.retries >= 2);
	}
}

static void silence_is_noticed(void **state)
{
	static const struct step script[] = {{FINE, 0}, {SILENT, 0}};
	struct cql_stats stats;
	struct server s;
	int64_t began = clock_mono_ns();
	struct outcome o = play(script, 2, "timeout=1", 4, &stats, &s);
	assert_int_equal(o.fine, 4);
	assert_true(stats.retries >= 1);
	assert_true(clock_mono_ns() - began < INT64_C(6000000000));
}

static void slow_answers_are_answers(void **state)
{
	static const struct step script[] = {{SLOWLY, 0}, {SLOWLY, 0}};
	struct cql_stats stats;
	struct server s;
	struct outcome o = play(script, 2, "", 6, &stats, &s);
	assert_int_equal(o.fine, 6);
	assert_int_equal(stats.retries, 0);
}

static void patience_ends(void **state)
{
	struct step script[1000];
	struct server s;
	for (uint32_t k = 0; k < 1000; k++)
		script[k] = (struct step){FAIL, CQL_E_OVERLOADED};
	struct outcome o = play(script, 1000, "patience=1", 3, NULL, &s);
	assert_int_equal(o.failed, 3);
	assert_int_equal(o.err.code, ERR_BUSY);
	assert_true(o.err.retriable);
}

static void passwords(void **state)
{
	static const struct {
		const char *options;
		enum err_code code;
	} known[] = {{"user=me&password=env:CQL_TEST_PASSWORD", ERR_OK},
		     {"user=you&password=env:CQL_TEST_PASSWORD", ERR_AUTH},
		     {"", ERR_AUTH}};
	setenv("CQL_TEST_PASSWORD", "right", 1);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct server s = {.password = true};
		struct cql_target t;
		struct cql_session *c = NULL;
		struct err e = {0};
		server_start(&s, known[i].options);
		assert_int_equal(cql_target_parse(s.target, &t, &e), ERR_OK);
		assert_int_equal(cql_open(&t, &c, &e), known[i].code);
		cql_close(c);
		cql_target_done(&t);
		server_stop(&s);
	}
}

static void nobody_there(void **state)
{
	struct server s = {0};
	struct cql_target t;
	struct cql_session *c = NULL;
	struct err e = {0};
	server_start(&s, "");
	server_stop(&s);
	assert_int_equal(cql_target_parse(s.target, &t, &e), ERR_OK);
	assert_int_equal(cql_open(&t, &c, &e), ERR_UNAVAILABLE);
	assert_true(e.retriable);
	assert_non_null(strstr(e.msg, "refused"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(many_in_flight),
	    cmocka_unit_test(passing_errors_are_repeated),
	    cmocka_unit_test(final_errors_are_not),
	    cmocka_unit_test(forgotten_statements_are_prepared_again),
	    cmocka_unit_test(broken_connections),
	    cmocka_unit_test(silence_is_noticed),
	    cmocka_unit_test(slow_answers_are_answers),
	    cmocka_unit_test(patience_ends),
	    cmocka_unit_test(passwords),
	    cmocka_unit_test(nobody_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
