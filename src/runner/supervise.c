/*
 * supervise.c: `mysimbdp __supervise SPEC`, the process that stands between the manager and a tenant's program.
 *
 * It dies with the manager (SIGUSR1 as parent-death signal), keeps WORKSPACE/alive locked as long as anything of the
 * run may live, copies the program's output into the bounded log, ends the whole tree on SIGTERM (after the grace
 * time), on its wall-clock limit or when the manager is gone, and only then writes WORKSPACE/status.json and fsyncs it.
 * Single-threaded; everything it waits for is a descriptor in one poll.
 */
#include "runner/internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct supervisor {
	struct supervise_spec spec;
	struct run_status status;
	struct outlog log;
	struct init_report report;
	bool reported, init_gone, terminating, killed;
	pid_t init;
	int signal_fd, out_fd, report_fd;
	int64_t timeout_ns, kill_ns; /* monotonic; 0 none */
	char namespaces[96];
};

static void kill_now(struct supervisor *s)
{
	s->killed = true;
	kill(s->init, SIGKILL);
	(void)cgroup_kill(&s->spec.group, 5000);
}

static void terminate(struct supervisor *s)
{
	if (s->terminating)
		return;
	s->terminating = true;
	kill(s->init, SIGTERM);
	s->kill_ns = clock_mono_ns() + s->spec.run.grace_s * INT64_C(1000000000);
}

static void on_signal(struct supervisor *s)
{
	struct signalfd_siginfo si;
	while (read(s->signal_fd, &si, sizeof si) == sizeof si) {
		if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT || si.ssi_signo == SIGUSR1)
			s->status.stopped = true;
		if (si.ssi_signo == SIGUSR1)
			kill_now(s);
		else if (si.ssi_signo != SIGCHLD)
			terminate(s);
	}
	for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;)
		if (pid == s->init)
			s->init_gone = true;
}

static void on_output(struct supervisor *s)
{
	char block[16384];
	ssize_t n;
	while ((n = read(s->out_fd, block, sizeof block)) > 0)
		outlog_add(&s->log, block, (size_t)n);
	if (n == 0)
		fd_close(&s->out_fd);
}

static void on_report(struct supervisor *s)
{
	/* Not started is told by the app's process, then init adds how that one exited: the first word counts. */
	struct init_report r;
	ssize_t n = read(s->report_fd, &r, sizeof r);
	if (n == (ssize_t)sizeof r && !s->reported) {
		s->report = r;
		s->reported = true;
	} else if (n == 0) {
		fd_close(&s->report_fd);
	}
}

static int wait_ms(const struct supervisor *s)
{
	int64_t next = s->timeout_ns && !s->terminating ? s->timeout_ns : 0;
	if (s->kill_ns && !s->killed && (!next || s->kill_ns < next))
		next = s->kill_ns;
	if (!next)
		return -1;
	int64_t ms = (next - clock_mono_ns()) / 1000000 + 1;
	return ms < 0 ? 0 : ms > 60000 ? 60000 : (int)ms;
}

static void watch(struct supervisor *s)
{
	while (!s->init_gone) {
		struct pollfd p[3] = {{s->signal_fd, POLLIN, 0}, {s->out_fd, POLLIN, 0}, {s->report_fd, POLLIN, 0}};
		poll(p, 3, wait_ms(s));
		if (p[1].revents)
			on_output(s);
		if (p[2].revents)
			on_report(s);
		if (p[0].revents)
			on_signal(s);
		int64_t now = clock_mono_ns();
		if (s->timeout_ns && now >= s->timeout_ns && !s->terminating) {
			s->status.timed_out = true;
			terminate(s);
		}
		if (s->kill_ns && now >= s->kill_ns && !s->killed)
			kill_now(s);
	}
	/* What escaped a run without namespaces is ours now (subreaper) or still in the group. */
	(void)cgroup_kill(&s->spec.group, 5000);
	if (!strcmp(s->namespaces, "none"))
		kill_children();
	while (s->report_fd >= 0 && !s->reported)
		on_report(s);
	if (s->out_fd >= 0)
		on_output(s);
}

static void limits_json(struct supervisor *s)
{
	struct buf b;
	struct jsonw w;
	buf_init(&b, 4096);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	jsonw_kstr(&w, "cpu", s->spec.report.cpu);
	jsonw_kstr(&w, "memory", s->spec.report.memory);
	jsonw_kstr(&w, "cpu_request", s->spec.report.cpu_request);
	jsonw_kstr(&w, "processes", s->spec.report.processes);
	jsonw_kstr(&w, "namespaces", s->namespaces);
	jsonw_end(&w, '}');
	snprintf(s->status.limits, sizeof s->status.limits, "%s", b.n < sizeof s->status.limits ? buf_cstr(&b) : "{}");
	buf_done(&b);
}

static void describe(struct supervisor *s)
{
	struct run_status *t = &s->status;
	char *out = t->reason;
	size_t cap = sizeof t->reason;
	if (s->reported && s->report.stage == INIT_NOT_STARTED)
		snprintf(out, cap, "did not start: cannot %s%s%s%s: %s", s->report.what,
			 strcmp(s->report.what, "start the program") ? "" : " \"",
			 strcmp(s->report.what, "start the program") ? "" : s->spec.run.command[0],
			 strcmp(s->report.what, "start the program") ? "" : "\"", strerror(s->report.sys));
	else if (t->timed_out)
		snprintf(out, cap, "ended after its wall-clock limit of %" PRId64 " s (activeDeadlineSeconds)",
			 s->spec.run.timeout_s);
	else if (t->stopped)
		snprintf(out, cap, "stopped by the platform");
	else if (t->oom && t->exit_code)
		snprintf(out, cap, "out of memory: the limit is %" PRId64 " bytes (resources.limits.memory)",
			 s->spec.run.memory_bytes);
	else if (t->signal)
		snprintf(out, cap, "killed by signal %d (%s)", t->signal, strsignal(t->signal));
	else if (t->exit_code)
		snprintf(out, cap, "exit %d", t->exit_code);
}

static void finish(struct supervisor *s)
{
	struct run_status *t = &s->status;
	const struct rusage *u = &s->report.usage;
	int64_t cpu, peak;
	t->ended_us = clock_now_us();
	t->exit_code = -1;
	if (s->reported && s->report.stage == INIT_EXITED) {
		t->exit_code = WIFEXITED(s->report.wait_status) ? WEXITSTATUS(s->report.wait_status) : -1;
		t->signal = WIFSIGNALED(s->report.wait_status) ? WTERMSIG(s->report.wait_status) : 0;
	} else if (!s->reported) {
		t->signal = SIGKILL; /* init was killed with all of the tree */
	}
	/* Stopping is a failure even when the program exits 0 on SIGTERM: it was not done. */
	t->cpu_us = (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * US_PER_S + u->ru_utime.tv_usec + u->ru_stime.tv_usec;
	t->peak_bytes = (int64_t)u->ru_maxrss * 1024;
	cgroup_usage(&s->spec.group, &cpu, &peak, &t->oom);
	if (cpu >= 0)
		t->cpu_us = cpu;
	if (peak >= 0)
		t->peak_bytes = peak;
	limits_json(s);
	describe(s);
	if (s->log.total == 0 && t->reason[0])
		outlog_add(&s->log, t->reason, strlen(t->reason));
	outlog_close(&s->log);
	cgroup_remove(&s->spec.group);
}

static enum err_code prepare(struct supervisor *s, struct arena *a, const char *path, struct err *e)
{
	sigset_t signals;
	/* Blocked before anybody may send one: a death by SIGUSR1 would leave the control group behind. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	enum err_code rc = spec_read(path, a, &s->spec, e);
	if (rc)
		return rc;
	if (getppid() != s->spec.parent)
		return err_set(e, ERR_INTERRUPTED, "the manager that started run %" PRId64 " is gone", s->spec.run.run);
	if (s->spec.alive_fd >= 0)
		fcntl(s->spec.alive_fd, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_NAME, "mysimbdp-superv");
	setsid();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return err_sys(e, errno, "make a signal descriptor");
	return outlog_open(&s->log, s->spec.run.log_path, s->spec.run.log_max, e);
}

/* CLIENT_ID and SOURCE_PATH are the contract; HOME and TMPDIR are the run's own scratch directory. */
static char **environment(const struct supervise_spec *s, struct arena *a)
{
	const struct run_spec *r = &s->run;
	const char *where = s->mount_at[0] ? s->mount_at : r->workspace;
	size_t n = 0, i = 0;
	while (r->env[n])
		n++;
	char **env = arena_array(a, n + 8, sizeof *env);
	if (!env)
		return NULL;
	env[i++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	env[i++] = "LANG=C.UTF-8";
	env[i++] = arena_printf(a, "HOME=%s/tmp", where);
	env[i++] = arena_printf(a, "TMPDIR=%s/tmp", where);
	env[i++] = arena_printf(a, "CLIENT_ID=%s", r->tenant);
	env[i++] = arena_printf(a, "SOURCE_PATH=%s", where);
	for (size_t k = 0; k < n; k++)
		env[i++] = (char *)r->env[k];
	return env[2] && env[3] && env[4] && env[5] ? env : NULL;
}

static enum err_code start(struct supervisor *s, struct arena *a, struct err *e)
{
	int out[2], rep[2];
	char **env = environment(&s->spec, a);
	if (!env)
		return err_oom(e);
	if (pipe2(out, O_CLOEXEC) || pipe2(rep, O_CLOEXEC))
		return err_sys(e, errno, "make a pipe");
	struct init_args ia = {.spec = &s->spec,
			       .argv = (char *const *)s->spec.run.command,
			       .envp = env,
			       .out_fd = out[1],
			       .report_fd = rep[1],
			       .outer_uid = geteuid(),
			       .outer_gid = getegid()};
	ia.close_fds[0] = out[0];
	ia.close_fds[1] = rep[0];
	ia.close_fds[2] = s->signal_fd;
	s->out_fd = out[0];
	s->report_fd = rep[0];
	environ = env; /* execvpe searches the app's PATH, not ours */
	s->status.started_us = clock_now_us();
	if (s->spec.run.timeout_s > 0)
		s->timeout_ns = clock_mono_ns() + s->spec.run.timeout_s * INT64_C(1000000000);
	s->init = init_fork(&ia, s->namespaces);
	int sys = errno;
	close(out[1]);
	close(rep[1]);
	if (s->init < 0)
		return err_sys(e, sys, "start the run's first process");
	fcntl(s->out_fd, F_SETFL, O_NONBLOCK);
	return ERR_OK;
}

int runner_supervise(const char *spec_path)
{
	struct supervisor s = {.init = -1, .signal_fd = -1, .out_fd = -1, .report_fd = -1, .log.fd = -1};
	struct arena a;
	struct err e = {0};
	arena_init(&a, 8 << 20);
	enum err_code rc = prepare(&s, &a, spec_path, &e);
	if (!rc) {
		fault_hit("supervise.start.before");
		rc = start(&s, &a, &e);
	}
	if (!rc) {
		watch(&s);
		finish(&s);
	} else if (s.signal_fd >= 0) {
		s.status.exit_code = -1;
		s.status.started_us = s.status.ended_us = clock_now_us();
		limits_json(&s);
		snprintf(s.status.reason, sizeof s.status.reason, "did not start: %.200s", e.msg);
		outlog_close(&s.log);
		cgroup_remove(&s.spec.group);
		rc = ERR_OK;
	}
	fault_hit("supervise.status.before");
	if (!rc)
		rc = status_write(s.spec.run.workspace, &s.status, &e);
	fault_hit("supervise.status.after");
	if (rc) {
		cgroup_remove(&s.spec.group);
		fprintf(stderr, "mysimbdp __supervise: %s\n", e.msg);
	}
	arena_done(&a);
	return rc ? err_info(rc)->exit : 0;
}
