/*
 * runner.h: starts a tenant's program with the contract it knows, limits it, watches it, ends its whole process tree.
 *
 *   run_start(&runner_process, &spec, &handle, &err)  ->  poll or wait  ->  run_collect
 *
 * The program gets CLIENT_ID and SOURCE_PATH; it reads {SOURCE_PATH}/{CLIENT_ID}/in and writes .../out. A small
 * supervisor process stands between the manager and the program: it dies with its parent, ends the program's tree,
 * and fsyncs the exit status into WORKSPACE/status.json; no status file means that the run is repeated.
 * Plugins never retry, sleep or log.
 */
#ifndef RUNNER_RUNNER_H
#define RUNNER_RUNNER_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct run_spec {
	int64_t run; /* id */
	const char *tenant, *app;
	const char *workspace;	    /* absolute; SOURCE_PATH; has TENANT/in and TENANT/out */
	const char *const *command; /* argv, NULL-terminated; argv[0] absolute or found in PATH */
	const char *const *env;	    /* NAME=VALUE beside PATH, HOME, LANG, CLIENT_ID, SOURCE_PATH; may be NULL */
	int64_t cpu_milli;	    /* limits; 0: none */
	int64_t memory_bytes;
	int64_t cpu_request_milli; /* shares; 0: none */
	int64_t timeout_s;	   /* wall clock; 0: none */
	int64_t grace_s;	   /* between SIGTERM and SIGKILL; default 10 */
	int64_t max_processes;	   /* 0: 512 */
	uint64_t max_output_bytes; /* of out/; 0: none (RLIMIT_FSIZE a file) */
	uid_t uid;		   /* to run as when we are root; 0: as we are */
	gid_t gid;
	const char *log_path; /* stdout and stderr, bounded by log_max */
	uint64_t log_max;     /* 0: 1 MiB */
	const char *hide;     /* directory that the program must not see beside its workspace (the data
				 directory); kept where a mount namespace is permitted; may be NULL */
	bool no_namespaces;
	bool own_program; /* the platform's own: started even from where the tenant's user may not go (/root) */
};

struct run_status {
	bool ended;
	bool lost;	       /* the supervisor left no status */
	int exit_code, signal; /* exit_code -1 when a signal ended it */
	bool timed_out, oom, stopped;
	int64_t started_us, ended_us;
	int64_t cpu_us, peak_bytes; /* of the tree where a cgroup tells, else of the children that were waited for */
	char limits[512];	    /* JSON: {"cpu":"cgroup v1 quota 500m","memory":"not enforced: ..."} */
	char reason[256];	    /* one sentence: "exit 3", "killed by signal 9 (out of memory: limit 128Mi)" */
};

struct run_handle {
	pid_t pid;	   /* supervisor */
	int64_t pid_start; /* from /proc/PID/stat, to recognise it again */
	int pidfd;
	char cgroup[512]; /* "" none */
	char workspace[1024];
};

struct runner_class {
	const char *name; /* "process" */
	const char *summary;
	enum err_code (*start)(const struct run_spec *spec, struct run_handle *ret, struct err *e);
	/* Has it ended? Does not wait. */
	enum err_code (*poll)(struct run_handle *h, struct run_status *ret, struct err *e);
	enum err_code (*wait)(struct run_handle *h, int timeout_ms, struct run_status *ret, struct err *e);
	/* SIGTERM, grace, SIGKILL for the whole tree; returns when it is seen gone. */
	enum err_code (*stop)(struct run_handle *h, int64_t grace_s, struct run_status *ret, struct err *e);
	/* What an earlier incarnation left: end it and see it gone. pid_start guards against a reused pid. */
	enum err_code (*reap)(pid_t pid, int64_t pid_start, const char *cgroup, struct err *e);
	void (*release)(struct run_handle *h);
};

extern const struct runner_class runner_process;

/* End whatever still lives in a workspace of an earlier incarnation, recorded or not, and see it gone (the supervisor
 * and its init keep WORKSPACE/alive locked as long as they live). ERR_BUSY when it does not go. */
enum err_code runner_reap_workspace(const char *workspace, struct err *e) MUST_USE;
/* How the run of a workspace ended, also one of an earlier incarnation; lost when there is no status. */
enum err_code runner_status(const char *workspace, struct run_status *ret, struct err *e) MUST_USE;
/* The start time of a process in clock ticks since boot; 0: there is no such process. */
int64_t process_start_time(pid_t pid);

/* Can a program run as another user with this directory as its workspace's parent? (mount namespaces are permitted, or
 * others may walk down to it) */
bool runner_can_separate(const char *workspaces);

/* Which limits this machine can enforce, as JSON and as a line for people. */
void runner_capabilities(char out[512]);

/* The hidden verb that is the supervisor: `mysimbdp __supervise SPECFILE`. */
int runner_supervise(const char *spec_path);

#endif
