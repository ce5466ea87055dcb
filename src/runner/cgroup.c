/*
 * cgroup.c: one control group a run, of cgroup v2 where its controllers are there, else of the v1 hierarchies, else
 * none; every limit says how it is kept or why it is not.
 *
 * Groups are made below our own group, so what limits us limits the runs too, and nothing outside is touched. With v2
 * a group that has processes cannot hand controllers to children ("no internal processes"): when we are alone in ours
 * (systemd: Delegate=yes) we move into the leaf "mysimbdp-control" first; else the nearest group above that hands
 * controllers on, and that we may write, takes the runs (a login session as root). Source:
 * Documentation/admin-guide/cgroup-v2 and cgroup-v1 of the Linux kernel.
 */
#include "runner/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_LEAF "/mysimbdp-control"
#define CPU_PERIOD_US 100000

enum controller { C_CPU, C_CPUACCT, C_MEMORY, C_PIDS, C_V2, CONTROLLERS };
static const char *const controller_names[] = {"cpu", "cpuacct", "memory", "pids", ""};

/* Our own group in each hierarchy: an absolute directory, "" when there is no such hierarchy. */
struct hierarchy {
	char dir[CONTROLLERS][400];
	char v2_mount[400];
	char v2_have[256];  /* controllers that groups below dir[C_V2] can use */
	const char *v2_why; /* why not more */
};

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[600];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	ssize_t n = write(fd, text, strlen(text));
	int rc = n < 0 ? errno : 0;
	close(fd);
	return rc;
}

static int write_number(const char *dir, const char *name, int64_t v)
{
	char text[32];
	snprintf(text, sizeof text, "%" PRId64, v);
	return write_file(dir, name, text);
}

/* "" when it cannot be read. */
static void read_file(const char *dir, const char *name, char *out, size_t cap)
{
	char path[600];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, cap - 1);
	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = 0;
}

/* The number behind "key " at the start of a line; key "" : the first number of the file. -1: not there. */
static int64_t read_number(const char *dir, const char *name, const char *key)
{
	char text[4096];
	size_t k = strlen(key);
	read_file(dir, name, text, sizeof text);
	for (char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (!strncmp(line, key, k) && (!k || line[k] == ' '))
			return strtoll(line + k, NULL, 10);
	return -1;
}

/* Is word one of the comma- or blank-separated words of list? */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || strchr(", ", p[-1])) && (!p[n] || strchr(", \n", p[n])))
			return true;
	return false;
}

/* "ID:CONTROLLERS:PATH" of /proc/self/cgroup for one controller ("" is v2). */
static void own_path(const char *controller, char *out, size_t cap)
{
	char line[1024];
	snprintf(out, cap, "/");
	FILE *f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(line, sizeof line, f)) {
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = 0;
		list++;
		path[strcspn(path, "\n")] = 0;
		if (controller[0] ? has_word(list, controller) : !*list)
			snprintf(out, cap, "%s", path);
	}
	if (f)
		fclose(f);
}

/* Directory of our group: mount point + our path, less the part that the mount itself starts at. */
static void place(char *out, size_t cap, const char *root, const char *mount, const char *controller)
{
	char own[512], dir[1100];
	struct stat st;
	own_path(controller, own, sizeof own);
	size_t skip = strlen(root) > 1 && !strncmp(own, root, strlen(root)) ? strlen(root) : 0;
	snprintf(dir, sizeof dir, "%s%s", mount, !strcmp(own + skip, "/") ? "" : own + skip);
	if (stat(dir, &st) || !S_ISDIR(st.st_mode))
		snprintf(dir, sizeof dir, "%s", mount);
	if (strlen(dir) < cap && !strchr(dir, ':'))
		snprintf(out, cap, "%s", dir);
}

static void find_hierarchies(struct hierarchy *h)
{
	char line[2048];
	memset(h, 0, sizeof *h);
	FILE *f = fopen("/proc/self/mountinfo", "re");
	while (f && fgets(line, sizeof line, f)) {
		char root[512], mount[512], type[64], options[512];
		char *rest = strstr(line, " - ");
		if (!rest || sscanf(line, "%*s %*s %*s %511s %511s", root, mount) != 2 ||
		    sscanf(rest, " - %63s %*s %511s", type, options) != 2)
			continue;
		if (!strcmp(type, "cgroup2")) {
			place(h->dir[C_V2], sizeof h->dir[0], root, mount, "");
			snprintf(h->v2_mount, sizeof h->v2_mount, "%.399s", mount);
		}
		for (int c = 0; !strcmp(type, "cgroup") && c < C_V2; c++)
			if (has_word(options, controller_names[c]))
				place(h->dir[c], sizeof h->dir[0], root, mount, controller_names[c]);
	}
	if (f)
		fclose(f);
	char *d = h->dir[C_V2];
	size_t n = strlen(d), leaf = strlen(CONTROL_LEAF);
	if (n > leaf && !strcmp(d + n - leaf, CONTROL_LEAF))
		d[n - leaf] = 0;
}

/* Hand a v2 controller to the groups below ours. NULL or why not. */
static const char *v2_enable(const char *dir, const char *controller)
{
	char text[32], procs[256], leaf[512], have[256];
	read_file(dir, "cgroup.subtree_control", have, sizeof have);
	if (has_word(have, controller))
		return NULL;
	snprintf(text, sizeof text, "+%s", controller);
	int rc = write_file(dir, "cgroup.subtree_control", text);
	if (rc == EBUSY) {
		read_file(dir, "cgroup.procs", procs, sizeof procs);
		if (strtol(procs, NULL, 10) != getpid() || strchr(procs, '\n') != strrchr(procs, '\n'))
			return "other processes share our cgroup (systemd: Delegate=yes)";
		snprintf(leaf, sizeof leaf, "%s%s", dir, CONTROL_LEAF);
		if ((mkdir(leaf, 0755) && errno != EEXIST) || write_number(leaf, "cgroup.procs", getpid()))
			return "cannot leave the inner cgroup";
		rc = write_file(dir, "cgroup.subtree_control", text);
	}
	if (rc == EACCES || rc == EPERM || rc == EROFS)
		return "the cgroup is not ours to write";
	return rc ? "the kernel refused the controller" : NULL;
}

/* Where v2 groups of runs go: all controllers of a run must be had in one place. */
static void v2_choose(struct hierarchy *h)
{
	static const enum controller wanted[] = {C_MEMORY, C_CPU, C_PIDS};
	char *own = h->dir[C_V2], controllers[256], up[400], have[256];
	if (!*own)
		return;
	read_file(own, "cgroup.controllers", controllers, sizeof controllers);
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		const char *why = has_word(controllers, controller_names[wanted[i]])
				      ? v2_enable(own, controller_names[wanted[i]])
				      : NULL;
		h->v2_why = why ? why : h->v2_why;
	}
	read_file(own, "cgroup.subtree_control", h->v2_have, sizeof h->v2_have);
	snprintf(up, sizeof up, "%s", own);
	while (!has_word(h->v2_have, "memory") && strlen(up) > strlen(h->v2_mount)) {
		*strrchr(up, '/') = 0;
		read_file(up, "cgroup.subtree_control", have, sizeof have);
		if (has_word(have, "memory") && !access(up, W_OK)) {
			snprintf(own, sizeof h->dir[0], "%s", up);
			snprintf(h->v2_have, sizeof h->v2_have, "%s", have);
		}
	}
}

/* The directory of the run's group that has this controller, made when missing; NULL: *why. */
static const char *group_dir(struct hierarchy *h, enum controller c, const char *name, char out[512], const char **why,
			     bool *ret_v2)
{
	const char *parent = h->dir[c];
	*ret_v2 = false;
	if (c == C_V2 || (!*parent && has_word(h->v2_have, controller_names[c]))) {
		parent = h->dir[C_V2];
		*ret_v2 = true;
	}
	if (!*parent) {
		*why = h->v2_why ? h->v2_why : "this system has no such cgroup controller";
		return NULL;
	}
	snprintf(out, 512, "%s/%s", parent, name);
	if (!mkdir(out, 0755) || errno == EEXIST)
		return out;
	*why = errno == EACCES || errno == EPERM || errno == EROFS ? "the cgroup is not ours to write"
								   : "the cgroup cannot be made";
	return NULL;
}

static void add_dir(struct cgroup *g, const char *dir)
{
	size_t n = strlen(g->path), d = strlen(dir);
	const char *at = strstr(g->path, dir);
	if (at && (at[d] == 0 || at[d] == ':'))
		return;
	if (n + d + 2 < sizeof g->path)
		snprintf(g->path + n, sizeof g->path - n, "%s%s", n ? ":" : "", dir);
	else
		rmdir(dir);
}

static void milli_text(int64_t milli, char out[32])
{
	if (milli % 1000)
		snprintf(out, 32, "%" PRId64 "m", milli);
	else
		snprintf(out, 32, "%" PRId64, milli / 1000);
}

static void bytes_text(int64_t bytes, char out[32])
{
	static const char units[] = "\0KMGTP";
	int u = 0;
	while (bytes && bytes % 1024 == 0 && u < 5) {
		bytes /= 1024;
		u++;
	}
	snprintf(out, 32, "%" PRId64 "%.1s%s", bytes, units + u, u ? "i" : "");
}

static void say(char out[96], bool v2, int rc, const char *why, const char *value)
{
	if (why)
		snprintf(out, 96, "not enforced: %s", why);
	else if (rc)
		snprintf(out, 96, "not enforced: the kernel said %s", strerror(rc));
	else
		snprintf(out, 96, "cgroup %s: %s", v2 ? "v2" : "v1", value);
}

static int v1_quota(const char *dir, int64_t quota_us)
{
	int rc = write_number(dir, "cpu.cfs_period_us", CPU_PERIOD_US);
	return rc ? rc : write_number(dir, "cpu.cfs_quota_us", quota_us);
}

static void limit_cpu(struct hierarchy *h, const char *name, const struct cgroup_limits *l, struct cgroup *g,
		      struct cgroup_report *rep)
{
	char dir[512], text[64], value[32];
	const char *why = NULL;
	bool v2;
	int64_t cores = sysconf(_SC_NPROCESSORS_ONLN);
	const char *d = group_dir(h, C_CPU, name, dir, &why, &v2);
	if (d)
		add_dir(g, d);
	snprintf(rep->cpu, sizeof rep->cpu, "none");
	snprintf(rep->cpu_request, sizeof rep->cpu_request, "none");
	if (l->cpu_milli >= cores * 1000) {
		snprintf(rep->cpu, sizeof rep->cpu, "at or over the machine's %" PRId64 " cores: no quota needed",
			 cores);
	} else if (l->cpu_milli > 0) {
		int64_t quota = l->cpu_milli * CPU_PERIOD_US / 1000;
		if (quota < 1000)
			quota = 1000; /* the kernel's least */
		snprintf(text, sizeof text, "%" PRId64 " %d", quota, CPU_PERIOD_US);
		int rc = !d ? 0 : v2 ? write_file(d, "cpu.max", text) : v1_quota(d, quota);
		milli_text(l->cpu_milli, value);
		say(rep->cpu, v2, rc, d ? NULL : why, value);
	}
	if (l->cpu_request_milli > 0) {
		/* As Kubernetes: 1024 shares a core; v2 weights 1..10000 from shares 2..262144. */
		int64_t top = l->cpu_request_milli < 256000 ? l->cpu_request_milli : 256000;
		int64_t shares = top * 1024 / 1000 < 2 ? 2 : top * 1024 / 1000;
		int64_t weight = 1 + (shares - 2) * 9999 / 262142;
		int rc = !d ? 0 : v2 ? write_number(d, "cpu.weight", weight) : write_number(d, "cpu.shares", shares);
		snprintf(value, sizeof value, "%s %" PRId64, v2 ? "weight" : "shares", v2 ? weight : shares);
		say(rep->cpu_request, v2, rc, d ? NULL : why, value);
	}
	d = *h->dir[C_CPUACCT] ? group_dir(h, C_CPUACCT, name, dir, &why, &v2) : NULL;
	if (d)
		add_dir(g, d);
}

static void limit_memory(struct hierarchy *h, const char *name, const struct cgroup_limits *l, struct cgroup *g,
			 struct cgroup_report *rep)
{
	char dir[512], value[32];
	const char *why = NULL;
	bool v2;
	const char *d = group_dir(h, C_MEMORY, name, dir, &why, &v2);
	if (d)
		add_dir(g, d);
	snprintf(rep->memory, sizeof rep->memory, "none");
	if (l->memory_bytes <= 0)
		return;
	int rc = !d ? 0 : write_number(d, v2 ? "memory.max" : "memory.limit_in_bytes", l->memory_bytes);
	/* No way out into swap; both files are missing where the kernel counts no swap. */
	if (d && v2) {
		(void)write_number(d, "memory.swap.max", 0);
		(void)write_number(d, "memory.oom.group", 1);
	} else if (d) {
		(void)write_number(d, "memory.memsw.limit_in_bytes", l->memory_bytes);
	}
	bytes_text(l->memory_bytes, value);
	say(rep->memory, v2, rc, d ? NULL : why, value);
}

void cgroup_make(const char *name, const struct cgroup_limits *l, struct cgroup *ret, struct cgroup_report *rep)
{
	struct hierarchy h;
	char dir[512], value[32];
	const char *why = NULL;
	bool v2;
	memset(ret, 0, sizeof *ret);
	memset(rep, 0, sizeof *rep);
	find_hierarchies(&h);
	v2_choose(&h);
	/* Every run gets a v2 group where there is one: cgroup.kill ends a tree at once. */
	const char *d = *h.dir[C_V2] ? group_dir(&h, C_V2, name, dir, &why, &v2) : NULL;
	if (d)
		add_dir(ret, d);
	limit_memory(&h, name, l, ret, rep);
	limit_cpu(&h, name, l, ret, rep);
	d = group_dir(&h, C_PIDS, name, dir, &why, &v2);
	snprintf(rep->processes, sizeof rep->processes, "none");
	if (d)
		add_dir(ret, d);
	if (l->max_processes > 0) {
		int rc = d ? write_number(d, "pids.max", l->max_processes) : 0;
		snprintf(value, sizeof value, "%" PRId64, l->max_processes);
		say(rep->processes, v2, rc, d ? NULL : why, value);
		rep->has_processes = d && !rc;
	}
}

/* The i-th directory of the group; false at the end. */
static bool each(const struct cgroup *g, size_t *at, char out[512])
{
	if (!g->path[*at])
		return false;
	size_t n = strcspn(g->path + *at, ":");
	memcpy(out, g->path + *at, n);
	out[n] = 0;
	*at += n + (g->path[*at + n] == ':');
	return true;
}

int cgroup_join(const struct cgroup *g)
{
	char dir[512];
	for (size_t at = 0; each(g, &at, dir);) {
		int rc = write_file(dir, "cgroup.procs", "0");
		if (rc)
			return rc;
	}
	return 0;
}

void cgroup_usage(const struct cgroup *g, int64_t *ret_cpu_us, int64_t *ret_peak, bool *ret_oom)
{
	char dir[512];
	*ret_cpu_us = *ret_peak = -1;
	*ret_oom = false;
	for (size_t at = 0; each(g, &at, dir);) {
		int64_t ns = read_number(dir, "cpuacct.usage", ""), us = read_number(dir, "cpu.stat", "usage_usec");
		int64_t peak = read_number(dir, "memory.max_usage_in_bytes", "");
		if (peak < 0)
			peak = read_number(dir, "memory.peak", "");
		if (ns >= 0 || us > 0)
			*ret_cpu_us = ns >= 0 ? ns / 1000 : us;
		if (peak > 0)
			*ret_peak = peak;
		if (read_number(dir, "memory.oom_control", "oom_kill") > 0 ||
		    read_number(dir, "memory.events", "oom_kill") > 0)
			*ret_oom = true;
	}
}

/* Kill what is in one directory; false: nobody was there. */
static bool kill_dir(const char *dir)
{
	char path[600], line[32];
	bool any = false;
	(void)write_file(dir, "cgroup.kill", "1");
	snprintf(path, sizeof path, "%s/cgroup.procs", dir);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);
		any = true;
		if (pid > 1 && pid != getpid())
			kill(pid, SIGKILL);
	}
	if (f)
		fclose(f);
	return any;
}

bool cgroup_kill(const struct cgroup *g, int limit_ms)
{
	int64_t end = clock_mono_ns() + limit_ms * INT64_C(1000000);
	for (;;) {
		char dir[512];
		bool any = false;
		for (size_t at = 0; each(g, &at, dir);)
			any |= kill_dir(dir);
		if (!any)
			return true;
		if (clock_mono_ns() > end)
			return false;
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
}

void cgroup_remove(const struct cgroup *g)
{
	char dir[512];
	/* A group whose last process was just reaped may be busy for a moment. */
	for (size_t at = 0; each(g, &at, dir);)
		for (int i = 0; i < 50 && rmdir(dir) && errno == EBUSY; i++)
			nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

void runner_capabilities(char out[512])
{
	struct cgroup g;
	struct cgroup_report r;
	char name[64];
	snprintf(name, sizeof name, "mysimbdp-probe-%d", (int)getpid());
	cgroup_make(name,
		    &(struct cgroup_limits){
			.cpu_milli = 1, .cpu_request_milli = 1, .memory_bytes = 1 << 20, .max_processes = 1},
		    &g, &r);
	cgroup_remove(&g);
	char *const said[] = {r.cpu, r.memory, r.processes};
	for (size_t i = 0; i < 3; i++) /* "cgroup v1: 500m" -> "cgroup v1" */
		if (!strncmp(said[i], "cgroup", 6))
			said[i][strcspn(said[i], ":")] = 0;
	snprintf(out, 512, "{\"cpu\":\"%s\",\"memory\":\"%s\",\"processes\":\"%s\"}", r.cpu, r.memory, r.processes);
}
