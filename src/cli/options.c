/* options.c: the command line of a verb: --name VALUE, --name=VALUE, -n VALUE, --set, and the options of every verb. */
#include "base/problems.h"
#include "cli/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIVEN_MAX 256

const struct cli_option global_options[] = {
    {"help", 'h', NULL, "this text", NULL},
    {"json", 0, NULL, "one JSON value on stdout, for scripts", NULL},
    {"quiet", 'q', NULL, "no progress and no notes on stderr", NULL},
    {"verbose", 'v', NULL, "more detail", NULL},
    {"color", 0, "WHEN", "auto (default), always or never", NULL},
    {"data", 0, "DIR", "data directory ($MYSIMBDP_DATA)", "dir"},
    {"url", 0, "URL", "the platform's address ($MYSIMBDP_URL, default http://127.0.0.1:8090)", NULL},
    {"token", 0, "TOKEN", "bearer token ($MYSIMBDP_TOKEN; default: the administrator's, when it can be read)", NULL},
    {"config-file", 0, "FILE", "mysimbdp.yaml ($MYSIMBDP_CONFIG)", "file"},
    {"set", 0, "NAME=VALUE", "one setting, as in mysimbdp.yaml (repeatable; see `mysimbdp config show`)", NULL},
    {0},
};

struct given {
	const char *name, *value;
};

struct cli_values {
	struct given given[GIVEN_MAX];
	size_t n;
	struct conf *conf;
};

static const struct cli_option *find_in(const struct cli_option *o, const char *name, size_t n)
{
	for (; o && o->name; o++) {
		if (n == 1 ? o->letter && o->letter == name[0] : strncmp(o->name, name, n) == 0 && !o->name[n])
			return o;
	}
	return NULL;
}

static const char *nearest_option(const struct verb *v, const char *name)
{
	const char *names[128];
	size_t n = 0;
	for (const struct cli_option *o = v->options; o && o->name && n < 100; o++)
		names[n++] = o->name;
	for (const struct cli_option *o = global_options; o->name; o++)
		names[n++] = o->name;
	return nearest_name(name, names, n);
}

static enum err_code unknown(const struct cli *cli, const char *arg, struct err *e)
{
	char bare[64];
	snprintf(bare, sizeof bare, "%.*s", (int)strcspn(arg + strspn(arg, "-"), "="), arg + strspn(arg, "-"));
	const char *near = nearest_option(cli->verb, bare);
	enum err_code c = err_set(e, ERR_USAGE, "%s: unknown option \"%s\"", cli->verb->name, arg);
	if (near)
		err_hint(e, "did you mean --%s? `mysimbdp %s --help` lists all options", near, cli->verb->name);
	else
		err_hint(e, "`mysimbdp %s --help` lists all options", cli->verb->name);
	return c;
}

static enum err_code add(struct cli *cli, const struct cli_option *o, const char *value, struct err *e)
{
	if (cli->values->n == GIVEN_MAX)
		return err_set(e, ERR_USAGE, "more than %d options", GIVEN_MAX);
	cli->values->given[cli->values->n++] = (struct given){o->name, value ? value : ""};
	return ERR_OK;
}

static enum err_code option(struct cli *cli, int argc, char **argv, int *i, struct err *e)
{
	const char *arg = argv[*i];
	bool is_long = arg[1] == '-';
	const char *name = arg + (is_long ? 2 : 1), *eq = is_long ? strchr(name, '=') : NULL;
	size_t n = eq ? (size_t)(eq - name) : is_long ? strlen(name) : 1;
	if (n == 1 && is_long)
		return unknown(cli, arg, e);
	const struct cli_option *o = find_in(cli->verb->options, name, n);
	if (!o)
		o = find_in(global_options, name, n);
	if (!o)
		return unknown(cli, arg, e);
	const char *value = eq ? eq + 1 : !is_long && name[1] ? name + 1 : NULL;
	if (!o->arg) {
		if (value)
			return err_set(e, ERR_USAGE, "--%s takes no value, found \"%s\"", o->name, value);
		return add(cli, o, NULL, e);
	}
	if (!value) {
		if (*i + 1 >= argc)
			return err_set(e, ERR_USAGE, "--%s wants %s behind it", o->name, o->arg);
		value = argv[++*i];
	}
	return add(cli, o, value, e);
}

static enum err_code count_args(const struct cli *cli, struct err *e)
{
	const struct verb *v = cli->verb;
	if (cli->argc >= v->min_args && (v->max_args < 0 || cli->argc <= v->max_args))
		return ERR_OK;
	err_set(e, ERR_USAGE, "%s: %d argument%s given; usage: mysimbdp %s %s", v->name, cli->argc,
		cli->argc == 1 ? "" : "s", v->name, v->usage);
	return err_hint(e, "`mysimbdp %s --help` explains them", v->name);
}

static enum err_code switches(struct cli *cli, struct err *e)
{
	const char *when = cli_get(cli, "color");
	if (when && strcmp(when, "auto") && strcmp(when, "always") && strcmp(when, "never"))
		return err_set(e, ERR_USAGE, "--color \"%s\": one of auto, always, never", when);
	bool no_color = getenv("NO_COLOR") && *getenv("NO_COLOR");
	bool dumb = getenv("TERM") && strcmp(getenv("TERM"), "dumb") == 0;
	bool may = !no_color && !dumb && !(when && strcmp(when, "never") == 0);
	bool force = when && strcmp(when, "always") == 0;
	cli->json = cli_has(cli, "json");
	cli->quiet = cli_has(cli, "quiet");
	cli->verbose = cli_has(cli, "verbose");
	cli->colour_out = force || (may && isatty(STDOUT_FILENO));
	cli->colour_err = force || (may && isatty(STDERR_FILENO));
	cli->progress = !cli->quiet && !dumb && isatty(STDERR_FILENO);
	return ERR_OK;
}

enum err_code cli_parse(struct cli *cli, int argc, char **argv, struct err *e)
{
	const char **args = arena_array(cli->arena, (size_t)argc + 1, sizeof *args);
	cli->values = arena_alloc(cli->arena, sizeof *cli->values);
	if (!args || !cli->values)
		return err_oom(e);
	bool only_args = false;
	for (int i = 0; i < argc; i++) {
		if (!only_args && strcmp(argv[i], "--") == 0) {
			only_args = true;
		} else if (!only_args && argv[i][0] == '-' && argv[i][1]) {
			enum err_code c = option(cli, argc, argv, &i, e);
			if (c)
				return c;
		} else {
			args[cli->argc++] = argv[i];
		}
	}
	cli->argv = args;
	enum err_code c = switches(cli, e);
	return c || cli_has(cli, "help") ? c : count_args(cli, e);
}

const char *cli_get(const struct cli *c, const char *name)
{
	for (size_t i = c->values->n; i-- > 0;) {
		if (strcmp(c->values->given[i].name, name) == 0)
			return c->values->given[i].value;
	}
	return NULL;
}

bool cli_has(const struct cli *c, const char *name)
{
	return cli_get(c, name) != NULL;
}

const char *const *cli_all(const struct cli *c, const char *name)
{
	const char **all = arena_array(c->arena, c->values->n + 1, sizeof *all);
	size_t n = 0;
	for (size_t i = 0; all && i < c->values->n; i++) {
		if (strcmp(c->values->given[i].name, name) == 0)
			all[n++] = c->values->given[i].value;
	}
	return all;
}

enum err_code cli_conf(const struct cli *c, struct conf **ret, struct err *e)
{
	static const char *const same[] = {"data", "url", "token"}; /* settings with an option of their own */
	if (c->values->conf) {
		*ret = c->values->conf;
		return ERR_OK;
	}
	const char **flags = arena_array(c->arena, c->values->n + 1, sizeof *flags);
	size_t n = 0;
	if (!flags)
		return err_oom(e);
	for (size_t i = 0; i < c->values->n; i++) {
		const struct given *g = &c->values->given[i];
		if (strcmp(g->name, "set") == 0)
			flags[n++] = g->value;
		for (size_t k = 0; k < sizeof same / sizeof *same; k++) {
			if (strcmp(g->name, same[k]) == 0)
				flags[n++] = arena_printf(c->arena, "%s=%s", g->name, g->value);
		}
	}
	enum err_code code = conf_load(cli_get(c, "config-file"), flags, n, c->arena, &c->values->conf, e);
	if (!code)
		*ret = c->values->conf;
	return code;
}

enum err_code cli_conf_again(const struct cli *c, struct conf **ret, struct err *e)
{
	struct conf *old = c->values->conf;
	c->values->conf = NULL;
	enum err_code code = cli_conf(c, ret, e);
	if (code)
		c->values->conf = old;
	return code;
}

enum err_code cli_data_dir(const struct cli *c, const char **ret, struct err *e)
{
	struct conf *conf;
	enum err_code code = cli_conf(c, &conf, e);
	if (code)
		return code;
	const char *dir = conf_str(conf, "data");
	if (!*dir && geteuid() == 0)
		dir = "/var/lib/mysimbdp";
	if (!*dir) {
		const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
		if (state && *state == '/')
			dir = arena_printf(c->arena, "%s/mysimbdp", state);
		else if (home && *home == '/')
			dir = arena_printf(c->arena, "%s/.local/state/mysimbdp", home);
	}
	if (!dir || !*dir) {
		err_set(e, ERR_CONFIG,
			"no data directory: neither --data, $MYSIMBDP_DATA, $XDG_STATE_HOME nor $HOME is set");
		return err_hint(e, "name one with --data DIR");
	}
	if (*dir != '/') {
		char *cwd = getcwd(NULL, 0);
		dir = cwd ? arena_printf(c->arena, "%s/%s", cwd, dir) : NULL;
		free(cwd);
	}
	if (!dir)
		return err_oom(e);
	*ret = dir;
	return ERR_OK;
}

void cli_print_json(const struct cli *c, struct span json)
{
	fwrite(json.p, 1, json.n, stdout);
	if (json.n == 0 || json.p[json.n - 1] != '\n')
		putchar('\n');
}
