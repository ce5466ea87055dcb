/* status.c: GET /v1/status: the server and every tenant at a glance, in one answer. */
#include "api/server.h"

#include "base/clock.h"

#include <string.h>
#include <sys/statvfs.h>

static void write_disk(struct req *r)
{
	struct statvfs v;
	jsonw_key(&r->w, "disk");
	if (statvfs(r->api->o.data, &v)) {
		jsonw_null(&r->w);
		return;
	}
	jsonw_begin(&r->w, '{');
	jsonw_key(&r->w, "free_bytes");
	jsonw_uint(&r->w, (uint64_t)v.f_bavail * v.f_frsize);
	jsonw_key(&r->w, "total_bytes");
	jsonw_uint(&r->w, (uint64_t)v.f_blocks * v.f_frsize);
	jsonw_key(&r->w, "must_stay_free_bytes");
	jsonw_uint(&r->w, api_min_free(r->api, (uint64_t)v.f_blocks * v.f_frsize));
	jsonw_end(&r->w, '}');
}

enum err_code api_status(struct req *r, struct err *e)
{
	struct jsonw *w = &r->w;
	bool admin = !r->owner[0];
	jsonw_begin(w, '{');
	jsonw_key(w, "server");
	jsonw_begin(w, '{');
	jsonw_kstr(w, "version", MYSIMBDP_VERSION);
	jsonw_kstr(w, "url", r->api->url);
	write_time(w, "started", r->api->started_us);
	write_time(w, "now", clock_now_us());
	jsonw_kstr(w, "state", atomic_load(&r->api->draining) ? "draining" : "ok");
	if (admin) {
		jsonw_kstr(w, "manager",
			   !r->api->o.manager		      ? "not started"
			   : manager_alive(r->api->o.manager) ? "ok"
							      : "sick");
		jsonw_kint(w, "uploads_under_way", atomic_load(&r->api->active_uploads));
		jsonw_kstr(w, "data", r->api->o.data);
		write_disk(r);
	}
	jsonw_end(w, '}');
	jsonw_key(w, "tenants");
	enum err_code code = api_write_tenants(r, e);
	jsonw_end(w, '}');
	return code;
}
