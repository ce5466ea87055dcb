/*
 * conf_yaml.c: mysimbdp.yaml to settings, by libyaml's events. Nested mappings join their keys with dots; a key may
 * also be written with dots itself. ${VAR} and ${VAR:default} in values are expanded; $$ is a dollar.
 */
#include "conf/conf_internal.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/problems.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define CONF_FILE_MAX (1 << 20)
#define DEPTH_MAX 8
#define VALUE_MAX 65536

struct reader {
	struct conf *conf;
	const char *path;
	yaml_parser_t parser;
	struct span text;
	unsigned char *seen; /* per row: given in this file */
};

static unsigned line_of(const yaml_event_t *ev)
{
	return (unsigned)ev->start_mark.line + 1;
}

static enum err_code wrong(const struct reader *r, unsigned line, struct err *e, const char *text)
{
	return err_set(e, ERR_CONFIG, "%s:%u: %s", r->path, line, text);
}

/* One ${...}; *p stands behind "${" and is moved behind "}". */
static enum err_code expand_one(const struct reader *r, unsigned line, const char **p, struct buf *out, struct err *e)
{
	const char *end = strchr(*p, '}');
	if (!end)
		return wrong(r, line, e, "a \"${\" without \"}\" (write $$ for a dollar)");
	size_t n = strcspn(*p, ":}");
	const char *name = arena_strndup(r->conf->arena, *p, n);
	if (!name)
		return err_oom(e);
	const char *value = getenv(name);
	if (value)
		buf_str(out, value);
	else if ((*p)[n] == ':')
		buf_add(out, *p + n + 1, (size_t)(end - *p) - n - 1);
	else
		return err_set(e, ERR_CONFIG, "%s:%u: the environment has no variable \"%s\"", r->path, line, name);
	*p = end + 1;
	return ERR_OK;
}

static enum err_code expand(const struct reader *r, unsigned line, const char *text, const char **ret, struct err *e)
{
	struct buf out;
	buf_init(&out, VALUE_MAX);
	enum err_code c = ERR_OK;
	for (const char *p = text; *p && !c;) {
		if (p[0] == '$' && p[1] == '$') {
			buf_char(&out, '$');
			p += 2;
		} else if (p[0] == '$' && p[1] == '{') {
			p += 2;
			c = expand_one(r, line, &p, &out, e);
		} else {
			buf_char(&out, *p++);
		}
	}
	if (!c && out.failed)
		c = wrong(r, line, e, "the value is longer than 65536 bytes");
	if (!c && !(*ret = arena_strdup(r->conf->arena, buf_cstr(&out))))
		c = err_oom(e);
	buf_done(&out);
	return c;
}

static bool is_group(const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < conf_nrows; i++)
		if (strncmp(conf_rows[i].name, name, n) == 0 && conf_rows[i].name[n] == '.')
			return true;
	return false;
}

static enum err_code unknown(const struct reader *r, unsigned line, const char *name, struct err *e)
{
	return err_set(e, ERR_CONFIG, "%s:%u: unknown setting \"%s\"%s", r->path, line, name,
		       conf_did_you_mean(r->conf->arena, name));
}

static enum err_code next_event(struct reader *r, yaml_event_t *ev, struct err *e)
{
	if (yaml_parser_parse(&r->parser, ev))
		return ERR_OK;
	return err_set(e, ERR_CONFIG, "%s:%zu: no YAML: %s", r->path, r->parser.problem_mark.line + 1,
		       r->parser.problem ? r->parser.problem : "bad text");
}

static enum err_code scalar(struct reader *r, const char *name, const yaml_event_t *ev, struct err *e)
{
	const char *text = (const char *)ev->data.scalar.value;
	unsigned line = line_of(ev);
	bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	int row = conf_row_find(name);
	if (row < 0 && plain && !*text && is_group(name))
		return ERR_OK; /* "api:" with everything below it commented out */
	if (row < 0)
		return is_group(name) ? err_set(e, ERR_CONFIG, "%s:%u: \"%s\" is a group of settings, not one", r->path,
						line, name)
				      : unknown(r, line, name, e);
	if (strlen(text) != ev->data.scalar.length)
		return wrong(r, line, e, "a value with a NUL character");
	if (plain && (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0))
		return err_set(e, ERR_CONFIG, "%s:%u: \"%s\" has no value; give one or remove the line", r->path, line,
			       name);
	if (r->seen[row]++)
		return err_set(e, ERR_CONFIG, "%s:%u: \"%s\" is given twice", r->path, line, name);
	const char *value, *origin = arena_printf(r->conf->arena, "%s:%u", r->path, line);
	enum err_code c = expand(r, line, text, &value, e);
	return c ? c : conf_set(r->conf, name, value, origin ? origin : r->path, RANK_FILE, e);
}

static enum err_code mapping(struct reader *r, const char *prefix, int depth, struct err *e)
{
	for (;;) {
		yaml_event_t key, value;
		enum err_code c = next_event(r, &key, e);
		if (c)
			return c;
		if (key.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&key);
			return ERR_OK;
		}
		unsigned line = line_of(&key);
		const char *name = NULL;
		if (key.type == YAML_SCALAR_EVENT)
			name = arena_printf(r->conf->arena, "%s%s%s", prefix, *prefix ? "." : "",
					    (const char *)key.data.scalar.value);
		yaml_event_delete(&key);
		if (!name)
			return wrong(r, line, e, "a name of a setting was expected");
		if ((c = next_event(r, &value, e)))
			return c;
		if (value.type == YAML_SCALAR_EVENT)
			c = scalar(r, name, &value, e);
		else if (value.type == YAML_MAPPING_START_EVENT && !is_group(name))
			c = conf_row_find(name) >= 0
				? err_set(e, ERR_CONFIG, "%s:%u: \"%s\" is one setting, not a group", r->path, line,
					  name)
				: unknown(r, line, name, e);
		else if (value.type == YAML_MAPPING_START_EVENT && depth < DEPTH_MAX)
			c = mapping(r, name, depth + 1, e);
		else
			c = wrong(r, line, e, "a single value was expected (no lists, anchors or aliases)");
		yaml_event_delete(&value);
		if (c)
			return c;
	}
}

static enum err_code document(struct reader *r, struct err *e)
{
	unsigned documents = 0;
	for (;;) {
		yaml_event_t ev;
		enum err_code c = next_event(r, &ev, e);
		if (c)
			return c;
		yaml_event_type_t type = ev.type;
		unsigned line = line_of(&ev);
		bool empty = type == YAML_SCALAR_EVENT && ev.data.scalar.length == 0;
		yaml_event_delete(&ev);
		if (type == YAML_STREAM_END_EVENT)
			return ERR_OK;
		if (type == YAML_DOCUMENT_START_EVENT && documents++)
			return wrong(r, line, e, "a second YAML document");
		if (type == YAML_MAPPING_START_EVENT)
			c = mapping(r, "", 0, e);
		else if (type == YAML_SEQUENCE_START_EVENT || type == YAML_ALIAS_EVENT ||
			 (type == YAML_SCALAR_EVENT && !empty))
			c = wrong(r, line, e, "settings were expected, as in \"api:\" and below it \"  port: 8090\"");
		if (c)
			return c;
	}
}

enum err_code conf_yaml_read(struct conf *c, const char *path, struct err *e)
{
	struct reader r = {.conf = c, .path = path};
	enum err_code code = file_read(path, CONF_FILE_MAX, c->arena, &r.text, e);
	if (code)
		return err_prefix(e, "configuration");
	r.seen = arena_alloc(c->arena, conf_nrows);
	if (!r.seen || !yaml_parser_initialize(&r.parser))
		return err_oom(e);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)r.text.p, r.text.n);
	code = document(&r, e);
	yaml_parser_delete(&r.parser);
	return code;
}
