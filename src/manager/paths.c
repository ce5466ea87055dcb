/* paths.c: where things are in the data directory (manager.h); the one place that knows. */
#include "manager/manager.h"

#include <inttypes.h>

char *path_original(struct arena *a, const char *data, const char *tenant, int64_t file)
{
	return arena_printf(a, "%s/staging/%s/.files/%" PRId64, data, tenant, file);
}

char *path_staged(struct arena *a, const char *data, const char *tenant, const char *name)
{
	return arena_printf(a, "%s/staging/%s/in/%s", data, tenant, name);
}

char *path_output(struct arena *a, const char *data, const char *tenant, int64_t output, const char *name)
{
	return arena_printf(a, "%s/outputs/%s/%" PRId64 "/%s", data, tenant, output, name);
}

char *path_coredms(struct arena *a, const char *data, const char *tenant)
{
	return arena_printf(a, "%s/coredms/%s", data, tenant);
}

char *path_quarantine(struct arena *a, const char *data, const char *tenant)
{
	return arena_printf(a, "%s/quarantine/%s", data, tenant);
}

char *path_run_log(struct arena *a, const char *data, int64_t run)
{
	return arena_printf(a, "%s/logs/runs/%" PRId64 ".log", data, run);
}
