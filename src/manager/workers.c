/*
 * workers.c: the control plane's side of the workers: one process a tenant that has waiting outputs or jobs.
 *
 * A worker gets a new epoch, which fences whatever an older one might still do, is recorded as a child, and talks back
 * in two ways: the ledger's calls through DATA/control.sock, and lines on its standard output ("wait OUTPUT text",
 * "go OUTPUT") that become the status of the files concerned. It ends by itself when idle. One that fails is started
 * again with a growing pause.
 */
#include "manager/internal.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MAX_S 60
#define LINE_MAX_BYTES 2048

/* A sanitiser reserves more address space than any limit allows. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMIT_MEMORY false
#else
#define LIMIT_MEMORY true
#endif

extern char **environ;

struct worker {
	pid_t pid;
	int64_t pid_start, epoch, started_ns;
	int out; /* its standard output */
	char line[LINE_MAX_BYTES];
	size_t n;
	bool stopping;
};

/* ---- starting one */

/* Settings given as flags reach the worker as environment variables; file and environment it reads itself. */
static char **environment(struct manager *m)
{
	size_t n = 0, k = 0;
	while (environ[n])
		n++;
	char **env = arena_array(&m->arena, n + conf_nrows + 1, sizeof *env);
	if (!env)
		return NULL;
	for (; k < n; k++)
		env[k] = environ[k];
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < conf_nrows; i++) {
		const struct conf_row *row = &conf_rows[i];
		char name[128];
		if (strcmp(conf_origin(m->conf, row->name), "flag"))
			continue;
		size_t len = (size_t)snprintf(name, sizeof name, "MYSIMBDP_%s", row->name);
		for (size_t c = 9; c < len; c++)
			name[c] = name[c] == '.' || name[c] == '-' ? '_' : (char)toupper((unsigned char)name[c]);
		char *pair = arena_printf(&m->arena, "%s=%s", name, conf_str(m->conf, row->name));
		if (pair)
			env[k++] = pair;
	}
	pthread_mutex_unlock(&m->lock);
	return env;
}

static void child_main(int out, int64_t memory, pid_t parent, char *const *argv, char *const *env)
    __attribute__((noreturn));
static void child_main(int out, int64_t memory, pid_t parent, char *const *argv, char *const *env)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	syscall(SYS_close_range, 3U, ~0U, 0);
	if (memory > 0 && LIMIT_MEMORY)
		setrlimit(RLIMIT_DATA, &(struct rlimit){(rlim_t)memory, (rlim_t)memory});
	execve("/proc/self/exe", argv, env);
	_exit(127);
}

static enum err_code spawn(struct manager *m, struct tenant_ctx *t, struct worker *w, struct err *e)
{
	struct arena *a = &m->arena;
	int64_t memory = setting(m, "worker.memory");
	const char *file = conf_file(m->conf);
	char *argv[] = {"mysimbdp",
			"__worker",
			"--tenant",
			t->id,
			"--epoch",
			arena_printf(a, "%" PRId64, w->epoch),
			"--data",
			(char *)m->data,
			file ? "--config-file" : NULL,
			(char *)file,
			NULL};
	char **env = environment(m);
	pid_t parent = getpid();
	int p[2];
	if (!env || !argv[5])
		return err_oom(e);
	if (pipe2(p, O_CLOEXEC))
		return err_sys(e, errno, "make a pipe");
	w->pid = fork();
	if (!w->pid)
		child_main(p[1], memory, parent, argv, env);
	int sys = errno;
	close(p[1]);
	if (w->pid < 0) {
		close(p[0]);
		return err_sys(e, sys, "start a worker");
	}
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	w->out = p[0];
	w->pid_start = process_start_time(w->pid);
	w->started_ns = clock_mono_ns();
	return ERR_OK;
}

static void pause_worker(struct tenant_ctx *t)
{
	int64_t s = t->worker_failures < 6 ? INT64_C(1) << t->worker_failures : PAUSE_MAX_S;
	t->worker_failures++;
	t->worker_not_before_ns = clock_mono_ns() + s * INT64_C(1000000000);
}

static void begin(struct manager *m, struct tenant_ctx *t)
{
	struct err e = {0};
	struct worker *w = calloc(1, sizeof *w);
	if (!w)
		return;
	enum err_code rc = catalog_epoch_next(m->catalog, t->id, &w->epoch, &e);
	if (!rc)
		rc = spawn(m, t, w, &e);
	if (rc) {
		log_err("a worker cannot be started", &e, (struct log_field[]){LF("tenant", "%s", t->id)}, 1);
		pause_worker(t);
		free(w);
		return;
	}
	struct catalog_child child = {
	    .pid = w->pid, .pid_start = w->pid_start, .kind = "worker", .tenant = t->id, .cgroup = "", .ref = w->epoch};
	/* Not recorded, it still dies with us, and its epoch is known. */
	if (catalog_child_add(m->catalog, &child, &e))
		log_err("a worker cannot be recorded", &e, NULL, 0);
	t->worker = w;
	log_info("worker started", LF("tenant", "%s", t->id), LF("epoch", "%" PRId64, w->epoch),
		 LF("pid", "%d", (int)w->pid));
}

/* ---- what it says */

static void tell_files(struct manager *m, const struct tenant_ctx *t, int64_t output, const char *status)
{
	struct catalog_output o;
	struct catalog_file *f;
	size_t n;
	if (catalog_output_get(m->catalog, output, &m->arena, &o, NULL) || strcmp(o.tenant, t->id) || !o.run ||
	    catalog_run_files(m->catalog, o.run, &m->arena, &f, &n, NULL))
		return;
	for (size_t i = 0; i < n; i++) {
		enum file_state s = f[i].state;
		if (s == FILE_PROCESSED || s == FILE_CHECKED)
			(void)!catalog_file_move(m->catalog, f[i].id, 1u << s, s, o.run, status, NULL);
	}
}

static void on_line(struct manager *m, const struct tenant_ctx *t, const char *line)
{
	char *text;
	if (!strncmp(line, "wait ", 5)) {
		int64_t output = strtoll(line + 5, &text, 10);
		char status[600];
		snprintf(status, sizeof status, "its records wait: %.500s", *text == ' ' ? text + 1 : text);
		tell_files(m, t, output, status);
	} else if (!strncmp(line, "go ", 3)) {
		tell_files(m, t, strtoll(line + 3, NULL, 10), "its records are being delivered again");
	}
}

/* false: it closed its standard output. */
static bool listen_to(struct manager *m, struct tenant_ctx *t)
{
	struct worker *w = t->worker;
	for (;;) {
		ssize_t n = read(w->out, w->line + w->n, sizeof w->line - 1 - w->n);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		w->n += (size_t)n;
		w->line[w->n] = 0;
		for (char *nl; (nl = strchr(w->line, '\n'));) {
			*nl = 0;
			on_line(m, t, w->line);
			w->n -= (size_t)(nl + 1 - w->line);
			memmove(w->line, nl + 1, w->n + 1);
		}
		if (w->n == sizeof w->line - 1)
			w->n = 0; /* no line of ours is that long */
	}
}

static void ended(struct manager *m, struct tenant_ctx *t, int status)
{
	struct worker *w = t->worker;
	struct err e = {0};
	bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (catalog_child_remove(m->catalog, w->pid, w->pid_start, &e))
		log_err("a worker's end cannot be recorded", &e, NULL, 0);
	if (well || w->stopping)
		t->worker_failures = 0;
	else
		pause_worker(t);
	log_event(well || w->stopping ? LOG_INFO_ : LOG_WARN_, "worker ended",
		  (struct log_field[]){LF("tenant", "%s", t->id), LF("epoch", "%" PRId64, w->epoch),
				       LF("exit", "%d", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
				       LF("signal", "%d", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
				       LF("seconds", "%.1f", (double)(clock_mono_ns() - w->started_ns) / 1e9)},
		  5);
	fd_close(&w->out);
	free(w);
	t->worker = NULL;
	t->maybe_work = true;
}

static void look_at(struct manager *m, struct tenant_ctx *t)
{
	int status;
	bool open = listen_to(m, t);
	pid_t pid = waitpid(t->worker->pid, &status, open ? WNOHANG : 0);
	if (pid == t->worker->pid)
		ended(m, t, status);
}

/* ---- the tick */

static bool has_work(struct manager *m, struct tenant_ctx *t, const char *const *jobs, size_t njobs)
{
	for (size_t i = 0; i < njobs; i++)
		if (!strcmp(jobs[i], t->id))
			return true;
	if (!t->maybe_work)
		return false;
	struct catalog_output *o;
	size_t n = 0;
	if (catalog_outputs(m->catalog, t->id, 1u << OUTPUT_WAITING | 1u << OUTPUT_CHECKED, 0, 1, &m->arena, &o, &n,
			    NULL))
		return false;
	t->maybe_work = n > 0;
	return n > 0;
}

void workers_tick(struct manager *m)
{
	const char **jobs = NULL;
	size_t njobs = 0;
	struct err e = {0};
	if (catalog_jobs_waiting(m->catalog, &m->arena, &jobs, &njobs, &e))
		log_err("jobs cannot be listed", &e, NULL, 0);
	for (struct tenant_ctx *t = m->tenants; t; t = t->next) {
		if (t->worker)
			look_at(m, t);
		if (!t->worker && clock_mono_ns() >= t->worker_not_before_ns && has_work(m, t, jobs, njobs))
			begin(m, t);
	}
}

size_t workers_pollfds(struct manager *m, struct pollfd *p, size_t max)
{
	size_t n = 0;
	for (struct tenant_ctx *t = m->tenants; t && n < max; t = t->next)
		if (t->worker)
			p[n++] = (struct pollfd){t->worker->out, POLLIN, 0};
	return n;
}

void workers_stop(struct manager *m, int64_t limit_s)
{
	int64_t end = clock_mono_ns() + (limit_s > 1 ? limit_s : 1) * INT64_C(1000000000);
	bool any = true;
	for (struct tenant_ctx *t = m->tenants; t; t = t->next)
		if (t->worker) {
			t->worker->stopping = true;
			kill(t->worker->pid, SIGTERM);
		}
	for (bool killed = false; any;) {
		any = false;
		for (struct tenant_ctx *t = m->tenants; t; t = t->next) {
			if (t->worker)
				look_at(m, t);
			if (t->worker && !killed && clock_mono_ns() > end)
				kill(t->worker->pid, SIGKILL);
			any |= t->worker != NULL;
		}
		killed |= clock_mono_ns() > end;
		if (any)
			nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
}
