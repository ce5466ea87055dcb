/*
 * api.h: the REST API: uploads, files, tenants, runs, quarantine, health, metrics (libmicrohttpd).
 *
 * Listens on loopback by default, and on DATA/control.sock for workers (catalog/remote.c is the other side; routes
 * under /internal/, only reachable there). Bodies stream to disk with flat memory. Errors are RFC 9457 problem
 * documents. Tokens: SHA-256 digests in the ledger; the administrator's is DATA/admin.token (0600).
 */
#ifndef API_API_H
#define API_API_H

#include "catalog/catalog.h"
#include "conf/conf.h"
#include "manager/manager.h"
#include "metrics/metrics.h"

struct api;

struct api_options {
	const char *data;
	const struct conf *conf;
	struct catalog *catalog;
	struct manager *manager;
	struct metrics *metrics;
	bool no_auth;
};

enum err_code api_start(const struct api_options *o, struct api **ret, struct err *e) MUST_USE;
/* "http://127.0.0.1:8090" as really bound (port 0 asks for a free one). */
const char *api_url(const struct api *a);
/* /ready answers 503 from now on; uploads under way may finish. */
void api_drain(struct api *a);
void api_stop(struct api *a);

/* Make the administrator's token when there is none; a tenant's token: made, stored hashed, returned once. */
enum err_code token_admin_ensure(const char *data, struct catalog *c, struct err *e) MUST_USE;
enum err_code token_new(struct catalog *c, const char *owner, char out[64], struct err *e) MUST_USE;

#endif
