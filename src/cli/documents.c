/* documents.c: see documents.h. */
#include "cli/documents.h"

#include "base/clock.h"
#include "base/fd.h"
#include "cli/term.h"
#include "tenant/agreement.h"
#include "tenant/quantity.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum err_code option_uint(const struct cli *cli, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
			  struct err *e)
{
	const char *s = cli_get(cli, name);
	int64_t v;
	bool range;

	if (!s)
		return ERR_OK;
	if (!parse_i64(s, strlen(s), &v, &range) || v < 0 || (uint64_t)v < min || (uint64_t)v > max)
		return err_set(e, ERR_USAGE, "--%s \"%s\": a whole number from %llu to %llu is needed", name, s,
			       (unsigned long long)min, (unsigned long long)max);
	*ret = (uint64_t)v;
	return ERR_OK;
}

static enum err_code option_size(const struct cli *cli, const char *name, size_t min, size_t *ret, struct err *e)
{
	const char *s = cli_get(cli, name);
	struct quantity q;

	if (!s)
		return ERR_OK;
	const char *wrong = quantity_parse(span_str(s), &q);
	if (wrong)
		return err_set(e, ERR_USAGE, "--%s \"%s\": %s", name, s, wrong);
	int64_t v = quantity_units(&q);
	if (v < (int64_t)min || v > INT64_C(1) << 40)
		return err_set(e, ERR_USAGE, "--%s \"%s\": from %zu bytes to 1Ti", name, s, min);
	*ret = (size_t)v;
	return ERR_OK;
}

static enum err_code option_simd(const struct cli *cli, enum simd_level *ret, struct err *e)
{
	static const enum simd_level levels[] = {SIMD_AUTO, SIMD_PORTABLE, SIMD_AVX2, SIMD_AVX512};
	static const char *const names[] = {"auto", "portable", "avx2", "avx512"};
	const char *s = cli_get(cli, "simd");

	if (!s)
		return ERR_OK;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(s, names[i]) == 0) {
			*ret = levels[i];
			return ERR_OK;
		}
	}
	return err_set(e, ERR_USAGE, "--simd \"%s\": auto, portable, avx2 or avx512", s);
}

static enum err_code load_options(const struct cli *cli, struct ingest_options *o, struct err *e)
{
	uint64_t show = 10, rows = 0;
	const char *now = cli_get(cli, "now");

	if (option_uint(cli, "show", 0, 10000, &show, e) ||
	    option_uint(cli, "source-batch", 1, BATCH_ROWS_MAX, &rows, e) ||
	    option_size(cli, "sort-memory", 1u << 20, &o->sort_memory, e) || option_simd(cli, &o->csv.simd, e))
		return e->code;
	if (now && !timestamp_parse(now, strlen(now), &o->now_us))
		return err_set(e, ERR_USAGE, "--now \"%s\": a time like 2026-11-22T15:00:00Z is needed", now);
	o->show_defects = (unsigned)show;
	o->csv.batch_rows = (uint32_t)rows;
	o->spill_dir = cli_get(cli, "spill-dir");
	o->stop = cli->stop;
	return ERR_OK;
}

static void tell_problems(const struct cli *cli, const struct problems *p)
{
	struct buf b;

	if (!p->errors && (!p->warnings || cli->quiet))
		return;
	buf_init(&b, 1 << 20);
	problems_print(p, &b, cli->colour_err);
	fputs(buf_cstr(&b), stderr);
	buf_done(&b);
}

static enum err_code parse_documents(const struct cli *cli, struct documents *d, struct problems *p, struct err *e)
{
	const char *config = cli_get(cli, "config"), *agreement = cli_get(cli, "agreement");
	const struct json *quality = NULL;
	struct span text;
	unsigned before;

	if (file_read(config, DOCUMENT_MAX, cli->arena, &text, e))
		return err_prefix(e, "data file configuration");
	d->data_file = data_file_parse(text, path_base(config), cli->arena, p);
	if (agreement) {
		if (file_read(agreement, DOCUMENT_MAX, cli->arena, &text, e))
			return err_prefix(e, "service agreement");
		p->document = path_base(agreement);
		before = p->errors;
		const struct agreement *a = agreement_parse(text, p->document, cli->arena, p);
		if (!a && p->errors == before)
			return err_oom(e);
		quality = a ? a->quality : NULL;
	}
	if (d->data_file)
		d->plan.quality = quality_plan_new(d->data_file, quality, cli->arena, p);
	d->plan.data_file = d->data_file;
	return ERR_OK;
}

enum err_code documents_load(const struct cli *cli, struct documents *ret, struct err *e)
{
	struct problems p;
	struct documents d = {0};

	if (!cli_get(cli, "config")) {
		err_set(e, ERR_USAGE, "--config is missing: the data file configuration that says what the files hold");
		return err_hint(e, "`mysimbdp infer FILE > data-file.json` writes one from a file");
	}
	if (load_options(cli, &d.plan.options, e))
		return e->code;
	problems_init(&p, path_base(cli_get(cli, "config")), cli->arena);
	if (parse_documents(cli, &d, &p, e)) {
		cli_documents_done(&d);
		return e->code == ERR_NOT_FOUND || e->code == ERR_TOO_BIG ? (e->code = ERR_CONFIG) : e->code;
	}
	tell_problems(cli, &p);
	if (p.errors || !d.plan.quality) {
		cli_documents_done(&d);
		err_set(e, ERR_DOCUMENT, "%u problem%s in the documents", p.errors, p.errors == 1 ? "" : "s");
		return err_hint(e, "mend what is listed above; nothing was read");
	}
	*ret = d;
	return ERR_OK;
}

void cli_documents_done(struct documents *d)
{
	data_file_done(d->data_file);
}

void warn_size(const struct cli *cli, const struct documents *d, const char *path)
{
	struct stat st;
	char have[32], limit[32];

	if (cli->quiet || !d->data_file->max_file_size || strcmp(path, "-") == 0 || stat(path, &st) != 0 ||
	    (uint64_t)st.st_size <= d->data_file->max_file_size)
		return;
	const struct style *s = style_get(cli->colour_err);
	fprintf(stderr,
		"%swarning:%s %s has %s, over max_file_size_mb (%s): the platform would not take it as an upload\n",
		s->yellow, s->reset, path, human_bytes((uint64_t)st.st_size, have),
		human_bytes(d->data_file->max_file_size, limit));
}
