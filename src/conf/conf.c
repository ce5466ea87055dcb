/* conf.c: settings from defaults, files, environment and flags, in this order; the later one wins. */
#include "conf/conf_internal.h"

#include "base/fd.h"
#include "base/problems.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENV_PREFIX "MYSIMBDP_"
#define LOCAL_FILE "mysimbdp.yaml"
#define SYSTEM_FILE "/etc/mysimbdp/mysimbdp.yaml"
#define DROP_INS_MAX 100

extern char **environ;

int conf_row_find(const char *name)
{
	for (size_t i = 0; i < conf_nrows; i++)
		if (strcmp(conf_rows[i].name, name) == 0)
			return (int)i;
	return -1;
}

static const char *nearest_row(struct arena *a, const char *name)
{
	const char **names = arena_array(a, conf_nrows, sizeof *names);
	for (size_t i = 0; names && i < conf_nrows; i++)
		names[i] = conf_rows[i].name;
	const char *near = names ? nearest_name(name, names, conf_nrows) : NULL;
	/* "port" for "api.port": the last part alone, when only one row has it. */
	size_t hits = 0;
	const char *hit = NULL;
	for (size_t i = 0; !near && i < conf_nrows; i++) {
		const char *dot = strrchr(conf_rows[i].name, '.');
		if (dot && strcmp(dot + 1, name) == 0) {
			hits++;
			hit = conf_rows[i].name;
		}
	}
	return hits == 1 ? hit : near;
}

const char *conf_did_you_mean(struct arena *a, const char *name)
{
	const char *near = nearest_row(a, name);
	const char *s =
	    near ? arena_printf(a, "; did you mean \"%s\"?", near) : "; `mysimbdp config show` lists all of them";
	return s ? s : "";
}

enum err_code conf_set(struct conf *c, const char *name, const char *text, const char *origin, int rank, struct err *e)
{
	enum err_code bad = rank == RANK_FLAG ? ERR_USAGE : ERR_CONFIG;
	int row = conf_row_find(name);
	if (row < 0)
		return err_set(e, bad, "%s: unknown setting \"%s\"%s", origin, name, conf_did_you_mean(c->arena, name));
	const struct conf_row *r = &conf_rows[row];
	int64_t i = 0;
	const char *why = NULL;
	if (!conf_value_parse(r, text, c->arena, &i, &why)) {
		if (r->secret)
			return err_set(e, bad, "%s: setting \"%s\": %s", origin, name, why);
		return err_set(e, bad, "%s: setting \"%s\" is \"%.100s\"; allowed: %s", origin, name, text, why);
	}
	const char *copy = arena_strdup(c->arena, text);
	if (!copy)
		return err_oom(e);
	c->values[row] = (struct conf_value){copy, i, origin, rank};
	return ERR_OK;
}

/* ---- defaults */

static const char *data_default(struct arena *a)
{
	if (geteuid() == 0)
		return "/var/lib/mysimbdp";
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (state && *state == '/')
		return path_join(a, state, "mysimbdp");
	return home && *home ? path_join(a, home, ".local/state/mysimbdp") : "/var/tmp/mysimbdp";
}

static enum err_code defaults(struct conf *c, struct err *e)
{
	for (size_t i = 0; i < conf_nrows; i++) {
		const char *text = conf_rows[i].dflt;
		if (strcmp(conf_rows[i].name, "data") == 0)
			text = data_default(c->arena);
		if (!text)
			return err_oom(e);
		enum err_code code = conf_set(c, conf_rows[i].name, text, "default", RANK_DEFAULT, e);
		if (code)
			return err_set(e, ERR_INTERNAL, "the default of setting \"%s\" is not allowed",
				       conf_rows[i].name);
	}
	return ERR_OK;
}

/* ---- files */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum err_code drop_ins_list(struct arena *a, DIR *d, const char **names, size_t *n, struct err *e)
{
	for (struct dirent *entry; (entry = readdir(d));) {
		size_t len = strlen(entry->d_name);
		if (entry->d_name[0] == '.' || len < 6 || strcmp(entry->d_name + len - 5, ".yaml") != 0)
			continue;
		if (*n == DROP_INS_MAX)
			return err_set(e, ERR_CONFIG, "more than %d files in conf.d", DROP_INS_MAX);
		if (!(names[(*n)++] = arena_strdup(a, entry->d_name)))
			return err_oom(e);
	}
	qsort(names, *n, sizeof *names, by_name);
	return ERR_OK;
}

/* conf.d beside the file, in the order of names; each may set again what an earlier one set. */
static enum err_code drop_ins(struct conf *c, struct err *e)
{
	const char *base = path_base(c->file);
	const char *dir = arena_printf(c->arena, "%.*sconf.d", (int)(base - c->file), c->file);
	if (!dir)
		return err_oom(e);
	DIR *d = opendir(dir);
	if (!d)
		return ERR_OK;
	const char *names[DROP_INS_MAX];
	size_t n = 0;
	enum err_code code = drop_ins_list(c->arena, d, names, &n, e);
	closedir(d);
	for (size_t i = 0; !code && i < n; i++) {
		const char *path = path_join(c->arena, dir, names[i]);
		code = path ? conf_yaml_read(c, path, e) : err_oom(e);
	}
	return code;
}

static enum err_code files(struct conf *c, const char *file, struct err *e)
{
	bool searched = false;
	if (!file || !*file)
		file = getenv(ENV_PREFIX "CONFIG");
	if (!file || !*file) {
		searched = true;
		file = access(LOCAL_FILE, F_OK) == 0 ? LOCAL_FILE : access(SYSTEM_FILE, F_OK) == 0 ? SYSTEM_FILE : NULL;
	}
	if (!file)
		return ERR_OK;
	if (!(c->file = arena_strdup(c->arena, file)))
		return err_oom(e);
	enum err_code code = conf_yaml_read(c, c->file, e);
	/* A conf.d in whatever directory we happen to stand in is not ours. */
	if (!code && !(searched && strcmp(file, LOCAL_FILE) == 0))
		code = drop_ins(c, e);
	return code;
}

/* ---- environment */

static void env_name(const char *row, char *out, size_t cap)
{
	size_t n = (size_t)snprintf(out, cap, ENV_PREFIX);
	for (; *row && n + 1 < cap; row++)
		out[n++] = *row == '.' || *row == '-' ? '_' : (char)toupper((unsigned char)*row);
	out[n] = '\0';
}

/* A slip such as MYSIMBDP_API_PROT is an error; other variables with our prefix may belong to somebody else. */
static enum err_code env_slip(struct conf *c, const char *entry, struct err *e)
{
	size_t n = strcspn(entry, "=");
	const char *given = arena_strndup(c->arena, entry + strlen(ENV_PREFIX), n - strlen(ENV_PREFIX));
	const char **names = arena_array(c->arena, conf_nrows, sizeof *names);
	if (!given || !names)
		return err_oom(e);
	for (size_t i = 0; i < conf_nrows; i++) {
		char name[128];
		env_name(conf_rows[i].name, name, sizeof name);
		if (!(names[i] = arena_strdup(c->arena, name + strlen(ENV_PREFIX))))
			return err_oom(e);
		if (strcmp(names[i], given) == 0)
			return ERR_OK;
	}
	const char *near = strlen(given) > 4 ? nearest_name(given, names, conf_nrows) : NULL;
	if (!near)
		return ERR_OK;
	return err_set(e, ERR_CONFIG,
		       "the environment has " ENV_PREFIX "%s, which is no setting; did you mean " ENV_PREFIX "%s?",
		       given, near);
}

static enum err_code environment(struct conf *c, struct err *e)
{
	for (char **entry = environ; entry && *entry; entry++) {
		enum err_code code = ERR_OK;
		if (strncmp(*entry, ENV_PREFIX, strlen(ENV_PREFIX)) == 0)
			code = env_slip(c, *entry, e);
		if (code)
			return code;
	}
	for (size_t i = 0; i < conf_nrows; i++) {
		char name[128];
		env_name(conf_rows[i].name, name, sizeof name);
		const char *text = getenv(name);
		if (!text || !*text)
			continue;
		const char *origin = arena_printf(c->arena, "environment %s", name);
		enum err_code code =
		    origin ? conf_set(c, conf_rows[i].name, text, origin, RANK_ENVIRONMENT, e) : err_oom(e);
		if (code)
			return code;
	}
	return ERR_OK;
}

/* ---- flags */

static enum err_code flags_read(struct conf *c, const char *const *flags, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		const char *eq = strchr(flags[i], '=');
		if (!eq)
			return err_set(e, ERR_USAGE, "flag \"%s\": NAME=VALUE is expected", flags[i]);
		const char *name = arena_strndup(c->arena, flags[i], (size_t)(eq - flags[i]));
		enum err_code code = name ? conf_set(c, name, eq + 1, "flag", RANK_FLAG, e) : err_oom(e);
		if (code)
			return code;
	}
	return ERR_OK;
}

enum err_code conf_load(const char *file, const char *const *flags, size_t nflags, struct arena *a, struct conf **ret,
			struct err *e)
{
	struct conf *c = arena_alloc(a, sizeof *c);
	if (!c || !(c->values = arena_array(a, conf_nrows, sizeof *c->values)))
		return err_oom(e);
	c->arena = a;
	enum err_code code = defaults(c, e);
	if (!code)
		code = files(c, file, e);
	if (!code)
		code = environment(c, e);
	if (!code)
		code = flags_read(c, flags, nflags, e);
	if (!code)
		*ret = c;
	return code;
}

/* ---- answers */

static const struct conf_value *value_of(const struct conf *c, const char *name)
{
	int row = conf_row_find(name);
	if (row < 0) {
		fprintf(stderr, "mysimbdp: a bug: there is no setting \"%s\"\n", name);
		abort();
	}
	return &c->values[row];
}

const char *conf_str(const struct conf *c, const char *name)
{
	return value_of(c, name)->text;
}

int64_t conf_int(const struct conf *c, const char *name)
{
	return value_of(c, name)->i;
}

bool conf_bool(const struct conf *c, const char *name)
{
	return value_of(c, name)->i != 0;
}

const char *conf_origin(const struct conf *c, const char *name)
{
	return value_of(c, name)->origin;
}

const char *conf_file(const struct conf *c)
{
	return c->file;
}
