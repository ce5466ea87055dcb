/*
 * request.c: one request: its memory, its URI taken apart, its query, its JSON body.
 *
 * We take the URI as it was sent (libmicrohttpd would decode %2F to a slash and end the path at %00) and decode each
 * segment on its own.
 */
#include "api/server.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_MEMORY (64u << 20) /* listings of a thousand rows with long texts stay far below */
#define URI_MAX 8192

struct req *req_new(struct api *a, const char *uri)
{
	struct req *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->api = a;
	r->begun_ns = clock_mono_ns();
	arena_init(&r->arena, REQUEST_MEMORY);
	buf_init(&r->out, ANSWER_MAX);
	buf_init(&r->body, BODY_JSON_MAX);
	jsonw_init(&r->w, &r->out);
	r->w.pretty = true;
	uint8_t id[6];
	random_bytes(id, sizeof id);
	for (size_t i = 0; i < sizeof id; i++)
		snprintf(r->id + 2 * i, 3, "%02x", id[i]);
	r->raw_uri = arena_strndup(&r->arena, uri, strnlen(uri, URI_MAX + 1));
	return r;
}

void req_free(struct req *r)
{
	if (!r)
		return;
	upload_free(r->upload);
	buf_done(&r->out);
	buf_done(&r->body);
	arena_done(&r->arena);
	free(r);
}

static enum err_code bad_escape(struct err *e, const char *what)
{
	err_set(e, ERR_INVALID, "the %s has broken %% escapes, a NUL byte or bytes that are no UTF-8", what);
	return err_hint(e, "encode UTF-8 bytes as %%XX; curl: --data-urlencode or -G");
}

enum err_code req_parse_uri(struct req *r, struct err *e)
{
	if (!r->raw_uri)
		return err_oom(e);
	if (strlen(r->raw_uri) > URI_MAX)
		return err_set(e, ERR_TOO_BIG, "the request target is longer than %d bytes", URI_MAX);
	const char *q = strchr(r->raw_uri, '?');
	size_t npath = q ? (size_t)(q - r->raw_uri) : strlen(r->raw_uri);
	r->path = arena_strndup(&r->arena, r->raw_uri, npath);
	if (!r->path)
		return err_oom(e);
	if (r->path[0] != '/')
		return err_set(e, ERR_INVALID, "the request target must begin with \"/\"");
	while (q && *q) {
		const char *name = q + 1;
		size_t len = strcspn(name, "&");
		q = name + len;
		if (!len)
			continue;
		if (r->nquery == QUERY_MAX)
			return err_set(e, ERR_INVALID, "the query has more than %d parameters", QUERY_MAX);
		const char *eq = memchr(name, '=', len);
		size_t nname = eq ? (size_t)(eq - name) : len;
		struct query_arg *arg = &r->query[r->nquery++];
		arg->name = url_unescape(&r->arena, name, nname, true);
		arg->value = eq ? url_unescape(&r->arena, eq + 1, len - nname - 1, true) : "";
		if (!arg->name || !arg->value)
			return bad_escape(e, "query");
	}
	return ERR_OK;
}

const char *req_header(const struct req *r, const char *name)
{
	return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

const char *req_query(const struct req *r, const char *name)
{
	for (size_t i = 0; i < r->nquery; i++)
		if (strcmp(r->query[i].name, name) == 0)
			return r->query[i].value;
	return NULL;
}

enum err_code req_page(const struct req *r, char letter, size_t *ret_limit, int64_t *ret_before, struct err *e)
{
	int64_t limit = 100, before = 0;
	const char *s = req_query(r, "limit");
	if (s && (!number_parse(s, 1000, &limit) || limit < 1))
		return err_set(e, ERR_INVALID, "limit is \"%.40s\"; allowed is 1 to 1000", s);
	s = req_query(r, "cursor");
	if (s && *s && !id_parse(s, letter, &before)) {
		err_set(e, ERR_INVALID, "cursor \"%.40s\" is not one of ours", s);
		return err_hint(e,
				"pass on the \"next\" of the page before, or leave the cursor out to start at the top");
	}
	*ret_limit = (size_t)limit;
	*ret_before = before;
	return ERR_OK;
}

enum err_code req_json(struct req *r, struct json **ret, struct err *e)
{
	if (r->body.failed)
		return err_oom(e);
	if (!r->body.n) {
		err_set(e, ERR_INVALID, "the request has no body; a JSON object is expected");
		return err_hint(e, "curl: -H 'Content-Type: application/json' -d '{...}'");
	}
	enum err_code code = json_parse((struct span){r->body.p, r->body.n}, &r->arena, ret, e);
	if (code == ERR_DOCUMENT && e)
		e->code = ERR_INVALID;
	if (code)
		return err_prefix(e, "the request's body");
	if ((*ret)->type != JN_OBJECT)
		return err_set(e, ERR_INVALID, "the request's body is %s; a JSON object is expected",
			       json_type_name((*ret)->type));
	return ERR_OK;
}
