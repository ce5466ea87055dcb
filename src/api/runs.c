/* runs.c: /v1/runs: what was started and why not, one run with its files and outputs, and what it printed. */
#include "api/server.h"

#include "base/fd.h"

#include <inttypes.h>
#include <string.h>

#define RUN_OUTPUT_MAX (8u << 20)

enum err_code api_runs(struct req *r, struct err *e)
{
	const char *tenant = req_query(r, "tenant");
	if (tenant && !auth_may_see(r, tenant))
		return err_set(e, ERR_DENIED,
			       "this token belongs to tenant \"%s\" and reaches nothing of any other tenant", r->owner);
	if (!tenant && r->owner[0])
		tenant = r->owner;
	size_t limit, n;
	int64_t before;
	struct catalog_run *runs;
	enum err_code code = req_page(r, 'r', &limit, &before, e);
	if (!code)
		code = catalog_runs(r->api->o.catalog, tenant, before, limit, &r->arena, &runs, &n, e);
	if (code)
		return code;
	jsonw_begin(&r->w, '{');
	jsonw_key(&r->w, "runs");
	jsonw_begin(&r->w, '[');
	for (size_t i = 0; i < n; i++)
		write_run(&r->w, &runs[i]);
	jsonw_end(&r->w, ']');
	write_id(&r->w, "next", 'r', n == limit && runs[n - 1].id > 1 ? runs[n - 1].id : 0);
	jsonw_end(&r->w, '}');
	return ERR_OK;
}

static enum err_code find(struct req *r, struct catalog_run *ret, struct err *e)
{
	int64_t id;
	enum err_code code = ERR_NOT_FOUND;
	if (id_parse(r->param[0], 'r', &id))
		code = catalog_run_get(r->api->o.catalog, id, &r->arena, ret, e);
	if (code == ERR_NOT_FOUND || (!code && !auth_may_see(r, ret->tenant))) {
		err_set(e, ERR_NOT_FOUND, "there is no run \"%.40s\"", r->param[0]);
		return err_hint(e, "ids look like r5; /v1/runs lists them");
	}
	return code;
}

enum err_code api_run_get(struct req *r, struct err *e)
{
	struct catalog_run run = {0};
	struct catalog_file *files;
	struct catalog_output *outputs;
	size_t nfiles, noutputs;
	enum err_code code = find(r, &run, e);
	if (!code)
		code = catalog_run_files(r->api->o.catalog, run.id, &r->arena, &files, &nfiles, e);
	if (!code)
		code =
		    catalog_outputs(r->api->o.catalog, run.tenant, 0, run.id, 1000, &r->arena, &outputs, &noutputs, e);
	if (code)
		return code;
	struct jsonw *w = &r->w;
	jsonw_begin(w, '{');
	write_run_members(w, &run);
	jsonw_key(w, "files");
	jsonw_begin(w, '[');
	for (size_t i = 0; i < nfiles; i++)
		write_file(w, &files[i]);
	jsonw_end(w, ']');
	jsonw_key(w, "outputs");
	jsonw_begin(w, '[');
	for (size_t i = 0; i < noutputs; i++)
		write_output(w, &outputs[i]);
	jsonw_end(w, ']');
	jsonw_end(w, '}');
	return ERR_OK;
}

enum err_code api_run_output(struct req *r, struct err *e)
{
	struct catalog_run run = {0};
	enum err_code code = find(r, &run, e);
	if (code)
		return code;
	char *path = path_run_log(&r->arena, r->api->o.data, run.id);
	struct span text = {0};
	if (!path)
		return err_oom(e);
	code = file_read(path, RUN_OUTPUT_MAX, &r->arena, &text, e);
	if (code == ERR_NOT_FOUND) {
		err_set(e, ERR_NOT_FOUND, "run r%" PRId64 " has no output: it was %s", run.id,
			run_state_name(run.state));
		return code;
	}
	if (code)
		return code;
	r->content_type = "text/plain; charset=utf-8";
	buf_span(&r->out, text);
	return ERR_OK;
}
