/*
 * ops.h: inside of catalog/: the table of functions behind a catalog handle.
 *
 * Each entry has the meaning of the public call of its name (catalog.h). NULL: the implementation does not carry it,
 * callers get ERR_UNSUPPORTED. A handle with a tenant is guarded: it acts for that tenant's worker of that epoch;
 * sqlite.c checks both inside the transaction of the call, so that a worker can't touch another tenant's rows, nor go
 * on after a newer one has begun.
 */
#ifndef CATALOG_OPS_H
#define CATALOG_OPS_H

#include "catalog/catalog.h"

struct catalog_ops {
	const char *name;
	void (*close)(struct catalog *c);
	enum err_code (*sync)(struct catalog *c, struct err *e);
	enum err_code (*tenant_put)(struct catalog *c, const char *id, const char *data_file, const char *agreement,
				    const char *const *tables, int64_t *ret_version, struct err *e);
	enum err_code (*tenant_get)(struct catalog *c, const char *id, struct arena *a, struct catalog_tenant *ret,
				    struct err *e);
	enum err_code (*tenant_version)(struct catalog *c, const char *id, int64_t version, struct arena *a,
					struct catalog_tenant *ret, struct err *e);
	enum err_code (*tenants)(struct catalog *c, struct arena *a, struct catalog_tenant **ret, size_t *ret_n,
				 struct err *e);
	enum err_code (*tenant_pause)(struct catalog *c, const char *id, bool paused, struct err *e);
	enum err_code (*token_put)(struct catalog *c, const uint8_t digest[SHA256_LEN], const char *owner,
				   struct err *e);
	enum err_code (*token_find)(struct catalog *c, const uint8_t digest[SHA256_LEN], struct arena *a,
				    const char **ret_owner, struct err *e);
	enum err_code (*file_receive)(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				      const char *sha256, struct arena *a, enum receive_result *ret_what,
				      struct catalog_file *ret, struct err *e);
	enum err_code (*file_refuse)(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				     const char *reason, int64_t *ret_id, struct err *e);
	enum err_code (*file_get)(struct catalog *c, int64_t id, struct arena *a, struct catalog_file *ret,
				  struct err *e);
	enum err_code (*file_move)(struct catalog *c, int64_t id, unsigned from, enum file_state to, int64_t run,
				   const char *status, struct err *e);
	enum err_code (*files)(struct catalog *c, const struct catalog_file_filter *f, struct arena *a,
			       struct catalog_file **ret, size_t *ret_n, struct err *e);
	enum err_code (*file_event)(struct catalog *c, int64_t id, const char *what, const char *text, struct err *e);
	enum err_code (*file_events)(struct catalog *c, int64_t id, struct arena *a, struct catalog_event **ret,
				     size_t *ret_n, struct err *e);
	enum err_code (*counts)(struct catalog *c, const char *tenant, struct catalog_counts *ret, struct err *e);
	enum err_code (*run_start)(struct catalog *c, const struct catalog_run *r, const int64_t *files, size_t nfiles,
				   int64_t *ret_id, struct err *e);
	enum err_code (*run_child)(struct catalog *c, int64_t id, int64_t pid, int64_t pid_start, const char *cgroup,
				   struct err *e);
	enum err_code (*run_end)(struct catalog *c, const struct catalog_run *r,
				 const struct catalog_output_new *outputs, size_t noutputs, struct err *e);
	enum err_code (*run_skip)(struct catalog *c, const char *tenant, const char *app, int64_t scheduled_us,
				  const char *reason, struct err *e);
	enum err_code (*run_get)(struct catalog *c, int64_t id, struct arena *a, struct catalog_run *ret,
				 struct err *e);
	enum err_code (*runs)(struct catalog *c, const char *tenant, int64_t before, size_t limit, struct arena *a,
			      struct catalog_run **ret, size_t *ret_n, struct err *e);
	enum err_code (*run_files)(struct catalog *c, int64_t run, struct arena *a, struct catalog_file **ret,
				   size_t *ret_n, struct err *e);
	enum err_code (*last_schedule)(struct catalog *c, const char *tenant, const char *app, int64_t *ret_us,
				       struct err *e);
	enum err_code (*schedule_seen)(struct catalog *c, const char *tenant, const char *app, int64_t us,
				       struct err *e);
	enum err_code (*output_add)(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				    const char *sha256, bool again, bool *ret_existing, struct arena *a,
				    struct catalog_output *ret, struct err *e);
	enum err_code (*output_get)(struct catalog *c, int64_t id, struct arena *a, struct catalog_output *ret,
				    struct err *e);
	enum err_code (*outputs)(struct catalog *c, const char *tenant, unsigned states, int64_t run, size_t limit,
				 struct arena *a, struct catalog_output **ret, size_t *ret_n, struct err *e);
	enum err_code (*outputs_after)(struct catalog *c, const char *tenant, int64_t after, struct arena *a,
				       struct catalog_output **ret, size_t *ret_n, struct err *e);
	enum err_code (*output_versions)(struct catalog *c, int64_t id, const char *table, int64_t rows,
					 int64_t *ret_base, struct err *e);
	enum err_code (*output_checked)(struct catalog *c, int64_t id, uint64_t records, uint64_t accepted,
					uint64_t rejected, bool refused, const char *reason, const char *verdict_json,
					struct err *e);
	enum err_code (*delivery)(struct catalog *c, int64_t id, const char *sink, uint64_t from, uint64_t to,
				  uint64_t delivered, uint64_t superseded, uint64_t refused, struct err *e);
	enum err_code (*output_done)(struct catalog *c, int64_t id, enum output_state state, const char *reason,
				     struct err *e);
	enum err_code (*output_replayed)(struct catalog *c, int64_t id, uint64_t gate, uint64_t sink, struct err *e);
	enum err_code (*epoch_next)(struct catalog *c, const char *tenant, int64_t *ret, struct err *e);
	enum err_code (*epoch)(struct catalog *c, const char *tenant, int64_t *ret, struct err *e);
	enum err_code (*job_add)(struct catalog *c, const char *tenant, const char *kind, const char *params,
				 int64_t *ret_id, struct err *e);
	enum err_code (*job_get)(struct catalog *c, int64_t id, struct arena *a, struct catalog_job *ret,
				 struct err *e);
	enum err_code (*job_next)(struct catalog *c, const char *tenant, struct arena *a, struct catalog_job *ret,
				  struct err *e);
	enum err_code (*job_end)(struct catalog *c, int64_t id, bool ok, const char *result, struct err *e);
	enum err_code (*jobs_waiting)(struct catalog *c, struct arena *a, const char ***ret_tenants, size_t *ret_n,
				      struct err *e);
	enum err_code (*erased)(struct catalog *c, const char *tenant, const char *kind, int64_t id, const char *name,
				uint64_t bytes, const char *why, struct err *e);
	enum err_code (*erasures)(struct catalog *c, const char *tenant, size_t limit, struct arena *a,
				  struct catalog_erasure **ret, size_t *ret_n, struct err *e);
	enum err_code (*child_add)(struct catalog *c, const struct catalog_child *ch, struct err *e);
	enum err_code (*child_remove)(struct catalog *c, int64_t pid, int64_t pid_start, struct err *e);
	enum err_code (*children)(struct catalog *c, struct arena *a, struct catalog_child **ret, size_t *ret_n,
				  struct err *e);
};

struct ledger;
struct remote;

struct catalog {
	const struct catalog_ops *ops;
	struct ledger *ledger; /* sqlite.c */
	struct remote *remote; /* remote.c */
	const char *tenant;    /* guarded: acts for this tenant's worker; NULL: for the control plane itself */
	int64_t epoch;
};

#endif
