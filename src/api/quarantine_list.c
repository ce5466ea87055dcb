/* quarantine_list.c: /v1/quarantine: rejected records of one tenant, with where they were and why, and their counts. */
#include "api/server.h"

#include "ingest/source_line.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* The upload that an output was made of: its source by name, or the only input of its run. */
static enum err_code upload_of(struct req *r, int64_t output, const char **ret_path, int64_t *ret_file, struct err *e)
{
	struct catalog_output o;
	struct catalog_file *files;
	size_t n;
	*ret_path = NULL;
	enum err_code code = catalog_output_get(r->api->o.catalog, output, &r->arena, &o, e);
	if (code == ERR_NOT_FOUND || (!code && !o.run))
		return ERR_OK;
	if (!code)
		code = catalog_run_files(r->api->o.catalog, o.run, &r->arena, &files, &n, e);
	for (size_t i = 0; !code && i < n; i++) {
		if (n > 1 && strcmp(files[i].name, o.source) != 0)
			continue;
		*ret_path = path_original(&r->arena, r->api->o.data, o.tenant, files[i].id);
		*ret_file = files[i].id;
	}
	return code;
}

/* Records of one output lie together in a page, so each upload is read once. */
static enum err_code add_sources(struct req *r, struct quarantine_entry *en, size_t n, struct err *e)
{
	enum err_code code = ERR_OK;
	for (size_t i = 0, end; !code && i < n; i = end) {
		const char *path;
		int64_t file = 0;
		for (end = i; end < n && en[end].output == en[i].output; end++)
			continue;
		code = upload_of(r, en[i].output, &path, &file, e);
		for (size_t k = i; k < end; k++)
			en[k].source_file = file;
		if (!code && path)
			code = source_lines(path, en + i, end - i, e);
	}
	return code;
}

static enum err_code write_all(struct req *r, struct quarantine *q, struct err *e)
{
	struct quarantine_filter f = {.file = req_query(r, "file"),
				      .rule = req_query(r, "rule"),
				      .field = req_query(r, "field"),
				      .state = req_query(r, "state")};
	const char *output = req_query(r, "output");
	if (output && !id_parse(output, 'o', &f.output))
		return err_set(e, ERR_INVALID, "output \"%.40s\" is no id; they look like o12", output);
	struct quarantine_entry *en;
	struct quarantine_count *counts;
	size_t n, ncounts;
	enum err_code code = req_page(r, 'q', &f.limit, &f.after, e);
	if (!code)
		code = quarantine_list(q, &f, &r->arena, &en, &n, e);
	if (!code)
		code = quarantine_counts(q, f.output, &r->arena, &counts, &ncounts, e);
	if (!code)
		code = add_sources(r, en, n, e);
	if (code)
		return code;
	struct jsonw *w = &r->w;
	jsonw_key(w, "records");
	jsonw_begin(w, '[');
	for (size_t i = 0; i < n; i++)
		quarantine_entry_write(&en[i], w);
	jsonw_end(w, ']');
	jsonw_key(w, "counts");
	jsonw_begin(w, '[');
	for (size_t i = 0; i < ncounts; i++) {
		jsonw_begin(w, '{');
		jsonw_kstr(w, "rule", counts[i].rule);
		jsonw_kstr(w, "field", counts[i].field);
		jsonw_kint(w, "open", (int64_t)counts[i].open);
		jsonw_kint(w, "replayed", (int64_t)counts[i].replayed);
		jsonw_end(w, '}');
	}
	jsonw_end(w, ']');
	write_id(w, "next", 'q', n == f.limit ? en[n - 1].id : 0);
	return ERR_OK;
}

enum err_code api_quarantine(struct req *r, struct err *e)
{
	const char *tenant = req_query(r, "tenant");
	if (!tenant && r->owner[0])
		tenant = r->owner;
	if (!tenant) {
		err_set(e, ERR_INVALID, "which tenant's quarantine?");
		return err_hint(e, "add ?tenant=ID");
	}
	if (!auth_may_see(r, tenant))
		return err_set(e, ERR_DENIED,
			       "this token belongs to tenant \"%s\" and reaches nothing of any other tenant", r->owner);
	struct catalog_tenant t;
	enum err_code code = tenant_find(r, tenant, &t, e);
	if (code)
		return code;
	char *dir = path_quarantine(&r->arena, r->api->o.data, t.id);
	char *file = dir ? arena_printf(&r->arena, "%s/quarantine.db", dir) : NULL;
	if (!file)
		return err_oom(e);
	struct stat st;
	jsonw_begin(&r->w, '{');
	jsonw_kstr(&r->w, "tenant", t.id);
	if (stat(file, &st)) { /* nothing was ever rejected */
		jsonw_key(&r->w, "records");
		jsonw_raw(&r->w, SPAN_LIT("[]"));
		jsonw_key(&r->w, "counts");
		jsonw_raw(&r->w, SPAN_LIT("[]"));
		jsonw_kstr(&r->w, "next", NULL);
	} else {
		struct quarantine *q;
		code = quarantine_open_readonly(dir, &q, e);
		if (code)
			return code;
		code = write_all(r, q, e);
		quarantine_close(q);
	}
	jsonw_end(&r->w, '}');
	return code;
}
