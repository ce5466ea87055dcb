/* system.c: alive, ready, healthy, which version, which routes. None of these needs a token or waits for anybody. */
#include "api/server.h"

#include "base/clock.h"

#include <string.h>

enum err_code api_root(struct req *r, struct err *e)
{
	(void)e;
	r->content_type = "text/plain; charset=utf-8";
	buf_printf(&r->out,
		   "mysimbdp " MYSIMBDP_VERSION "\n\n"
		   "GET  /endpoints                 all routes\n"
		   "GET  /openapi.json              the same for machines\n"
		   "POST /upload-file/{tenant_id}   curl -H \"Authorization: Bearer TOKEN\" -F file=@NAME "
		   "%s/upload-file/TENANT\n"
		   "GET  /tenant/{tenant_id}        what became of the files\n",
		   r->api->url);
	return ERR_OK;
}

enum err_code api_ping(struct req *r, struct err *e)
{
	(void)e;
	jsonw_begin(&r->w, '{');
	jsonw_kstr(&r->w, "status", "ok");
	jsonw_end(&r->w, '}');
	return ERR_OK;
}

struct parts {
	bool ledger, manager;
	struct err err;
};

static void look(struct api *a, struct parts *p)
{
	struct catalog_counts c;
	p->ledger = catalog_counts(a->o.catalog, NULL, &c, &p->err) == ERR_OK;
	p->manager = !a->o.manager || manager_alive(a->o.manager);
}

static const char *state_of(const struct api *a, const struct parts *p)
{
	if (!p->ledger || !p->manager)
		return "sick";
	return atomic_load(&a->draining) ? "draining" : "ok";
}

static void write_parts(struct req *r, const struct parts *p)
{
	struct jsonw *w = &r->w;
	jsonw_begin(w, '{');
	jsonw_kstr(w, "status", state_of(r->api, p));
	jsonw_key(w, "parts");
	jsonw_begin(w, '{');
	jsonw_kstr(w, "ledger", p->ledger ? "ok" : p->err.msg);
	jsonw_kstr(w, "manager",
		   !p->manager	       ? "its thread made no progress for 10 s"
		   : r->api->o.manager ? "ok"
				       : "not started");
	jsonw_kstr(w, "uploads", atomic_load(&r->api->draining) ? "draining" : "ok");
	jsonw_end(w, '}');
	jsonw_kstr(w, "version", MYSIMBDP_VERSION);
	write_time(w, "started", r->api->started_us);
	jsonw_end(w, '}');
}

enum err_code api_ready(struct req *r, struct err *e)
{
	(void)e;
	struct parts p = {0};
	look(r->api, &p);
	r->status = p.ledger && p.manager && !atomic_load(&r->api->draining) ? 200 : 503;
	r->retry_after_s = r->status == 503;
	write_parts(r, &p);
	return ERR_OK;
}

enum err_code api_health(struct req *r, struct err *e)
{
	(void)e;
	struct parts p = {0};
	look(r->api, &p);
	r->status = !p.ledger || !p.manager ? 500 : atomic_load(&r->api->draining) ? 503 : 200;
	write_parts(r, &p);
	return ERR_OK;
}

enum err_code api_version(struct req *r, struct err *e)
{
	(void)e;
	jsonw_begin(&r->w, '{');
	jsonw_kstr(&r->w, "name", "mysimbdp");
	jsonw_kstr(&r->w, "version", MYSIMBDP_VERSION);
	jsonw_kint(&r->w, "ledger_format", CATALOG_FORMAT);
	jsonw_end(&r->w, '}');
	return ERR_OK;
}

enum err_code api_endpoints(struct req *r, struct err *e)
{
	(void)e;
	static const char *const access[] = {"anybody", "anybody or administrator", "any token",
					     "tenant or administrator", "administrator"};
	struct jsonw *w = &r->w;
	jsonw_begin(w, '{');
	jsonw_key(w, "endpoints");
	jsonw_begin(w, '[');
	for (size_t i = 0; i < nroutes; i++) {
		jsonw_begin(w, '{');
		jsonw_kstr(w, "method", routes[i].method);
		jsonw_kstr(w, "path", routes[i].path);
		jsonw_kstr(w, "for", access[routes[i].access]);
		jsonw_kstr(w, "summary", routes[i].summary);
		jsonw_end(w, '}');
	}
	jsonw_end(w, ']');
	jsonw_end(w, '}');
	return ERR_OK;
}
