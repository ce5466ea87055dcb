/* quarantine_origin.c: rejected records from a database or from the REST API, in one form. */
#include "cli/quarantine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool origin_id(const char *s, char letter, int64_t *ret)
{
	char *end;
	s += *s == letter;
	if (*s < '0' || *s > '9' || strlen(s) > 18)
		return false;
	*ret = strtoll(s, &end, 10);
	return *end == 0;
}

enum err_code origin_filter(const struct cli *cli, struct quarantine_filter *ret, struct err *e)
{
	const char *limit = cli_get(cli, "limit"), *output = cli_get(cli, "output"), *cursor = cli_get(cli, "cursor");
	struct quarantine_filter f = {.file = cli_get(cli, "file"),
				      .rule = cli_get(cli, "rule"),
				      .field = cli_get(cli, "field"),
				      .state = cli_get(cli, "state"),
				      .limit = 50};
	int64_t n;
	if (limit && (!origin_id(limit, 0, &n) || n < 1 || n > 1000))
		return err_set(e, ERR_USAGE, "--limit \"%.40s\": a number from 1 to 1000 is needed", limit);
	if (limit)
		f.limit = (size_t)n;
	if (output && !origin_id(output, 'o', &f.output))
		return err_set(e, ERR_USAGE, "--output \"%.40s\": an id like o12 is needed", output);
	if (cursor && !origin_id(cursor, 'q', &f.after))
		return err_set(e, ERR_USAGE, "--cursor \"%.40s\": an id like q12 is needed", cursor);
	if (f.state && strcmp(f.state, "all") == 0)
		f.state = "*";
	static const char *const states[] = {"open", "replayed", "erased", "*"};
	bool known = !f.state;
	for (size_t i = 0; !known && i < sizeof states / sizeof *states; i++)
		known = strcmp(f.state, states[i]) == 0;
	if (!known)
		return err_set(e, ERR_USAGE, "--state \"%.40s\": open, replayed, erased or all", f.state);
	*ret = f;
	return ERR_OK;
}

static bool elsewhere(const struct cli *cli)
{
	return cli_get(cli, "url") || cli_get(cli, "token") || getenv("MYSIMBDP_URL") || getenv("MYSIMBDP_TOKEN");
}

static enum err_code open_tenant(const struct cli *cli, struct origin *o, struct err *e)
{
	const char *data;
	if (strchr(o->tenant, '/') || o->tenant[0] == '.')
		return err_set(e, ERR_USAGE, "\"%.60s\" is no tenant; a directory is given with --db", o->tenant);
	if (!elsewhere(cli)) {
		struct err local;
		enum err_code code = cli_data_dir(cli, &data, e);
		if (code)
			return code;
		const char *dir = arena_printf(cli->arena, "%s/quarantine/%s", data, o->tenant);
		if (!dir)
			return err_oom(e);
		code = quarantine_open_readonly(dir, &o->q, &local);
		if (!code)
			return ERR_OK;
		if (code == ERR_VERSION) {
			if (e)
				*e = local;
			return code;
		}
	}
	return client_open(cli, &o->client, e);
}

/* One record of a database at hand, as a running platform knows it: it can say where the record stands in the upload.
 */
void origin_add_source(struct origin *o, struct quarantine_entry *en)
{
	struct origin remote = {.cli = o->cli, .tenant = o->tenant};
	struct quarantine_filter f = {.state = "*", .limit = 1, .id = en->id};
	struct origin_page p;
	struct err e;
	if (o->client || !o->tenant || client_open(o->cli, &remote.client, &e))
		return;
	if (origin_page(&remote, &f, &p, &e) == ERR_OK && p.n && span_eq(p.entry[0].raw, en->raw)) {
		en->source_file = p.entry[0].source_file;
		en->source_line = p.entry[0].source_line;
	}
	client_close(remote.client);
}

static enum err_code open_db(struct origin *o, struct err *e)
{
	if (access(o->db, F_OK) != 0) {
		err_set(e, ERR_NOT_FOUND, "there is no directory \"%s\"", o->db);
		return err_hint(e, "--db takes the DIR of `mysimbdp ingest --to sqlite:DIR`");
	}
	enum err_code code = quarantine_open_readonly(o->db, &o->q, e);
	return code == ERR_NOT_FOUND ? ERR_OK : code; /* nothing was ever rejected */
}

enum err_code origin_open(const struct cli *cli, struct origin *ret, int *ret_args, struct err *e)
{
	struct origin o = {.cli = cli, .db = cli_get(cli, "db")};
	if (!o.db && cli->argc > 1)
		o.tenant = cli->argv[1];
	if (!o.db && !o.tenant) {
		err_set(e, ERR_USAGE, "whose quarantine?");
		return err_hint(e, "name a tenant, or --db DIR of `mysimbdp ingest --to sqlite:DIR`");
	}
	*ret_args = o.tenant ? 2 : 1;
	enum err_code code = o.tenant ? open_tenant(cli, &o, e) : open_db(&o, e);
	if (!code)
		*ret = o;
	return code;
}

void origin_close(struct origin *o)
{
	quarantine_close(o->q);
	client_close(o->client);
}

/* ---- pages */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The record's own bytes: raw, or raw_hex where they are no UTF-8. */
static struct span read_raw(const struct json *v, struct arena *a)
{
	const struct json *raw = json_get(v, "raw"), *hex = json_get(v, "raw_hex");
	if (hex && hex->type == JN_STRING && hex->s.n % 2 == 0) {
		char *out = arena_alloc(a, hex->s.n / 2);
		for (size_t i = 0; out && i < hex->s.n / 2; i++)
			out[i] = (char)(hex_digit(hex->s.p[2 * i]) << 4 | (hex_digit(hex->s.p[2 * i + 1]) & 15));
		if (out)
			return (struct span){out, hex->s.n / 2};
	}
	return raw && raw->type == JN_STRING ? raw->s : (struct span){"", 0};
}

static void read_entry(const struct json *v, struct arena *a, struct quarantine_entry *en)
{
	*en = (struct quarantine_entry){
	    .file = json_get_str(v, "file", ""),
	    .row = (uint64_t)json_get_int(v, "row", 0),
	    .line = (uint64_t)json_get_int(v, "line", 0),
	    .offset = (uint64_t)json_get_int(v, "offset", 0),
	    .column = (uint32_t)json_get_int(v, "column", 0),
	    .stage = json_get_str(v, "stage", ""),
	    .rule = json_get_str(v, "rule", ""),
	    .field = json_get_str(v, "field", ""),
	    .reason = json_get_str(v, "reason", ""),
	    .raw = read_raw(v, a),
	    .cut = json_get_bool(v, "cut", false),
	    .header = span_str(json_get_str(v, "header", "")),
	    .state = json_get_str(v, "state", "open"),
	    .at_us = json_time(v, "at"),
	};
	const struct json *source = json_get(v, "source");
	en->source_line = (uint64_t)json_get_int(source, "line", 0);
	(void)origin_id(json_get_str(source, "file", ""), 'f', &en->source_file);
	(void)origin_id(json_get_str(v, "id", ""), 'q', &en->id);
	(void)origin_id(json_get_str(v, "output", ""), 'o', &en->output);
}

static const char *query(struct arena *a, const char *key, const char *value)
{
	return value ? arena_printf(a, "&%s=%s", key, url_escape(a, value)) : "";
}

static enum err_code remote_page(struct origin *o, const struct quarantine_filter *f, struct origin_page *ret,
				 struct err *e)
{
	struct arena *a = o->cli->arena;
	struct json *answer;
	char output[24], after[24];
	snprintf(output, sizeof output, "o%lld", (long long)f->output);
	snprintf(after, sizeof after, "q%lld", (long long)(f->id ? f->id - 1 : f->after));
	const char *path = arena_printf(a, "/v1/quarantine?tenant=%s&limit=%zu%s%s%s%s%s%s", url_escape(a, o->tenant),
					f->id ? 1 : f->limit, query(a, "file", f->file), query(a, "rule", f->rule),
					query(a, "field", f->field), query(a, "state", f->state),
					query(a, "output", f->output ? output : NULL),
					query(a, "cursor", f->id || f->after ? after : NULL));
	enum err_code code = path ? client_call(o->client, "GET", path, NULL, a, &answer, NULL, e) : err_oom(e);
	if (code)
		return code;
	const struct json *records = json_get(answer, "records"), *counts = json_get(answer, "counts");
	size_t n = records ? records->count : 0, nc = counts ? counts->count : 0;
	struct origin_page p = {.entry = arena_array(a, n, sizeof *p.entry),
				.count = arena_array(a, nc, sizeof *p.count)};
	if (!p.entry || !p.count)
		return err_oom(e);
	for (const struct json *v = records ? records->child : NULL; v; v = v->next)
		read_entry(v, a, &p.entry[p.n++]);
	if (f->id && p.n && p.entry[0].id != f->id)
		p.n = 0;
	for (const struct json *v = counts ? counts->child : NULL; v; v = v->next)
		p.count[p.ncount++] = (struct quarantine_count){
		    json_get_str(v, "rule", ""), json_get_str(v, "field", ""), (uint64_t)json_get_int(v, "open", 0),
		    (uint64_t)json_get_int(v, "replayed", 0)};
	(void)origin_id(json_get_str(answer, "next", ""), 'q', &p.next);
	*ret = p;
	return ERR_OK;
}

enum err_code origin_page(struct origin *o, const struct quarantine_filter *f, struct origin_page *ret, struct err *e)
{
	struct origin_page p = {0};
	if (o->client)
		return remote_page(o, f, ret, e);
	enum err_code code = ERR_OK;
	if (o->q)
		code = quarantine_list(o->q, f, o->cli->arena, &p.entry, &p.n, e);
	if (!code && o->q)
		code = quarantine_counts(o->q, f->output, o->cli->arena, &p.count, &p.ncount, e);
	if (code)
		return code;
	p.next = p.n && p.n == f->limit ? p.entry[p.n - 1].id : 0;
	*ret = p;
	return ERR_OK;
}
