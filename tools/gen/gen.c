/*
 * gen.c: data of the two sample tenants' shapes, for the demo, the benchmarks and the tests.
 *
 *   mysimbdp-gen client_a --rows 1000000 --max-mb 50 --out DIR      DIR/client_a-001.csv, -002.csv ...
 *   mysimbdp-gen client_b --rows 2000 > reviews.csv
 *
 * The same arguments give the same bytes on every machine. Every record has its own primary key, in random order:
 * record i's key is a fixed permutation of i, chosen by --keys, so that two files with the same --keys and other
 * --seed are two states of the same things. client_a: about 100 bytes a record, nothing quoted. client_b: about 500,
 * about a quarter of its cells quoted, some with separators, doubled quotes, line ends and text that is not ASCII.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define POOL 5000
#define TEXT_MAX 2048
#define ROW_MAX 16384

struct settings {
	bool reviews;
	uint64_t rows, seed, keys, null_permille, bad_permille, max_bytes;
	const char *out;
};

/* Sebastiano Vigna's splitmix64 (public domain): one state word, any seed is fine. */
static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* 0..n-1, by multiplication instead of division (Lemire, "Fast random integer generation in an interval", 2019). */
static uint32_t below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((next(state) >> 32) * n >> 32);
}

/* A bijection of 0..2^bits-1: odd multiplications and xor-shifts can be undone. */
static uint64_t permute(uint64_t i, uint64_t key, unsigned bits)
{
	uint64_t mask = (1ull << bits) - 1;
	for (int round = 0; round < 3; round++) {
		i = (i * 0x9e3779b97f4a7c15u + key) & mask;
		i ^= i >> (bits / 2);
	}
	return i;
}

static char *put_text(char *p, const char *s)
{
	size_t n = strlen(s);
	memcpy(p, s, n);
	return p + n;
}

/* At least `width` digits. */
static char *put_number(char *p, uint64_t v, int width)
{
	char digits[20];
	int n = 0;
	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (n < width)
		digits[n++] = '0';
	while (n > 0)
		*p++ = digits[--n];
	return p;
}

/* The 63 province codes of the sample's country. */
static const char provinces[63][4] = {
    "AGG", "BDG", "BDH", "BGG", "BKN", "BLU", "BNH", "BPC", "BRV", "BTE", "BTN", "CBG", "CMU", "CTO", "DBN", "DLK",
    "DNG", "DNI", "DNO", "DTP", "GLI", "HBH", "HCM", "HDG", "HGG", "HKD", "HNI", "HNM", "HPG", "HTH", "HUE", "HYN",
    "KGG", "KHA", "KTM", "LAN", "LCI", "LCU", "LDG", "LSN", "NAN", "NBH", "NDH", "NTN", "PTO", "PYN", "QBH", "QNH",
    "QNI", "QNM", "QTI", "SLA", "STG", "TBH", "TGG", "THA", "TNH", "TNN", "TQG", "TVH", "VLG", "VPC", "YBI"};

static const char header_a[] = "PROVINCECODE,DEVICEID,IFINDEX,FRAME,SLOT,PORT,ONUINDEX,ONUID,TIME,SPEEDIN,SPEEDOUT\n";

/* A key is 12 bits of device, 4 of slot, 4 of port, 7 of unit. */
static char *put_speed(char *p, const struct settings *s, uint64_t i, uint64_t *rng)
{
	uint64_t k = permute(i, s->keys, 27);
	uint64_t device = 2222771642000 + (k >> 15);
	uint64_t slot = 1 + (k >> 11 & 15), port = 1 + (k >> 7 & 15), unit = 1 + (k & 127);
	uint64_t luck = below(rng, 1000);
	p = put_text(p, provinces[(k >> 15) % 63]);
	*p++ = ',';
	p = put_number(p, device, 0);
	*p++ = ',';
	p = put_number(p, 6828878000000 + slot * 100000 + port * 1000 + unit, 0);
	p = put_text(p, ",1,");
	p = put_number(p, slot, 0);
	*p++ = ',';
	p = put_number(p, port, 0);
	*p++ = ',';
	p = put_number(p, unit, 0);
	*p++ = ',';
	p = put_number(p, device, 0);
	p = put_number(p, slot, 3);
	p = put_number(p, port, 2);
	p = put_number(p, unit, 3);
	*p++ = ',';
	p = put_number(p, 1 + below(rng, 28), 2);
	p = put_text(p, "/08/2019 ");
	p = put_number(p, below(rng, 24), 2);
	*p++ = ':';
	p = put_number(p, below(rng, 60), 2);
	*p++ = ':';
	p = put_number(p, below(rng, 60), 2);
	*p++ = ',';
	uint32_t speed = below(rng, 2000000);
	if (luck < s->bad_permille)
		p = put_text(p, "n/a");
	else if (luck >= s->bad_permille + s->null_permille)
		p = put_number(p, speed, 0);
	*p++ = ',';
	p = put_number(p, below(rng, 200000), 0);
	*p++ = '\n';
	return p;
}

static const char header_b[] =
    "marketplace,customer_id,review_id,product_id,product_parent,product_title,product_category,star_rating,"
    "helpful_votes,total_votes,vine,verified_purchase,review_headline,review_body,review_date\n";

/* Texts made once; records pick among them. */
struct texts {
	char (*body)[TEXT_MAX], (*title)[TEXT_MAX], (*headline)[TEXT_MAX];
};

static void make_text(char out[TEXT_MAX], uint64_t *rng, uint32_t words, uint32_t uncommon_percent)
{
	static const char *const common[] = {
	    "the",    "of",    "and",	"a",	 "to",	  "in",	   "is",    "you",    "that", "it",    "he",
	    "was",    "for",   "on",	"are",	 "as",	  "with",  "his",   "they",   "at",   "be",    "this",
	    "have",   "from",  "or",	"one",	 "had",	  "by",	   "but",   "not",    "what", "all",   "were",
	    "we",     "when",  "your",	"can",	 "said",  "there", "use",   "an",     "each", "which", "she",
	    "do",     "how",   "their", "if",	 "will",  "up",	   "other", "about",  "out",  "many",  "then",
	    "them",   "these", "so",	"some",	 "her",	  "would", "make",  "like",   "him",  "into",  "time",
	    "has",    "look",  "two",	"more",	 "write", "go",	   "see",   "number", "no",   "way",   "could",
	    "people", "my",    "than",	"first", "water", "been",  "call",  "who",    "oil"};
	static const char *const uncommon[] = {
	    "s\u1ea3n ph\u1ea9m t\u1ed1t", "tr\u00e8s bien", "gr\u00f6\u00dfer",
	    "\u65e5\u672c\u8a9e",	   "\U0001f600",     "\u03ba\u03b1\u03bb\u03cc"};
	static const char *const joints[] = {" ", " ", " ", " ",  " ",	" ",	    " ",
					     " ", " ", " ", ", ", ". ", " \"so\" ", "\n"};
	char *p = out;
	for (uint32_t i = 0; i < words; i++) {
		/* Most texts have plain spaces only; every third one has the joints that need quotes. */
		if (i > 0)
			p = put_text(p, joints[below(rng, words % 3 ? 10 : 14)]);
		p = put_text(p, common[below(rng, sizeof common / sizeof *common)]);
	}
	if (below(rng, 100) < uncommon_percent) {
		*p++ = ' ';
		p = put_text(p, uncommon[below(rng, sizeof uncommon / sizeof *uncommon)]);
	}
	*p = 0;
}

static void texts_done(struct texts *t)
{
	free(t->body);
	free(t->title);
	free(t->headline);
}

static bool make_texts(struct texts *t, uint64_t seed)
{
	uint64_t rng = seed ^ 0x7e87;
	*t = (struct texts){calloc(POOL, TEXT_MAX), calloc(POOL, TEXT_MAX), calloc(POOL, TEXT_MAX)};
	if (!t->body || !t->title || !t->headline)
		return false;
	for (int i = 0; i < POOL; i++) {
		make_text(t->body[i], &rng, 45 + below(&rng, 65), 30);
		make_text(t->title[i], &rng, 4 + below(&rng, 8), 20);
		make_text(t->headline[i], &rng, 2 + below(&rng, 4), 10);
	}
	return true;
}

/* A cell, in quotes when it must or when asked. */
static char *put_cell(char *p, const char *s, bool quotes)
{
	if (!quotes && !strpbrk(s, "\",\n"))
		return put_text(p, s);
	*p++ = '"';
	for (; *s; s++) {
		if (*s == '"')
			*p++ = '"';
		*p++ = *s;
	}
	*p++ = '"';
	return p;
}

static char *put_number_cell(char *p, uint64_t v, bool quotes)
{
	if (quotes)
		*p++ = '"';
	p = put_number(p, v, 0);
	if (quotes)
		*p++ = '"';
	*p++ = ',';
	return p;
}

static char *put_review(char *p, const struct settings *s, const struct texts *t, uint64_t i, uint64_t *rng)
{
	uint64_t k = permute(i, s->keys, 36), luck = below(rng, 1000);
	uint64_t random = next(rng);
	uint32_t quotes = (uint32_t)(random & random >> 32); /* a quarter of the bits set */
	p = put_text(p, "US,");
	p = put_number_cell(p, 10000000 + below(rng, 90000000), quotes & 1);
	*p++ = 'R';
	for (int digit = 32; digit >= 0; digit -= 4)
		*p++ = "0123456789ABCDEF"[k >> digit & 15];
	p = put_text(p, ",B00");
	p = put_number(p, k % 10000000, 7);
	*p++ = ',';
	p = put_number_cell(p, 100000000 + below(rng, 900000000), quotes & 2);
	p = put_cell(p, t->title[below(rng, POOL)], quotes & 4);
	p = put_text(p, quotes & 8 ? ",\"PC\"," : ",PC,");
	if (luck < s->bad_permille)
		p = put_text(p, "five,");
	else
		p = put_number_cell(p, 1 + below(rng, 5), quotes & 16);
	p = put_number_cell(p, below(rng, 300), quotes & 32);
	p = put_number_cell(p, below(rng, 400), quotes & 64);
	p = put_text(p, quotes & 128 ? "\"N\"," : "N,");
	p = put_text(p, below(rng, 10) < 7 ? "Y," : "N,");
	if (luck < s->bad_permille || luck >= s->bad_permille + s->null_permille)
		p = put_cell(p, t->headline[below(rng, POOL)], quotes & 256);
	*p++ = ',';
	p = put_cell(p, t->body[below(rng, POOL)], true);
	p = put_text(p, ",20");
	p = put_number(p, 5 + below(rng, 11), 2);
	*p++ = '-';
	p = put_number(p, 1 + below(rng, 12), 2);
	*p++ = '-';
	p = put_number(p, 1 + below(rng, 28), 2);
	*p++ = '\n';
	return p;
}

static FILE *open_part(const struct settings *s, unsigned part)
{
	if (!s->out)
		return part == 0 ? stdout : NULL;
	char path[4096];
	const char *tenant = s->reviews ? "client_b" : "client_a";
	if (s->max_bytes)
		snprintf(path, sizeof path, "%s/%s-%03u.csv", s->out, tenant, part + 1);
	else
		snprintf(path, sizeof path, "%s/%s.csv", s->out, tenant);
	FILE *f = fopen(path, "w");
	if (!f)
		fprintf(stderr, "gen: can't write \"%s\": %s\n", path, strerror(errno));
	return f;
}

static bool close_part(FILE *f)
{
	if (f && fflush(f) == 0 && !ferror(f) && (f == stdout || fclose(f) == 0))
		return true;
	if (f)
		fprintf(stderr, "gen: can't write: %s\n", strerror(errno));
	return false;
}

static bool generate(const struct settings *s, const struct texts *texts)
{
	const char *header = s->reviews ? header_b : header_a;
	uint64_t rng = s->seed, written = 0;
	unsigned part = 0;
	char row[ROW_MAX];
	FILE *f = open_part(s, part);
	if (f)
		written = fwrite(header, 1, strlen(header), f);
	for (uint64_t i = 0; f && i < s->rows; i++) {
		char *end = s->reviews ? put_review(row, s, texts, i, &rng) : put_speed(row, s, i, &rng);
		size_t n = (size_t)(end - row);
		if (s->max_bytes && written + n > s->max_bytes) {
			if (!close_part(f))
				return false;
			f = open_part(s, ++part);
			written = f ? fwrite(header, 1, strlen(header), f) : 0;
		}
		if (f)
			written += fwrite(row, 1, n, f);
	}
	return close_part(f);
}

static int usage(FILE *to, int code)
{
	fputs("usage: mysimbdp-gen client_a|client_b --rows N [options]\n\n"
	      "  --rows N      how many records\n"
	      "  --seed N      other values (default 1)\n"
	      "  --keys N      other primary keys (default 1)\n"
	      "  --nulls N     so many in 1000 records have an empty cell (default 0)\n"
	      "  --bad N       so many in 1000 records have a cell of the wrong type (default 0)\n"
	      "  --max-mb N    begin a new file before it gets larger (1 MB = 1048576 bytes); needs --out\n"
	      "  --out DIR     write there instead of to standard output\n",
	      to);
	return code;
}

static bool parse_number(const char *s, uint64_t *ret)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(s, &end, 10);
	*ret = v;
	return *s >= '0' && *s <= '9' && !*end && errno == 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(stdout, 0);
	struct settings s = {.seed = 1, .keys = 1};
	if (argc < 2 || argc % 2 != 0 || (strcmp(argv[1], "client_a") != 0 && strcmp(argv[1], "client_b") != 0))
		return usage(stderr, 64);
	s.reviews = strcmp(argv[1], "client_b") == 0;
	const struct {
		const char *name;
		uint64_t *to;
	} numbers[] = {{"--rows", &s.rows},	      {"--seed", &s.seed},	  {"--keys", &s.keys},
		       {"--nulls", &s.null_permille}, {"--bad", &s.bad_permille}, {"--max-mb", &s.max_bytes}};
	for (int i = 2; i < argc; i += 2) {
		bool good = strcmp(argv[i], "--out") == 0;
		if (good)
			s.out = argv[i + 1];
		for (size_t k = 0; !good && k < sizeof numbers / sizeof *numbers; k++)
			good = strcmp(argv[i], numbers[k].name) == 0 && parse_number(argv[i + 1], numbers[k].to);
		if (!good) {
			fprintf(stderr, "gen: don't understand \"%s %s\"\n", argv[i], argv[i + 1]);
			return usage(stderr, 64);
		}
	}
	if ((s.max_bytes && !s.out) || s.rows > (s.reviews ? 1ull << 36 : 1ull << 27))
		return usage(stderr, 64);
	s.max_bytes <<= 20;
	if (s.out && mkdir(s.out, 0777) < 0 && errno != EEXIST) {
		fprintf(stderr, "gen: can't make \"%s\": %s\n", s.out, strerror(errno));
		return 1;
	}
	struct texts texts = {0};
	bool good = (!s.reviews || make_texts(&texts, s.seed)) && generate(&s, &texts);
	texts_done(&texts);
	return good ? 0 : 1;
}
