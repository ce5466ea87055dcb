/*
 * sink_load.c: the store's part of loading, without reading files: rows of client_a's shape in random order are packed,
 * sorted on disk and written by the SQLite sink; a second pass writes all keys again as updates.
 *
 *   build/bench/sink_load DIR [ROWS [SORT_MIB]]
 */
#include "base/clock.h"
#include "base/extsort.h"
#include "sink/sink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define BATCH 8192
#define CHUNK 4096
#define TX_BYTES (32u << 20)

static const struct field fields[] = {
    {.name = "PROVINCECODE", .type = AVRO_T_STRING, .storage = STORE_TEXT},
    {.name = "DEVICEID", .type = AVRO_T_STRING, .storage = STORE_TEXT},
    {.name = "IFINDEX", .type = AVRO_T_LONG, .storage = STORE_I64},
    {.name = "FRAME", .type = AVRO_T_INT, .storage = STORE_I64},
    {.name = "SLOT", .type = AVRO_T_INT, .storage = STORE_I64},
    {.name = "PORT", .type = AVRO_T_INT, .storage = STORE_I64},
    {.name = "ONUINDEX", .type = AVRO_T_INT, .storage = STORE_I64},
    {.name = "ONUID", .type = AVRO_T_STRING, .storage = STORE_TEXT},
    {.name = "TIME", .type = AVRO_T_STRING, .storage = STORE_TEXT},
    {.name = "SPEEDIN", .type = AVRO_T_DOUBLE, .storage = STORE_F64},
    {.name = "SPEEDOUT", .type = AVRO_T_DOUBLE, .storage = STORE_F64},
};
static const struct schema schema = {.name = "analytics", .ns = "", .fields = fields, .nfields = 11};
static const uint32_t key[] = {0, 1, 7};
static const struct data_file data_file = {.name = "speed",
					   .file_type = "csv",
					   .key_space = "bench",
					   .schema = &schema,
					   .key = key,
					   .nkey = 3,
					   .npartition = 1};

static struct err err;

static void must(enum err_code rc)
{
	if (rc == ERR_OK)
		return;
	fprintf(stderr, "%s\n%s\n", err.msg, err.hint);
	exit(1);
}

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint32_t rnd(uint64_t *s, uint32_t below)
{
	*s = *s * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*s >> 33) % below);
}

/* The cell is what was just written behind `used`. */
static void cell(struct batch *b, size_t *used, uint32_t r, int f, int n)
{
	b->col[f].ref[r] = (struct cell_ref){(uint32_t)*used, (uint32_t)n};
	*used += (size_t)n;
}

static void fill(struct batch *b, char *data, uint64_t *seed, uint32_t n, int pass)
{
	static const char provinces[8][4] = {"HKD", "HCM", "HNI", "DNG", "HPG", "CTO", "BDG", "DNI"};
	size_t used = 0;
	for (uint32_t r = 0; r < n; r++) {
		uint64_t device = 2222771642000 + rnd(seed, 4000), slot = 1 + rnd(seed, 17), port = 1 + rnd(seed, 16);
		uint64_t onu = 1 + rnd(seed, 128), i = b->first_row + r;
		cell(b, &used, r, 0, snprintf(data + used, 8, "%s", provinces[rnd(seed, 8)]));
		cell(b, &used, r, 1, snprintf(data + used, 24, "%" PRIu64, device));
		b->col[2].i64[r] = (int64_t)(6828878000000 + slot * 100000 + port * 1000 + onu);
		b->col[3].i64[r] = 1;
		b->col[4].i64[r] = (int64_t)slot;
		b->col[5].i64[r] = (int64_t)port;
		b->col[6].i64[r] = (int64_t)onu;
		cell(b, &used, r, 7,
		     snprintf(data + used, 32, "%09" PRIu64 "%09" PRIu64, device % 1000000000,
			      slot * 10000000 + port * 100000 + onu * 100 + i % 97));
		cell(b, &used, r, 8,
		     snprintf(data + used, 32, "%02" PRIu64 "/08/2019 11:38:%02" PRIu64, 1 + i % 28, i % 60));
		b->col[9].f64[r] = rnd(seed, 2000000) + pass;
		b->col[10].f64[r] = rnd(seed, 200000);
	}
	b->nrow = n;
	b->data = data;
}

static struct extsort *sort(uint32_t rows, size_t memory, const char *dir, int pass)
{
	struct packed_plan plan = data_file_packed_plan(&data_file);
	struct batch *b = batch_new(&schema, BATCH);
	char *data = malloc(BATCH * 128);
	struct extsort *s;
	uint64_t seed = 1;
	must(extsort_new(&(struct extsort_options){.dir = dir, .memory = memory, .background = true, .last_only = true},
			 &s, &err));
	int64_t pack_ns = 0, t;
	for (uint32_t done = 0; done < rows; done += BATCH) {
		b->first_row = done + 1;
		fill(b, data, &seed, rows - done < BATCH ? rows - done : BATCH, pass);
		t = clock_mono_ns();
		for (uint32_t r = 0; r < b->nrow; r++) {
			size_t key_len, n = packed_size(&plan, b, r, &key_len);
			void *to;
			must(extsort_reserve(s, n, sizeof(struct packed_row), key_len, &to, &err));
			packed_write(&plan, b, r, to);
		}
		pack_ns += clock_mono_ns() - t;
	}
	t = clock_mono_ns();
	must(extsort_finish(s, &err));
	struct extsort_stats st;
	extsort_stats(s, &st);
	printf("  pack and add %.3f s, finish %.3f s, %u runs, %.0f MB spilled\n", (double)pack_ns / 1e9,
	       (double)(clock_mono_ns() - t) / 1e9, st.runs, (double)st.spilled_bytes / 1e6);
	free(data);
	batch_free(b);
	return s;
}

static void deliver(struct sink *s, struct extsort *sorted)
{
	const void *const *recs;
	size_t n, tx = 0;
	uint64_t rank = 0, delivered = 0, superseded = 0;
	do {
		struct sink_result res;
		struct sink_refusal refusal;
		must(extsort_next_block(sorted, &recs, &n, &rank, &err));
		for (size_t i = 0; i < n; i++)
			tx += ((const struct packed_row *)recs[i])->size;
		struct sink_rows rows = {(const struct packed_row *const *)recs, (uint32_t)n, rank, n && tx < TX_BYTES};
		tx = rows.more ? tx : 0;
		must(sink_sqlite.write(s, &rows, &res, &refusal, &err));
		delivered += res.delivered;
		superseded += res.superseded;
	} while (n);
	printf("  %" PRIu64 " delivered, %" PRIu64 " superseded\n", delivered, superseded);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	uint32_t rows = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000000;
	size_t memory = (argc > 3 ? strtoul(argv[3], NULL, 10) : 8ul) << 20;
	struct sink *s;
	must(sink_sqlite.open(argv[1], &data_file, &s, &err));
	must(sink_sqlite.table(s, &err));
	int64_t now = clock_now_us();
	for (int pass = 0; pass < 2; pass++) {
		int64_t t0 = clock_mono_ns();
		struct sink_file f = {now + pass, "bench.csv", now + (int64_t)pass * rows, 1};
		uint64_t position;
		must(sink_sqlite.begin(s, &f, &position, &err));
		struct extsort *sorted = sort(rows, memory, argv[1], pass);
		int64_t t1 = clock_mono_ns();
		double c1 = cpu();
		deliver(s, sorted);
		must(sink_sqlite.end(s, &err));
		extsort_free(sorted);
		int64_t t2 = clock_mono_ns();
		printf("%s: sort %.3f s, store %.3f s (%.3f s of its thread)\n", pass ? "updates" : "inserts",
		       (double)(t1 - t0) / 1e9, (double)(t2 - t1) / 1e9, cpu() - c1);
	}
	int64_t t = clock_mono_ns();
	sink_sqlite.close(s);
	struct rusage ru;
	getrusage(RUSAGE_SELF, &ru);
	printf("close %.3f s, peak memory %ld MiB\n", (double)(clock_mono_ns() - t) / 1e9, ru.ru_maxrss / 1024);
	return 0;
}
