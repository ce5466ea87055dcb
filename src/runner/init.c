/*
 * init.c: the process between the supervisor and the app.
 *
 *   supervisor (our user, outside)  ->  init (pid 1 of the run's pid namespace)  ->  app (the tenant's user)
 *
 * As pid 1 its death ends every process of the namespace, whatever they did to escape (double fork, setsid): the
 * kernel reaps them before init itself is gone, so "init was waited for" means "the tree is gone". Where namespaces are
 * not permitted init is a subreaper and kills its descendants itself. The app must not be pid 1: default signal
 * actions do not work there, and most programs do not reap orphans.
 *
 * Namespaces: pid and ipc (own tree), mount (own /proc, the data directory hidden but for the workspace). The network
 * is shared on purpose: many client programs fetch reference data; a tenant's own network is a container's business.
 */
#include "runner/internal.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void report(const struct init_args *a, struct init_report *r)
{
	ssize_t n = write(a->report_fd, r, sizeof *r);
	(void)n; /* the supervisor is gone: nobody to tell */
}

static void not_started(const struct init_args *a, int sys, const char *what) __attribute__((noreturn));
static void not_started(const struct init_args *a, int sys, const char *what)
{
	struct init_report r = {.stage = INIT_NOT_STARTED, .sys = sys};
	snprintf(r.what, sizeof r.what, "%s", what);
	report(a, &r);
	_exit(127);
}

static int limit(int what, uint64_t v)
{
	return setrlimit((__rlimit_resource_t)what, &(struct rlimit){v, v}) ? errno : 0;
}

/* The app's process, between fork and exec. */
static void app_main(const struct init_args *a) __attribute__((noreturn));
static void app_main(const struct init_args *a)
{
	const struct run_spec *s = &a->spec->run;
	const char *where = a->spec->mount_at[0] ? a->spec->mount_at : s->workspace;
	int rc, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int program = s->own_program ? open(a->argv[0], O_PATH | O_CLOEXEC) : -1; /* found before we are nobody */
	sigset_t none;
	setsid();
	if ((rc = cgroup_join(&a->spec->group)))
		not_started(a, rc, "join the control group");
	if (null < 0 || dup2(null, 0) < 0 || dup2(a->out_fd, 1) < 0 || dup2(a->out_fd, 2) < 0)
		not_started(a, errno, "connect the output");
	if (chdir(where))
		not_started(a, errno, "enter the workspace");
	if ((s->max_output_bytes && (rc = limit(RLIMIT_FSIZE, s->max_output_bytes))) || (rc = limit(RLIMIT_CORE, 0)))
		not_started(a, rc, "set resource limits");
	(void)limit(RLIMIT_NOFILE, 4096);
	/* Counts all processes of the user, so only where the user is the tenant's own. */
	if (s->uid && !a->spec->report.has_processes)
		(void)limit(RLIMIT_NPROC, (uint64_t)s->max_processes);
	if (s->uid && (setgroups(0, NULL) || setresgid(s->gid, s->gid, s->gid) || setresuid(s->uid, s->uid, s->uid)))
		not_started(a, errno, "become the tenant's user");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		not_started(a, errno, "give up privileges");
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* after setuid, which clears it */
	umask(077);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fcntl(a->report_fd, F_SETFD, FD_CLOEXEC);
	syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
	if (program >= 0)
		syscall(SYS_execveat, program, "", a->argv, a->envp, AT_EMPTY_PATH);
	execvpe(a->argv[0], a->argv, a->envp);
	not_started(a, errno, "start the program");
}

void kill_children(void)
{
	/* Descendants come to us one generation after the other as their parents die (we are pid 1 or a subreaper). */
	for (int round = 0; round < 2000; round++) {
		bool any = false;
		DIR *d = opendir("/proc");
		for (struct dirent *de; d && (de = readdir(d));) {
			char path[64], line[512], *p;
			pid_t pid = (pid_t)strtol(de->d_name, NULL, 10), parent = 0;
			if (pid <= 1)
				continue;
			snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
			FILE *f = fopen(path, "re");
			if (f && fgets(line, sizeof line, f) && (p = strrchr(line, ')')))
				parent = (pid_t)strtol(p + 3, NULL, 10);
			if (f)
				fclose(f);
			if (parent == getpid()) {
				kill(pid, SIGKILL);
				any = true;
			}
		}
		if (d)
			closedir(d);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			any = true;
		if (!any)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	int rc = write(fd, text, strlen(text)) < 0 ? errno : 0;
	close(fd);
	return rc;
}

/* In a user namespace of our own the only mapped user is ourselves, under the same number. */
static void map_user(const struct init_args *a)
{
	char text[64];
	int rc;
	(void)write_text("/proc/self/setgroups", "deny");
	snprintf(text, sizeof text, "%u %u 1", a->outer_uid, a->outer_uid);
	if ((rc = write_text("/proc/self/uid_map", text)))
		not_started(a, rc, "map the user");
	snprintf(text, sizeof text, "%u %u 1", a->outer_gid, a->outer_gid);
	if ((rc = write_text("/proc/self/gid_map", text)))
		not_started(a, rc, "map the group");
}

/* mkdir -p below base, which is an empty tmpfs of ours. */
static int make_below(const char *base, const char *path)
{
	char part[1100];
	snprintf(part, sizeof part, "%s", path);
	for (char *p = part + strlen(base) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = 0;
		if (mkdir(part, 0755) && errno != EEXIST)
			return errno;
	}
	return mkdir(part, 0755) && errno != EEXIST ? errno : 0;
}

/* The app sees its workspace and nothing else of the data directory. */
static void build_view(const struct init_args *a)
{
	const struct run_spec *s = &a->spec->run;
	size_t n = s->hide ? strlen(s->hide) : 0;
	char self[64];
	int rc, ws = open(s->workspace, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (ws < 0)
		not_started(a, errno, "open the workspace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		not_started(a, errno, "make mounts private");
	snprintf(self, sizeof self, "/proc/self/fd/%d", ws);
	if (a->spec->mount_at[0] && mount(self, a->spec->mount_at, NULL, MS_BIND, NULL))
		not_started(a, errno, "mount the workspace");
	if (n > 1 && !strncmp(s->workspace, s->hide, n) && s->workspace[n] == '/') {
		if (mount("mysimbdp", s->hide, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=1m"))
			not_started(a, errno, "hide the data directory");
		if ((rc = make_below(s->hide, s->workspace)))
			not_started(a, rc, "make the workspace's mount point");
		if (mount(self, s->workspace, NULL, MS_BIND, NULL))
			not_started(a, errno, "mount the workspace");
		(void)mount("mysimbdp", s->hide, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
			    "mode=755,size=1m");
	}
	close(ws);
	/* Refused inside some containers; the outer /proc then stays, and shows names of other processes. */
	if (a->pid_ns)
		(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static void add_usage(struct rusage *sum, const struct rusage *u)
{
	timeradd(&sum->ru_utime, &u->ru_utime, &sum->ru_utime);
	timeradd(&sum->ru_stime, &u->ru_stime, &sum->ru_stime);
	if (u->ru_maxrss > sum->ru_maxrss)
		sum->ru_maxrss = u->ru_maxrss;
}

/* Wait for the app, hand SIGTERM on to its process group, reap orphans; then end what is left. */
static void watch(const struct init_args *a, pid_t app, const sigset_t *signals) __attribute__((noreturn));
static void watch(const struct init_args *a, pid_t app, const sigset_t *signals)
{
	struct init_report r = {.stage = INIT_EXITED};
	bool ended = false;
	while (!ended) {
		struct rusage u;
		int status, sig = sigwaitinfo(signals, NULL);
		pid_t pid;
		if (sig == SIGTERM)
			kill(-app, SIGTERM);
		while ((pid = wait4(-1, &status, WNOHANG, &u)) > 0) {
			add_usage(&r.usage, &u);
			if (pid == app) {
				ended = true;
				r.wait_status = status;
			}
		}
	}
	if (a->pid_ns) {
		struct rusage u;
		kill(-1, SIGKILL);
		while (wait4(-1, NULL, 0, &u) > 0)
			add_usage(&r.usage, &u);
	} else {
		kill(-app, SIGKILL);
		kill_children();
	}
	report(a, &r);
	_exit(0);
}

void init_main(const struct init_args *a)
{
	sigset_t signals;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < 3; i++) /* a reading end of ours would hide the supervisor's death */
		close(a->close_fds[i]);
	if (a->user_ns)
		map_user(a);
	/* The supervisor may have died before prctl: then the pipe has no reader. */
	struct pollfd p = {.fd = a->report_fd};
	if (poll(&p, 1, 0) > 0 && (p.revents & POLLERR))
		_exit(0);
	if (!a->pid_ns)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_NAME, "mysimbdp-init");
	if (a->mount_ns)
		build_view(a);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	pid_t app = fork();
	if (app < 0)
		not_started(a, errno, "start a process");
	if (!app)
		app_main(a);
	close(a->out_fd);
	watch(a, app, &signals);
}

bool mounts_can_be_private(void)
{
	struct statx st;
	if (statx(AT_FDCWD, "/", 0, 0, &st) || !(st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return true;
	return st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

pid_t init_fork(struct init_args *a, char ns[96])
{
	const int all = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
	const int tries[] = {all, all | CLONE_NEWUSER, 0};
	for (size_t i = a->spec->run.no_namespaces || !mounts_can_be_private() ? 2 : 0; i < 3; i++) {
		if (i == 1 && (geteuid() == 0 || a->spec->run.uid))
			continue; /* in a user namespace root could not become the tenant's user */
		if (i == 2 && a->spec->mount_at[0])
			break; /* without mounts the tenant's user would not reach its workspace */
		a->pid_ns = a->mount_ns = tries[i] != 0;
		a->user_ns = tries[i] & CLONE_NEWUSER;
		snprintf(ns, 96, "%s", a->user_ns ? "pid, mount, ipc, user" : a->pid_ns ? "pid, mount, ipc" : "none");
		pid_t pid = (pid_t)syscall(SYS_clone, tries[i] | SIGCHLD, 0, 0, 0, 0);
		if (!pid)
			init_main(a);
		if (pid > 0)
			return pid;
	}
	return -1;
}
