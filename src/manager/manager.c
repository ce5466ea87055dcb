/*
 * manager.c: the tick thread: everything that goes on by itself inside `mysimbdp serve`, in one loop.
 *
 * A tick comes every manager.tick, when something happened (manager_wake), or when a worker said something. It never
 * waits for a tenant's program or data: runs have threads, workers are processes.
 */
#include "manager/internal.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define TICK_MEMORY ((size_t)1 << 30)
#define REFRESH_NS (INT64_C(30) * 1000000000)
#define REFRESH_LEAST_MS 200
#define REFRESH_LEAST_NS (REFRESH_LEAST_MS * INT64_C(1000000))
#define POLL_MAX 64
#define ABANDON_S 10

int64_t setting(struct manager *m, const char *name)
{
	pthread_mutex_lock(&m->lock);
	int64_t v = conf_int(m->conf, name);
	pthread_mutex_unlock(&m->lock);
	return v;
}

void manager_wake(struct manager *m)
{
	uint64_t one = 1;
	atomic_store(&m->woken, true);
	ssize_t n = write(m->wake_fd, &one, sizeof one);
	(void)n;
}

void manager_reload(struct manager *m, const struct conf *conf)
{
	pthread_mutex_lock(&m->lock);
	m->conf = conf;
	pthread_mutex_unlock(&m->lock);
	manager_wake(m);
}

bool manager_alive(const struct manager *m)
{
	return clock_mono_ns() - atomic_load(&m->progress_ns) < INT64_C(10) * 1000000000;
}

/* ---- requests of other threads */

static void answer(struct manager *m)
{
	bool fresh = false;
	for (;;) {
		pthread_mutex_lock(&m->lock);
		struct request *q = m->requests;
		if (q)
			m->requests = q->next;
		pthread_mutex_unlock(&m->lock);
		if (!q)
			return;
		/* Who asks may just have changed a document. */
		if (!fresh)
			q->rc = tenants_refresh(m, &q->err);
		fresh = true;
		if (!q->rc)
			q->rc = start_now(m, q);
		pthread_mutex_lock(&m->lock);
		q->done = true;
		pthread_cond_broadcast(&m->answered);
		pthread_mutex_unlock(&m->lock);
	}
}

enum err_code manager_run_now(struct manager *m, const char *tenant, const char *app, int64_t *ret_run,
			      char reason[256], struct err *e)
{
	struct request q = {.tenant = tenant, .app = app, .reason = reason};
	reason[0] = 0;
	pthread_mutex_lock(&m->lock);
	if (!m->ended) {
		struct request **at = &m->requests;
		while (*at)
			at = &(*at)->next;
		*at = &q;
	}
	pthread_mutex_unlock(&m->lock);
	manager_wake(m);
	pthread_mutex_lock(&m->lock);
	while (!q.done && !m->ended)
		pthread_cond_wait(&m->answered, &m->lock);
	bool answered = q.done;
	pthread_mutex_unlock(&m->lock);
	if (!answered)
		return err_set(e, ERR_UNAVAILABLE, "the batchingestmanager is shutting down");
	if (q.rc) {
		*e = q.err;
		return q.rc;
	}
	*ret_run = q.run;
	return ERR_OK;
}

/* ---- the loop */

static bool due_ns(int64_t *last, int64_t every_ns)
{
	int64_t now = clock_mono_ns();
	if (*last && now - *last < every_ns)
		return false;
	*last = now;
	return true;
}

static void tick(struct manager *m)
{
	struct err e = {0};
	atomic_store(&m->progress_ns, clock_mono_ns());
	arena_reset(&m->arena);
	runs_reap(m);
	m->refresh |= atomic_exchange(&m->woken, false);
	/* Reading all documents for each of many uploads would be most of the work. */
	bool refresh = due_ns(&m->refreshed_ns, m->refresh ? REFRESH_LEAST_NS : REFRESH_NS);
	if (refresh && tenants_refresh(m, &e))
		log_err("the tenants cannot be read", &e, NULL, 0);
	if (due_ns(&m->flagged_ns, REFRESH_NS))
		for (struct tenant_ctx *t = m->tenants; t; t = t->next)
			t->maybe_work = true;
	stage_tick(m);
	if (refresh && m->refresh)
		stage_orphans(m);
	m->refresh = m->refresh && !refresh;
	answer(m);
	if (!atomic_load(&m->draining)) {
		starts_tick(m);
		workers_tick(m);
		if (due_ns(&m->retention_ns, setting(m, "retention.interval") * INT64_C(1000000000)))
			retention_tick(m);
	}
	fault_hit("manager.tick");
}

static void wait_for_more(struct manager *m)
{
	struct pollfd p[POLL_MAX] = {{m->wake_fd, POLLIN, 0}};
	size_t n = 1 + workers_pollfds(m, p + 1, POLL_MAX - 1);
	int64_t every = setting(m, "manager.tick") * 1000, now = clock_now_us() / 1000;
	int ms = (int)(every - now % every); /* on the second, so that schedules start on time */
	uint64_t count;
	if (m->refresh && ms > REFRESH_LEAST_MS)
		ms = REFRESH_LEAST_MS;
	if (poll(p, n, ms) > 0 && p[0].revents) {
		ssize_t r = read(m->wake_fd, &count, sizeof count);
		(void)r;
	}
}

/* No new runs; what runs may end within the limit, then it is stopped and dealt anew at the next start. */
static bool drained(struct manager *m)
{
	if (!m->slots)
		return true;
	if (clock_mono_ns() >= m->drain_until_ns + (setting(m, "manager.grace") + ABANDON_S) * INT64_C(1000000000)) {
		m->abandoned = true;
		return true;
	}
	if (clock_mono_ns() >= m->drain_until_ns) {
		atomic_store(&m->stopping, true);
		for (struct run_slot *s = m->slots; s; s = s->next)
			run_ask_stop(s, "the platform shuts down; its files are dealt anew");
	}
	return false;
}

static void *tick_thread(void *arg)
{
	struct manager *m = arg;
	for (;;) {
		tick(m);
		if (atomic_load(&m->draining) && drained(m))
			break;
		wait_for_more(m);
	}
	workers_stop(m, (m->drain_until_ns - clock_mono_ns()) / 1000000000);
	pthread_mutex_lock(&m->lock);
	m->ended = true;
	pthread_cond_broadcast(&m->answered);
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* ---- start and end */

static enum err_code make_directories(const char *data, struct err *e)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = {{"staging", 0700},	  {"workspace", 0711}, {"outputs", 0700},  {"coredms", 0700},
		    {"quarantine", 0700}, {"logs", 0700},      {"logs/runs", 0700}};
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		char path[1100];
		snprintf(path, sizeof path, "%s/%s", data, dirs[i].name);
		enum err_code rc = dir_make(path, dirs[i].mode, e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

static enum err_code start(struct manager *m, struct err *e)
{
	enum err_code rc = make_directories(m->data, e);
	if (rc)
		return rc;
	m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake_fd < 0)
		return err_sys(e, errno, "make an event descriptor");
	users_setup(m);
	rc = recover(m, e);
	if (rc)
		return rc;
	int sys = pthread_create(&m->tick, NULL, tick_thread, m);
	if (sys)
		return err_sys(e, sys, "start the batchingestmanager");
	m->tick_started = true;
	return ERR_OK;
}

enum err_code manager_start(const struct manager_options *o, struct manager **ret, struct err *e)
{
	struct manager *m = calloc(1, sizeof *m);
	if (!m)
		return err_oom(e);
	m->data = o->data;
	m->self = o->self;
	m->catalog = o->catalog;
	m->conf = o->conf;
	m->wake_fd = -1;
	m->progress_ns = clock_mono_ns();
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->answered, NULL);
	arena_init(&m->arena, TICK_MEMORY);
	enum err_code rc = start(m, e);
	if (rc) {
		manager_free(m);
		return rc;
	}
	*ret = m;
	return ERR_OK;
}

bool manager_drain(struct manager *m, int64_t limit_s)
{
	if (!m->tick_started)
		return true;
	m->drain_until_ns = clock_mono_ns() + limit_s * INT64_C(1000000000);
	atomic_store(&m->draining, true);
	manager_wake(m);
	pthread_join(m->tick, NULL);
	m->tick_started = false;
	return !m->abandoned;
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	(void)manager_drain(m, 0);
	atomic_store(&m->stopping, true);
	for (struct run_slot *s = m->slots; s; s = s->next) /* recovered, before the first tick */
		run_ask_stop(s, "the platform shuts down; its files are dealt anew");
	while (m->slots) {
		if (!runs_reap(m))
			nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	tenants_free(m);
	fd_close(&m->wake_fd);
	arena_done(&m->arena);
	pthread_cond_destroy(&m->answered);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
