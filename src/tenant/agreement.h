/*
 * agreement.h: a tenant's service agreement, checked. See docs/documents.md.
 *
 * Parts that a later layer understands (quality) are kept as JSON nodes and checked there. Everything lives in the
 * arena and is const afterwards.
 */
#ifndef TENANT_AGREEMENT_H
#define TENANT_AGREEMENT_H

#include "base/arena.h"
#include "base/problems.h"
#include "tenant/cron.h"
#include "tenant/quantity.h"

#define TENANT_ID_MAX 40
#define APPS_MAX 32

enum concurrency_policy { CONCURRENCY_FORBID, CONCURRENCY_ALLOW, CONCURRENCY_REPLACE };

struct resources {
	bool has_cpu_request, has_memory_request, has_cpu_limit, has_memory_limit;
	struct quantity cpu_request, memory_request, cpu_limit, memory_limit;
};

enum app_mode { APP_BATCH, APP_STREAMING };

struct app {
	const char *name;
	enum app_mode mode;
	const char *const *command; /* NULL-terminated; NULL: the sample clientbatchingestapp of the platform */
	bool has_schedule;
	struct cron schedule;
	struct resources resources;
	const char *const *env; /* NAME=VALUE, NULL-terminated */
	const char *pattern;	/* input.file.pattern; NULL: all of the tenant's files */
	int64_t timeout_s;	/* wall-clock limit of a run: activeDeadlineSeconds, default 3600 */
};

struct agreement {
	const char *client;
	int64_t retention_days; /* -1: not given, keep for ever; 0: erase as soon as delivered */
	bool has_schedule;
	struct cron schedule;
	const char *time_zone; /* "UTC" by default */
	struct resources resources;
	enum concurrency_policy concurrency;
	int64_t starting_deadline_s; /* -1: none */
	bool suspend;
	uint32_t max_files_per_run; /* default 100 */
	const struct app *apps;	    /* at least one: a plain agreement gets "default", batch, with its schedule */
	uint32_t napps;
	const struct json *quality; /* NULL when absent; parsed by quality/rules.h */
	struct span text;
};

struct agreement *agreement_parse(struct span text, const char *document, struct arena *a, struct problems *p);

/* The id rule of design section 6; NULL when good, else what is allowed. */
const char *tenant_id_check(const char *id);

/* "data-file.json" + "service-agreement.json" of a directory; cross checks (for instance names) included. */
struct data_file;
struct tenant_documents {
	struct data_file *data_file; /* NULL when it had errors */
	struct agreement *agreement; /* NULL when it had errors */
};
enum err_code tenant_documents_read(const char *dir, struct arena *a, struct problems *p, struct tenant_documents *ret,
				    struct err *e) MUST_USE;

#endif
