/*
 * guard.h: the ledger as one worker may use it: a handle that acts for one tenant and epoch.
 *
 *   struct catalog guarded;
 *   catalog_guard(catalog, "client_a", 7, &guarded);       // nothing to free; tenant must outlive it
 *   catalog_output_done(&guarded, ...);                    // ERR_DENIED, ERR_FENCED
 *
 * For the control plane's side of remote.c. Both checks happen in the transaction of the call itself. Calls that are
 * not marked [worker] must not be made with it.
 */
#ifndef CATALOG_GUARD_H
#define CATALOG_GUARD_H

#include "catalog/ops.h"

void catalog_guard(struct catalog *base, const char *tenant, int64_t epoch, struct catalog *ret);

#endif
