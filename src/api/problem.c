/*
 * problem.c: errors as RFC 9457 problem documents.
 *
 * type is a path below /problems/ with the error's name (docs/api.md explains each), title comes from the error table,
 * detail is the message, instance the path that was asked for; hint says what to do. problems[] lists everything that
 * is wrong with a tenant's documents.
 */
#include "api/server.h"

#include "base/problems.h"

void problem_answer(struct req *r, const struct err *e)
{
	const struct err_info *info = err_info(e->code);
	buf_clear(&r->out);
	jsonw_init(&r->w, &r->out);
	r->w.pretty = true;
	if (!r->status || r->status < 400)
		r->status = info->http;
	r->content_type = "application/problem+json";
	if (r->status == 503 && !r->retry_after_s)
		r->retry_after_s = 1;
	struct jsonw *w = &r->w;
	char type[64];
	snprintf(type, sizeof type, "/problems/%s", info->name);
	jsonw_begin(w, '{');
	jsonw_kstr(w, "type", type);
	jsonw_kstr(w, "title", info->title);
	jsonw_kint(w, "status", r->status);
	jsonw_kstr(w, "detail", e->msg);
	jsonw_kstr(w, "instance", r->path ? r->path : "/");
	if (e->hint[0])
		jsonw_kstr(w, "hint", e->hint);
	jsonw_kstr(w, "code", info->name);
	if (e->retriable)
		jsonw_kbool(w, "retriable", true);
	jsonw_kstr(w, "request", r->id);
	if (r->problems) {
		jsonw_key(w, "problems");
		problems_json(r->problems, w);
	}
	jsonw_end(w, '}');
	buf_char(&r->out, '\n');
}
