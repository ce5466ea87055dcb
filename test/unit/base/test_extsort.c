/*
 * test_extsort.c: the external sort against qsort over the same records: all key shapes, in memory, spilled, in several
 * merge passes, with and without its thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/extsort.h"
#include "base/fault.h"
#include "base/sortkey.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MEMORY_FACTOR 40 /* shadow memory, quarantine */
#else
#define MEMORY_FACTOR 1
#endif

/* A test record: its number, then the key at an odd place, then filling that depends on the number. */
struct model {
	uint32_t n;
	uint8_t **rec;
	size_t *len, *koff, *klen;
};

enum shape { RANDOM, SHARED_PREFIX, ALL_EQUAL, EMPTY, PREFIXES, SORTED, REVERSED, LONG_KEYS, DIGITS, SHAPES };

static uint64_t seed = 88172645463325252u;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 11) % below;
}

static size_t make_key(enum shape shape, uint32_t i, uint32_t n, uint8_t *out)
{
	switch (shape) {
	case RANDOM:
		for (int k = 0; k < 12; k++)
			out[k] = (uint8_t)rnd(256);
		return 4 + rnd(9);
	case SHARED_PREFIX:
		memset(out, 'p', 300);
		return 300 + (size_t)snprintf((char *)out + 300, 16, "%u", rnd(n));
	case ALL_EQUAL:
		memcpy(out, "the same key", 12);
		return 12;
	case EMPTY:
		return 0;
	case PREFIXES:
		memset(out, 0, 64); /* only the length differs */
		return rnd(64);
	case SORTED:
		return (size_t)snprintf((char *)out, 32, "%010u", i);
	case REVERSED:
		return (size_t)snprintf((char *)out, 32, "%010u", n - i);
	case LONG_KEYS:
		for (int k = 0; k < 100; k++)
			out[k] = (uint8_t)('a' + rnd(2)); /* more than 64 bits vary */
		out[70] = (uint8_t)rnd(256);
		return 80 + rnd(20);
	default:
		return (size_t)snprintf((char *)out, 64, "%c%c,%u,%u", 'A' + rnd(3), 'K' + rnd(3),
					2222771642u + rnd(40), rnd(1000));
	}
}

static void model_new(struct model *m, enum shape shape, uint32_t n, size_t fill)
{
	*m = (struct model){.n = n};
	m->rec = calloc(n + 1, sizeof *m->rec);
	m->len = calloc(n + 1, sizeof *m->len);
	m->koff = calloc(n + 1, sizeof *m->koff);
	m->klen = calloc(n + 1, sizeof *m->klen);
	uint8_t key[512];
	for (uint32_t i = 0; i < n; i++) {
		size_t kl = make_key(shape, i, n, key), pad = fill ? rnd((uint32_t)fill) : 0, off = 4 + rnd(6);
		m->len[i] = off + kl + pad;
		m->koff[i] = off;
		m->klen[i] = kl;
		m->rec[i] = malloc(m->len[i]);
		memset(m->rec[i], (int)(i * 7), m->len[i]);
		memcpy(m->rec[i], &i, 4);
		memcpy(m->rec[i] + off, key, kl);
	}
}

static void model_free(struct model *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		free(m->rec[i]);
	free(m->rec);
	free(m->len);
	free(m->koff);
	free(m->klen);
}

static const struct model *sorting;

static int by_key(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int c = key_compare(sorting->rec[x] + sorting->koff[x], sorting->klen[x], sorting->rec[y] + sorting->koff[y],
			    sorting->klen[y]);
	return c ? c : (x > y) - (x < y);
}

static bool same_key(const struct model *m, uint32_t x, uint32_t y)
{
	return key_compare(m->rec[x] + m->koff[x], m->klen[x], m->rec[y] + m->koff[y], m->klen[y]) == 0;
}

static void check(const struct model *m, struct extsort_options opt, uint64_t skip, struct extsort_stats *ret_stats)
{
	struct err e = {0};
	struct extsort *s;
	assert_int_equal(extsort_new(&opt, &s, &e), ERR_OK);
	for (uint32_t i = 0; i < m->n; i++) {
		if (i % 2) {
			assert_int_equal(extsort_add(s, m->rec[i], m->len[i], m->koff[i], m->klen[i], &e), ERR_OK);
			continue;
		}
		void *to;
		assert_int_equal(extsort_reserve(s, m->len[i], m->koff[i], m->klen[i], &to, &e), ERR_OK);
		assert_int_equal((uintptr_t)to % 8, 0);
		memcpy(to, m->rec[i], m->len[i]);
	}
	assert_int_equal(extsort_finish(s, &e), ERR_OK);
	extsort_skip(s, skip);
	uint32_t *want = malloc((m->n + 1) * sizeof *want);
	for (uint32_t i = 0; i < m->n; i++)
		want[i] = i;
	sorting = m;
	qsort(want, m->n, sizeof *want, by_key);
	uint64_t last_rank = 0;
	const void *rec;
	size_t len;
	for (uint32_t i = 0; i < m->n; i++) {
		if (opt.last_only && i + 1 < m->n && same_key(m, want[i], want[i + 1]))
			continue;
		if (i + 1 <= skip)
			continue;
		assert_int_equal(extsort_next(s, &rec, &len, &e), ERR_OK);
		assert_non_null(rec);
		assert_int_equal((uintptr_t)rec % 8, 0);
		assert_int_equal(len, m->len[want[i]]);
		assert_memory_equal(rec, m->rec[want[i]], len);
		last_rank = i + 1;
	}
	assert_int_equal(extsort_next(s, &rec, &len, &e), ERR_OK);
	assert_null(rec);
	assert_int_equal(extsort_next(s, &rec, &len, &e), ERR_OK);
	assert_null(rec);
	assert_true(last_rank == 0 || last_rank == m->n);
	if (ret_stats)
		extsort_stats(s, ret_stats);
	extsort_free(s);
	free(want);
}

static void test_all_shapes_in_memory(void **state)
{
	for (int shape = 0; shape < SHAPES; shape++) {
		for (uint32_t n = 0; n < 3000; n = n ? n * 7 : 1) {
			struct model m;
			struct extsort_stats st;
			model_new(&m, (enum shape)shape, n, 20);
			check(&m, (struct extsort_options){.memory = 8 << 20}, 0, &st);
			assert_int_equal(st.runs, 0);
			assert_int_equal(st.records, n);
			check(&m, (struct extsort_options){.memory = 8 << 20, .last_only = true}, n / 3, NULL);
			model_free(&m);
		}
	}
}

static void test_all_shapes_spilled(void **state)
{
	for (int shape = 0; shape < SHAPES; shape++) {
		struct model m;
		struct extsort_stats st;
		model_new(&m, (enum shape)shape, 20000, 150);
		for (int how = 0; how < 4; how++) {
			struct extsort_options o = {.memory = 1, .background = how & 1, .last_only = how & 2};
			check(&m, o, how ? 5000 : 0, &st);
			assert_true(st.runs >= 2);
			assert_true(st.spilled_bytes >= st.bytes);
		}
		model_free(&m);
	}
}

/* Records of up to 200 KB leave room for few read buffers, so that merging takes passes. */
static void test_merge_passes(void **state)
{
	struct model m;
	struct extsort_stats st;
	model_new(&m, DIGITS, 300, 200000);
	for (int bg = 0; bg < 2; bg++) {
		check(&m, (struct extsort_options){.memory = 1, .background = bg, .last_only = bg}, 0, &st);
		assert_true(st.runs > 8);
		assert_true(st.spilled_bytes > 2 * st.bytes);
	}
	model_free(&m);
}

static void test_records_longer_than_memory(void **state)
{
	struct model m;
	model_new(&m, DIGITS, 12, 5 << 20);
	check(&m, (struct extsort_options){.memory = 1}, 0, NULL);
	check(&m, (struct extsort_options){.memory = 1, .background = true, .last_only = true}, 0, NULL);
	model_free(&m);
}

static void test_long_keys_and_far_places(void **state)
{
	struct err e = {0};
	struct extsort *s;
	struct extsort_options o = {.memory = 1};
	size_t n = 300000;
	uint8_t *rec = calloc(1, n);
	assert_int_equal(extsort_new(&o, &s, &e), ERR_OK);
	for (int i = 9; i >= 0; i--) {
		rec[n - 1] = (uint8_t)i; /* the key is 150000 bytes and differs in its last */
		assert_int_equal(extsort_add(s, rec, n, 150000, 150000, &e), ERR_OK);
	}
	assert_int_equal(extsort_finish(s, &e), ERR_OK);
	for (int i = 0; i < 10; i++) {
		const void *r;
		size_t len;
		assert_int_equal(extsort_next(s, &r, &len, &e), ERR_OK);
		assert_int_equal(len, n);
		assert_int_equal(((const uint8_t *)r)[n - 1], i);
	}
	assert_int_equal(extsort_add(s, rec, 8, 0, 8, &e), ERR_INTERNAL);
	extsort_free(s);
	free(rec);
}

/* What was left out and where one stands is the same however the memory was cut. */
static void test_rank(void **state)
{
	struct model m;
	model_new(&m, DIGITS, 30000, 60);
	for (int how = 0; how < 4; how++) {
		struct extsort_options o = {.memory = how & 1 ? 1 : 64 << 20, .background = how & 2, .last_only = true};
		struct err e = {0};
		struct extsort *s;
		assert_int_equal(extsort_new(&o, &s, &e), ERR_OK);
		for (uint32_t i = 0; i < m.n; i++)
			assert_int_equal(extsort_add(s, m.rec[i], m.len[i], m.koff[i], m.klen[i], &e), ERR_OK);
		assert_int_equal(extsort_finish(s, &e), ERR_OK);
		const void *const *recs;
		size_t n;
		uint64_t rank, before = 0, out = 0;
		do {
			assert_int_equal(extsort_next_block(s, &recs, &n, &rank, &e), ERR_OK);
			assert_true(rank >= before + n);
			before = rank;
			out += n;
		} while (n);
		assert_int_equal(before, m.n);
		assert_true(out < m.n);
		extsort_free(s);
	}
	model_free(&m);
}

static void expect_failure(struct extsort_options o, enum err_code code)
{
	struct err e = {0};
	struct extsort *s;
	uint8_t rec[1000] = {0};
	assert_int_equal(extsort_new(&o, &s, &e), ERR_OK);
	enum err_code rc = ERR_OK;
	for (int i = 0; i < 20000 && rc == ERR_OK; i++)
		rc = extsort_add(s, rec, sizeof rec, 0, 8, &e);
	if (rc == ERR_OK)
		rc = extsort_finish(s, &e);
	assert_int_equal(rc, code);
	assert_int_equal(e.code, code);
	assert_true(e.msg[0]);
	assert_int_equal(extsort_add(s, rec, sizeof rec, 0, 8, &e), code);
	assert_int_equal(extsort_finish(s, &e), code);
	extsort_free(s);
}

static void test_spill_errors(void **state)
{
	for (int bg = 0; bg < 2; bg++) {
		expect_failure((struct extsort_options){.memory = 1, .dir = "/nonexistent/dir", .background = bg},
			       ERR_NOT_FOUND);
		for (int at = 1; at < 40; at += 13) {
			pid_t child = fork();
			if (child == 0) {
				char text[64];
				snprintf(text, sizeof text, "extsort.spill=enospc@%d", at);
				setenv("MYSIMBDP_FAULT", text, 1);
				fault_setup();
				expect_failure((struct extsort_options){.memory = 1, .background = bg}, ERR_NOSPACE);
				_exit(0);
			}
			int status;
			assert_int_equal(waitpid(child, &status, 0), child);
			assert_int_equal(status, 0);
		}
	}
}

/* 300 MB go through 4 MiB of buffers; what a process needs besides is small and does not grow. */
static void test_memory_is_flat(void **state)
{
	for (int bg = 0; bg < 2; bg++) {
		fflush(NULL);
		pid_t child = fork();
		if (child == 0) {
			struct extsort_options o = {.memory = 4 << 20, .background = bg};
			struct err e = {0};
			struct extsort *s;
			struct rusage before, after;
			const void *rec;
			size_t len;
			uint64_t n = 0, last = 0;
			static uint8_t bytes[1000];
			getrusage(RUSAGE_SELF, &before);
			assert_int_equal(extsort_new(&o, &s, &e), ERR_OK);
			for (int i = 0; i < 300000; i++) {
				uint64_t key = __builtin_bswap64((uint64_t)rnd(UINT32_MAX));
				memcpy(bytes, &key, 8);
				assert_int_equal(extsort_add(s, bytes, sizeof bytes, 0, 8, &e), ERR_OK);
			}
			assert_int_equal(extsort_finish(s, &e), ERR_OK);
			while (extsort_next(s, &rec, &len, &e) == ERR_OK && rec) {
				uint64_t key;
				memcpy(&key, rec, 8);
				assert_true(__builtin_bswap64(key) >= last);
				last = __builtin_bswap64(key);
				n++;
			}
			assert_int_equal(n, 300000);
			extsort_free(s);
			getrusage(RUSAGE_SELF, &after);
			_exit(after.ru_maxrss - before.ru_maxrss < 16 * 1024 * MEMORY_FACTOR ? 0 : 1);
		}
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

static void test_free_early(void **state)
{
	uint8_t rec[1000] = {0};
	for (int stop = 0; stop < 4; stop++) {
		struct extsort_options o = {.memory = 1, .background = true};
		struct err e = {0};
		struct extsort *s;
		const void *r;
		size_t len;
		assert_int_equal(extsort_new(&o, &s, &e), ERR_OK);
		for (int i = 0; i < 5000 && stop > 0; i++)
			assert_int_equal(extsort_add(s, rec, sizeof rec, 0, 8, &e), ERR_OK);
		if (stop > 1)
			assert_int_equal(extsort_finish(s, &e), ERR_OK);
		if (stop > 2)
			assert_int_equal(extsort_next(s, &r, &len, &e), ERR_OK);
		extsort_free(s);
	}
	extsort_free(NULL);
}

static void test_digest_order(void **state)
{
	struct sortkey *k = malloc(sizeof *k);
	for (int shape = 0; shape < SHAPES; shape++) {
		struct model m;
		model_new(&m, (enum shape)shape, 400, 0);
		sortkey_init(k);
		for (uint32_t i = 0; i < m.n; i++)
			sortkey_learn(k, m.rec[i] + m.koff[i], m.klen[i]);
		sortkey_compile(k);
		for (uint32_t i = 0; i < m.n; i++) {
			for (uint32_t j = 0; j < m.n; j++) {
				uint64_t a = sortkey_digest(k, m.rec[i] + m.koff[i], m.klen[i]);
				uint64_t b = sortkey_digest(k, m.rec[j] + m.koff[j], m.klen[j]);
				int c = key_compare(m.rec[i] + m.koff[i], m.klen[i], m.rec[j] + m.koff[j], m.klen[j]);
				assert_true(a == b || (a < b) == (c < 0));
				assert_true(!(c == 0) || a == b);
				assert_true(!k->exact || a != b || c == 0);
			}
		}
		model_free(&m);
	}
	free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_digest_order),
	    cmocka_unit_test(test_all_shapes_in_memory),
	    cmocka_unit_test(test_all_shapes_spilled),
	    cmocka_unit_test(test_merge_passes),
	    cmocka_unit_test(test_records_longer_than_memory),
	    cmocka_unit_test(test_long_keys_and_far_places),
	    cmocka_unit_test(test_rank),
	    cmocka_unit_test(test_spill_errors),
	    cmocka_unit_test(test_memory_is_flat),
	    cmocka_unit_test(test_free_early),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
