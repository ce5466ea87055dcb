/* catalog.c: the public calls, handed to the implementation behind the handle, and the names of states. */
#include "catalog/catalog.h"

#include "catalog/guard.h"

#include <string.h>

static const char *const file_states[FILE_STATES] = {"received",  "staged",  "assigned", "processed", "checked",
						     "delivered", "expired", "refused",	 "failed",    "deleted"};
static const char *const run_states[RUN_STATES] = {"starting", "running", "succeeded", "failed", "skipped", "lost"};
static const char *const output_states[OUTPUT_STATES] = {"waiting", "checked", "delivered",
							 "refused", "failed",  "expired"};

const char *file_state_name(enum file_state s)
{
	return (unsigned)s < FILE_STATES ? file_states[s] : "?";
}

bool file_state_find(const char *name, enum file_state *ret)
{
	for (unsigned i = 0; i < FILE_STATES; i++) {
		if (strcmp(file_states[i], name) == 0) {
			*ret = (enum file_state)i;
			return true;
		}
	}
	return false;
}

const char *run_state_name(enum run_state s)
{
	return (unsigned)s < RUN_STATES ? run_states[s] : "?";
}

const char *output_state_name(enum output_state s)
{
	return (unsigned)s < OUTPUT_STATES ? output_states[s] : "?";
}

void catalog_close(struct catalog *c)
{
	if (c)
		c->ops->close(c);
}

void catalog_guard(struct catalog *base, const char *tenant, int64_t epoch, struct catalog *ret)
{
	*ret = *base;
	ret->tenant = tenant;
	ret->epoch = epoch;
}

static enum err_code unsupported(struct err *e, const char *call)
{
	err_set(e, ERR_UNSUPPORTED, "a worker may not call %s of the ledger", call);
	return err_hint(e, "ask the control plane through its REST API");
}

enum err_code catalog_sync(struct catalog *c, struct err *e)
{
	if (c->ops->sync)
		return c->ops->sync(c, e);
	return unsupported(e, "sync");
}

enum err_code catalog_tenant_put(struct catalog *c, const char *id, const char *data_file, const char *agreement,
				 const char *const *tables, int64_t *ret_version, struct err *e)
{
	if (c->ops->tenant_put)
		return c->ops->tenant_put(c, id, data_file, agreement, tables, ret_version, e);
	return unsupported(e, "tenant_put");
}

enum err_code catalog_tenant_get(struct catalog *c, const char *id, struct arena *a, struct catalog_tenant *ret,
				 struct err *e)
{
	if (c->ops->tenant_get)
		return c->ops->tenant_get(c, id, a, ret, e);
	return unsupported(e, "tenant_get");
}

enum err_code catalog_tenant_version(struct catalog *c, const char *id, int64_t version, struct arena *a,
				     struct catalog_tenant *ret, struct err *e)
{
	if (c->ops->tenant_version)
		return c->ops->tenant_version(c, id, version, a, ret, e);
	return unsupported(e, "tenant_version");
}

enum err_code catalog_tenants(struct catalog *c, struct arena *a, struct catalog_tenant **ret, size_t *ret_n,
			      struct err *e)
{
	if (c->ops->tenants)
		return c->ops->tenants(c, a, ret, ret_n, e);
	return unsupported(e, "tenants");
}

enum err_code catalog_tenant_pause(struct catalog *c, const char *id, bool paused, struct err *e)
{
	if (c->ops->tenant_pause)
		return c->ops->tenant_pause(c, id, paused, e);
	return unsupported(e, "tenant_pause");
}

enum err_code catalog_token_put(struct catalog *c, const uint8_t digest[SHA256_LEN], const char *owner, struct err *e)
{
	if (c->ops->token_put)
		return c->ops->token_put(c, digest, owner, e);
	return unsupported(e, "token_put");
}

enum err_code catalog_token_find(struct catalog *c, const uint8_t digest[SHA256_LEN], struct arena *a,
				 const char **ret_owner, struct err *e)
{
	if (c->ops->token_find)
		return c->ops->token_find(c, digest, a, ret_owner, e);
	return unsupported(e, "token_find");
}

enum err_code catalog_file_receive(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				   const char *sha256, struct arena *a, enum receive_result *ret_what,
				   struct catalog_file *ret, struct err *e)
{
	if (c->ops->file_receive)
		return c->ops->file_receive(c, tenant, name, size, sha256, a, ret_what, ret, e);
	return unsupported(e, "file_receive");
}

enum err_code catalog_file_refuse(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				  const char *reason, int64_t *ret_id, struct err *e)
{
	if (c->ops->file_refuse)
		return c->ops->file_refuse(c, tenant, name, size, reason, ret_id, e);
	return unsupported(e, "file_refuse");
}

enum err_code catalog_file_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_file *ret, struct err *e)
{
	if (c->ops->file_get)
		return c->ops->file_get(c, id, a, ret, e);
	return unsupported(e, "file_get");
}

enum err_code catalog_file_move(struct catalog *c, int64_t id, unsigned from, enum file_state to, int64_t run,
				const char *status, struct err *e)
{
	if (c->ops->file_move)
		return c->ops->file_move(c, id, from, to, run, status, e);
	return unsupported(e, "file_move");
}

enum err_code catalog_files(struct catalog *c, const struct catalog_file_filter *f, struct arena *a,
			    struct catalog_file **ret, size_t *ret_n, struct err *e)
{
	if (c->ops->files)
		return c->ops->files(c, f, a, ret, ret_n, e);
	return unsupported(e, "files");
}

enum err_code catalog_file_event(struct catalog *c, int64_t id, const char *what, const char *text, struct err *e)
{
	if (c->ops->file_event)
		return c->ops->file_event(c, id, what, text, e);
	return unsupported(e, "file_event");
}

enum err_code catalog_file_events(struct catalog *c, int64_t id, struct arena *a, struct catalog_event **ret,
				  size_t *ret_n, struct err *e)
{
	if (c->ops->file_events)
		return c->ops->file_events(c, id, a, ret, ret_n, e);
	return unsupported(e, "file_events");
}

enum err_code catalog_counts(struct catalog *c, const char *tenant, struct catalog_counts *ret, struct err *e)
{
	if (c->ops->counts)
		return c->ops->counts(c, tenant, ret, e);
	return unsupported(e, "counts");
}

enum err_code catalog_run_start(struct catalog *c, const struct catalog_run *r, const int64_t *files, size_t nfiles,
				int64_t *ret_id, struct err *e)
{
	if (c->ops->run_start)
		return c->ops->run_start(c, r, files, nfiles, ret_id, e);
	return unsupported(e, "run_start");
}

enum err_code catalog_run_child(struct catalog *c, int64_t id, int64_t pid, int64_t pid_start, const char *cgroup,
				struct err *e)
{
	if (c->ops->run_child)
		return c->ops->run_child(c, id, pid, pid_start, cgroup, e);
	return unsupported(e, "run_child");
}

enum err_code catalog_run_end(struct catalog *c, const struct catalog_run *r, const struct catalog_output_new *outputs,
			      size_t noutputs, struct err *e)
{
	if (c->ops->run_end)
		return c->ops->run_end(c, r, outputs, noutputs, e);
	return unsupported(e, "run_end");
}

enum err_code catalog_run_skip(struct catalog *c, const char *tenant, const char *app, int64_t scheduled_us,
			       const char *reason, struct err *e)
{
	if (c->ops->run_skip)
		return c->ops->run_skip(c, tenant, app, scheduled_us, reason, e);
	return unsupported(e, "run_skip");
}

enum err_code catalog_run_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_run *ret, struct err *e)
{
	if (c->ops->run_get)
		return c->ops->run_get(c, id, a, ret, e);
	return unsupported(e, "run_get");
}

enum err_code catalog_runs(struct catalog *c, const char *tenant, int64_t before, size_t limit, struct arena *a,
			   struct catalog_run **ret, size_t *ret_n, struct err *e)
{
	if (c->ops->runs)
		return c->ops->runs(c, tenant, before, limit, a, ret, ret_n, e);
	return unsupported(e, "runs");
}

enum err_code catalog_run_files(struct catalog *c, int64_t run, struct arena *a, struct catalog_file **ret,
				size_t *ret_n, struct err *e)
{
	if (c->ops->run_files)
		return c->ops->run_files(c, run, a, ret, ret_n, e);
	return unsupported(e, "run_files");
}

enum err_code catalog_last_schedule(struct catalog *c, const char *tenant, const char *app, int64_t *ret_us,
				    struct err *e)
{
	if (c->ops->last_schedule)
		return c->ops->last_schedule(c, tenant, app, ret_us, e);
	return unsupported(e, "last_schedule");
}

enum err_code catalog_schedule_seen(struct catalog *c, const char *tenant, const char *app, int64_t us, struct err *e)
{
	if (c->ops->schedule_seen)
		return c->ops->schedule_seen(c, tenant, app, us, e);
	return unsupported(e, "schedule_seen");
}

enum err_code catalog_output_add(struct catalog *c, const char *tenant, const char *name, uint64_t size,
				 const char *sha256, bool again, bool *ret_existing, struct arena *a,
				 struct catalog_output *ret, struct err *e)
{
	if (c->ops->output_add)
		return c->ops->output_add(c, tenant, name, size, sha256, again, ret_existing, a, ret, e);
	return unsupported(e, "output_add");
}

enum err_code catalog_output_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_output *ret,
				 struct err *e)
{
	if (c->ops->output_get)
		return c->ops->output_get(c, id, a, ret, e);
	return unsupported(e, "output_get");
}

enum err_code catalog_outputs(struct catalog *c, const char *tenant, unsigned states, int64_t run, size_t limit,
			      struct arena *a, struct catalog_output **ret, size_t *ret_n, struct err *e)
{
	if (c->ops->outputs)
		return c->ops->outputs(c, tenant, states, run, limit, a, ret, ret_n, e);
	return unsupported(e, "outputs");
}

enum err_code catalog_outputs_after(struct catalog *c, const char *tenant, int64_t after, struct arena *a,
				    struct catalog_output **ret, size_t *ret_n, struct err *e)
{
	if (c->ops->outputs_after)
		return c->ops->outputs_after(c, tenant, after, a, ret, ret_n, e);
	return unsupported(e, "outputs_after");
}

enum err_code catalog_output_versions(struct catalog *c, int64_t id, const char *table, int64_t rows, int64_t *ret_base,
				      struct err *e)
{
	if (c->ops->output_versions)
		return c->ops->output_versions(c, id, table, rows, ret_base, e);
	return unsupported(e, "output_versions");
}

enum err_code catalog_output_checked(struct catalog *c, int64_t id, uint64_t records, uint64_t accepted,
				     uint64_t rejected, bool refused, const char *reason, const char *verdict_json,
				     struct err *e)
{
	if (c->ops->output_checked)
		return c->ops->output_checked(c, id, records, accepted, rejected, refused, reason, verdict_json, e);
	return unsupported(e, "output_checked");
}

enum err_code catalog_delivery(struct catalog *c, int64_t id, const char *sink, uint64_t from, uint64_t to,
			       uint64_t delivered, uint64_t superseded, uint64_t refused, struct err *e)
{
	if (c->ops->delivery)
		return c->ops->delivery(c, id, sink, from, to, delivered, superseded, refused, e);
	return unsupported(e, "delivery");
}

enum err_code catalog_output_done(struct catalog *c, int64_t id, enum output_state state, const char *reason,
				  struct err *e)
{
	if (c->ops->output_done)
		return c->ops->output_done(c, id, state, reason, e);
	return unsupported(e, "output_done");
}

enum err_code catalog_output_replayed(struct catalog *c, int64_t id, uint64_t gate, uint64_t sink, struct err *e)
{
	if (c->ops->output_replayed)
		return c->ops->output_replayed(c, id, gate, sink, e);
	return unsupported(e, "output_replayed");
}

enum err_code catalog_epoch_next(struct catalog *c, const char *tenant, int64_t *ret, struct err *e)
{
	if (c->ops->epoch_next)
		return c->ops->epoch_next(c, tenant, ret, e);
	return unsupported(e, "epoch_next");
}

enum err_code catalog_epoch(struct catalog *c, const char *tenant, int64_t *ret, struct err *e)
{
	if (c->ops->epoch)
		return c->ops->epoch(c, tenant, ret, e);
	return unsupported(e, "epoch");
}

enum err_code catalog_job_add(struct catalog *c, const char *tenant, const char *kind, const char *params,
			      int64_t *ret_id, struct err *e)
{
	if (c->ops->job_add)
		return c->ops->job_add(c, tenant, kind, params, ret_id, e);
	return unsupported(e, "job_add");
}

enum err_code catalog_job_get(struct catalog *c, int64_t id, struct arena *a, struct catalog_job *ret, struct err *e)
{
	if (c->ops->job_get)
		return c->ops->job_get(c, id, a, ret, e);
	return unsupported(e, "job_get");
}

enum err_code catalog_job_next(struct catalog *c, const char *tenant, struct arena *a, struct catalog_job *ret,
			       struct err *e)
{
	if (c->ops->job_next)
		return c->ops->job_next(c, tenant, a, ret, e);
	return unsupported(e, "job_next");
}

enum err_code catalog_job_end(struct catalog *c, int64_t id, bool ok, const char *result, struct err *e)
{
	if (c->ops->job_end)
		return c->ops->job_end(c, id, ok, result, e);
	return unsupported(e, "job_end");
}

enum err_code catalog_jobs_waiting(struct catalog *c, struct arena *a, const char ***ret_tenants, size_t *ret_n,
				   struct err *e)
{
	if (c->ops->jobs_waiting)
		return c->ops->jobs_waiting(c, a, ret_tenants, ret_n, e);
	return unsupported(e, "jobs_waiting");
}

enum err_code catalog_erased(struct catalog *c, const char *tenant, const char *kind, int64_t id, const char *name,
			     uint64_t bytes, const char *why, struct err *e)
{
	if (c->ops->erased)
		return c->ops->erased(c, tenant, kind, id, name, bytes, why, e);
	return unsupported(e, "erased");
}

enum err_code catalog_erasures(struct catalog *c, const char *tenant, size_t limit, struct arena *a,
			       struct catalog_erasure **ret, size_t *ret_n, struct err *e)
{
	if (c->ops->erasures)
		return c->ops->erasures(c, tenant, limit, a, ret, ret_n, e);
	return unsupported(e, "erasures");
}

enum err_code catalog_child_add(struct catalog *c, const struct catalog_child *ch, struct err *e)
{
	if (c->ops->child_add)
		return c->ops->child_add(c, ch, e);
	return unsupported(e, "child_add");
}

enum err_code catalog_child_remove(struct catalog *c, int64_t pid, int64_t pid_start, struct err *e)
{
	if (c->ops->child_remove)
		return c->ops->child_remove(c, pid, pid_start, e);
	return unsupported(e, "child_remove");
}

enum err_code catalog_children(struct catalog *c, struct arena *a, struct catalog_child **ret, size_t *ret_n,
			       struct err *e)
{
	if (c->ops->children)
		return c->ops->children(c, a, ret, ret_n, e);
	return unsupported(e, "children");
}
