/*
 * tokenise.c: the CSV tokeniser alone: finds every separator and line end outside of quotes, counts them, does no more.
 *
 *   bench/tokenise FILE [portable|avx2|avx512]
 *
 * bench/run prints its rate beside that of `mysimbdp check`, which does the same and all the rest.
 */
#include "format/csv_kernel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (256u << 10)

static uint32_t *list_new(void)
{
	uint32_t *p = calloc(BLOCK + CSV_INDEX_SLACK + 1, sizeof *p);
	if (!p)
		abort();
	return p;
}

/* A whole block, but for the end of the file. */
static size_t fill(int fd, char *buf)
{
	size_t n = 0;
	for (ssize_t r; n < BLOCK && (r = read(fd, buf + n, BLOCK - n)) > 0;)
		n += (size_t)r;
	memset(buf + n, 0, 128);
	return n;
}

static enum simd_level level_named(const char *name)
{
	for (enum simd_level l = SIMD_PORTABLE; l <= SIMD_AVX512; l++) {
		if (strcmp(name, simd_level_name(l)) == 0)
			return l;
	}
	return SIMD_AUTO;
}

int main(int argc, char **argv)
{
	int fd = argc > 1 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0) {
		fprintf(stderr, "usage: tokenise FILE [portable|avx2|avx512]\n");
		return 64;
	}
	const struct csv_kernels *k = csv_kernels_pick(argc > 2 ? level_named(argv[2]) : SIMD_AVX512);
	char *buf = calloc(1, BLOCK + 128);
	uint32_t *mark = list_new(), *nl = list_new(), *dq = list_new();
	struct csv_index ix = {.sep = ',', .quote = '"', .escape = '"', .newline = '\n', .quotes = true,
			       .mark = mark + 1, .nl = nl, .dq = dq, .after_mark = 1, .bad = SIZE_MAX,
			       .bad_utf8 = SIZE_MAX};
	uint64_t bytes = 0, marks = 0, lines = 0;
	for (size_t n; buf && ix.bad == SIZE_MAX && (n = fill(fd, buf)) > 0; bytes += n) {
		ix.at = 0;
		ix.nmark = ix.nnl = ix.ndq = 0;
		k->index(&ix, buf, n);
		marks += ix.nmark;
		lines += ix.nnl;
	}
	printf("%s: %" PRIu64 " bytes, %" PRIu64 " cells, %" PRIu64 " records\n", simd_level_name(k->level), bytes,
	       marks, lines);
	if (ix.bad != SIZE_MAX)
		fprintf(stderr, "tokenise: the grammar breaks; this program is for regular files\n");
	free(buf);
	free(mark);
	free(nl);
	free(dq);
	close(fd);
	return ix.bad != SIZE_MAX;
}
