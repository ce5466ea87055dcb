/*
 * quarantine.c: `mysimbdp quarantine list|show|export|replay|propose`: rejected records, what is wrong with them, and
 * the ways out: correct them outside (export), or change the documents (propose) and take them again (replay).
 */
#include "cli/quarantine.h"

#include "base/clock.h"
#include "base/fd.h"
#include "cli/show.h"
#include "cli/term.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define JSON_MAX ((size_t)256 << 20)

static void json_counts(struct jsonw *w, const struct origin_page *p)
{
	jsonw_key(w, "counts");
	jsonw_begin(w, '[');
	for (size_t i = 0; i < p->ncount; i++) {
		jsonw_begin(w, '{');
		jsonw_kstr(w, "rule", p->count[i].rule);
		jsonw_kstr(w, "field", p->count[i].field);
		jsonw_kint(w, "open", (int64_t)p->count[i].open);
		jsonw_kint(w, "replayed", (int64_t)p->count[i].replayed);
		jsonw_end(w, '}');
	}
	jsonw_end(w, ']');
}

static enum err_code print_buf(const struct cli *cli, struct buf *b, struct err *e)
{
	if (!b->failed)
		cli_print_json(cli, (struct span){b->p, b->n});
	bool failed = b->failed;
	buf_done(b);
	return failed ? err_set(e, ERR_LIMIT, "the answer is too long; ask for less with --limit") : ERR_OK;
}

/* ---- list */

static enum err_code list_json(const struct cli *cli, const struct origin_page *p, struct err *e)
{
	struct buf b;
	struct jsonw w;
	buf_init(&b, JSON_MAX);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	jsonw_key(&w, "records");
	jsonw_begin(&w, '[');
	for (size_t i = 0; i < p->n; i++)
		quarantine_entry_write(&p->entry[i], &w);
	jsonw_end(&w, ']');
	json_counts(&w, p);
	char next[24];
	snprintf(next, sizeof next, "q%" PRId64, p->next);
	jsonw_kstr(&w, "next", p->next ? next : NULL);
	jsonw_end(&w, '}');
	return print_buf(cli, &b, e);
}

static void list_counts(const struct cli *cli, const struct origin_page *p)
{
	const struct style *s = style_get(cli->colour_out);
	char a[32], b[32];
	for (size_t i = 0; i < p->ncount; i++) {
		const struct quarantine_count *c = &p->count[i];
		printf("%s%s%s%s%s: %s open", s->yellow, c->rule, s->reset, c->field[0] ? " " : "", c->field,
		       human_count(c->open, a));
		if (c->replayed)
			printf(", %s replayed", human_count(c->replayed, b));
		putchar('\n');
	}
}

static enum err_code list_people(const struct cli *cli, const struct origin_page *p, struct err *e)
{
	static const char *const heads[] = {"ID", "FILE", "LINE", "COL", "RULE", "FIELD", "REASON"};
	static const enum table_align align[] = {TABLE_LEFT, TABLE_LEFT, TABLE_RIGHT, TABLE_RIGHT,
						 TABLE_LEFT, TABLE_LEFT, TABLE_LEFT};
	const struct style *s = style_get(cli->colour_out);
	if (!p->n) {
		fprintf(stderr, "no such records in the quarantine\n");
		return ERR_OK;
	}
	struct table *t = table_new(cli->arena, 7, heads, align);
	if (!t)
		return err_oom(e);
	for (size_t i = 0; i < p->n; i++) {
		const struct quarantine_entry *en = &p->entry[i];
		table_style(t, s->bold);
		table_cell(t, "q%" PRId64, en->id);
		table_cell(t, "%s", plain_text(cli->arena, en->file));
		table_cell(t, "%" PRIu64, en->line);
		if (en->column)
			table_cell(t, "%u", en->column);
		else
			table_cell(t, "%s", "");
		table_style(t, s->yellow);
		table_cell(t, "%s", en->rule);
		table_cell(t, "%s", plain_text(cli->arena, en->field));
		table_cell(t, "%s", plain_text(cli->arena, en->reason));
	}
	table_print(t, stdout, table_width(cli), cli->colour_out);
	putchar('\n');
	list_counts(cli, p);
	if (p->next && !cli->quiet)
		fprintf(stderr, "more: --cursor q%" PRId64 "\n", p->next);
	return ERR_OK;
}

static enum err_code run_list(const struct cli *cli, struct origin *o, struct err *e)
{
	struct quarantine_filter f;
	struct origin_page p;
	enum err_code code = origin_filter(cli, &f, e);
	if (!code)
		code = origin_page(o, &f, &p, e);
	if (code)
		return code;
	return cli->json ? list_json(cli, &p, e) : list_people(cli, &p, e);
}

/* ---- show */

static const char *what_next(const struct quarantine_entry *en)
{
	if (strcmp(en->state, "replayed") == 0)
		return "it has passed since then and is delivered";
	if (strcmp(en->state, "erased") == 0)
		return "its text was erased";
	if (en->cut)
		return "only its start was kept, for it is longer than a record may be; it can't be replayed";
	if (strcmp(en->rule, RULE_TYPE) == 0 || strcmp(en->rule, RULE_NOT_NULL) == 0)
		return "`mysimbdp quarantine propose` computes the change of the schema that would take it";
	return "`mysimbdp quarantine replay` tries it again after a change of the documents";
}

/* The cell at a character column, for the mark. The dialect is not at hand, so the usual separators end it. */
static struct span cell_at(struct span raw, uint32_t column)
{
	size_t i = 0, end;
	for (; column > 1 && i < raw.n; column--) {
		do
			i++;
		while (i < raw.n && ((unsigned char)raw.p[i] & 0xc0) == 0x80);
	}
	if (i >= raw.n || column == 0)
		return (struct span){NULL, 0};
	for (end = i; end < raw.n && !memchr(",;\t|\r\n", raw.p[end], 6); end++)
		continue;
	return (struct span){raw.p + i, end - i};
}

static enum err_code run_show(const struct cli *cli, struct origin *o, const char *id, struct err *e)
{
	struct quarantine_filter f = {.state = "*", .limit = 1};
	struct origin_page p;
	char at[40];
	if (!origin_id(id, 'q', &f.id) || f.id < 1)
		return err_set(e, ERR_USAGE, "\"%.40s\" is no record of the quarantine; they look like q17", id);
	enum err_code code = origin_page(o, &f, &p, e);
	if (code)
		return code;
	if (!p.n)
		return err_set(e, ERR_NOT_FOUND, "there is no record %s in this quarantine", id);
	origin_add_source(o, &p.entry[0]);
	const struct quarantine_entry *en = &p.entry[0];
	if (cli->json) {
		struct buf b;
		struct jsonw w;
		buf_init(&b, JSON_MAX);
		jsonw_init(&w, &b);
		quarantine_entry_write(en, &w);
		return print_buf(cli, &b, e);
	}
	const struct style *s = style_get(cli->colour_out);
	/* A column counts in its cell's own line; in a record of several lines nobody remembers which that was. */
	bool marked = en->field[0] && !memchr(en->raw.p, '\n', en->raw.n);
	struct shown_defect d = {.d = {.rule = en->rule,
				       .stage = en->stage,
				       .row = en->row,
				       .line = en->line,
				       .offset = en->offset,
				       .column = en->column,
				       .field = marked ? 0 : -1,
				       .cell = cell_at(en->raw, en->column)},
				 .field_name = en->field[0] ? plain_text(cli->arena, en->field) : NULL,
				 .record = en->raw};
	snprintf(d.d.reason, sizeof d.d.reason, "%s", en->reason);
	show_defect(cli, plain_text(cli->arena, en->file), &d);
	printf("\n%sq%" PRId64 "%s  %s, record %" PRIu64 " of output o%" PRId64 ", byte %" PRIu64
	       ", found by stage %s at %s\n",
	       s->bold, en->id, s->reset, en->state, en->row, en->output, en->offset, en->stage,
	       rfc3339(en->at_us, at));
	if (en->source_line)
		printf("uploaded as line %" PRIu64 " of f%" PRId64 "\n", en->source_line, en->source_file);
	printf("%s%s%s\n", s->dim, what_next(en), s->reset);
	return ERR_OK;
}

/* ---- export */

struct export
{
	const struct cli *cli;
	FILE *out;
	struct span header;
	bool started;
	uint64_t written, cut;
};

/* The file that comes out must be one that `ingest` takes, so all records in it need the same header line. */
static enum err_code export_csv(struct export *x, const struct quarantine_entry *en, struct err *e)
{
	if (en->cut) {
		x->cut++;
		return ERR_OK;
	}
	if (!x->started) {
		x->header = arena_span(x->cli->arena, en->header);
		if (!x->header.p)
			return err_oom(e);
		if (x->header.n)
			fprintf(x->out, SPAN_FMT "\n", SPAN_ARG(x->header));
		x->started = true;
	} else if (!span_eq(x->header, en->header)) {
		err_set(e, ERR_CONFLICT, "the records come from files with different header lines");
		return err_hint(e, "choose one file with --output o%" PRId64, en->output);
	}
	fwrite(en->raw.p, 1, en->raw.n, x->out);
	fputc('\n', x->out);
	x->written++;
	return ERR_OK;
}

static enum err_code export_json(struct export *x, const struct quarantine_entry *en, struct err *e)
{
	struct buf b;
	struct jsonw w;
	buf_init(&b, JSON_MAX);
	jsonw_init(&w, &b);
	quarantine_entry_write(en, &w);
	bool ok = !b.failed;
	if (ok) {
		fwrite(b.p, 1, b.n, x->out);
		fputc('\n', x->out);
		x->written++;
	}
	buf_done(&b);
	return ok ? ERR_OK : err_oom(e);
}

static enum err_code export_all(struct export *x, struct origin *o, struct quarantine_filter *f, struct err *e)
{
	for (;;) {
		struct origin_page p;
		enum err_code code;
		if (o->q) { /* a page at a time, however many there are */
			struct arena page;
			arena_init(&page, JSON_MAX);
			code = quarantine_list(o->q, f, &page, &p.entry, &p.n, e);
			for (size_t i = 0; !code && i < p.n; i++)
				code = x->cli->json ? export_json(x, &p.entry[i], e) : export_csv(x, &p.entry[i], e);
			p.next = !code && p.n ? p.entry[p.n - 1].id : 0;
			arena_done(&page);
		} else {
			code = origin_page(o, f, &p, e);
			for (size_t i = 0; !code && i < p.n; i++)
				code = x->cli->json ? export_json(x, &p.entry[i], e) : export_csv(x, &p.entry[i], e);
		}
		if (code || !p.next)
			return code;
		if (atomic_load(x->cli->stop))
			return err_set(e, ERR_INTERRUPTED, "interrupted");
		f->after = p.next;
	}
}

static enum err_code run_export(const struct cli *cli, struct origin *o, struct err *e)
{
	struct quarantine_filter f;
	const char *path = cli_get(cli, "out");
	struct export x = {.cli = cli, .out = stdout};
	enum err_code code = origin_filter(cli, &f, e);
	if (code)
		return code;
	f.limit = 1000;
	if (path && !(x.out = fopen(path, "wxe"))) {
		int sys = errno;
		return sys == EEXIST ? err_set(e, ERR_CONFLICT, "\"%s\" exists already", path)
				     : err_sys(e, sys, "make \"%s\"", path);
	}
	code = export_all(&x, o, &f, e);
	bool bad = fflush(x.out) != 0 || ferror(x.out);
	if (path && fclose(x.out) != 0)
		bad = true;
	if (!code && bad)
		code = err_sys(e, errno ? errno : EIO, "write \"%s\"", path ? path : "standard output");
	if (!code && !cli->quiet)
		fprintf(stderr, "%" PRIu64 " record%s exported%s\n", x.written, x.written == 1 ? "" : "s",
			x.cut ? "; records that are longer than the limit were kept in part only and left out" : "");
	return code;
}

/* ---- the verb */

static enum err_code with_origin(const struct cli *cli, const char *action, struct err *e)
{
	struct origin o;
	int args;
	enum err_code code = origin_open(cli, &o, &args, e);
	if (code)
		return code;
	int more = cli->argc - args;
	if (strcmp(action, "show") == 0)
		code = more == 1 ? run_show(cli, &o, cli->argv[args], e)
				 : err_set(e, ERR_USAGE, "show takes one record, for instance q17");
	else if (more)
		code = err_set(e, ERR_USAGE, "\"%.60s\" is one argument too many", cli->argv[args]);
	else
		code = strcmp(action, "list") == 0 ? run_list(cli, &o, e) : run_export(cli, &o, e);
	origin_close(&o);
	return code;
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	const char *action = cli->argv[0];
	if (strcmp(action, "replay") == 0)
		return quarantine_run_replay(cli, e);
	if (strcmp(action, "propose") == 0)
		return quarantine_run_propose(cli, e);
	if (strcmp(action, "list") == 0 || strcmp(action, "show") == 0 || strcmp(action, "export") == 0)
		return with_origin(cli, action, e);
	err_set(e, ERR_USAGE, "\"%.40s\" is nothing that quarantine does", action);
	return err_hint(e, "list, show, export, replay or propose");
}

static const struct cli_option options[] = {
    {"db", 0, "DIR", "without a platform: the DIR of `mysimbdp ingest --to sqlite:DIR`", "dir"},
    {"rule", 0, "RULE", "only records rejected by this rule: type, not_null, field_count, range ...", NULL},
    {"field", 0, "FIELD", "only this column", NULL},
    {"file", 0, "NAME", "only this file (list, export)", NULL},
    {"output", 0, "ID", "only this output: o12", NULL},
    {"state", 's', "STATE", "open (default), replayed, erased or all", NULL},
    {"limit", 'l', "N", "records of a page, 1 to 1000 (50)", NULL},
    {"cursor", 0, "ID", "go on behind this record", NULL},
    {"out", 'o', "FILE", "export and propose: write here instead of standard output", "file"},
    {"config", 'c', "FILE", "replay and propose with --db: the data file configuration", "file"},
    {"agreement", 'a', "FILE", "replay with --db: the service agreement, for its quality rules", "file"},
    {"dry-run", 'n', NULL, "replay: count only, change nothing", NULL},
    {0},
};

const struct verb verb_quarantine = {
    .name = "quarantine",
    .usage = "list|show|export|replay|propose TENANT|--db DIR [RECORD]",
    .summary = "rejected records: what, where and why; and the ways out",
    .options = options,
    .min_args = 1,
    .max_args = 3,
    .help = "list     a table of records and their counts by rule and column\n"
	    "show     one record with the offending cell marked\n"
	    "export   the records as a CSV file with their header line, to be corrected and uploaded again\n"
	    "         (--json: one object a line, with place and reason)\n"
	    "propose  the smallest change of the schema that takes all quarantined values, as a whole data file\n"
	    "         configuration; reasons on standard error\n"
	    "replay   try the records again under the present documents; those that pass are delivered once, with\n"
	    "         the row versions they always had, so that they never overwrite newer rows\n\n"
	    "  mysimbdp quarantine list client_a --rule type\n"
	    "  mysimbdp quarantine show client_a q17\n"
	    "  mysimbdp quarantine propose client_a --out new-data-file.json\n"
	    "  mysimbdp quarantine replay --db out --config new-data-file.json",
    .run = run,
};
