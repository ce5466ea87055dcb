/* show.c: see show.h. */
#include "cli/show.h"

#include "base/fd.h"
#include "cli/term.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define JSON_MAX ((size_t)256 << 20)

enum err_code show_init(struct show *s, const struct cli *cli, bool ingest, struct err *e)
{
	const char *verdicts = cli_get(cli, "verdict");

	*s = (struct show){.cli = cli, .ingest = ingest};
	if (verdicts && !(s->verdicts = fopen(verdicts, "we")))
		return err_sys(e, errno, "write \"%s\"", verdicts);
	buf_init(&s->files, JSON_MAX);
	return ERR_OK;
}

/* A line of --verdict. */
static void write_verdict(struct show *s, const char *path, const struct ingest_result *r)
{
	struct buf b;
	struct jsonw w;

	buf_init(&b, 1 << 20);
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	jsonw_key(&w, "file");
	jsonw_span(&w, span_str(path));
	verdict_write(&r->verdict, &w);
	jsonw_end(&w, '}');
	buf_char(&b, '\n');
	fwrite(b.p, 1, b.n, s->verdicts);
	buf_done(&b);
}

/* ---- defects */

struct place {
	struct span line; /* the physical line of the record that the cell starts in */
	uint32_t number;  /* 0: the record's first line */
	size_t at, n;	  /* the cell in it, bytes; n 0: nothing to mark */
};

/* Byte offset of character column (from 1); n when the line is shorter. */
static size_t column_offset(struct span line, uint32_t column)
{
	size_t i = 0;

	while (column > 1 && i < line.n) {
		i++;
		while (i < line.n && ((unsigned char)line.p[i] & 0xc0) == 0x80)
			i++;
		column--;
	}
	return i;
}

static struct span next_line(struct span *rest)
{
	size_t n = 0;

	while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
		n++;
	struct span line = {rest->p, n};
	if (n < rest->n)
		n += rest->p[n] == '\r' && n + 1 < rest->n && rest->p[n + 1] == '\n' ? 2 : 1;
	rest->p += n;
	rest->n -= n;
	return line;
}

/* The cell starts at its column, or one behind it when the column is that of its quote. */
static bool cell_at(struct span line, const struct defect *d, struct place *ret)
{
	size_t at = column_offset(line, d->column);
	size_t n = d->cell.n;

	for (int quote = 0; quote < 2; quote++) {
		size_t from = at + (size_t)quote;
		if (from > line.n)
			return false;
		size_t left = line.n - from, cmp = n < left ? n : left;
		bool cut = n > left; /* a cell with a line end inside goes on in the next line */
		if (cmp && memcmp(line.p + from, d->cell.p, cmp) == 0 &&
		    (!cut || d->cell.p[cmp] == '\n' || d->cell.p[cmp] == '\r')) {
			*ret = (struct place){line, ret->number, from, cmp};
			return true;
		}
	}
	return false;
}

/* Where the cell stands in the record. The column counts in the cell's own line, so that each line is tried. */
static struct place find_cell(const struct shown_defect *s)
{
	struct span rest = s->record;
	struct place p = {.number = 0};

	for (uint32_t i = 0; i < 64 && rest.n; i++) {
		struct span line = next_line(&rest);
		p.number = i;
		if (s->d.field >= 0 && s->d.column && s->d.cell.n && cell_at(line, &s->d, &p))
			return p;
	}
	rest = s->record;
	p = (struct place){.line = next_line(&rest)};
	if (s->d.column && s->d.field >= 0) {
		p.at = column_offset(p.line, s->d.column);
		p.n = p.at < p.line.n ? 1 : 0;
	}
	return p;
}

/* Bytes of the character at p, at most n. */
static size_t char_len(const char *p, size_t n)
{
	size_t len = 1;

	while (len < n && ((unsigned char)p[len] & 0xc0) == 0x80)
		len++;
	return len;
}

/* One character for a terminal: control characters and bytes that are no UTF-8 as a dot. */
static void put_char(const char *p, size_t n)
{
	unsigned char c = (unsigned char)*p;
	bool bad = c < 0x20 || c == 0x7f || (c >= 0x80 && (c < 0xc2 || n != (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u)));

	/* C1 controls are two bytes in UTF-8. */
	if (bad || (c == 0xc2 && (unsigned char)p[1] < 0xa0))
		fputs(c == '\t' ? " " : "\xc2\xb7", stdout);
	else
		fwrite(p, 1, n, stdout);
}

static void put_text(struct span s)
{
	for (size_t i = 0; i < s.n;) {
		size_t len = char_len(s.p + i, s.n - i);
		put_char(s.p + i, len);
		i += len;
	}
}

static size_t text_width(struct span s)
{
	size_t w = 0;

	for (size_t i = 0; i < s.n;) {
		size_t len = char_len(s.p + i, s.n - i), one = display_width(s.p + i, len);
		w += (unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] == 0x7f ? 1 : one;
		i += len;
	}
	return w;
}

/* Longest prefix or suffix of s that takes at most width columns. */
static struct span fit_front(struct span s, size_t width)
{
	size_t i = 0;

	while (i < s.n) {
		size_t len = char_len(s.p + i, s.n - i);
		if (text_width((struct span){s.p, i + len}) > width)
			break;
		i += len;
	}
	return (struct span){s.p, i};
}

static struct span fit_back(struct span s, size_t width)
{
	while (s.n && text_width(s) > width) {
		size_t len = char_len(s.p, s.n);
		s.p += len;
		s.n -= len;
	}
	return s;
}

static void repeat(const char *what, size_t n)
{
	while (n--)
		fputs(what, stdout);
}

/* The line with the cell marked; long lines are cut on both sides of it. */
static void show_line(const struct cli *cli, const struct place *p)
{
	const struct style *st = style_get(cli->colour_out);
	size_t width = cli->width > 40 ? (size_t)cli->width - 6 : 40;
	struct span left = {p->line.p, p->at}, cell = {p->line.p + p->at, p->n};
	struct span right = {cell.p + cell.n, p->line.n - p->at - p->n};
	struct span l = left, c = fit_front(cell, width * 2 / 3), r = right;
	size_t cw = text_width(c), room = width > cw ? width - cw : 0;

	if (c.n < cell.n)
		r.n = 0;
	if (text_width(l) + text_width(r) > room) {
		size_t half = room * 2 / 3, rw = text_width(r) < room - half ? text_width(r) : room - half;
		l = fit_back(l, room - rw);
		r = fit_front(r, room - text_width(l));
	}
	fputs("    ", stdout);
	fputs(st->dim, stdout);
	if (l.n < left.n)
		fputs("\xe2\x80\xa6", stdout);
	put_text(l);
	fputs(st->reset, stdout);
	if (c.n) {
		printf("%s%s", st->red, st->reverse);
		put_text(c);
		fputs(st->reset, stdout);
	}
	fputs(st->dim, stdout);
	put_text(r);
	if (r.n < right.n || c.n < cell.n)
		fputs("\xe2\x80\xa6", stdout);
	printf("%s\n", st->reset);
	if (cw && !cli->colour_out) {
		repeat(" ", 4 + (l.n < left.n) + text_width(l));
		repeat("^", cw);
		fputc('\n', stdout);
	}
}

static const char *show_name(const char *path)
{
	return strcmp(path, "-") == 0 ? "stdin" : path;
}

void show_defect(const struct cli *cli, const char *path, const struct shown_defect *s)
{
	const struct style *st = style_get(cli->colour_out);
	const struct defect *d = &s->d;
	struct place p = find_cell(s);
	bool warn = d->action == DEFECT_WARN;

	printf("%s", st->bold);
	put_text(span_str(show_name(path)));
	if (d->line)
		printf(":%" PRIu64, d->line + p.number);
	if (d->line && d->column)
		printf(":%u", d->column);
	printf(":%s %s%s%s: ", st->reset, warn ? st->yellow : st->red, d->rule, st->reset);
	if (warn)
		printf("%swarning:%s ", st->yellow, st->reset);
	if (s->field_name)
		printf("%s%s%s: ", st->cyan, s->field_name, st->reset);
	put_text(span_str(d->reason));
	fputc('\n', stdout);
	if (p.line.n)
		show_line(cli, &p);
}

/* ---- totals */

static void add_defect_count(struct show *s, const char *rule, uint64_t n)
{
	uint32_t i = 0;

	while (i < s->ndefects && strcmp(s->defects[i].rule, rule) != 0)
		i++;
	if (i == SHOW_RULES_MAX)
		return;
	if (i == s->ndefects) {
		const char *copy = arena_strdup(s->cli->arena, rule);
		if (!copy)
			return;
		s->defects[s->ndefects].n = 0;
		s->defects[s->ndefects++].rule = copy;
	}
	s->defects[i].n += n;
}

static void add_totals(struct show *s, const struct ingest_result *r, enum err_code code)
{
	s->nfiles++;
	s->interrupted |= code == ERR_INTERRUPTED;
	s->fatal |= code != ERR_OK && code != ERR_INTERRUPTED;
	if (!r)
		return;
	const struct verdict *v = &r->verdict;
	s->refused |= r->refused;
	s->rejected |= v->rejected > 0;
	s->records += v->records;
	s->accepted += v->accepted;
	s->nrejected += v->rejected;
	s->delivered += r->delivered;
	s->bytes += r->bytes;
	s->seconds += r->seconds;
	for (uint32_t i = 0; i < v->nrules; i++) {
		if (v->rules[i].records_new)
			add_defect_count(s, v->rules[i].rule, v->rules[i].records_new);
	}
}

/* ---- JSON */

static void json_counts(struct jsonw *w, bool ingest, uint64_t records, uint64_t accepted, uint64_t rejected,
			uint64_t delivered, uint64_t bytes, double seconds)
{
	jsonw_key(w, "records");
	jsonw_uint(w, records);
	jsonw_key(w, "accepted");
	jsonw_uint(w, accepted);
	jsonw_key(w, "rejected");
	jsonw_uint(w, rejected);
	if (ingest) {
		jsonw_key(w, "delivered");
		jsonw_uint(w, delivered);
	}
	jsonw_key(w, "bytes");
	jsonw_uint(w, bytes);
	jsonw_kdouble(w, "seconds", seconds);
}

static const char *state_of(const struct ingest_result *r, enum err_code code)
{
	if (code == ERR_INTERRUPTED)
		return "interrupted";
	return code ? "failed" : r->state;
}

static void json_file(struct show *s, const char *path, const char *sha256, const struct ingest_result *r,
		      enum err_code code, const struct err *e)
{
	static const struct ingest_result none;
	struct jsonw w;

	if (s->files.n)
		buf_char(&s->files, ',');
	if (!r)
		r = &none;
	jsonw_init(&w, &s->files);
	jsonw_begin(&w, '{');
	jsonw_key(&w, "file");
	jsonw_span(&w, span_str(path));
	if (s->ingest)
		jsonw_kstr(&w, "sha256", sha256 && sha256[0] ? sha256 : NULL);
	jsonw_kstr(&w, "state", state_of(r, code));
	jsonw_kbool(&w, "already", r->already);
	json_counts(&w, s->ingest, r->verdict.records, r->verdict.accepted, r->verdict.rejected, r->delivered, r->bytes,
		    r->seconds);
	jsonw_key(&w, "defects");
	jsonw_begin(&w, '{');
	verdict_write_defects(&r->verdict, &w);
	jsonw_end(&w, '}');
	if (code)
		jsonw_kstr(&w, "error", e->msg);
	else if (r->refused)
		jsonw_kstr(&w, "reason", r->verdict.reason);
	jsonw_end(&w, '}');
}

static void json_end(struct show *s)
{
	struct buf b;
	struct jsonw w;

	buf_init(&b, JSON_MAX + (1 << 20));
	jsonw_init(&w, &b);
	jsonw_begin(&w, '{');
	json_counts(&w, s->ingest, s->records, s->accepted, s->nrejected, s->delivered, s->bytes, s->seconds);
	jsonw_key(&w, "defects");
	jsonw_begin(&w, '{');
	for (uint32_t i = 0; i < s->ndefects; i++) {
		jsonw_key(&w, s->defects[i].rule);
		jsonw_uint(&w, s->defects[i].n);
	}
	jsonw_end(&w, '}');
	jsonw_key(&w, "files");
	buf_char(&b, '[');
	buf_add(&b, s->files.p, s->files.n);
	buf_char(&b, ']');
	buf_str(&b, "}\n");
	if (s->files.failed || b.failed) {
		fprintf(stderr, "mysimbdp: no memory for the result\n");
		s->fatal = true;
	} else {
		fwrite(b.p, 1, b.n, stdout);
	}
	buf_done(&b);
}

/* ---- for people */

static const char *rate_text(uint64_t bytes, double seconds, char out[96])
{
	char b[32], d[32], r[32];

	human_bytes(bytes, b);
	human_duration(seconds, d);
	if (bytes < 1000000 || seconds < 0.001)
		snprintf(out, 96, "%s in %s", b, d);
	else
		snprintf(out, 96, "%s in %s, %s/s", b, d, human_bytes((uint64_t)((double)bytes / seconds), r));
	return out;
}

static void show_rules(const struct cli *cli, const struct verdict *v)
{
	static const char *const heads[] = {"rule", "column", "records", "budget", ""};
	static const enum table_align align[] = {TABLE_LEFT, TABLE_LEFT, TABLE_RIGHT, TABLE_RIGHT, TABLE_LEFT};
	const struct style *st = style_get(cli->colour_out);
	struct table *t = table_new(cli->arena, 5, heads, align);
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->nrules; i++) {
		const struct rule_count *c = &v->rules[i];
		char count[32];
		if (c->records == 0 && !c->budget_used_up)
			continue;
		table_style(t, c->action == DEFECT_WARN ? st->yellow : st->red);
		table_cell(t, "%s", c->rule);
		table_cell(t, "%s", c->field ? c->field : "");
		table_cell(t, "%s", human_count(c->records, count));
		table_cell(t, "%s", c->budget);
		table_style(t, c->action == DEFECT_WARN ? st->yellow : st->red);
		table_cell(t, "%s",
			   c->budget_used_up	      ? (c->action == DEFECT_WARN ? "over, a warning" : "used up")
			   : c->action == DEFECT_WARN ? "warning"
						      : "");
		n++;
	}
	if (n)
		table_print(t, stdout, cli->width, cli->colour_out);
}

static void show_counts(const struct show *s, const struct ingest_result *r)
{
	const struct style *st = style_get(s->cli->colour_out);
	const struct verdict *v = &r->verdict;
	char a[32], b[32], c[32], rate[96];

	if (r->refused && v->records == 0)
		printf("%srefused%s", st->red, st->reset);
	else if (r->refused)
		printf("%srefused%s: %s of %s records rejected", st->red, st->reset, human_count(v->rejected, a),
		       human_count(v->records, b));
	else if (v->rejected)
		printf("%s%s rejected%s, %s of %s records accepted", st->red, human_count(v->rejected, a), st->reset,
		       human_count(v->accepted, b), human_count(v->records, c));
	else
		printf("%s%s%s record%s accepted%s", st->green, v->records > 1 ? "all " : "",
		       human_count(v->records, a), v->records == 1 ? "" : "s", st->reset);
	if (s->ingest && !r->refused)
		printf(", %s%s delivered%s%s", st->green, human_count(r->delivered, a), st->reset,
		       r->resumed ? " (resumed)" : "");
	if (r->sink_refused)
		printf(", %s%s refused by the store%s", st->red, human_count(r->sink_refused, a), st->reset);
	printf("  %s%s%s\n", st->dim, rate_text(r->bytes, r->seconds, rate), st->reset);
}

static void show_warnings(const struct cli *cli, const char *path, const struct ingest_result *r)
{
	const struct style *st = style_get(cli->colour_err);
	char n[32];

	for (uint32_t i = 0; i < r->nwarnings && !cli->quiet; i++) {
		fprintf(stderr, "%swarning:%s %s: %s", st->yellow, st->reset, show_name(path), r->warnings[i].text);
		if (r->warnings[i].count > 1)
			fprintf(stderr, " (%s times)", human_count(r->warnings[i].count, n));
		fputc('\n', stderr);
	}
}

static void show_people(struct show *s, const char *path, const struct ingest_result *r)
{
	const struct cli *cli = s->cli;
	const struct style *st = style_get(cli->colour_out);
	char n[32], d[32];

	fflush(stderr);
	for (uint32_t i = 0; i < r->nshown; i++)
		show_defect(cli, path, &r->shown[i]);
	uint64_t found = 0;
	for (uint32_t i = 0; i < r->verdict.nrules; i++)
		found += r->verdict.rules[i].records_new;
	if (found > r->nshown && r->nshown)
		printf("%s... the first %u are shown, --show N shows more%s\n", st->dim, r->nshown, st->reset);
	if (r->nshown)
		fputc('\n', stdout);
	printf("%s", st->bold);
	put_text(span_str(show_name(path)));
	printf("%s: ", st->reset);
	if (r->already) {
		printf("%salready%s delivered: %s records, %s of them rejected; nothing was done (--again forces it)\n",
		       st->yellow, st->reset, human_count(r->verdict.records, n), human_count(r->verdict.rejected, d));
		return;
	}
	show_counts(s, r);
	show_rules(cli, &r->verdict);
	if (r->refused)
		printf("%sbecause%s %s%s\n", st->red, st->reset, r->verdict.reason,
		       s->ingest ? "; nothing of the file was delivered" : "");
}

static void show_failure(const struct show *s, const char *path, enum err_code code, const struct err *e)
{
	const struct style *st = style_get(s->cli->colour_err);
	const char *name = show_name(path);

	fflush(stdout);
	fprintf(stderr, "%smysimbdp:%s %s%s", st->bold, st->reset, code == ERR_INTERRUPTED ? st->yellow : st->red,
		strstr(e->msg, name) ? "" : name);
	fprintf(stderr, "%s%s%s\n", strstr(e->msg, name) ? "" : ": ", e->msg, st->reset);
	if (e->hint[0])
		fprintf(stderr, "          %s%s%s\n", st->dim, e->hint, st->reset);
}

void show_file(struct show *s, const char *path, const char *sha256, const struct ingest_result *r, enum err_code code,
	       const struct err *e)
{
	add_totals(s, r, code);
	if (r)
		show_warnings(s->cli, path, r);
	if (s->verdicts && !code)
		write_verdict(s, path, r);
	if (s->cli->json)
		json_file(s, path, sha256, r, code, e);
	else if (!code)
		show_people(s, path, r);
	if (code)
		show_failure(s, path, code, e);
}

static void show_totals(const struct show *s)
{
	const struct style *st = style_get(s->cli->colour_out);
	char n[32], a[32], r[32], d[32], rate[96];

	printf("\n%s%s files%s: %s records, %s accepted, %s%s rejected%s", st->bold, human_count(s->nfiles, n),
	       st->reset, human_count(s->records, a), human_count(s->accepted, d), s->nrejected ? st->red : "",
	       human_count(s->nrejected, r), st->reset);
	if (s->ingest)
		printf(", %s delivered", human_count(s->delivered, d));
	printf("  %s%s%s\n", st->dim, rate_text(s->bytes, s->seconds, rate), st->reset);
}

void show_end(struct show *s)
{
	if (s->cli->json)
		json_end(s);
	else if (s->nfiles > 1)
		show_totals(s);
	if (s->verdicts && fclose(s->verdicts) != 0) {
		fprintf(stderr, "mysimbdp: \"%s\" can't be written\n", cli_get(s->cli, "verdict"));
		s->fatal = true;
	}
	*s->cli->exit_code = s->interrupted ? 4 : s->fatal ? 3 : s->refused ? 2 : s->rejected ? 1 : 0;
	buf_done(&s->files);
}
