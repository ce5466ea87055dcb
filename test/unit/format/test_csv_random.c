/*
 * test_csv_random.c: pseudo-random CSV, from nearly regular to nonsense, through the differential check of
 * test/fuzz/fuzz_csv.c (which aborts on a difference). CSV_RANDOM_SEED and CSV_RANDOM_N choose others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t rng;

static uint32_t next(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 11) % n;
}

static const char *const cells[] = {
    "",
    "1",
    "-7",
    "12345678",
    "123456789",
    "2147483647",
    "2147483648",
    "1234567890123456",
    "12345678901234567",
    "9223372036854775807",
    "9223372036854775808",
    "1.5",
    "-0.25",
    "123456.789012",
    "1e5",
    "0.1000000000000000055",
    "2015-08-31",
    "2016-02-30",
    "x",
    "some text",
    "größe",
    "日本語 😀",
    "\"\"",
    "\"q\"",
    "\"a,b\"",
    "\"a\nb\"",
    "\"a\"\"b\"",
    "\"\"\"\"",
    "NA",
    "\\N",
    "0",
    "+5",
    "RED",
    "true",
    "12\" long",
    "-",
    ".",
    "\"7\"",
    "\"2015-08-31\"",
    "'q;r'",
    "a rather long text that goes over one word of sixty-four bytes and then some more of it",
    "\"\r\n\"",
};
static const char *const odd[] = {
    "\"",   "\"x", "x\"y", "\"a\"b", "\xff", "\xe6\x97", "\\\"",	 "\r",		 "\n",
    "\n\n", "'",   "\\",   "\"\"\"", ",",    ";",	 "\xed\xa0\x80", "\xf0\x9f\x98", "not a value",
};

#define PICK(list) list[next(sizeof list / sizeof *list)]

static void add(uint8_t *text, size_t *n, size_t cap, const char *s)
{
	size_t len = strlen(s);
	if (*n + len < cap) {
		memcpy(text + *n, s, len);
		*n += len;
	}
}

static void one(unsigned seed)
{
	static const uint32_t ncol[] = {1, 2, 3, 8};
	uint8_t text[6000];
	size_t n = 3;
	rng = 0x9e3779b97f4a7c15u * (seed + 1) | 1;
	for (int i = 0; i < 20; i++)
		(void)next(2);
	/* mostly the plain dialect and limits */
	text[0] = (uint8_t)(next(3) ? 0 : next(256));
	text[1] = (uint8_t)next(16);
	text[2] = (uint8_t)(next(3) ? 0 : next(16));
	uint32_t cols = ncol[text[1] & 3], rows = next(60), mess = next(4), crlf = next(3);
	for (uint32_t r = 0; r < rows; r++) {
		uint32_t have = mess && !next(8) ? next(10) : cols;
		for (uint32_t c = 0; c < have; c++) {
			add(text, &n, sizeof text, PICK(cells));
			if (mess && !next(20u / mess))
				add(text, &n, sizeof text, PICK(odd));
			if (c + 1 < have)
				add(text, &n, sizeof text, text[0] & 1 ? ";" : ",");
		}
		if (mess > 2 && !next(40) && n < sizeof text)
			text[n++] = 0;
		if (r + 1 < rows || next(2))
			add(text, &n, sizeof text, crlf == 1 || (crlf == 2 && next(2)) ? "\r\n" : "\n");
	}
	uint8_t *exact = malloc(n);
	memcpy(exact, text, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

static void every_level_and_block_agrees(void **state)
{
	const char *seed = getenv("CSV_RANDOM_SEED"), *count = getenv("CSV_RANDOM_N");
	unsigned from = seed ? (unsigned)atoi(seed) : 0, n = count ? (unsigned)atoi(count) : 600;
	for (unsigned i = 0; i < n; i++)
		one(from + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_level_and_block_agrees)};
	return cmocka_run_group_tests_name("csv random", tests, NULL, NULL);
}
