/* agreement_internal.h: what the files that read a service agreement share; inside tenant/ only. */
#ifndef TENANT_AGREEMENT_INTERNAL_H
#define TENANT_AGREEMENT_INTERNAL_H

#include "base/doc.h"
#include "tenant/agreement.h"

#define TIMEOUT_DEFAULT_S 3600
#define TIMEOUT_MAX_S (30 * 86400)

/* resources.c: "resources" of obj into *ret (requests and limits, Kubernetes' form). */
void resources_parse(const struct json *obj, const char *path, struct problems *p, struct resources *ret);

/* "schedule" of obj; false when absent or wrong. */
bool schedule_parse(const struct json *obj, const char *path, const struct timezone_rules *tz, struct problems *p,
		    struct cron *ret);

/* agreement_apps.c: "apps" of root, or the one app of a plain agreement. */
void apps_parse(const struct json *root, const struct timezone_rules *tz, struct problems *p, struct agreement *g,
		int64_t timeout_s);

#endif
