/* files.c: GET /tenant/{tenant}, /v1/files, the time line of a file, and forgetting a file before a run took it. */
#include "api/server.h"

#include "base/fault.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

/* ?state=staged,received -> a mask; 0 when not given. */
static enum err_code states_of(const struct req *r, unsigned *ret, struct err *e)
{
	unsigned mask = 0;
	const char *s = req_query(r, "state");
	while (s && *s) {
		char name[32];
		size_t n = strcspn(s, ",");
		enum file_state state;
		snprintf(name, sizeof name, "%.*s", (int)(n < 31 ? n : 31), s);
		if (!file_state_find(name, &state)) {
			err_set(e, ERR_INVALID, "state \"%s\" is not known", name);
			return err_hint(
			    e, "allowed: received, staged, assigned, processed, checked, delivered, expired, refused, "
			       "failed, deleted; several with commas");
		}
		mask |= 1u << state;
		s += n + (s[n] == ',');
	}
	*ret = mask;
	return ERR_OK;
}

/* One page; one row more is asked for to know whether there is a next page. */
static enum err_code list(struct req *r, const char *tenant, unsigned dflt, struct err *e)
{
	size_t limit, n = 0;
	struct catalog_file_filter f = {.tenant = tenant, .name = req_query(r, "name")};
	struct catalog_file *files;
	enum err_code code = req_page(r, 'f', &limit, &f.before, e);
	if (!code)
		code = states_of(r, &f.states, e);
	if (code)
		return code;
	if (!f.states)
		f.states = dflt;
	f.limit = limit;
	code = catalog_files(r->api->o.catalog, &f, &r->arena, &files, &n, e);
	if (code)
		return code;
	struct jsonw *w = &r->w;
	jsonw_begin(w, '{');
	if (tenant)
		jsonw_kstr(w, "tenant", tenant);
	jsonw_key(w, "files");
	jsonw_begin(w, '[');
	for (size_t i = 0; i < n; i++)
		write_file(w, &files[i]);
	jsonw_end(w, ']');
	bool more = false;
	if (n == limit) { /* a full page: is there one row behind it? */
		struct catalog_file *rest;
		size_t nrest;
		f.before = files[n - 1].id;
		f.limit = 1;
		code = catalog_files(r->api->o.catalog, &f, &r->arena, &rest, &nrest, e);
		more = !code && nrest;
	}
	write_id(w, "next", 'f', more ? files[n - 1].id : 0);
	jsonw_end(w, '}');
	return code;
}

enum err_code api_tenant_files(struct req *r, struct err *e)
{
	struct catalog_tenant t = {0};
	enum err_code code = tenant_find(r, r->param[0], &t, e);
	/* What left the platform for good is shown only on demand. */
	unsigned all = ((1u << FILE_STATES) - 1) & ~(1u << FILE_DELETED | 1u << FILE_EXPIRED);
	return code ? code : list(r, t.id, all, e);
}

enum err_code api_files(struct req *r, struct err *e)
{
	const char *tenant = req_query(r, "tenant");
	if (tenant && !auth_may_see(r, tenant))
		return err_set(e, ERR_DENIED,
			       "this token belongs to tenant \"%s\" and reaches nothing of any other tenant", r->owner);
	return list(r, tenant ? tenant : r->owner[0] ? r->owner : NULL, 0, e);
}

/* A file that is not the caller's is as good as none. */
static enum err_code find(struct req *r, struct catalog_file *ret, struct err *e)
{
	int64_t id;
	enum err_code code = ERR_NOT_FOUND;
	if (id_parse(r->param[0], 'f', &id))
		code = catalog_file_get(r->api->o.catalog, id, &r->arena, ret, e);
	if (code == ERR_NOT_FOUND || (!code && !auth_may_see(r, ret->tenant))) {
		err_set(e, ERR_NOT_FOUND, "there is no file \"%.40s\"", r->param[0]);
		return err_hint(e, "ids look like f17; /v1/files lists them, also by ?name=");
	}
	return code;
}

static void write_events(struct jsonw *w, const struct catalog_event *ev, size_t n)
{
	jsonw_key(w, "events");
	jsonw_begin(w, '[');
	for (size_t i = 0; i < n; i++) {
		jsonw_begin(w, '{');
		write_time(w, "at", ev[i].at_us);
		jsonw_kstr(w, "what", ev[i].what);
		jsonw_kstr(w, "text", ev[i].text);
		if (i + 1 < n)
			jsonw_kdouble(w, "seconds_to_next", (double)(ev[i + 1].at_us - ev[i].at_us) / 1e6);
		jsonw_end(w, '}');
	}
	jsonw_end(w, ']');
}

enum err_code api_file_get(struct req *r, struct err *e)
{
	struct catalog_file f = {0};
	struct catalog_event *ev;
	struct catalog_output *out = NULL;
	size_t nev, nout = 0;
	enum err_code code = find(r, &f, e);
	if (!code)
		code = catalog_file_events(r->api->o.catalog, f.id, &r->arena, &ev, &nev, e);
	if (!code && f.run)
		code = catalog_outputs(r->api->o.catalog, f.tenant, 0, f.run, 1000, &r->arena, &out, &nout, e);
	if (code)
		return code;
	struct jsonw *w = &r->w;
	jsonw_begin(w, '{');
	write_file_members(w, &f);
	write_events(w, ev, nev);
	jsonw_key(w, "outputs");
	jsonw_begin(w, '[');
	for (size_t i = 0; i < nout; i++)
		if (!out[i].source[0] || strcmp(out[i].source, f.name) == 0)
			write_output(w, &out[i]);
	jsonw_end(w, ']');
	jsonw_end(w, '}');
	return ERR_OK;
}

enum err_code api_file_delete(struct req *r, struct err *e)
{
	struct catalog_file f = {0};
	enum err_code code = find(r, &f, e);
	if (code)
		return code;
	if (f.state != FILE_DELETED) {
		unsigned from = 1u << FILE_RECEIVED | 1u << FILE_STAGED | 1u << FILE_REFUSED | 1u << FILE_FAILED;
		code = catalog_file_move(r->api->o.catalog, f.id, from, FILE_DELETED, 0,
					 "deleted by its owner before a run", e);
		if (code == ERR_CONFLICT) {
			err_set(e, ERR_CONFLICT,
				"file f%" PRId64 " \"%s\" is %s; only a file that no run has taken can be deleted",
				f.id, f.name, file_state_name(f.state));
			return err_hint(e, "data_retention_period_days of the service agreement erases it in time");
		}
		if (code)
			return code;
		fault_hit("delete.moved");
		log_info("file deleted", LF("tenant", "%s", f.tenant), LF("file_id", "f%" PRId64, f.id),
			 LF("file", "%s", f.name));
		code = catalog_file_get(r->api->o.catalog, f.id, &r->arena, &f, e);
	}
	/* Also when an earlier request came no further than the ledger. */
	if (!code && r->api->o.manager)
		code = manager_unstage(r->api->o.manager, &f, e);
	if (!code)
		write_file(&r->w, &f);
	return code;
}
