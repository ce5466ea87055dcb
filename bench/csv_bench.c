/*
 * csv_bench.c: how fast the CSV reader is, in its stages.
 *
 *   csv_bench [-l portable|avx2|avx512] [-b BLOCK] [-r REPEATS] [-s STAGE] TYPES FILE
 *
 * TYPES has a letter for each column of the file: T text, I int, J long, D double, A date, - ignored. Each stage is the
 * one before it and more: read (the file through the page cache), index (records found, nothing converted; UTF-8 is
 * checked), text (each cell a span), typed (as TYPES says). Prints bytes by CPU time, the best of the repeats.
 */
#include "format/csv_raw.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* CPU time: other processes on the core are not the reader's fault. */
static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct result {
	double seconds;
	uint64_t bytes, records, rejected, sum;
};

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "csv_bench: %s: %s\n", what, e->msg);
	exit(3);
}

/* A schema for the file's columns; stage 't' all text, 'i' none, else as types says. */
static struct schema make_schema(const char *file, const char *types, char stage, struct field *f)
{
	struct csv_dialect d = {.quote = '"'};
	struct source *src;
	struct csv_raw *raw;
	struct raw_row row;
	struct err e;
	bool more;
	if (source_open(file, NULL, &src, &e) || csv_raw_open(src, &d, NULL, &raw, &e) ||
	    csv_raw_next(raw, &row, &more, &e))
		die(file, &e);
	uint32_t n = 0;
	for (uint32_t c = 0; more && c < row.ncell && types[c] && stage != 'i'; c++) {
		char t = stage == 't' ? 'T' : types[c];
		if (types[c] == '-')
			continue;
		f[n] = (struct field){.name = strndup(row.cell[c].text.p, row.cell[c].text.n),
				      .type = AVRO_T_STRING,
				      .storage = STORE_TEXT,
				      .nullable = true};
		if (t == 'I' || t == 'J') {
			f[n].type = t == 'I' ? AVRO_T_INT : AVRO_T_LONG;
			f[n].storage = STORE_I64;
		} else if (t == 'D') {
			f[n].type = AVRO_T_DOUBLE;
			f[n].storage = STORE_F64;
		} else if (t == 'A') {
			f[n].logical = LOGICAL_DATE;
			f[n].storage = STORE_I64;
		}
		n++;
	}
	csv_raw_close(raw);
	source_close(src);
	return (struct schema){"bench", "", f, n};
}

static struct result run(const char *file, const struct schema *s, const struct csv_options *opt)
{
	struct csv_plan plan = {.schema = s, .dialect = {.quote = '"', .header = true}};
	struct batch *b = batch_new(s, 4096);
	struct result res = {0};
	struct source *src;
	struct csv_reader *r;
	struct err e;
	bool more = true;
	int64_t t = cpu_ns();
	if (!b || source_open(file, NULL, &src, &e) || csv_open(src, &plan, opt, &r, &e))
		die(file, &e);
	while (more) {
		if (csv_next(r, b, &more, &e))
			die(file, &e);
		res.records += b->nrow;
		res.rejected += b->nbad;
		for (uint32_t f = 0; f < s->nfields && b->nrow; f++)
			res.sum += b->col[f].i64 ? (uint64_t)b->col[f].i64[0] : b->col[f].null[0];
	}
	res.bytes = source_bytes(src);
	csv_close(r);
	source_close(src);
	batch_free(b);
	res.seconds = (double)(cpu_ns() - t) / 1e9;
	return res;
}

static struct result read_only(const char *file, size_t block)
{
	struct result res = {0};
	struct source *src;
	struct err e;
	size_t n = 1;
	int64_t t = cpu_ns();
	block = block ? block : 256u << 10;
	char *buf = malloc(block);
	if (!buf || source_open(file, NULL, &src, &e))
		die(file, &e);
	while (n)
		if (source_read(src, buf, block, &n, &e))
			die(file, &e);
	res.bytes = source_bytes(src);
	source_close(src);
	free(buf);
	res.seconds = (double)(cpu_ns() - t) / 1e9;
	return res;
}

int main(int argc, char **argv)
{
	static struct field fields[SCHEMA_FIELDS_MAX];
	struct csv_options opt = {0};
	const char *only = NULL;
	int repeats = 5, o;
	while ((o = getopt(argc, argv, "l:b:r:s:")) != -1) {
		if (o == 'b')
			opt.block = strtoul(optarg, NULL, 10);
		else if (o == 'r')
			repeats = (int)strtol(optarg, NULL, 10);
		else if (o == 's')
			only = optarg;
		for (enum simd_level l = SIMD_AUTO; o == 'l' && l <= SIMD_AVX512; l++)
			if (strcmp(optarg, simd_level_name(l)) == 0)
				opt.simd = l;
	}
	if (o == '?' || argc - optind != 2) {
		fprintf(stderr, "usage: csv_bench [-l LEVEL] [-b BLOCK] [-r REPEATS] [-s STAGE] TYPES FILE\n");
		return 64;
	}
	static const struct {
		char stage;
		const char *name;
	} stages[] = {{'r', "read"}, {'i', "index"}, {'t', "text"}, {'y', "typed"}};
	for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
		struct result best = {.seconds = 1e9};
		if (only && strcmp(only, stages[i].name) != 0)
			continue;
		for (int k = 0; k < repeats; k++) {
			struct schema s = make_schema(argv[optind + 1], argv[optind], stages[i].stage, fields);
			struct result r = stages[i].stage == 'r' ? read_only(argv[optind + 1], opt.block)
								 : run(argv[optind + 1], &s, &opt);
			if (r.seconds < best.seconds)
				best = r;
		}
		printf("%-6s %7.0f MB/s  %9llu records, %llu rejected\n", stages[i].name,
		       (double)best.bytes / 1e6 / best.seconds, (unsigned long long)best.records,
		       (unsigned long long)best.rejected);
	}
	return 0;
}
