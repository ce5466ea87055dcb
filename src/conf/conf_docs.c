/* conf_docs.c: docs/configuration.md and the commented template, printed from the rows. */
#include "conf/conf_internal.h"

#include <ctype.h>
#include <string.h>

static void env_text(const char *name, struct buf *out)
{
	buf_str(out, "MYSIMBDP_");
	for (; *name; name++)
		buf_char(out, *name == '.' || *name == '-' ? '_' : (char)toupper((unsigned char)*name));
}

/* "api" of "api.port"; "" for a name without a dot. */
static size_t group_len(const char *name)
{
	const char *dot = strchr(name, '.');
	return dot ? (size_t)(dot - name) : 0;
}

static bool same_group(const char *a, const char *b)
{
	return group_len(a) == group_len(b) && memcmp(a, b, group_len(a)) == 0;
}

static const char intro[] =
    "# Configuration\n"
    "\n"
    "<!-- Printed by `mysimbdp config docs` from src/conf/settings.c; a test fails when it differs. -->\n"
    "\n"
    "Every setting can be given in four places; the first one in this list wins:\n"
    "\n"
    "1. a flag: `--set api.port=9000` (`--data`, `--url` and `--token` have flags of their own),\n"
    "2. an environment variable: `MYSIMBDP_` and the name in capitals, with `_` for `.`: `MYSIMBDP_API_PORT=9000`,\n"
    "3. the file `mysimbdp.yaml`, and the files `conf.d/*.yaml` beside it in the order of their names,\n"
    "4. the default below.\n"
    "\n"
    "The file is the first of `--config-file FILE`, `$MYSIMBDP_CONFIG`, `./mysimbdp.yaml` and\n"
    "`/etc/mysimbdp/mysimbdp.yaml` (`./mysimbdp.yaml` has no `conf.d`). In it, names are nested or written with dots:\n"
    "\n"
    "```yaml\n"
    "api:\n"
    "  port: 9000\n"
    "log.level: debug\n"
    "data: ${HOME}/mysimbdp\n"
    "url: ${PLATFORM:http://127.0.0.1:9000}   # the variable, or what follows the colon\n"
    "```\n"
    "\n"
    "`$$` is a dollar. An unknown name is an error that tells the nearest known one. Sizes are bytes or have a unit\n"
    "(`64MiB`, `1GiB`; `kB`, `MB`, `GB` are powers of ten); times are seconds or have units (`30s`, `5m`, `1h30m`,\n"
    "`2d`). `mysimbdp config show` prints every value and where it came from; `mysimbdp config template` prints a\n"
    "commented file with all defaults. Secrets are printed as `***`.\n";

void conf_write_docs(struct buf *out)
{
	struct arena a;
	arena_init(&a, 1 << 20);
	buf_str(out, intro);
	for (size_t i = 0; i < conf_nrows; i++) {
		const struct conf_row *r = &conf_rows[i];
		if (i == 0 || !same_group(r->name, conf_rows[i - 1].name)) {
			if (group_len(r->name))
				buf_printf(out, "\n## %.*s\n", (int)group_len(r->name), r->name);
			else
				buf_str(out, "\n## General\n");
			buf_str(out, "\n| setting | default | allowed | what for |\n| --- | --- | --- | --- |\n");
		}
		buf_printf(out, "| `%s`<br>`", r->name);
		env_text(r->name, out);
		buf_printf(out, "` | %s%s%s | ", *r->dflt ? "`" : "", *r->dflt ? r->dflt : "see right",
			   *r->dflt ? "`" : "");
		for (const char *s = conf_allowed(r, &a); *s; s++)
			buf_str(out, *s == '|' ? ", " : (char[2]){*s, 0});
		buf_printf(out, " | %s%s |\n", r->text, r->secret ? " Secret." : "");
	}
	arena_done(&a);
}

void conf_write_template(struct buf *out)
{
	struct arena a;
	arena_init(&a, 1 << 20);
	buf_str(out, "# mysimbdp.yaml: all settings with their defaults. Remove the # of those you change.\n"
		     "# Each is also a flag (--set NAME=VALUE) and an environment variable (MYSIMBDP_NAME).\n");
	for (size_t i = 0; i < conf_nrows; i++) {
		const struct conf_row *r = &conf_rows[i];
		size_t group = group_len(r->name);
		if (group && (i == 0 || !same_group(r->name, conf_rows[i - 1].name)))
			buf_printf(out, "\n#%.*s:\n", (int)group, r->name);
		const char *indent = group ? "#  " : "#";
		buf_printf(out, "%s# %s (%s)\n", group ? "  " : "", r->text, conf_allowed(r, &a));
		buf_printf(out, "%s%s: %s\n", indent, r->name + (group ? group + 1 : 0), *r->dflt ? r->dflt : "\"\"");
	}
	arena_done(&a);
}
