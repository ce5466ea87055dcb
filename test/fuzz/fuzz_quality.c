/*
 * fuzz_quality.c: an agreement's "quality" part with hostile patterns, formats, lists and limits; when it is good, its
 * rules run over a batch whose texts are the document itself. The answer must come within bounded memory and time.
 */
#include "quality/gate.h"

#include <stdlib.h>

#define ROWS 4

static const char document[] =
    "{\"name\":\"n\",\"file_type\":\"csv\",\"key_space\":\"k\",\"csv.first.row.as.header\":true,\"schema\":{"
    "\"type\":\"record\",\"name\":\"t\",\"fields\":[{\"name\":\"i\",\"type\":\"long\"},"
    "{\"name\":\"d\",\"type\":[\"null\",\"double\"]},{\"name\":\"s\",\"type\":[\"null\",\"string\"]},"
    "{\"name\":\"t\",\"type\":\"string\"},{\"name\":\"day\",\"type\":\"string\",\"logicalType\":\"date\"}]},"
    "\"primary_key\":[\"i\"],\"max_file_size_mb\":1}";

static void fill(struct batch *b, const uint8_t *data, size_t n)
{
	b->data = (const char *)data;
	b->nrow = ROWS;
	b->first_row = 1;
	for (uint32_t r = 0; r < ROWS; r++) {
		uint32_t from = (uint32_t)(n * r / ROWS), to = (uint32_t)(n * (r + 1) / ROWS);
		b->col[0].i64[r] = n ? (int64_t)data[from] - 64 : 0;
		b->col[1].f64[r] = (double)r / 2;
		b->col[1].null[r] = r == 1;
		b->col[2].ref[r] = b->col[3].ref[r] = (struct cell_ref){from, to - from};
		b->col[2].null[r] = r == 2;
		b->col[4].i64[r] = r * 10000;
	}
	b->col[1].any_null = b->col[2].any_null = true;
}

static void run(const struct quality_plan *plan, const struct schema *schema, const uint8_t *data, size_t n)
{
	struct gate_options opt = {.now_us = INT64_C(1700000000000000), .file_time_us = 1, .memory = 1 << 20};
	struct err e = {0};
	struct gate *g = NULL;
	struct verdict v;
	struct batch *b = batch_new(schema, ROWS);

	if (b && gate_new(plan, &opt, &g, &e) == ERR_OK) {
		fill(b, data, n);
		if (gate_batch(g, b, &e) == ERR_OK && gate_finish(g, &v, &e) == ERR_OK && v.accepted > v.records)
			abort();
	}
	gate_free(g);
	batch_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct problems p;
	struct json *quality = NULL;
	struct err e = {0};

	arena_init(&a, (size_t)64 << 20);
	problems_init(&p, "d", &a);
	struct data_file *df = data_file_parse(span_str(document), "d", &a, &p);
	if (!df)
		abort();
	if (json_parse((struct span){(const char *)data, n}, &a, &quality, &e) == ERR_OK) {
		const struct quality_plan *plan = quality_plan_new(df, quality, &a, &p);
		if (plan)
			run(plan, df->schema, data, n);
	}
	data_file_done(df);
	arena_done(&a);
	return 0;
}
