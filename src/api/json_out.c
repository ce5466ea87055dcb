/* json_out.c: what the ledger's rows look like in answers: ids with their letter, times as RFC 3339. */
#include "api/server.h"

#include "base/clock.h"

#include <inttypes.h>

void write_time(struct jsonw *w, const char *key, int64_t us)
{
	char text[40];
	jsonw_kstr(w, key, us ? rfc3339(us, text) : NULL);
}

void write_id(struct jsonw *w, const char *key, char letter, int64_t id)
{
	char text[24];
	snprintf(text, sizeof text, "%c%" PRId64, letter, id);
	jsonw_kstr(w, key, id ? text : NULL);
}

static void write_uint(struct jsonw *w, const char *key, uint64_t v)
{
	jsonw_key(w, key);
	jsonw_uint(w, v);
}

/* Text that is JSON already, or null. */
static void write_raw(struct jsonw *w, const char *key, const char *json)
{
	jsonw_key(w, key);
	if (json && json[0])
		jsonw_raw(w, span_str(json));
	else
		jsonw_null(w);
}

void write_file_members(struct jsonw *w, const struct catalog_file *f)
{
	write_id(w, "id", 'f', f->id);
	jsonw_kstr(w, "name", f->name);
	write_uint(w, "size", f->size);
	jsonw_kstr(w, "sha256", f->sha256 && f->sha256[0] ? f->sha256 : NULL);
	jsonw_kstr(w, "state", file_state_name(f->state));
	jsonw_kstr(w, "status", f->status);
	jsonw_kstr(w, "tenant", f->tenant);
	write_id(w, "run", 'r', f->run);
	jsonw_kint(w, "attempts", f->attempts);
	write_time(w, "received", f->received_us);
	write_time(w, "updated", f->updated_us);
}

void write_file(struct jsonw *w, const struct catalog_file *f)
{
	jsonw_begin(w, '{');
	write_file_members(w, f);
	jsonw_end(w, '}');
}

void write_run_members(struct jsonw *w, const struct catalog_run *r)
{
	write_id(w, "id", 'r', r->id);
	jsonw_kstr(w, "tenant", r->tenant);
	jsonw_kstr(w, "app", r->app);
	jsonw_kstr(w, "trigger", r->trigger);
	jsonw_kstr(w, "state", run_state_name(r->state));
	jsonw_kstr(w, "reason", r->reason);
	write_time(w, "scheduled", r->scheduled_us);
	write_time(w, "started", r->started_us);
	write_time(w, "ended", r->ended_us);
	if (r->started_us && r->ended_us)
		jsonw_kdouble(w, "seconds", (double)(r->ended_us - r->started_us) / 1e6);
	jsonw_kint(w, "repeats", r->repeats);
	write_uint(w, "files_in", r->files_in);
	write_uint(w, "files_out", r->files_out);
	write_uint(w, "bytes_in", r->bytes_in);
	write_uint(w, "bytes_out", r->bytes_out);
	if (r->records_in >= 0)
		jsonw_kint(w, "records_in", r->records_in);
	if (r->records_out >= 0)
		jsonw_kint(w, "records_out", r->records_out);
	if (r->records_in >= 0 && r->records_out >= 0)
		jsonw_kint(w, "app_delta", r->records_out - r->records_in);
	jsonw_kint(w, "exit_code", r->exit_code);
	jsonw_kint(w, "signal", r->signal);
	jsonw_kdouble(w, "cpu_seconds", (double)r->cpu_us / 1e6);
	jsonw_kint(w, "peak_bytes", r->peak_bytes);
	write_raw(w, "limits", r->limits);
}

void write_run(struct jsonw *w, const struct catalog_run *r)
{
	jsonw_begin(w, '{');
	write_run_members(w, r);
	jsonw_end(w, '}');
}

void write_output(struct jsonw *w, const struct catalog_output *o)
{
	jsonw_begin(w, '{');
	write_id(w, "id", 'o', o->id);
	write_id(w, "run", 'r', o->run);
	jsonw_kstr(w, "tenant", o->tenant);
	jsonw_kstr(w, "name", o->name);
	jsonw_kstr(w, "source", o->source);
	write_uint(w, "size", o->size);
	jsonw_kstr(w, "sha256", o->sha256);
	jsonw_kstr(w, "state", output_state_name(o->state));
	jsonw_kstr(w, "reason", o->reason);
	jsonw_kint(w, "document_version", o->document_version);
	write_uint(w, "records", o->records);
	write_uint(w, "accepted", o->accepted);
	write_uint(w, "rejected", o->rejected);
	write_uint(w, "delivered", o->delivered);
	write_uint(w, "superseded", o->superseded);
	write_uint(w, "refused_by_sink", o->refused_by_sink);
	write_raw(w, "verdict", o->verdict);
	write_time(w, "created", o->created_us);
	write_time(w, "updated", o->updated_us);
	jsonw_end(w, '}');
}

void write_job(struct jsonw *w, const struct catalog_job *j)
{
	static const char *const states[] = {"waiting", "running", "done", "failed"};
	jsonw_begin(w, '{');
	write_id(w, "id", 'j', j->id);
	jsonw_kstr(w, "tenant", j->tenant);
	jsonw_kstr(w, "kind", j->kind);
	jsonw_kstr(w, "state", states[j->state]);
	write_time(w, "created", j->created_us);
	write_time(w, "ended", j->ended_us);
	if (j->state == JOB_DONE)
		write_raw(w, "result", j->result);
	else if (j->state == JOB_FAILED)
		jsonw_kstr(w, "error", j->result);
	jsonw_end(w, '}');
}

void write_counts(struct jsonw *w, const struct catalog_counts *c)
{
	jsonw_begin(w, '{');
	jsonw_key(w, "files");
	jsonw_begin(w, '{');
	for (int s = 0; s < FILE_STATES; s++)
		write_uint(w, file_state_name((enum file_state)s), c->files[s]);
	jsonw_end(w, '}');
	write_uint(w, "backlog_bytes", c->backlog_bytes);
	write_time(w, "oldest", c->oldest_us);
	write_uint(w, "outputs_waiting", c->outputs_waiting);
	write_uint(w, "accepted", c->accepted);
	write_uint(w, "rejected", c->rejected);
	write_uint(w, "delivered", c->delivered);
	write_uint(w, "refused_by_sink", c->refused_by_sink);
	write_uint(w, "replayed", c->replayed + c->replayed_sink);
	write_uint(w, "imbalance", c->imbalance);
	jsonw_end(w, '}');
}
