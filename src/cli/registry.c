/* registry.c: all verbs, in the order of `mysimbdp help`. A new verb is its file, a line here and one in meson.build.
 */
#include "cli/verb.h"

#include <string.h>

/* It does not come to rest on this list. */
/* clang-format off */
#define VERBS(X) \
	X(serve) X(status) X(tenant) X(upload) X(files) X(file) X(run) X(runs) X(schedule) \
	X(quarantine) X(query) X(ledger) X(check) X(ingest) X(infer) X(config) X(completion) \
	X(version) X(worker) X(supervise)
/* clang-format on */

#define DECLARE(v) extern const struct verb verb_##v __attribute__((weak));
VERBS(DECLARE)

#define ENTRY(v) &verb_##v,
const struct verb *const verbs[] = {VERBS(ENTRY)};
const size_t nverbs = sizeof verbs / sizeof *verbs;

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < nverbs; i++) {
		if (verbs[i] && strcmp(verbs[i]->name, name) == 0)
			return verbs[i];
	}
	return NULL;
}
