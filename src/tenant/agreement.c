/* agreement.c: a tenant's service agreement. resources.c, agreement_apps.c and cron.c read its parts. */
#include "tenant/agreement.h"

#include "base/clock.h"
#include "base/fd.h"
#include "tenant/agreement_internal.h"
#include "tenant/data_file.h"

#include <stdio.h>

#define DOCUMENT_MAX (1 << 20)
#define FILES_PER_RUN 100

static const struct doc_key keys[] = {
    {"client", DOC_REQUIRED, "the tenant's id"},
    {"data_retention_period_days", DOC_OPTIONAL, "days that files are kept"},
    {"schedule", DOC_OPTIONAL, "when the tenant's app starts, as in a Kubernetes CronJob"},
    {"resources", DOC_OPTIONAL, "requests and limits of a run"},
    {"timeZone", DOC_OPTIONAL, "the time zone of schedules"},
    {"concurrencyPolicy", DOC_OPTIONAL, "what happens when a run is due and the last one still runs"},
    {"startingDeadlineSeconds", DOC_OPTIONAL, "how late a start may be"},
    {"suspend", DOC_OPTIONAL, "true: no starts by schedule"},
    {"maxFilesPerRun", DOC_OPTIONAL, "the most files that one run gets"},
    {"activeDeadlineSeconds", DOC_OPTIONAL, "wall-clock limit of a run"},
    {"apps", DOC_OPTIONAL, "the tenant's programs"},
    {"quality", DOC_OPTIONAL, "rules for records and files, and budgets"},
    {"sinks", DOC_OPTIONAL, "where records go"},
    {"data_files", DOC_LATER, "several data file configurations"},
    {"encryption", DOC_LATER, "files encrypted at rest"},
    {"alerts", DOC_LATER, "who is told about trouble"},
    {"quota", DOC_LATER, "limits on uploads"},
    {"report", DOC_LATER, "regular reports"},
    {"successfulJobsHistoryLimit", DOC_LATER, "see the setting manager.keep_logs"},
    {"failedJobsHistoryLimit", DOC_LATER, "see the setting manager.keep_logs"},
};

const char *tenant_id_check(const char *id)
{
	static const char allowed[] =
	    "small letters, digits, _ and -, at most 40, the first and last a letter or digit: "
	    "[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?";
	size_t n = strlen(id);
	if (n == 0 || n > TENANT_ID_MAX || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-") != n)
		return allowed;
	return strchr("_-", id[0]) || strchr("_-", id[n - 1]) ? allowed : NULL;
}

static void client_parse(const struct json *root, struct problems *p, struct agreement *g)
{
	if (!doc_string(p, root, "$", "client", &g->client))
		return;
	const char *allowed = tenant_id_check(g->client);
	if (!allowed)
		return;
	char small[TENANT_ID_MAX + 1];
	snprintf(small, sizeof small, "%s", g->client);
	for (char *s = small; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
	bool fits = strlen(g->client) <= TENANT_ID_MAX && !tenant_id_check(small);
	problem_add(p, PROBLEM_ERROR, json_get(root, "client"), "$.client", NULL, allowed,
		    fits ? doc_printf(p, "did you mean \"%s\"?", small) : "");
}

static void retention_parse(const struct json *root, struct problems *p, struct agreement *g)
{
	static const char key[] = "data_retention_period_days";
	g->retention_days = -1;
	if (doc_absent(root, keys, ARRAY_LENGTH(keys), key))
		problem_add(p, PROBLEM_WARNING, root, "$.data_retention_period_days", "nothing",
			    "days that files are kept, for instance 7", "not given: files are kept for ever");
	if (doc_int(p, root, "$", key, 0, 36500, &g->retention_days) && g->retention_days == 0)
		problem_add(p, PROBLEM_WARNING, json_get(root, key), "$.data_retention_period_days", NULL,
			    "days that files are kept", "0: files are erased as soon as they are delivered");
}

static const struct timezone_rules *time_zone_parse(const struct json *root, struct problems *p, struct agreement *g)
{
	const struct timezone_rules *tz = NULL;
	struct err e = {0};
	g->time_zone = "UTC";
	if (!doc_string(p, root, "$", "timeZone", &g->time_zone))
		return NULL;
	if (timezone_load(g->time_zone, p->arena, &tz, &e) != ERR_OK)
		problem_add(p, PROBLEM_ERROR, json_get(root, "timeZone"), "$.timeZone", NULL,
			    "a name of the IANA time zone database, such as \"Europe/Berlin\"",
			    doc_printf(p, "%s%s%s", e.msg, e.hint[0] ? "; " : "", e.hint));
	return tz;
}

bool schedule_parse(const struct json *obj, const char *path, const struct timezone_rules *tz, struct problems *p,
		    struct cron *ret)
{
	struct span text;
	struct cron c;
	if (!doc_text(p, obj, path, "schedule", &text))
		return false;
	const struct json *v = json_get(obj, "schedule");
	const char *at = doc_path(p, path, "schedule"), *why = cron_parse(text, p->arena, &c);
	if (why) {
		problem_add(
		    p, PROBLEM_ERROR, v, at, NULL,
		    "five fields (minute hour day-of-month month day-of-week), or @hourly, @daily, @every 30m ...",
		    why);
		return false;
	}
	c.tz = tz;
	if (cron_next(&c, clock_now_us() / US_PER_S) == INT64_MAX)
		problem_add(p, PROBLEM_WARNING, v, at, NULL, "a schedule with a start within five years",
			    "there is none: nothing will ever start by it");
	else if (!c.every_s && !c.dom_star && !c.dow_star)
		problem_add(p, PROBLEM_WARNING, v, at, NULL, "* in day of month or in day of week",
			    "both are restricted: it starts on days that match either of them");
	*ret = c;
	return true;
}

/* A list of one for now: the embedded coredms. */
static void sinks_parse(const struct json *root, struct problems *p)
{
	static const char allowed[] =
	    "[{\"type\": \"sqlite\"}], the embedded coredms (other sinks: known, not available yet)";
	const struct json *list = json_get(root, "sinks");
	if (!list)
		return;
	const struct json *one = list->type == JN_ARRAY && list->count == 1 ? list->child : NULL;
	const char *type = json_get_str(one, "type", NULL);
	const struct json *name = json_get(one, "name");
	bool good = one && one->type == JN_OBJECT && type &&
		    (strcmp(type, "sqlite") == 0 || strcmp(type, "coredms") == 0) &&
		    one->count == 1u + (name != NULL) &&
		    (!name || (name->type == JN_STRING && strcmp(name->s.p, "coredms") == 0));
	if (!good)
		problem_add(p, PROBLEM_ERROR, list, "$.sinks", NULL, allowed, "remove it, or write this");
}

static void policy_parse(const struct json *root, struct problems *p, struct agreement *g)
{
	static const char *const policies[] = {"Forbid", "Allow", "Replace", NULL};
	int policy = CONCURRENCY_FORBID;
	int64_t files = FILES_PER_RUN;
	doc_choice(p, root, "$", "concurrencyPolicy", policies, &policy);
	g->concurrency = (enum concurrency_policy)policy;
	g->starting_deadline_s = -1;
	doc_int(p, root, "$", "startingDeadlineSeconds", 0, INT32_MAX, &g->starting_deadline_s);
	if (g->starting_deadline_s >= 0 && g->starting_deadline_s < 10)
		problem_add(p, PROBLEM_WARNING, json_get(root, "startingDeadlineSeconds"), "$.startingDeadlineSeconds",
			    NULL, "10 seconds or more",
			    "a busy machine may miss starts: each is then recorded as missed");
	doc_bool(p, root, "$", "suspend", &g->suspend);
	doc_int(p, root, "$", "maxFilesPerRun", 1, 100000, &files);
	g->max_files_per_run = (uint32_t)files;
}

static void quality_parse(const struct json *root, struct problems *p, struct agreement *g)
{
	const struct json *q = json_get(root, "quality");
	if (q && doc_is_object(p, q, "$.quality", "an object with rules and max_rejected"))
		g->quality = q;
}

static void schedules_check(const struct json *root, struct problems *p, const struct agreement *g)
{
	bool any = false;
	for (uint32_t i = 0; i < g->napps; i++)
		any |= g->apps[i].has_schedule;
	if (!any && doc_absent(root, keys, ARRAY_LENGTH(keys), "schedule"))
		problem_add(p, PROBLEM_WARNING, root, "$.schedule", "nothing", "a schedule such as \"0 * * * *\"",
			    "not given: runs start only by `mysimbdp run`");
	if (g->suspend)
		problem_add(p, PROBLEM_WARNING, json_get(root, "suspend"), "$.suspend", NULL, "false",
			    "nothing starts by schedule until it is false");
}

static struct agreement *parse(struct span text, struct arena *a, struct problems *p)
{
	unsigned before = p->errors;
	int64_t timeout_s = TIMEOUT_DEFAULT_S;
	struct agreement *g = arena_alloc(a, sizeof *g);
	const struct json *root = doc_parse(p, text);
	if (!g)
		doc_no_memory(p);
	if (!g || !root || !doc_is_object(p, root, "$", "an object with client, schedule, resources ..."))
		return NULL;
	if (json_get(root, "schema") && !json_get(root, "client")) {
		problem_add(p, PROBLEM_ERROR, root, "$", "a data file configuration", "a service agreement",
			    "the two documents seem to be swapped");
		return NULL;
	}
	doc_keys_check(p, root, "$", keys, ARRAY_LENGTH(keys));
	g->text = arena_span(a, text);
	if (!g->text.p)
		doc_no_memory(p);
	client_parse(root, p, g);
	retention_parse(root, p, g);
	const struct timezone_rules *tz = time_zone_parse(root, p, g);
	g->has_schedule = schedule_parse(root, "$", tz, p, &g->schedule);
	resources_parse(root, "$", p, &g->resources);
	policy_parse(root, p, g);
	doc_int(p, root, "$", "activeDeadlineSeconds", 1, TIMEOUT_MAX_S, &timeout_s);
	apps_parse(root, tz, p, g, timeout_s);
	quality_parse(root, p, g);
	sinks_parse(root, p);
	schedules_check(root, p, g);
	return p->errors == before ? g : NULL;
}

struct agreement *agreement_parse(struct span text, const char *document, struct arena *a, struct problems *p)
{
	struct problem **from = p->tail;
	p->document = document;
	struct agreement *g = parse(text, a, p);
	problems_sort(p, from);
	return g;
}

/* A document that can't be read is a problem like others, so that the other one is looked at too. */
static enum err_code document_read(const char *dir, const char *name, struct arena *a, struct problems *p,
				   const char **ret_path, struct span *ret, struct err *e)
{
	struct err why = {0};
	*ret_path = path_join(a, dir, name);
	if (!*ret_path)
		return err_oom(e);
	enum err_code c = file_read(*ret_path, DOCUMENT_MAX, a, ret, &why);
	if (!c)
		return ERR_OK;
	if (c == ERR_MEMORY)
		return err_oom(e);
	p->document = *ret_path;
	problem_add(p, PROBLEM_ERROR, NULL, "$", doc_printf(p, "%s", why.msg), "a JSON document of at most 1 MiB",
		    why.hint);
	ret->p = NULL;
	return ERR_OK;
}

enum err_code tenant_documents_read(const char *dir, struct arena *a, struct problems *p, struct tenant_documents *ret,
				    struct err *e)
{
	struct span text = {0};
	const char *path;
	struct tenant_documents d = {0};
	enum err_code c = document_read(dir, "data-file.json", a, p, &path, &text, e);
	if (c)
		return c;
	if (text.p)
		d.data_file = data_file_parse(text, path, a, p);
	c = document_read(dir, "service-agreement.json", a, p, &path, &text, e);
	if (c) {
		data_file_done(d.data_file);
		return c;
	}
	if (text.p)
		d.agreement = agreement_parse(text, path, a, p);
	*ret = d;
	return ERR_OK;
}
