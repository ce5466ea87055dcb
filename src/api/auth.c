/*
 * auth.c: who asks, and may they? Bearer tokens, and the Host header against DNS rebinding.
 *
 * A tenant's token naming any other tenant gets the same 403 whether that tenant exists or not, before the ledger is
 * asked about it.
 */
#include "api/server.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

bool auth_may_see(const struct req *r, const char *tenant)
{
	return r->owner && (!r->owner[0] || strcmp(r->owner, tenant) == 0);
}

/* The exact line to use, with the method and address of this very request. */
static enum err_code no_token(const struct req *r, const char *what, struct err *e)
{
	const char *host = req_header(r, "Host");
	err_set(e, ERR_AUTH, "%s", what);
	char verb[24] = "";
	if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "POST") != 0)
		snprintf(verb, sizeof verb, " -X %.10s", r->method);
	return err_hint(
	    e,
	    "curl%s -H \"Authorization: Bearer $(cat %s/admin.token)\" http://%.100s%.120s (a tenant uses its own "
	    "token; make one with: mysimbdp tenant token TENANT)",
	    verb, r->api->o.data, host ? host : r->api->url + 7, r->path);
}

static enum err_code find_owner(struct req *r, struct err *e)
{
	const char *h = req_header(r, "Authorization");
	if (!h)
		return no_token(r, "no token was sent", e);
	if (strncasecmp(h, "Bearer ", 7) != 0)
		return no_token(r, "the Authorization header is not of the kind \"Bearer TOKEN\"", e);
	h += 7;
	while (*h == ' ')
		h++;
	uint8_t digest[SHA256_LEN];
	enum err_code code = token_digest(h, digest, e);
	if (code)
		return code;
	const char *owner = NULL;
	code = catalog_token_find(r->api->o.catalog, digest, &r->arena, &owner, e);
	if (code == ERR_NOT_FOUND)
		return no_token(r, "the token is not known here (it may have been replaced by a newer one)", e);
	if (!code)
		r->owner = owner;
	return code;
}

/* The value of {tenant} in the route's path, or NULL. */
static const char *named_tenant(const struct req *r)
{
	const char *t = strstr(r->route->path, "{tenant");
	if (!t)
		return NULL;
	size_t before = 0;
	for (const char *p = r->route->path; p < t; p++)
		before += *p == '{';
	return r->param[before];
}

enum err_code auth_check(struct req *r, struct err *e)
{
	enum access access = r->route->access;
	if (access == ACCESS_OPEN ||
	    (access == ACCESS_METRICS && r->api->o.conf && conf_bool(r->api->o.conf, "api.open_metrics")))
		return ERR_OK;
	if (r->api->o.no_auth) {
		r->owner = "";
	} else {
		enum err_code code = find_owner(r, e);
		if (code)
			return code;
	}
	if (!r->owner[0])
		return ERR_OK;
	const char *tenant = named_tenant(r);
	if (access == ACCESS_ADMIN || access == ACCESS_METRICS) {
		err_set(e, ERR_DENIED, "the token of tenant \"%s\" may not do this; only the administrator's may",
			r->owner);
		return err_hint(e, "use the token in admin.token of the data directory");
	}
	if (tenant && strcmp(tenant, r->owner) != 0) {
		err_set(e, ERR_DENIED, "this token belongs to tenant \"%s\" and reaches nothing of any other tenant",
			r->owner);
		return err_hint(e, "use \"%s\" in the path, or the token of the tenant that you mean", r->owner);
	}
	return ERR_OK;
}

/* "localhost", "x.localhost", 127.0.0.0/8, ::1. n: without the port. */
static bool host_is_loopback(const char *h, size_t n)
{
	char host[256];
	if (n >= sizeof host)
		return false;
	memcpy(host, h, n);
	host[n] = 0;
	struct in_addr in;
	if (inet_pton(AF_INET, host, &in) == 1)
		return ntohl(in.s_addr) >> 24 == 127;
	if (strcmp(host, "[::1]") == 0 || strcasecmp(host, "localhost") == 0)
		return true;
	static const char suffix[] = ".localhost";
	return n >= sizeof suffix && strcasecmp(host + (n - (sizeof suffix - 1)), suffix) == 0;
}

static size_t host_length(const char *h)
{
	if (*h == '[')
		return strcspn(h, "]") + (strchr(h, ']') ? 1 : 0);
	return strcspn(h, ":/");
}

enum err_code auth_host(const struct req *r, struct err *e)
{
	if (!r->api->loopback)
		return ERR_OK;
	const char *h = req_header(r, "Host");
	if (h && !host_is_loopback(h, host_length(h))) {
		err_set(e, ERR_DENIED,
			"the request is addressed to host \"%.100s\", but this server listens on loopback only", h);
		return err_hint(e, "use %s; a page of another site must not reach it under a name of its own",
				r->api->url);
	}
	const char *origin = req_header(r, "Origin");
	if (origin && r->api->o.no_auth && strcmp(r->method, "GET") != 0) {
		const char *host = strstr(origin, "://");
		if (!host || !host_is_loopback(host + 3, host_length(host + 3)))
			return err_set(e, ERR_DENIED, "a page of \"%.100s\" may not change anything here", origin);
	}
	return ERR_OK;
}
