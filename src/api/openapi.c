/* openapi.c: GET /openapi.json: OpenAPI 3.0, written from the table of routes. */
#include "api/server.h"

#include <ctype.h>
#include <string.h>

/* "201 taken; 200 a repeat" -> responses, each with its description. */
static void write_answers(struct jsonw *w, const char *text, bool binary)
{
	jsonw_key(w, "responses");
	jsonw_begin(w, '{');
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, ";");
		char status[4] = "200", what[256];
		const char *rest = p;
		if (isdigit((unsigned char)p[0])) {
			memcpy(status, p, 3);
			rest = p + 4;
		}
		snprintf(what, sizeof what, "%.*s", (int)(n - (size_t)(rest - p)), rest);
		bool problem = status[0] >= '4';
		jsonw_key(w, status);
		jsonw_begin(w, '{');
		jsonw_kstr(w, "description", what);
		jsonw_key(w, "content");
		jsonw_begin(w, '{');
		jsonw_key(w, problem ? "application/problem+json" : binary ? "text/plain" : "application/json");
		jsonw_raw(w, problem  ? SPAN_LIT("{\"schema\": {\"$ref\": \"#/components/schemas/Problem\"}}")
			     : binary ? SPAN_LIT("{\"schema\": {\"type\": \"string\"}}")
				      : SPAN_LIT("{\"schema\": {\"type\": \"object\"}}"));
		jsonw_end(w, '}');
		jsonw_end(w, '}');
		p += n;
		p += strspn(p, "; ");
	}
	jsonw_key(w, "default");
	jsonw_raw(
	    w, SPAN_LIT(
		   "{\"description\": \"any other problem\", \"content\": {\"application/problem+json\": {\"schema\": "
		   "{\"$ref\": \"#/components/schemas/Problem\"}}}}"));
	jsonw_end(w, '}');
}

static void write_param(struct jsonw *w, const char *name, size_t n, const char *in, const char *text)
{
	jsonw_begin(w, '{');
	jsonw_key(w, "name");
	jsonw_span(w, (struct span){name, n});
	jsonw_kstr(w, "in", in);
	jsonw_kbool(w, "required", strcmp(in, "path") == 0);
	if (text)
		jsonw_kstr(w, "description", text);
	jsonw_key(w, "schema");
	jsonw_raw(w, SPAN_LIT("{\"type\": \"string\"}"));
	jsonw_end(w, '}');
}

static void write_params(struct jsonw *w, const struct route *rt)
{
	jsonw_key(w, "parameters");
	jsonw_begin(w, '[');
	for (const char *p = strchr(rt->path, '{'); p; p = strchr(p + 1, '{'))
		write_param(w, p + 1, strcspn(p + 1, "}"), "path", NULL);
	for (const struct route_query *q = rt->query; q && q->name; q++)
		write_param(w, q->name, strlen(q->name), "query", q->text);
	jsonw_end(w, ']');
}

static void write_body(struct jsonw *w, const struct route *rt)
{
	static const char form[] =
	    "{\"required\": true, \"content\": {\"multipart/form-data\": {\"schema\": {\"type\": \"object\", "
	    "\"properties\": "
	    "{\"file\": {\"type\": \"array\", \"items\": {\"type\": \"string\", \"format\": \"binary\"}}}}}, "
	    "\"application/octet-stream\": {\"schema\": {\"type\": \"string\", \"format\": \"binary\"}}}}";
	static const char json[] = "{\"content\": {\"application/json\": {\"schema\": {\"type\": \"object\"}}}}";
	if (rt->body == BODY_NONE)
		return;
	jsonw_key(w, "requestBody");
	jsonw_raw(w, rt->body == BODY_UPLOAD ? SPAN_LIT(form) : SPAN_LIT(json));
}

static void write_route(struct jsonw *w, const struct route *rt)
{
	char method[8] = "";
	for (size_t i = 0; i < 7 && rt->method[i]; i++)
		method[i] = (char)tolower((unsigned char)rt->method[i]);
	jsonw_key(w, method);
	jsonw_begin(w, '{');
	jsonw_kstr(w, "operationId", rt->id);
	jsonw_kstr(w, "summary", rt->summary);
	jsonw_key(w, "tags");
	jsonw_begin(w, '[');
	jsonw_str(w, rt->tag);
	jsonw_end(w, ']');
	write_params(w, rt);
	write_body(w, rt);
	bool text = strstr(rt->answer, "200 text") != NULL;
	write_answers(w, rt->answer, text);
	if (rt->access == ACCESS_OPEN) {
		jsonw_key(w, "security");
		jsonw_raw(w, SPAN_LIT("[]"));
	}
	jsonw_end(w, '}');
}

static void write_paths(struct jsonw *w)
{
	jsonw_key(w, "paths");
	jsonw_begin(w, '{');
	for (size_t i = 0; i < nroutes; i++) {
		bool seen = false;
		for (size_t k = 0; k < i && !seen; k++)
			seen = strcmp(routes[k].path, routes[i].path) == 0;
		if (seen)
			continue;
		jsonw_key(w, routes[i].path);
		jsonw_begin(w, '{');
		for (size_t k = i; k < nroutes; k++)
			if (strcmp(routes[k].path, routes[i].path) == 0)
				write_route(w, &routes[k]);
		jsonw_end(w, '}');
	}
	jsonw_end(w, '}');
}

enum err_code api_openapi(struct req *r, struct err *e)
{
	static const char components[] =
	    "{\"securitySchemes\": {\"token\": {\"type\": \"http\", \"scheme\": \"bearer\"}}, \"schemas\": "
	    "{\"Problem\": "
	    "{\"type\": \"object\", \"description\": \"RFC 9457\", \"required\": [\"type\", \"title\", \"status\", "
	    "\"detail\"], \"properties\": {\"type\": {\"type\": \"string\"}, \"title\": {\"type\": \"string\"}, "
	    "\"status\": {\"type\": \"integer\"}, \"detail\": {\"type\": \"string\"}, \"instance\": {\"type\": "
	    "\"string\"}, "
	    "\"hint\": {\"type\": \"string\"}, \"code\": {\"type\": \"string\"}, \"request\": {\"type\": \"string\"}, "
	    "\"problems\": {\"type\": \"array\", \"items\": {\"type\": \"object\"}}}}}}";
	(void)e;
	struct jsonw *w = &r->w;
	jsonw_begin(w, '{');
	jsonw_kstr(w, "openapi", "3.0.3");
	jsonw_key(w, "info");
	jsonw_begin(w, '{');
	jsonw_kstr(w, "title", "mysimbdp");
	jsonw_kstr(w, "version", MYSIMBDP_VERSION);
	jsonw_kstr(w, "description",
		   "Uploads, files, tenants, runs and quarantine of a multi-tenant ingestion platform.");
	jsonw_end(w, '}');
	jsonw_key(w, "servers");
	jsonw_begin(w, '[');
	jsonw_begin(w, '{');
	jsonw_kstr(w, "url", r->api->url);
	jsonw_end(w, '}');
	jsonw_end(w, ']');
	jsonw_key(w, "security");
	jsonw_raw(w, SPAN_LIT("[{\"token\": []}]"));
	write_paths(w);
	jsonw_key(w, "components");
	jsonw_raw(w, SPAN_LIT(components));
	jsonw_end(w, '}');
	return ERR_OK;
}
