/*
 * wire.h: how ledger structs look as JSON between a worker (remote.c) and the control plane (api/internal.c). Each
 * struct has its writer and its reader side by side, so that they can't drift apart.
 *
 * Readers put strings into the arena; ERR_MEMORY when it is full. A missing member reads as "", 0 or false.
 */
#ifndef CATALOG_WIRE_H
#define CATALOG_WIRE_H

#include "base/json.h"
#include "catalog/catalog.h"

/* Answers are at most this long; a list of outputs with their verdicts is the longest. */
#define WIRE_MAX (64u << 20)

void wire_tenant_write(const struct catalog_tenant *t, struct jsonw *w);
enum err_code wire_tenant_read(const struct json *v, struct arena *a, struct catalog_tenant *ret,
			       struct err *e) MUST_USE;

void wire_output_write(const struct catalog_output *o, struct jsonw *w);
enum err_code wire_output_read(const struct json *v, struct arena *a, struct catalog_output *ret,
			       struct err *e) MUST_USE;

void wire_job_write(const struct catalog_job *j, struct jsonw *w);
enum err_code wire_job_read(const struct json *v, struct arena *a, struct catalog_job *ret, struct err *e) MUST_USE;

/* {"error": {"code": "fenced", "message": ..., "hint": ..., "retriable": false}} */
void wire_error_write(const struct err *e, struct jsonw *w);
/* False when v is no such object. */
bool wire_error_read(const struct json *v, struct err *ret);

/* Text that need not be UTF-8 (names that an app gave to its files): {"hex": "..."} then. */
void wire_text(struct jsonw *w, const char *key, const char *s);
const char *wire_get_text(const struct json *v, const char *key, struct arena *a); /* NULL without memory */

#endif
