/*
 * fuzz_documents.c: any bytes as a data file configuration and as a service agreement. What is taken has what its users
 * rely on; what is refused says why; a schema that is taken can be written and read again.
 */
#include "tenant/agreement.h"
#include "tenant/data_file.h"

#include <stdint.h>
#include <stdlib.h>

#define CHECK(x)                                                                                                       \
	do {                                                                                                           \
		if (!(x))                                                                                              \
			abort();                                                                                       \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_data_file(const struct data_file *d, struct arena *a)
{
	struct buf out;
	struct jsonw w;
	struct json *root;
	struct problems p;
	CHECK(d->schema && d->schema->nfields > 0 && d->name && d->key_space && d->pattern && d->regex_ready);
	CHECK(d->npartition <= d->nkey && d->nkey <= KEY_FIELDS_MAX);
	for (uint32_t i = 0; i < d->nkey; i++)
		CHECK(d->key[i] < d->schema->nfields);
	CHECK(d->csv.separator && d->csv.separator != d->csv.quote && d->csv.charset);
	(void)data_file_matches(d, "a.csv");
	buf_init(&out, 16 << 20);
	jsonw_init(&w, &out);
	schema_write(d->schema, &w);
	problems_init(&p, "again", a);
	CHECK(!out.failed && json_parse(span_str(buf_cstr(&out)), a, &root, NULL) == ERR_OK);
	CHECK(schema_parse(root, "$", a, &p) != NULL);
	buf_done(&out);
}

static void check_agreement(const struct agreement *g)
{
	CHECK(g->client && !tenant_id_check(g->client) && g->time_zone && g->napps > 0 && g->max_files_per_run > 0);
	for (uint32_t i = 0; i < g->napps; i++) {
		const struct app *app = &g->apps[i];
		CHECK(app->name && app->timeout_s > 0 && app->mode == APP_BATCH);
		CHECK(!app->command || app->command[0]);
		if (app->has_schedule)
			(void)cron_next(&app->schedule, 1800000000);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	struct arena a;
	struct problems p;
	struct buf out;
	if (size > 65536)
		return 0;
	arena_init(&a, 64 << 20);
	buf_init(&out, 16 << 20);
	problems_init(&p, "document", &a);
	struct data_file *d = data_file_parse(text, "data-file.json", &a, &p);
	CHECK(d ? p.errors == 0 : p.errors > 0);
	if (d)
		check_data_file(d, &a);
	data_file_done(d);
	problems_print(&p, &out, true);
	problems_init(&p, "document", &a);
	struct agreement *g = agreement_parse(text, "service-agreement.json", &a, &p);
	CHECK(g ? p.errors == 0 : p.errors > 0);
	if (g)
		check_agreement(g);
	problems_print(&p, &out, true);
	for (size_t i = 0; i < out.n; i++) /* nothing for a terminal but our own colours */
		CHECK((unsigned char)out.p[i] >= ' ' || out.p[i] == '\n' ||
		      (out.p[i] == '\033' && out.p[i + 1] == '['));
	buf_done(&out);
	arena_done(&a);
	return 0;
}
