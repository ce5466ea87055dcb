/*
 * internal.h: the control plane's side of catalog/remote.c: ledger calls of workers, as small JSON objects.
 *
 *   code = internal_call(catalog, "/internal/output_get", body, &answer, &err);
 *   status = code ? err_info(code)->http : 200;             // answer is complete in both cases
 *
 * Mounted on DATA/control.sock only, never on a network: who can open that socket is the same user as we. The body of a
 * call has tenant and epoch of the worker; both are checked inside the ledger's transaction: another tenant's output is
 * ERR_DENIED, an epoch that is not the newest ERR_FENCED. An error's answer is {"error": {code, message, hint,
 * retriable}} (catalog/wire.h). Any thread; nothing is kept between calls.
 */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include "base/buf.h"
#include "catalog/catalog.h"

/* Bodies longer than this are refused by the caller; a verdict is the longest thing in one. */
#define INTERNAL_BODY_MAX ((size_t)16 << 20)

/* answer: initialised by the caller with a maximum of WIRE_MAX or more; cleared here. */
enum err_code internal_call(struct catalog *c, const char *path, struct span body, struct buf *answer, struct err *e);

#endif
