/*
 * manager.h: the batchingestmanager and all that goes on by itself inside `mysimbdp serve`.
 *
 * One thread ticks: it stages received files, starts due runs, watches running ones, promotes or discards their out/,
 * starts a worker for tenants with waiting outputs, and erases what retention says. State is the ledger; everything is
 * picked up after kill -9. The API calls the functions below from its own threads; they are thread-safe.
 *
 * Layout of the data directory (mode 0700 unless said):
 *   ledger.db  admin.token  control.sock  lock  serve.json (pid, url)
 *   staging/TENANT/.files/ID     originals, mode 0440, only retention removes them
 *   staging/TENANT/in/NAME       hard link while staged
 *   workspace/RUN/TENANT/in|out  given to one run; RUN/status.json, RUN/output.log
 *   outputs/TENANT/ID/NAME       promoted out/ files, the log of the direct bus
 *   coredms/TENANT/KEY_SPACE.db  and quarantine/TENANT/quarantine.db
 *   logs/runs/RUN.log
 */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include "catalog/catalog.h"
#include "conf/conf.h"
#include "runner/runner.h"
#include "tenant/agreement.h"
#include "tenant/data_file.h"

#include <stdatomic.h>

struct manager;

struct manager_options {
	const char *data; /* absolute */
	const struct conf *conf;
	struct catalog *catalog;
	const char *self; /* path of our own executable, for supervisors and workers */
};

enum err_code manager_start(const struct manager_options *o, struct manager **ret, struct err *e) MUST_USE;
/* Something happened (upload, document change, reload): look now instead of at the next tick. */
void manager_wake(struct manager *m);
/* No new runs; running ones get `limit_s` to end, then are stopped and dealt anew at the next start. false: something
 * is still at work well after that (a promotion of very large files): end the process, the next start goes on. */
bool manager_drain(struct manager *m, int64_t limit_s);
void manager_free(struct manager *m);
/* New settings (SIGHUP); conf must live as long as the manager. What is under way keeps its old ones. */
void manager_reload(struct manager *m, const struct conf *conf);
bool manager_alive(const struct manager *m); /* the tick thread made progress in the last 10 s */

/* Run a tenant's batch app now; *ret_run is 0 with a reason when nothing was started. */
enum err_code manager_run_now(struct manager *m, const char *tenant, const char *app, int64_t *ret_run,
			      char reason[256], struct err *e) MUST_USE;
/* A received file is complete on disk: link it into staging and tell the ledger. */
enum err_code manager_stage(struct manager *m, const struct catalog_file *f, struct err *e) MUST_USE;
/* Forget a staged file before a run took it. */
enum err_code manager_unstage(struct manager *m, const struct catalog_file *f, struct err *e) MUST_USE;

/* Paths, in the arena. */
char *path_original(struct arena *a, const char *data, const char *tenant, int64_t file);
char *path_staged(struct arena *a, const char *data, const char *tenant, const char *name);
char *path_output(struct arena *a, const char *data, const char *tenant, int64_t output, const char *name);
char *path_coredms(struct arena *a, const char *data, const char *tenant);
char *path_quarantine(struct arena *a, const char *data, const char *tenant);
char *path_run_log(struct arena *a, const char *data, int64_t run);

/* The worker process: `mysimbdp __worker --tenant T --epoch N` (hidden): ingests waiting outputs, ends when idle.
 * It talks to the control plane through DATA/control.sock only. */
enum err_code worker_main(const char *data, const char *tenant, int64_t epoch, const struct conf *conf,
			  const atomic_bool *stop, struct err *e) MUST_USE;

#endif
