/* rejects.c: see rejects.h. */
#include "cli/rejects.h"

#include <errno.h>
#include <string.h>

#define LINE_MAX ((size_t)64 << 20)

static void put_json(struct rejects *r, const struct batch *b, const struct defect *d, struct span raw)
{
	struct jsonw w;

	buf_clear(&r->line);
	jsonw_init(&w, &r->line);
	jsonw_begin(&w, '{');
	jsonw_key(&w, "file");
	jsonw_span(&w, span_str(r->file));
	jsonw_kint(&w, "row", (int64_t)d->row);
	jsonw_kint(&w, "line", (int64_t)d->line);
	jsonw_kint(&w, "column", d->column);
	jsonw_kint(&w, "offset", (int64_t)d->offset);
	jsonw_kstr(&w, "stage", d->stage);
	jsonw_kstr(&w, "rule", d->rule);
	jsonw_kstr(&w, "field", d->field >= 0 ? b->schema->fields[d->field].name : NULL);
	jsonw_key(&w, "reason");
	jsonw_span(&w, span_str(d->reason));
	jsonw_key(&w, "record");
	jsonw_span(&w, raw);
	jsonw_end(&w, '}');
	buf_char(&r->line, '\n');
	fwrite(r->line.p, 1, r->line.n, r->out);
}

static enum err_code take(void *ctx, const struct batch *b, uint32_t row, struct span header, struct err *e)
{
	struct rejects *r = ctx;
	struct span raw = {b->data + b->raw[row].off, b->raw[row].len};
	const struct defect *d = NULL;

	for (uint32_t i = 0; i < b->ndefect && !d; i++) {
		if (b->defect[i].index == row && b->defect[i].action != DEFECT_WARN)
			d = &b->defect[i];
	}
	if (r->csv) {
		if (!r->header && header.n)
			fprintf(r->out, "%.*s\n", (int)header.n, header.p);
		r->header = true;
		fwrite(raw.p, 1, raw.n, r->out);
		fputc('\n', r->out);
	} else if (d) {
		put_json(r, b, d, raw);
	}
	return ferror(r->out) ? err_sys(e, errno, "write \"%s\"", r->path) : ERR_OK;
}

enum err_code rejects_open(const struct cli *cli, struct rejects *r, struct ingest_options *o, struct err *e)
{
	*r = (struct rejects){.path = cli_get(cli, "rejects")};
	buf_init(&r->line, LINE_MAX);
	if (!r->path)
		return ERR_OK;
	size_t n = strlen(r->path);
	r->csv = n > 4 && strcmp(r->path + n - 4, ".csv") == 0;
	r->out = fopen(r->path, "we");
	if (!r->out)
		return err_sys(e, errno, "write \"%s\"", r->path);
	o->rejected = take;
	o->rejected_ctx = r;
	return ERR_OK;
}

void rejects_file(struct rejects *r, const char *path)
{
	r->file = path;
}

enum err_code rejects_close(struct rejects *r, struct err *e)
{
	FILE *out = r->out;

	r->out = NULL;
	buf_done(&r->line);
	if (out && fclose(out) != 0)
		return err_sys(e, errno, "write \"%s\"", r->path);
	return ERR_OK;
}
