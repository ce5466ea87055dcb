/*
 * internal.h: what the files of this folder share. Nobody outside src/manager includes it.
 *
 * Threads: one tick thread owns tenants, app states and workers; each run has a thread of its own (run.c), which talks
 * to the tick thread through its slot's atomics; API threads post a request and wait. m->lock guards the request list,
 * the configuration pointer and the uid table; everything else belongs to the tick thread.
 */
#ifndef MANAGER_INTERNAL_H
#define MANAGER_INTERNAL_H

#include "manager/manager.h"

#include <poll.h>
#include <pthread.h>
#include <regex.h>

#define DEAL_MAX 1000	 /* files a run, whatever an agreement says */
#define OUTPUTS_MAX 1000 /* files that a run may leave in out/ */

/* ---- schedule.c: when is an app due? Times in seconds since 1970 UTC. */
struct due {
	bool due;
	int64_t at;	 /* the latest start that is due */
	uint32_t missed; /* starts before it that nobody saw; at most DUE_COUNT_MAX */
	bool clock_back; /* the clock was set back behind `last` */
};
#define DUE_COUNT_MAX 100
struct due schedule_due(const struct cron *c, int64_t last, int64_t now);

/* ---- what the manager knows of an app beyond the ledger */
enum trigger { TRIGGER_NONE, TRIGGER_SCHEDULE, TRIGGER_MANUAL, TRIGGER_RETRY, TRIGGER_DRAIN };
const char *trigger_name(enum trigger t);

struct app_state {
	int64_t last;	      /* last start of the schedule that was seen, seconds; 0 never */
	enum trigger pending; /* wants to start as soon as it may */
	int64_t pending_us;   /* for which scheduled time */
	int64_t drain_to;     /* files up to this id were staged at the last start: they go without waiting */
	bool retries;	      /* there may be files that wait for a retry */
	int64_t retry_at_us;  /* not before */
	regex_t regex;
	bool has_regex;
};

struct worker;

struct tenant_ctx {
	struct tenant_ctx *next;
	char id[TENANT_ID_MAX + 1];
	int64_t version;
	bool paused, seen;
	struct arena arena; /* documents */
	struct agreement *agreement;
	struct data_file *data_file;
	struct app_state apps[APPS_MAX];
	bool maybe_work;       /* outputs may be waiting */
	struct worker *worker; /* NULL: none runs */
	int worker_failures;
	int64_t worker_not_before_ns;
	int64_t expire_asked_ns; /* when retention asked the worker to clear the quarantine last */
	int64_t expire_job;	 /* ... and the job; 0 none */
};

/* ---- a run under way */
struct run_slot {
	struct run_slot *next;
	struct manager *m;
	pthread_t thread;
	struct arena arena;  /* all below */
	struct arena taking; /* of one try at taking or placing outputs: tries may be many */
	int64_t run;
	const char *tenant, *app;
	enum trigger trigger;
	int64_t scheduled_us;
	struct catalog_file *files;
	size_t nfiles;
	struct run_spec spec;
	const char *workspace;
	const char *user_note;		   /* for the run's record: who the app runs as */
	const struct csv_dialect *dialect; /* copy, for counting records; NULL: unknown */
	bool recovered;			   /* left by an earlier incarnation: start at the status */
	int stop_fd;			   /* eventfd: stop was asked for */
	_Atomic(const char *) stop_reason; /* static text; NULL: not asked */
	atomic_bool stop;
	atomic_bool done;
	bool succeeded; /* valid when done */
	size_t noutputs;
};

struct request {
	struct request *next;
	const char *tenant, *app;
	int64_t run;
	char *reason;
	enum err_code rc;
	struct err err;
	bool done;
};

struct manager {
	const char *data, *self;
	struct catalog *catalog;
	const struct conf *conf; /* under lock */
	pthread_mutex_t lock;
	pthread_cond_t answered;
	struct request *requests;
	pthread_t tick;
	bool tick_started, ended, abandoned;
	int wake_fd;
	atomic_bool woken, draining, stopping;
	_Atomic int64_t progress_ns;
	int64_t drain_until_ns;
	/* the tick thread's */
	struct arena arena; /* reset each tick */
	struct tenant_ctx *tenants;
	struct run_slot *slots;
	size_t nslots;
	bool refresh; /* something changed since the tenants were read */
	int64_t refreshed_ns, retention_ns, flagged_ns, logs_ns;
	bool separate_users; /* apps run as a user of their tenant */
	const char *user_note;
};

/* ---- tenants.c */
enum err_code tenants_refresh(struct manager *m, struct err *e) MUST_USE;
struct tenant_ctx *tenant_known(struct manager *m, const char *id);
void tenants_free(struct manager *m);

/* ---- users.c: uids for tenants */
void users_setup(struct manager *m);
/* 0: our own. Allocated once and kept in DATA/uids. Thread-safe. */
enum err_code user_of(struct manager *m, const char *tenant, uid_t *ret, struct err *e) MUST_USE;

/* ---- deal.c: which files go into the next run of an app */
struct deal {
	struct catalog_file *files;
	size_t n;
	enum trigger trigger; /* TRIGGER_RETRY when these failed before */
	int64_t highest;      /* id of the newest file staged for the app */
	int64_t retry_at_us;  /* earliest time of a retry that is not due yet; 0 none */
	size_t waiting;	      /* fresh files staged in all */
};
/* want: TRIGGER_RETRY deals files that failed before and whose pause is over; TRIGGER_MANUAL does not wait for the
 * pause; others deal fresh files (drain: ids up to limit_id). */
enum err_code deal_select(struct manager *m, struct tenant_ctx *t, uint32_t app, enum trigger want, int64_t limit_id,
			  struct arena *a, struct deal *ret, struct err *e) MUST_USE;
/* The pause before try number `attempts` + 1, in microseconds. */
int64_t retry_pause_us(int64_t base_s, int64_t attempts);
/* How many of the files that failed together go together again. */
size_t retry_size(uint64_t failed_together, bool apps_fault);
/* Was it the app's doing that a run ended so? Not: never started, stopped, lost. */
bool run_was_apps_fault(const struct catalog_run *r);

/* ---- workspace.c */
enum err_code workspace_make(struct run_slot *s, const char **ret_inputs, struct err *e) MUST_USE;
char *workspace_path(struct arena *a, const char *data, int64_t run);
enum err_code workspace_remove(const char *workspace, struct err *e) MUST_USE;

/* ---- promote.c: out/ of a run that ended well */
struct promoted {
	struct catalog_output_new *outputs;
	size_t n;
	uint64_t bytes;
	char warnings[512]; /* "" or what was ignored and why */
};
char *promoted_dir(struct arena *a, const char *data, const char *tenant, int64_t run);
/* Move out/ under outputs/, check it, make it ours and durable. May be repeated after a crash. ERR_REFUSED: out/ is not
 * what a run may leave (the run has failed). */
enum err_code promote_take(struct run_slot *s, struct promoted *ret, struct err *e) MUST_USE;
/* After catalog_run_end: every file to its place by output id. May be repeated. */
enum err_code promote_place(struct catalog *c, const char *data, const char *tenant, int64_t run, struct arena *a,
			    struct err *e) MUST_USE;
void promote_discard(struct run_slot *s);

/* ---- count.c: records of a file, without types; -1 when it cannot be read */
int64_t count_records(const char *path, const struct csv_dialect *d, const atomic_bool *stop);

/* ---- run.c */
enum err_code run_begin(struct manager *m, struct tenant_ctx *t, uint32_t app, const struct deal *d,
			enum trigger trigger, int64_t scheduled_us, int64_t *ret_run, struct err *e) MUST_USE;
enum err_code run_recover(struct manager *m, int64_t run, struct err *e) MUST_USE;
void run_ask_stop(struct run_slot *s, const char *reason);
/* Join and free those that are done; true when there was one. */
bool runs_reap(struct manager *m);
struct run_slot *run_of_app(struct manager *m, const char *tenant, const char *app);

/* ---- recover.c: what the last incarnation left; before the first tick */
enum err_code recover(struct manager *m, struct err *e) MUST_USE;

/* ---- due.c: the part of a tick that starts runs */
void starts_tick(struct manager *m);
enum err_code start_now(struct manager *m, struct request *q);

/* ---- stage.c */
void stage_tick(struct manager *m);
/* Staged files that no app takes get a status that says so. */
void stage_orphans(struct manager *m);
/* The link staging/TENANT/in/NAME exists; thread-safe. */
enum err_code stage_link(const char *data, const struct catalog_file *f, struct err *e) MUST_USE;
void stage_unlink(const char *data, const char *tenant, const char *name);

/* ---- workers.c: the control plane's side */
void workers_tick(struct manager *m);
void workers_stop(struct manager *m, int64_t limit_s);
size_t workers_pollfds(struct manager *m, struct pollfd *p, size_t max);

/* ---- retention.c */
void retention_tick(struct manager *m);

/* A setting, under the lock (SIGHUP may replace the configuration). */
int64_t setting(struct manager *m, const char *name);

#endif
