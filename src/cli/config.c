/* config.c: `mysimbdp config show|template|docs`: every setting, its value and where it came from. */
#include "base/json.h"
#include "cli/term.h"
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

static const char *shown_value(const struct conf *conf, const struct conf_row *r)
{
	const char *v = conf_str(conf, r->name);
	return r->secret && *v ? "***" : v;
}

static void show_json(const struct conf *conf, const char *only, struct buf *out)
{
	struct jsonw w;
	jsonw_init(&w, out);
	w.pretty = true;
	jsonw_begin(&w, '{');
	jsonw_kstr(&w, "file", conf_file(conf));
	jsonw_key(&w, "settings");
	jsonw_begin(&w, '[');
	for (size_t i = 0; i < conf_nrows; i++) {
		const struct conf_row *r = &conf_rows[i];
		if (only && strcmp(only, r->name) != 0)
			continue;
		jsonw_begin(&w, '{');
		jsonw_kstr(&w, "name", r->name);
		jsonw_kstr(&w, "value", shown_value(conf, r));
		if (r->type == CONF_INT || r->type == CONF_BYTES || r->type == CONF_SECONDS)
			jsonw_kint(&w, "number", conf_int(conf, r->name));
		jsonw_kstr(&w, "origin", conf_origin(conf, r->name));
		jsonw_kstr(&w, "default", r->dflt);
		jsonw_kstr(&w, "text", r->text);
		jsonw_end(&w, '}');
	}
	jsonw_end(&w, ']');
	jsonw_end(&w, '}');
	buf_char(out, '\n');
}

static enum err_code show_table(const struct cli *cli, const struct conf *conf, const char *only, struct err *e)
{
	static const char *const heads[] = {"setting", "value", "origin"};
	static const enum table_align align[] = {TABLE_LEFT, TABLE_LEFT, TABLE_LEFT};
	struct table *t = table_new(cli->arena, 3, heads, align);
	const struct style *st = style_get(cli->colour_out);
	if (!t)
		return err_oom(e);
	for (size_t i = 0; i < conf_nrows; i++) {
		const struct conf_row *r = &conf_rows[i];
		if (only && strcmp(only, r->name) != 0)
			continue;
		bool changed = strcmp(conf_origin(conf, r->name), "default") != 0;
		table_cell(t, "%s", r->name);
		if (changed)
			table_style(t, st->bold);
		table_cell(t, "%s", shown_value(conf, r));
		table_style(t, changed ? st->bold : st->dim);
		table_cell(t, "%s", conf_origin(conf, r->name));
	}
	table_print(t, stdout, 0, cli->colour_out);
	if (!cli->quiet && !conf_file(conf))
		fprintf(stderr,
			"no configuration file was read; `mysimbdp config template > mysimbdp.yaml` makes one\n");
	return ERR_OK;
}

static enum err_code show(const struct cli *cli, struct buf *out, struct err *e)
{
	struct conf *conf;
	enum err_code c = cli_conf(cli, &conf, e);
	if (c)
		return c;
	const char *only = cli->argc > 1 ? cli->argv[1] : NULL;
	bool known = !only;
	for (size_t i = 0; i < conf_nrows && !known; i++)
		known = strcmp(conf_rows[i].name, only) == 0;
	if (!known) {
		err_set(e, ERR_USAGE, "there is no setting \"%s\"", only);
		return err_hint(e, "`mysimbdp config show` lists them");
	}
	if (!cli->json)
		return show_table(cli, conf, only, e);
	show_json(conf, only, out);
	return ERR_OK;
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct buf out;
	const char *what = cli->argc ? cli->argv[0] : "show";
	enum err_code c = ERR_OK;
	buf_init(&out, 1 << 20);
	if (strcmp(what, "show") == 0)
		c = show(cli, &out, e);
	else if (cli->argc > 1)
		c = err_set(e, ERR_USAGE, "`config %s` takes no argument", what);
	else if (strcmp(what, "template") == 0)
		conf_write_template(&out);
	else if (strcmp(what, "docs") == 0)
		conf_write_docs(&out);
	else
		c = err_set(e, ERR_USAGE, "`config %s`: known are show, template and docs", what);
	if (!c && out.failed)
		c = err_oom(e);
	if (!c)
		fwrite(out.p ? out.p : "", 1, out.n, stdout);
	buf_done(&out);
	return c;
}

const struct verb verb_config = {
    "config",
    "[show [NAME] | template | docs]",
    "settings, their values and where they came from",
    NULL,
    0,
    2,
    "show      every setting with its value and origin: default, file and line, environment, flag\n"
    "template  a commented mysimbdp.yaml with all defaults\n"
    "docs      docs/configuration.md",
    run,
    false};
