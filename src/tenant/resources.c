/* resources.c: requests and limits as Kubernetes writes them, with a word about values nobody means. */
#include "tenant/agreement_internal.h"

#include <inttypes.h>

#define CORES_ODD 128 /* more is a slip of the suffix */
#define MEMORY_ODD_LOW ((int64_t)1 << 20)
#define MEMORY_ODD_HIGH ((int64_t)16 << 40)
#define NANO 1000000000

static const struct doc_key parts[] = {
    {"requests", DOC_OPTIONAL, "what a run is promised: {\"cpu\": ..., \"memory\": ...}"},
    {"limits", DOC_OPTIONAL, "what a run never gets more of: {\"cpu\": ..., \"memory\": ...}"},
    {"claims", DOC_LATER, "devices"},
};

static const struct doc_key names[] = {
    {"cpu", DOC_OPTIONAL, "cores: 500m, 0.5, 2"},
    {"memory", DOC_OPTIONAL, "bytes: 128Mi, 1Gi"},
    {"ephemeral-storage", DOC_LATER, "disk space of a run"},
    {"storage", DOC_LATER, "disk space"},
};

/* The number in front of the suffix, as written. */
static struct span mantissa(const char *text)
{
	return (struct span){text, strspn(text, "+0123456789.")};
}

static void cpu_warnings(const struct json *v, const char *path, struct problems *p, const struct quantity *q)
{
	struct span m = mantissa(q->text);
	int64_t cores = quantity_units(q);
	if (q->nano > (__int128)CORES_ODD * NANO) {
		const char *guess = q->text[m.n] ? "" : "m";
		problem_add(p, PROBLEM_WARNING, v, path,
			    doc_printf(p, "\"%s\", which is %" PRId64 " cores", q->text, cores),
			    "cores of a machine, for instance \"500m\" or \"2\"",
			    doc_printf(p, "did you mean \"" SPAN_FMT "%s\"? A run gets at most what the machine has",
				       SPAN_ARG(m), guess));
	} else if (q->nano % 1000000 != 0) {
		problem_add(p, PROBLEM_WARNING, v, path, NULL, "steps of 1m (a thousandth of a core)",
			    doc_printf(p, "it is rounded up to %" PRId64 "m", quantity_milli(q)));
	}
}

static void memory_warnings(const struct json *v, const char *path, struct problems *p, const struct quantity *q)
{
	struct span m = mantissa(q->text);
	int64_t bytes = quantity_units(q);
	if (q->nano == 0)
		return;
	if (bytes < MEMORY_ODD_LOW)
		problem_add(
		    p, PROBLEM_WARNING, v, path,
		    doc_printf(p, "\"%s\", which is %" PRId64 " byte%s", q->text, bytes, bytes == 1 ? "" : "s"),
		    "memory of a program, for instance \"128Mi\"",
		    doc_printf(p, "did you mean \"" SPAN_FMT "Mi\"? No program runs in so little", SPAN_ARG(m)));
	else if (bytes > MEMORY_ODD_HIGH)
		problem_add(p, PROBLEM_WARNING, v, path, NULL, "memory of a program, for instance \"128Mi\" or \"1Gi\"",
			    doc_printf(p, "it is %" PRId64 " bytes, more than machines have", bytes));
}

static bool quantity_get(const struct json *obj, const char *path, const char *key, struct problems *p,
			 struct quantity *ret)
{
	static const char allowed[] = "a Kubernetes quantity: 500m, 2, 64Mi, 1Gi";
	struct span text;
	if (!doc_scalar(p, obj, path, key, allowed, &text))
		return false;
	const struct json *v = json_get(obj, key);
	const char *at = doc_path(p, path, key), *why = quantity_parse(text, ret);
	if (why) {
		problem_add(p, PROBLEM_ERROR, v, at, NULL, allowed, why);
		return false;
	}
	return true;
}

/* requests or limits; *ret_cpu and *ret_memory tell which are there. */
static void part_parse(const struct json *obj, const char *path, const char *key, struct problems *p, bool *has_cpu,
		       struct quantity *cpu, bool *has_memory, struct quantity *memory)
{
	const struct json *v = json_get(obj, key);
	if (!v)
		return;
	const char *at = doc_path(p, path, key);
	if (!doc_is_object(p, v, at, "an object with cpu and memory"))
		return;
	doc_keys_check(p, v, at, names, ARRAY_LENGTH(names));
	*has_cpu = quantity_get(v, at, "cpu", p, cpu);
	*has_memory = quantity_get(v, at, "memory", p, memory);
	if (*has_cpu)
		cpu_warnings(json_get(v, "cpu"), doc_path(p, at, "cpu"), p, cpu);
	if (*has_memory)
		memory_warnings(json_get(v, "memory"), doc_path(p, at, "memory"), p, memory);
	bool limits = strcmp(key, "limits") == 0;
	if (limits && *has_cpu && cpu->nano == 0)
		problem_add(p, PROBLEM_WARNING, json_get(v, "cpu"), doc_path(p, at, "cpu"), NULL, "a limit above 0",
			    "0 is read as no limit");
	if (limits && *has_memory && memory->nano == 0)
		problem_add(p, PROBLEM_WARNING, json_get(v, "memory"), doc_path(p, at, "memory"), NULL,
			    "a limit above 0", "0 is read as no limit");
}

static void order_check(const struct json *res, const char *path, const char *name, struct problems *p,
			const struct quantity *request, const struct quantity *limit)
{
	if (limit->nano == 0 || request->nano <= limit->nano)
		return;
	const char *at = doc_path(p, doc_path(p, path, "requests"), name);
	problem_add(p, PROBLEM_ERROR, json_get(json_get(res, "requests"), name), at, NULL,
		    doc_printf(p, "at most the limit, \"%s\"", limit->text), "lower the request or raise the limit");
}

void resources_parse(const struct json *obj, const char *path, struct problems *p, struct resources *ret)
{
	const struct json *res = json_get(obj, "resources");
	if (!res)
		return;
	const char *at = doc_path(p, path, "resources");
	struct resources r = {0};
	if (!doc_is_object(p, res, at, "an object with requests and limits"))
		return;
	doc_keys_check(p, res, at, parts, ARRAY_LENGTH(parts));
	part_parse(res, at, "requests", p, &r.has_cpu_request, &r.cpu_request, &r.has_memory_request,
		   &r.memory_request);
	part_parse(res, at, "limits", p, &r.has_cpu_limit, &r.cpu_limit, &r.has_memory_limit, &r.memory_limit);
	if (r.has_cpu_request && r.has_cpu_limit)
		order_check(res, at, "cpu", p, &r.cpu_request, &r.cpu_limit);
	if (r.has_memory_request && r.has_memory_limit)
		order_check(res, at, "memory", p, &r.memory_request, &r.memory_limit);
	*ret = r;
}
