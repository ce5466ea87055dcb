/*
 * process.c: the runner "process": a tenant's program as a process tree of this machine.
 *
 * start makes the control group, locks WORKSPACE/alive, writes spec.json and forks a supervisor from our own
 * executable (supervise.c), which inherits the lock: whoever can take that lock later knows that nothing of the run
 * lives. All other functions look at the supervisor through a pidfd and at status.json.
 *
 * The thread that calls start must live as long as the run: the parent-death signal comes when that thread ends.
 */
#include "runner/internal.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOUNT_POINT "/run/mysimbdp/source"
#define GONE_MS 10000

int64_t process_start_time(pid_t pid)
{
	char path[64], line[1024], *p;
	int64_t start = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	/* Fields behind the name, which may hold blanks and brackets: state is the 3rd, start time the 22nd. A zombie
	 * is gone. */
	if (fgets(line, sizeof line, f) && (p = strrchr(line, ')')) && p[1] && p[2] != 'Z' && p[2] != 'X') {
		int field = 2;
		for (p = strchr(p, ' '); p && ++field < 22; p = strchr(p + 1, ' '))
			;
		if (p)
			start = strtoll(p + 1, NULL, 10);
	}
	fclose(f);
	return start;
}

/* May this user walk down to the directory? */
static bool reachable(const char *path, uid_t uid, gid_t gid)
{
	char part[1100];
	snprintf(part, sizeof part, "%s", path);
	for (;;) {
		struct stat st;
		if (stat(part[0] ? part : "/", &st))
			return false;
		mode_t bit = st.st_uid == uid ? S_IXUSR : st.st_gid == gid ? S_IXGRP : S_IXOTH;
		if (!(st.st_mode & bit))
			return false;
		char *slash = strrchr(part, '/');
		if (!slash || !part[0])
			return true;
		*slash = 0;
	}
}

bool runner_can_separate(const char *workspaces)
{
	if (geteuid() != 0)
		return false;
	if (reachable(workspaces, (uid_t)-2, (gid_t)-2))
		return true;
	if (!mounts_can_be_private())
		return false;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		_exit(0);
	return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

static enum err_code choose_mount(const struct run_spec *s, const char **ret, struct err *e)
{
	*ret = "";
	if (!s->uid || reachable(s->workspace, s->uid, s->gid))
		return ERR_OK;
	if (s->no_namespaces) {
		err_set(e, ERR_CONFIG, "the app's user %u cannot reach its workspace \"%s\"", s->uid, s->workspace);
		return err_hint(e, "let others pass the directories above it (chmod o+x), or allow namespaces");
	}
	enum err_code rc = dir_make(MOUNT_POINT, 0755, e);
	*ret = MOUNT_POINT;
	return rc;
}

static enum err_code lock_alive(const char *workspace, int *ret_fd, struct err *e)
{
	char path[1100];
	snprintf(path, sizeof path, "%s/alive", workspace);
	enum err_code rc = fd_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, ret_fd, e);
	if (!rc && flock(*ret_fd, LOCK_EX | LOCK_NB)) {
		fd_close(ret_fd);
		return err_set(e, ERR_BUSY, "an earlier run still lives in \"%s\"", workspace);
	}
	return rc;
}

/* Only system calls: the manager has threads. */
static void child_main(int alive, char *const *argv) __attribute__((noreturn));
static void child_main(int alive, char *const *argv)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fcntl(alive, F_SETFD, 0);
	if (alive > 3)
		syscall(SYS_close_range, 3U, (unsigned)alive - 1, 0);
	syscall(SYS_close_range, (unsigned)alive + 1, ~0U, 0);
	execv("/proc/self/exe", argv);
	_exit(127);
}

static enum err_code spawn(const struct supervise_spec *s, const char *spec_path, struct run_handle *h, struct err *e)
{
	char *argv[] = {"mysimbdp", "__supervise", (char *)spec_path, NULL};
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "start a supervisor");
	if (!pid)
		child_main(s->alive_fd, argv);
	h->pid = pid;
	h->pid_start = process_start_time(pid);
	h->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (h->pidfd < 0) {
		int sys = errno;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return err_sys(e, sys, "watch the supervisor");
	}
	return ERR_OK;
}

static enum err_code process_start(const struct run_spec *run, struct run_handle *ret, struct err *e)
{
	struct supervise_spec s = {.run = *run, .parent = getpid(), .alive_fd = -1};
	struct run_handle h = {.pidfd = -1};
	char path[1100], name[64], parent[1024];
	if (strlen(run->workspace) >= sizeof h.workspace || run->workspace[0] != '/')
		return err_set(e, ERR_INVALID, "workspace \"%s\" is no absolute path below %zu bytes", run->workspace,
			       sizeof h.workspace);
	if (!s.run.max_processes)
		s.run.max_processes = RUN_PROCESSES_DEFAULT;
	if (!s.run.grace_s)
		s.run.grace_s = RUN_GRACE_DEFAULT;
	enum err_code rc = choose_mount(run, &s.mount_at, e);
	if (!rc)
		rc = lock_alive(run->workspace, &s.alive_fd, e);
	if (rc)
		return rc;
	snprintf(parent, sizeof parent, "%.*s", (int)(path_base(run->workspace) - run->workspace), run->workspace);
	snprintf(name, sizeof name, "mysimbdp-%08x-r%" PRId64, (unsigned)hash64(parent, strlen(parent), 0), run->run);
	cgroup_make(name,
		    &(struct cgroup_limits){.cpu_milli = s.run.cpu_milli,
					    .memory_bytes = s.run.memory_bytes,
					    .cpu_request_milli = s.run.cpu_request_milli,
					    .max_processes = s.run.max_processes},
		    &s.group, &s.report);
	snprintf(path, sizeof path, "%s/spec.json", run->workspace);
	const char *const no_env[] = {NULL};
	if (!s.run.env)
		s.run.env = no_env;
	rc = spec_write(path, &s, e);
	if (!rc)
		rc = spawn(&s, path, &h, e);
	fd_close(&s.alive_fd);
	if (rc) {
		cgroup_remove(&s.group);
		return err_prefix(e, "start app \"%s\"", run->app);
	}
	snprintf(h.cgroup, sizeof h.cgroup, "%s", s.group.path);
	snprintf(h.workspace, sizeof h.workspace, "%s", run->workspace);
	*ret = h;
	return ERR_OK;
}

/* Nobody holds WORKSPACE/alive any more; waits up to limit_ms. */
static bool nobody_alive(const char *workspace, int limit_ms)
{
	char path[1100];
	int64_t end = clock_mono_ns() + limit_ms * INT64_C(1000000);
	snprintf(path, sizeof path, "%s/alive", workspace);
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT;
	bool free_now;
	while (!(free_now = !flock(fd, LOCK_EX | LOCK_NB)) && clock_mono_ns() < end)
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	close(fd);
	return free_now;
}

enum err_code runner_status(const char *workspace, struct run_status *ret, struct err *e)
{
	enum err_code rc = status_read(workspace, ret, e);
	if (rc == ERR_NOT_FOUND || rc == ERR_DOCUMENT) {
		*ret = (struct run_status){.ended = true,
					   .lost = true,
					   .exit_code = -1,
					   .limits = "{}",
					   .reason = "lost: the supervisor ended without a status"};
		return ERR_OK;
	}
	return rc;
}

enum err_code runner_reap_workspace(const char *workspace, struct err *e)
{
	struct supervise_spec s;
	struct arena a;
	char path[1100];
	arena_init(&a, 8 << 20);
	snprintf(path, sizeof path, "%s/spec.json", workspace);
	(void)chmod(workspace, 0711); /* an app of our own user may have closed it to us */
	if (!spec_read(path, &a, &s, NULL)) {
		/* With its manager gone the supervisor is ending by itself; this is for one that was killed. */
		if (!nobody_alive(workspace, 200))
			(void)cgroup_kill(&s.group, GONE_MS);
		else
			(void)cgroup_kill(&s.group, 1000);
		cgroup_remove(&s.group);
	}
	arena_done(&a);
	if (nobody_alive(workspace, GONE_MS))
		return ERR_OK;
	err_set(e, ERR_BUSY, "a process of an earlier run still lives in \"%s\"", workspace);
	return err_hint(e, "end the process that has \"%s/alive\" open (fuser shows it)", workspace);
}

static enum err_code process_poll(struct run_handle *h, struct run_status *ret, struct err *e)
{
	siginfo_t si = {0};
	if (waitid(P_PIDFD, (id_t)h->pidfd, &si, WEXITED | WNOHANG) && errno != ECHILD)
		return err_sys(e, errno, "look at supervisor %d", (int)h->pid);
	else if (!si.si_pid && process_start_time(h->pid) == h->pid_start) {
		*ret = (struct run_status){0};
		return ERR_OK;
	}
	struct cgroup g;
	snprintf(g.path, sizeof g.path, "%s", h->cgroup);
	if (!nobody_alive(h->workspace, 0)) {
		(void)cgroup_kill(&g, GONE_MS);
		if (!nobody_alive(h->workspace, GONE_MS))
			return err_set(e, ERR_BUSY, "processes of \"%s\" do not end", h->workspace);
	}
	cgroup_remove(&g);
	return runner_status(h->workspace, ret, e);
}

static enum err_code process_wait(struct run_handle *h, int timeout_ms, struct run_status *ret, struct err *e)
{
	struct pollfd p = {h->pidfd, POLLIN, 0};
	while (poll(&p, 1, timeout_ms) < 0 && errno == EINTR)
		;
	return process_poll(h, ret, e);
}

static void signal_it(struct run_handle *h, int sig)
{
	(void)syscall(SYS_pidfd_send_signal, h->pidfd, sig, NULL, 0);
}

static enum err_code process_stop(struct run_handle *h, int64_t grace_s, struct run_status *ret, struct err *e)
{
	static const struct {
		int sig, wait_ms;
	} steps[] = {{SIGTERM, 0}, {SIGUSR1, GONE_MS}, {SIGKILL, GONE_MS}};
	enum err_code rc = process_poll(h, ret, e);
	for (size_t i = 0; !rc && !ret->ended && i < 3; i++) {
		if (i == 0 && grace_s <= 0)
			continue;
		signal_it(h, steps[i].sig);
		rc = process_wait(h, i ? steps[i].wait_ms : (int)(grace_s < 86400 ? grace_s : 86400) * 1000, ret, e);
	}
	if (!rc && !ret->ended)
		rc = err_set(e, ERR_TIMEOUT, "supervisor %d does not end", (int)h->pid);
	return rc;
}

static enum err_code process_reap(pid_t pid, int64_t pid_start, const char *cgroup, struct err *e)
{
	struct cgroup g;
	snprintf(g.path, sizeof g.path, "%s", cgroup ? cgroup : "");
	int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	/* The pidfd is taken first, so that the process compared is the process signalled. */
	bool same = fd >= 0 && process_start_time(pid) == pid_start;
	struct pollfd p = {fd, POLLIN, 0};
	if (same) {
		(void)syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0);
		if (poll(&p, 1, 5000) <= 0) {
			(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
			(void)poll(&p, 1, GONE_MS);
		}
		same = process_start_time(pid) == pid_start;
	}
	fd_close(&fd);
	bool empty = cgroup_kill(&g, GONE_MS);
	cgroup_remove(&g);
	if (same || !empty)
		return err_set(e, ERR_BUSY, "process %d of an earlier run does not end", (int)pid);
	return ERR_OK;
}

static void process_release(struct run_handle *h)
{
	fd_close(&h->pidfd);
}

const struct runner_class runner_process = {
    .name = "process",
    .summary = "a process tree of this machine, limited by cgroups and namespaces where permitted",
    .start = process_start,
    .poll = process_poll,
    .wait = process_wait,
    .stop = process_stop,
    .reap = process_reap,
    .release = process_release,
};
