/*
 * internal.h: what the files of this folder share: the spec and status documents, cgroups, the bounded output log and
 * the init process inside the namespaces. Nobody outside src/runner includes it.
 */
#ifndef RUNNER_INTERNAL_H
#define RUNNER_INTERNAL_H

#include "base/arena.h"
#include "base/err.h"
#include "runner/runner.h"

#include <sys/resource.h>

#define RUN_GRACE_DEFAULT 10
#define RUN_PROCESSES_DEFAULT 512
#define RUN_LOG_DEFAULT (UINT64_C(1) << 20)

/* ---- cgroup.c: one group a run. path holds the absolute directories (one a controller with v1), joined by ':'. */
struct cgroup {
	char path[512]; /* "" none */
};

struct cgroup_limits {
	int64_t cpu_milli, cpu_request_milli, memory_bytes, max_processes;
};

/* How each limit is kept: "cgroup v1: 500m", "not enforced: why", "none". */
struct cgroup_report {
	char cpu[96], memory[96], cpu_request[96], processes[96];
	bool has_processes; /* a pids controller counts; else RLIMIT_NPROC has to */
};

/* Never fails: what cannot be enforced is told in the report. */
void cgroup_make(const char *name, const struct cgroup_limits *l, struct cgroup *ret, struct cgroup_report *rep);
/* Move the calling process into the group. 0 or errno; only system calls, so it may be used after fork. */
int cgroup_join(const struct cgroup *g);
/* CPU time and peak memory of everything that ran in it; -1 where the kernel does not tell. */
void cgroup_usage(const struct cgroup *g, int64_t *ret_cpu_us, int64_t *ret_peak, bool *ret_oom);
/* SIGKILL for all in it, until nobody is left or limit_ms have passed. true: empty. */
bool cgroup_kill(const struct cgroup *g, int limit_ms);
void cgroup_remove(const struct cgroup *g);

/* ---- spec.c: WORKSPACE/spec.json and WORKSPACE/status.json */
struct supervise_spec {
	struct run_spec run;
	struct cgroup group;
	struct cgroup_report report;
	pid_t parent;	      /* the manager's process */
	const char *mount_at; /* bind the workspace there because the user cannot reach it; "" no */
	int alive_fd;	      /* the locked WORKSPACE/alive, inherited */
};

enum err_code spec_write(const char *path, const struct supervise_spec *s, struct err *e) MUST_USE;
enum err_code spec_read(const char *path, struct arena *a, struct supervise_spec *ret, struct err *e) MUST_USE;
enum err_code status_write(const char *workspace, const struct run_status *s, struct err *e) MUST_USE;
/* ERR_NOT_FOUND when the supervisor left none. */
enum err_code status_read(const char *workspace, struct run_status *ret, struct err *e) MUST_USE;

/* ---- outlog.c: the first and the last half of what an app printed, at most max bytes in all */
struct outlog {
	int fd;
	uint64_t head_left, dropped, total;
	char *ring;
	size_t cap, start, n;
};
enum err_code outlog_open(struct outlog *l, const char *path, uint64_t max, struct err *e) MUST_USE;
void outlog_add(struct outlog *l, const char *p, size_t n);
void outlog_close(struct outlog *l); /* writes the last half */

/* ---- init.c: the process between the supervisor and the app; pid 1 where a pid namespace is permitted */
enum init_stage { INIT_EXITED = 1, INIT_NOT_STARTED };
struct init_report {
	int stage;
	int wait_status;     /* of the app */
	int sys;	     /* INIT_NOT_STARTED: errno */
	char what[64];	     /* ... of what */
	struct rusage usage; /* of all that were waited for */
};

/* In a chroot "/" is no mount point, so our mounts could not be kept from the rest of the system: then no app gets
 * mount namespaces, and no user of its own where only a mount would let it reach its workspace. */
bool mounts_can_be_private(void);

struct init_args {
	const struct supervise_spec *spec;
	char *const *argv; /* of the app */
	char *const *envp;
	int out_fd; /* app's stdout and stderr */
	int report_fd;
	int close_fds[3]; /* the supervisor's own descriptors */
	bool pid_ns, mount_ns, user_ns;
	uid_t outer_uid;
	gid_t outer_gid;
};
/* Never returns. */
void init_main(const struct init_args *a) __attribute__((noreturn));
/* Fork init with as many namespaces as the system permits; says in ns[] which. */
pid_t init_fork(struct init_args *a, char ns[96]);

/* ---- shared small things */
/* Kill every process whose parent is us, until none is left. */
void kill_children(void);

#endif
