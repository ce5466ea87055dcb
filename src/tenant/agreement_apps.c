/* agreement_apps.c: apps[]: the tenant's programs, what they are started with and which files they get. */
#include "tenant/agreement_internal.h"

#include "tenant/pattern.h"

#define APP_NAME_MAX 40
#define ARGS_MAX 64
#define ARG_BYTES_MAX 4096
#define ENV_MAX 64

static const struct doc_key app_keys[] = {
    {"name", DOC_REQUIRED, "the app's name, unique in the agreement"},
    {"mode", DOC_OPTIONAL, "batch (started by schedule) or streaming (always running)"},
    {"command", DOC_OPTIONAL, "the program and its arguments, a list of texts"},
    {"schedule", DOC_OPTIONAL, "when it starts, if not as the agreement says"},
    {"resources", DOC_OPTIONAL, "requests and limits, if not as the agreement says"},
    {"env", DOC_OPTIONAL, "environment variables"},
    {"input.file.pattern", DOC_OPTIONAL, "which of the tenant's files it gets"},
    {"activeDeadlineSeconds", DOC_OPTIONAL, "wall-clock limit of a run"},
    {"image", DOC_LATER, "a container image"},
    {"replicas", DOC_LATER, "how many run at the same time"},
    {"data", DOC_LATER, "which of data_files it writes"},
    {"after", DOC_LATER, "the app whose results it reads"},
    {"settle_ms", DOC_LATER, "when a file of a streaming app is complete"},
    {"keeps_inputs", DOC_LATER, "how a streaming app says that it is done"},
    {"delivery", DOC_LATER, "what a streaming app promises"},
};

struct app_parser {
	struct problems *p;
	const struct timezone_rules *tz;
	const struct agreement *agreement;
	int64_t timeout_s;
};

static const char *name_check(const char *s)
{
	static const char allowed[] = "small letters, digits and - (at most 40), the first and last no -";
	size_t n = strlen(s);
	if (n == 0 || n > APP_NAME_MAX || s[0] == '-' || s[n - 1] == '-')
		return allowed;
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n ? NULL : allowed;
}

static void name_parse(struct app_parser *ap, const struct json *node, const char *path, const struct app *apps,
		       uint32_t n, struct app *ret)
{
	if (!doc_string(ap->p, node, path, "name", &ret->name))
		return;
	const struct json *v = json_get(node, "name");
	const char *at = doc_path(ap->p, path, "name"), *allowed = name_check(ret->name);
	if (allowed)
		problem_add(ap->p, PROBLEM_ERROR, v, at, NULL, allowed, "");
	for (uint32_t i = 0; i < n; i++)
		if (apps[i].name && strcmp(apps[i].name, ret->name) == 0)
			problem_add(ap->p, PROBLEM_ERROR, v, at, NULL, "a name that no other app has", "");
}

static void command_parse(struct app_parser *ap, const struct json *node, const char *path, struct app *ret)
{
	const struct json *list = json_get(node, "command");
	const char *at = doc_path(ap->p, path, "command");
	if (!list)
		return;
	if (list->type == JN_STRING) {
		problem_add(ap->p, PROBLEM_ERROR, list, at, NULL, "a list of texts: the program and its arguments",
			    "there is no shell in between; with one: [\"/bin/sh\", \"-c\", \"...\"]");
		return;
	}
	if (!doc_is_array(ap->p, list, at, "a list of texts: the program and its arguments"))
		return;
	if (list->count == 0 || list->count > ARGS_MAX) {
		problem_add(ap->p, PROBLEM_ERROR, list, at, doc_printf(ap->p, "%u texts", list->count), "1 to 64 texts",
			    "");
		return;
	}
	const char **argv = arena_array(ap->p->arena, list->count + 1, sizeof *argv);
	if (!argv) {
		doc_no_memory(ap->p);
		return;
	}
	uint32_t n = 0;
	for (const struct json *v = list->child; v; v = v->next, n++) {
		if (v->type == JN_STRING && v->s.n <= ARG_BYTES_MAX && (n || v->s.n))
			argv[n] = v->s.p;
		else
			problem_add(ap->p, PROBLEM_ERROR, v, doc_path_index(ap->p, at, n), NULL,
				    n ? "a text of at most 4096 bytes" : "the path of a program, or its name in PATH",
				    "");
	}
	ret->command = argv;
}

static bool env_word(const char *s)
{
	size_t n = strlen(s);
	return n > 0 && n <= 128 && !(s[0] >= '0' && s[0] <= '9') &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
}

/* One variable; NULL and a problem when it is no good. */
static const char *env_entry(struct app_parser *ap, const char *name, const struct json *v, const char *at)
{
	struct span text;
	if (!env_word(name)) {
		problem_add(ap->p, PROBLEM_ERROR, v, at, doc_printf(ap->p, "variable \"%.80s\"", name),
			    "letters, digits and _, no digit first", "");
		return NULL;
	}
	if (strcmp(name, "CLIENT_ID") == 0 || strcmp(name, "SOURCE_PATH") == 0) {
		problem_add(ap->p, PROBLEM_ERROR, v, at, doc_printf(ap->p, "variable \"%s\"", name),
			    "variables that the platform does not set itself", "remove it");
		return NULL;
	}
	if (v->type == JN_STRING || v->type == JN_INT || v->type == JN_REAL)
		text = v->s;
	else if (v->type == JN_BOOL)
		text = span_str(v->b ? "true" : "false");
	else
		text = (struct span){NULL, ARG_BYTES_MAX + 1};
	if (text.n > ARG_BYTES_MAX) {
		problem_add(ap->p, PROBLEM_ERROR, v, at, NULL, "a text of at most 4096 bytes", "");
		return NULL;
	}
	const char *s = arena_printf(ap->p->arena, "%s=" SPAN_FMT, name, SPAN_ARG(text));
	if (!s)
		doc_no_memory(ap->p);
	return s;
}

/* {"NAME": "value"} or Kubernetes' [{"name": "NAME", "value": "value"}]. */
static void env_parse(struct app_parser *ap, const struct json *node, const char *path, struct app *ret)
{
	const struct json *env = json_get(node, "env");
	const char *at = doc_path(ap->p, path, "env");
	if (!env)
		return;
	if ((env->type != JN_OBJECT && env->type != JN_ARRAY) || env->count > ENV_MAX) {
		problem_add(
		    ap->p, PROBLEM_ERROR, env, at, NULL,
		    "at most 64 variables: {\"NAME\": \"value\"} or [{\"name\": \"NAME\", \"value\": \"value\"}]", "");
		return;
	}
	const char **list = arena_array(ap->p->arena, env->count + 1, sizeof *list);
	if (!list) {
		doc_no_memory(ap->p);
		return;
	}
	uint32_t n = 0, i = 0;
	for (const struct json *v = env->child; v; v = v->next, i++) {
		const char *entry = NULL;
		if (env->type == JN_OBJECT) {
			entry = env_entry(ap, v->key.p, v, doc_path(ap->p, at, v->key.p));
		} else {
			const char *name = json_get_str(v, "name", NULL), *here = doc_path_index(ap->p, at, i);
			const struct json *value = json_get(v, "value");
			if (name && value && v->count == 2)
				entry = env_entry(ap, name, value, doc_path(ap->p, here, "value"));
			else
				problem_add(ap->p, PROBLEM_ERROR, v, here, NULL,
					    "{\"name\": \"NAME\", \"value\": \"value\"}", "valueFrom is not available");
		}
		if (entry)
			list[n++] = entry;
	}
	ret->env = list;
}

static void pattern_parse(struct app_parser *ap, const struct json *node, const char *path, struct app *ret)
{
	const char *text;
	char why[160];
	regex_t re;
	if (!doc_string(ap->p, node, path, "input.file.pattern", &text))
		return;
	if (!pattern_compile(text, false, &re, why)) {
		problem_add(ap->p, PROBLEM_ERROR, json_get(node, "input.file.pattern"),
			    doc_path(ap->p, path, "input.file.pattern"), NULL,
			    "a POSIX extended regular expression of at most 512 bytes for the whole name",
			    doc_printf(ap->p, "%s", why));
		return;
	}
	regfree(&re);
	ret->pattern = text;
}

static void mode_parse(struct app_parser *ap, const struct json *node, const char *path, struct app *ret)
{
	static const char *const modes[] = {"batch", "streaming", NULL};
	int mode = APP_BATCH;
	if (doc_choice(ap->p, node, path, "mode", modes, &mode) && mode == APP_STREAMING)
		problem_add(ap->p, PROBLEM_ERROR, json_get(node, "mode"), doc_path(ap->p, path, "mode"),
			    "\"streaming\": known, not available yet", "\"batch\"", "");
	ret->mode = (enum app_mode)mode;
}

static void app_parse(struct app_parser *ap, const struct json *node, const char *path, struct app *apps, uint32_t n)
{
	struct app *a = &apps[n];
	if (!doc_is_object(ap->p, node, path, "an app: {\"name\": ..., \"command\": [...]}"))
		return;
	doc_keys_check(ap->p, node, path, app_keys, ARRAY_LENGTH(app_keys));
	name_parse(ap, node, path, apps, n, a);
	mode_parse(ap, node, path, a);
	command_parse(ap, node, path, a);
	env_parse(ap, node, path, a);
	pattern_parse(ap, node, path, a);
	a->resources = ap->agreement->resources;
	resources_parse(node, path, ap->p, &a->resources);
	a->schedule = ap->agreement->schedule;
	a->has_schedule = schedule_parse(node, path, ap->tz, ap->p, &a->schedule) || ap->agreement->has_schedule;
	a->timeout_s = ap->timeout_s;
	doc_int(ap->p, node, path, "activeDeadlineSeconds", 1, TIMEOUT_MAX_S, &a->timeout_s);
}

/* Who gets a file when patterns leave it open. */
static void patterns_check(const struct json *list, struct problems *p, const struct app *apps, uint32_t n)
{
	uint32_t open = 0;
	for (uint32_t i = 0; i < n; i++)
		open += !apps[i].pattern;
	if (open == 0)
		problem_add(p, PROBLEM_WARNING, list, "$.apps", "every app has an input.file.pattern",
			    "patterns that together match every file of the tenant",
			    "a file that none of them matches waits, and is given to no run");
	if (open > 1)
		problem_add(p, PROBLEM_WARNING, list, "$.apps",
			    doc_printf(p, "%u apps without input.file.pattern", open),
			    "one app at most that takes every file", "each file goes to the app that starts first");
}

void apps_parse(const struct json *root, const struct timezone_rules *tz, struct problems *p, struct agreement *g,
		int64_t timeout_s)
{
	struct app_parser ap = {p, tz, g, timeout_s};
	const struct json *list = json_get(root, "apps");
	if (list && (list->type != JN_ARRAY || list->count == 0 || list->count > APPS_MAX)) {
		problem_add(p, PROBLEM_ERROR, list, "$.apps", NULL, "a list of 1 to 32 apps",
			    "without \"apps\" the platform's own clientbatchingestapp runs");
		return;
	}
	uint32_t n = list ? list->count : 1, i = 0;
	struct app *apps = arena_array(p->arena, n, sizeof *apps);
	if (!apps) {
		doc_no_memory(p);
		return;
	}
	for (const struct json *v = list ? list->child : NULL; v; v = v->next, i++)
		app_parse(&ap, v, doc_path_index(p, "$.apps", i), apps, i);
	if (list)
		patterns_check(list, p, apps, n);
	else
		apps[0] = (struct app){.name = "default",
				       .mode = APP_BATCH,
				       .has_schedule = g->has_schedule,
				       .schedule = g->schedule,
				       .resources = g->resources,
				       .timeout_s = timeout_s};
	g->apps = apps;
	g->napps = n;
}
