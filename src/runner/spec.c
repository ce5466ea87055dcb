/*
 * spec.c: the two small documents between the manager and a supervisor: WORKSPACE/spec.json (what to start, under
 * which limits) and WORKSPACE/status.json (how it ended; written atomically and fsynced, so a status that can be read
 * is complete).
 */
#include "runner/internal.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SPEC_MAX (1 << 20)

static void strings(struct jsonw *w, const char *key, const char *const *v)
{
	jsonw_key(w, key);
	jsonw_begin(w, '[');
	for (size_t i = 0; v && v[i]; i++)
		jsonw_str(w, v[i]);
	jsonw_end(w, ']');
}

static void spec_body(struct jsonw *w, const struct supervise_spec *s)
{
	const struct run_spec *r = &s->run;
	jsonw_kint(w, "run", r->run);
	jsonw_kstr(w, "tenant", r->tenant);
	jsonw_kstr(w, "app", r->app);
	jsonw_kstr(w, "workspace", r->workspace);
	strings(w, "command", r->command);
	strings(w, "env", r->env);
	jsonw_kint(w, "cpu_milli", r->cpu_milli);
	jsonw_kint(w, "memory_bytes", r->memory_bytes);
	jsonw_kint(w, "timeout_s", r->timeout_s);
	jsonw_kint(w, "grace_s", r->grace_s);
	jsonw_kint(w, "max_processes", r->max_processes);
	jsonw_kint(w, "max_output_bytes", (int64_t)r->max_output_bytes);
	jsonw_kint(w, "uid", r->uid);
	jsonw_kint(w, "gid", r->gid);
	jsonw_kstr(w, "log_path", r->log_path);
	jsonw_kint(w, "log_max", (int64_t)r->log_max);
	jsonw_kbool(w, "namespaces", !r->no_namespaces);
	jsonw_kbool(w, "own_program", r->own_program);
	jsonw_kstr(w, "hide", r->hide ? r->hide : "");
	jsonw_kstr(w, "cgroup", s->group.path);
	jsonw_kstr(w, "limit_cpu", s->report.cpu);
	jsonw_kstr(w, "limit_memory", s->report.memory);
	jsonw_kstr(w, "limit_cpu_request", s->report.cpu_request);
	jsonw_kstr(w, "limit_processes", s->report.processes);
	jsonw_kbool(w, "has_processes", s->report.has_processes);
	jsonw_kint(w, "parent", s->parent);
	jsonw_kstr(w, "mount_at", s->mount_at ? s->mount_at : "");
	jsonw_kint(w, "alive_fd", s->alive_fd);
}

enum err_code spec_write(const char *path, const struct supervise_spec *s, struct err *e)
{
	struct buf b;
	struct jsonw w;
	buf_init(&b, SPEC_MAX);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	spec_body(&w, s);
	jsonw_end(&w, '}');
	enum err_code rc;
	if (b.failed)
		rc = err_set(e, ERR_LIMIT, "command and environment of the app are over %d bytes", SPEC_MAX);
	else
		rc = file_write_atomic(path, b.p, b.n, 0600, e);
	buf_done(&b);
	return rc;
}

static const char *const *read_strings(const struct json *v, struct arena *a)
{
	size_t n = v && v->type == JN_ARRAY ? v->count : 0, i = 0;
	const char **out = arena_array(a, n + 1, sizeof *out);
	if (!out)
		return NULL;
	for (const struct json *c = n ? v->child : NULL; c; c = c->next)
		out[i++] = c->s.p;
	return out;
}

static void copy(char *to, size_t cap, const struct json *root, const char *key)
{
	snprintf(to, cap, "%s", json_get_str(root, key, ""));
}

enum err_code spec_read(const char *path, struct arena *a, struct supervise_spec *ret, struct err *e)
{
	struct json *root;
	enum err_code rc = json_read_file(path, SPEC_MAX, a, &root, NULL, e);
	if (rc)
		return rc;
	*ret = (struct supervise_spec){
	    .run =
		{
		    .run = json_get_int(root, "run", 0),
		    .tenant = json_get_str(root, "tenant", ""),
		    .app = json_get_str(root, "app", ""),
		    .workspace = json_get_str(root, "workspace", ""),
		    .command = read_strings(json_get(root, "command"), a),
		    .env = read_strings(json_get(root, "env"), a),
		    .cpu_milli = json_get_int(root, "cpu_milli", 0),
		    .memory_bytes = json_get_int(root, "memory_bytes", 0),
		    .timeout_s = json_get_int(root, "timeout_s", 0),
		    .grace_s = json_get_int(root, "grace_s", RUN_GRACE_DEFAULT),
		    .max_processes = json_get_int(root, "max_processes", RUN_PROCESSES_DEFAULT),
		    .max_output_bytes = (uint64_t)json_get_int(root, "max_output_bytes", 0),
		    .uid = (uid_t)json_get_int(root, "uid", 0),
		    .gid = (gid_t)json_get_int(root, "gid", 0),
		    .log_path = json_get_str(root, "log_path", ""),
		    .log_max = (uint64_t)json_get_int(root, "log_max", RUN_LOG_DEFAULT),
		    .no_namespaces = !json_get_bool(root, "namespaces", true),
		    .own_program = json_get_bool(root, "own_program", false),
		    .hide = json_get_str(root, "hide", ""),
		},
	    .parent = (pid_t)json_get_int(root, "parent", 0),
	    .mount_at = json_get_str(root, "mount_at", ""),
	    .alive_fd = (int)json_get_int(root, "alive_fd", -1),
	};
	copy(ret->group.path, sizeof ret->group.path, root, "cgroup");
	copy(ret->report.cpu, sizeof ret->report.cpu, root, "limit_cpu");
	copy(ret->report.memory, sizeof ret->report.memory, root, "limit_memory");
	copy(ret->report.cpu_request, sizeof ret->report.cpu_request, root, "limit_cpu_request");
	copy(ret->report.processes, sizeof ret->report.processes, root, "limit_processes");
	ret->report.has_processes = json_get_bool(root, "has_processes", false);
	if (!ret->run.command || !ret->run.env)
		return err_oom(e);
	if (!ret->run.command[0] || !ret->run.workspace[0] || !ret->run.tenant[0])
		return err_set(e, ERR_INVALID, "\"%s\" names no command, workspace or tenant", path);
	return ERR_OK;
}

enum err_code status_write(const char *workspace, const struct run_status *s, struct err *e)
{
	struct buf b;
	struct jsonw w;
	char path[1100];
	snprintf(path, sizeof path, "%s/status.json", workspace);
	(void)chmod(workspace, 0711); /* an app of our own user may have closed it to us */
	buf_init(&b, 64 << 10);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	jsonw_kint(&w, "exit_code", s->exit_code);
	jsonw_kint(&w, "signal", s->signal);
	jsonw_kbool(&w, "timed_out", s->timed_out);
	jsonw_kbool(&w, "oom", s->oom);
	jsonw_kbool(&w, "stopped", s->stopped);
	jsonw_kint(&w, "started_us", s->started_us);
	jsonw_kint(&w, "ended_us", s->ended_us);
	jsonw_kint(&w, "cpu_us", s->cpu_us);
	jsonw_kint(&w, "peak_bytes", s->peak_bytes);
	jsonw_kstr(&w, "limits", s->limits);
	jsonw_kstr(&w, "reason", s->reason);
	jsonw_end(&w, '}');
	buf_char(&b, '\n');
	enum err_code rc = b.failed ? err_oom(e) : file_write_atomic(path, b.p, b.n, 0600, e);
	buf_done(&b);
	return rc;
}

enum err_code status_read(const char *workspace, struct run_status *ret, struct err *e)
{
	char path[1100];
	struct arena a;
	struct json *root;
	snprintf(path, sizeof path, "%s/status.json", workspace);
	arena_init(&a, 1 << 20);
	enum err_code rc = json_read_file(path, 64 << 10, &a, &root, NULL, e);
	if (!rc) {
		*ret = (struct run_status){
		    .ended = true,
		    .exit_code = (int)json_get_int(root, "exit_code", -1),
		    .signal = (int)json_get_int(root, "signal", 0),
		    .timed_out = json_get_bool(root, "timed_out", false),
		    .oom = json_get_bool(root, "oom", false),
		    .stopped = json_get_bool(root, "stopped", false),
		    .started_us = json_get_int(root, "started_us", 0),
		    .ended_us = json_get_int(root, "ended_us", 0),
		    .cpu_us = json_get_int(root, "cpu_us", 0),
		    .peak_bytes = json_get_int(root, "peak_bytes", 0),
		};
		copy(ret->limits, sizeof ret->limits, root, "limits");
		copy(ret->reason, sizeof ret->reason, root, "reason");
	}
	arena_done(&a);
	return rc;
}
