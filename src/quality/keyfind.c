/*
 * keyfind.c: the smallest set of at most four columns whose values are different in every record.
 *
 * Sets are tried in order: the smaller first, then those further left, columns without exact values (double) last. A
 * set is out when its columns have too few values together, when two records that were looked up before agree in all
 * of it, or when two of the file's first records do (a hash table, left at the first such pair). What survives is tried
 * on the whole file: a sort of 128-bit hashes on disk. Two records that the set can't tell apart are looked up, and
 * the columns in which they differ rule out many later sets. So the first survivor is a key, and none is smaller.
 *
 * Different hashes prove different values. Equal ones could only make us miss a key, at odds of 2^-128 a pair.
 */
#include "base/clock.h"
#include "base/extsort.h"
#include "base/hash.h"
#include "quality/infer_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define PAIRS_MAX 128
#define DIFFS_MAX 2048
#define ROUNDS_MAX 100		       /* over the file; a failed one reads it twice */
#define SEARCH_NS INT64_C(10000000000) /* for sets that fail in memory */
#define SLOTS (1u << 16)	       /* at least three times the sampled records */

struct slot {
	uint32_t stamp, row;
};

struct pair {
	uint64_t a, b;
};

struct keyfind {
	struct infer *x;
	const struct data_file *df;
	uint32_t *field; /* candidates: field indexes, those with exact values first */
	uint32_t ncand, words;
	uint32_t *distinct;	   /* per candidate: values among the sampled records */
	uint32_t *most;		   /* the most distinct of this candidate and those behind it */
	uint64_t *diff[DIFFS_MAX]; /* bits of candidates in which two records differ */
	uint32_t ndiff;
	bool none; /* two records are the same in all candidates, or we gave up */
	struct pair pair[PAIRS_MAX];
	uint32_t npair;
	uint32_t rounds;
	int64_t searched_ns;
	struct slot slot[SLOTS]; /* hash table; entries of an older stamp are empty */
	uint32_t stamp;
	uint64_t rejected;
	bool counted; /* rejected is known */
};

/* ---- difference sets */

static bool is_subset(const uint64_t *a, const uint64_t *b, uint32_t words)
{
	for (uint32_t i = 0; i < words; i++) {
		if (a[i] & ~b[i])
			return false;
	}
	return true;
}

static void add_diff(struct keyfind *k, const uint64_t *bits)
{
	bool any = false;

	for (uint32_t i = 0; i < k->words; i++)
		any |= bits[i] != 0;
	if (!any)
		k->none = true;
	for (uint32_t i = 0; i < k->ndiff; i++) {
		if (is_subset(k->diff[i], bits, k->words))
			return;
	}
	uint64_t *copy = k->ndiff < DIFFS_MAX ? arena_array(k->x->a, k->words, sizeof(*copy)) : NULL;
	if (!copy)
		return; /* it only would have saved time */
	memcpy(copy, bits, k->words * sizeof(*copy));
	k->diff[k->ndiff++] = copy;
}

/* Every two records that were looked up differ in some column of the set. */
static bool hits_all(const struct keyfind *k, const uint32_t *set, uint32_t n)
{
	for (uint32_t i = 0; i < k->ndiff; i++) {
		bool hit = false;
		for (uint32_t j = 0; j < n && !hit; j++)
			hit = k->diff[i][set[j] / 64] >> (set[j] % 64) & 1;
		if (!hit)
			return false;
	}
	return true;
}

/* ---- the first records, in memory */

static int u32_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static const uint64_t *sample_row(const struct keyfind *k, uint32_t r)
{
	return k->x->sample + (size_t)r * k->x->ncol;
}

/* Column of the file that a candidate is. */
static uint32_t candidate_column(const struct keyfind *k, uint32_t i)
{
	return k->x->column_of[k->field[i]];
}

/* No two sampled records agree in the set. With ret_distinct all of them are looked at and the different ones counted,
 * else the first two that agree end it. */
static bool sample_unique(struct keyfind *k, const uint32_t *set, uint32_t n, uint32_t *ret_distinct)
{
	uint32_t col[INFER_KEY_MAX], distinct = 0, nrow = k->x->nsample;

	k->stamp++;
	for (uint32_t i = 0; i < n; i++)
		col[i] = candidate_column(k, set[i]);
	for (uint32_t r = 0; r < nrow; r++) {
		const uint64_t *row = sample_row(k, r);
		uint64_t h = 0;
		for (uint32_t i = 0; i < n; i++)
			h = (h ^ row[col[i]]) * UINT64_C(0x9e3779b97f4a7c15);
		uint32_t at = (uint32_t)(h >> 32) & (SLOTS - 1);
		bool same = false;
		for (; k->slot[at].stamp == k->stamp && !same; at = (at + 1) & (SLOTS - 1)) {
			const uint64_t *other = sample_row(k, k->slot[at].row);
			same = true;
			for (uint32_t i = 0; i < n; i++)
				same &= other[col[i]] == row[col[i]];
		}
		if (same && !ret_distinct)
			return false;
		if (same)
			continue;
		k->slot[at] = (struct slot){k->stamp, r};
		distinct++;
	}
	if (ret_distinct)
		*ret_distinct = distinct;
	return distinct == nrow;
}

/* ---- all records, on disk */

struct reading {
	struct source *src;
	struct csv_reader *csv;
	struct csv_plan plan;
	struct batch *batch;
};

static void reading_close(struct reading *r)
{
	batch_free(r->batch);
	csv_close(r->csv);
	source_close(r->src);
}

static enum err_code reading_open(const struct keyfind *k, struct reading *r, struct err *e)
{
	struct csv_options co = {.batch_rows = 4096};

	*r = (struct reading){.plan = data_file_csv_plan(k->df)};
	enum err_code c = infer_source(k->x, &r->src, e);
	if (!c)
		c = csv_open(r->src, &r->plan, &co, &r->csv, e);
	if (!c && !(r->batch = batch_new(k->df->schema, co.batch_rows)))
		c = err_oom(e);
	if (c)
		reading_close(r);
	return c;
}

static uint64_t cell_hash(const struct batch *b, uint32_t f, uint32_t r, uint64_t seed)
{
	const struct column *c = &b->col[f];

	if (c->i64)
		return hash64(&c->i64[r], 8, seed);
	if (c->f64) {
		double d = c->f64[r] + 0.0;
		return hash64(&d, 8, seed);
	}
	return hash64(b->data + c->ref[r].off, c->ref[r].len, seed);
}

struct key_rec {
	uint64_t hash[2], row;
};

static enum err_code hash_batch(struct keyfind *k, const struct batch *b, const uint32_t *set, uint32_t n,
				struct extsort *sort, struct err *e)
{
	if (!k->counted)
		k->rejected += b->nbad;
	for (uint32_t r = 0; sort && r < b->nrow; r++) {
		uint64_t h[2][INFER_KEY_MAX];
		if (b->bad[r])
			continue;
		for (uint32_t i = 0; i < n; i++) {
			h[0][i] = cell_hash(b, k->field[set[i]], r, 1);
			h[1][i] = cell_hash(b, k->field[set[i]], r, 2);
		}
		struct key_rec rec = {{hash64(h[0], n * 8, 3), hash64(h[1], n * 8, 4)}, b->first_row + r};
		if (extsort_add(sort, &rec, sizeof(rec), 0, 16, e))
			return e->code;
	}
	return ERR_OK;
}

/* One pass: hashes of the set into sort (NULL: only counts what is rejected). */
static enum err_code hash_file(struct keyfind *k, const uint32_t *set, uint32_t n, struct extsort *sort, struct err *e)
{
	struct reading r;
	bool more;
	enum err_code c = reading_open(k, &r, e);

	if (c)
		return c;
	for (;;) {
		c = csv_next(r.csv, r.batch, &more, e);
		if (c || !more)
			break;
		c = hash_batch(k, r.batch, set, n, sort, e);
		infer_tick(k->x, "key", r.src);
		if (c || (c = infer_stopped(k->x, e)))
			break;
	}
	reading_close(&r);
	k->counted |= !c;
	return c;
}

/* Pairs of records that look the same; none: the set is a key. */
static enum err_code find_pairs(struct keyfind *k, struct extsort *sort, struct err *e)
{
	struct key_rec prev = {{0, 0}, 0}, now;
	const void *p;
	size_t n;

	k->npair = 0;
	if (extsort_finish(sort, e))
		return e->code;
	while (k->npair < PAIRS_MAX) {
		if (extsort_next(sort, &p, &n, e))
			return e->code;
		if (!p)
			break;
		memcpy(&now, p, sizeof(now));
		if (prev.row && now.hash[0] == prev.hash[0] && now.hash[1] == prev.hash[1])
			k->pair[k->npair++] = (struct pair){prev.row, now.row};
		prev = now;
	}
	return ERR_OK;
}

static enum err_code verify(struct keyfind *k, const uint32_t *set, uint32_t n, struct err *e)
{
	struct extsort_options so = {.dir = k->x->opt->spill_dir, .memory = k->x->opt->memory, .background = true};
	struct extsort *sort = NULL;
	enum err_code c = extsort_new(&so, &sort, e);

	if (!c)
		c = hash_file(k, set, n, sort, e);
	if (!c)
		c = find_pairs(k, sort, e);
	extsort_free(sort);
	return c;
}

/* ---- look the pairs up */

struct wanted {
	uint64_t row;
	uint64_t *hash; /* per candidate */
};

static int wanted_order(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	return (x->row > y->row) - (x->row < y->row);
}

static enum err_code fetch_rows(struct keyfind *k, struct wanted *w, uint32_t n, struct err *e)
{
	struct reading r;
	uint32_t at = 0;
	bool more;
	enum err_code c = reading_open(k, &r, e);

	if (c)
		return c;
	while (at < n) {
		c = csv_next(r.csv, r.batch, &more, e);
		if (c || !more)
			break;
		for (; at < n && w[at].row < r.batch->first_row + r.batch->nrow; at++) {
			for (uint32_t i = 0; i < k->ncand; i++)
				w[at].hash[i] =
				    cell_hash(r.batch, k->field[i], (uint32_t)(w[at].row - r.batch->first_row), 1);
		}
		if ((c = infer_stopped(k->x, e)))
			break;
	}
	reading_close(&r);
	if (!c && at < n)
		return err_set(e, ERR_CORRUPT, "\"%s\" changed while it was read", k->x->path);
	return c;
}

static const uint64_t *wanted_find(const struct wanted *w, uint32_t n, uint64_t row)
{
	struct wanted key = {.row = row};
	const struct wanted *found = bsearch(&key, w, n, sizeof(*w), wanted_order);

	return found->hash;
}

static enum err_code learn_pairs(struct keyfind *k, struct err *e)
{
	uint32_t n = k->npair * 2;
	struct wanted *w = calloc(n, sizeof(*w));
	uint64_t *hash = calloc((size_t)n * k->ncand, sizeof(*hash)), *bits = calloc(k->words, sizeof(*bits));
	enum err_code c = w && hash && bits ? ERR_OK : err_oom(e);

	for (uint32_t i = 0; !c && i < n; i++)
		w[i] = (struct wanted){i % 2 ? k->pair[i / 2].b : k->pair[i / 2].a, hash + (size_t)i * k->ncand};
	if (!c) {
		qsort(w, n, sizeof(*w), wanted_order);
		c = fetch_rows(k, w, n, e);
	}
	for (uint32_t p = 0; !c && p < k->npair && !k->none; p++) {
		const uint64_t *a = wanted_find(w, n, k->pair[p].a), *b = wanted_find(w, n, k->pair[p].b);
		memset(bits, 0, k->words * sizeof(*bits));
		for (uint32_t i = 0; i < k->ncand; i++)
			bits[i / 64] |= (uint64_t)(a[i] != b[i]) << (i % 64);
		add_diff(k, bits);
	}
	free(w);
	free(hash);
	free(bits);
	return c;
}

/* ---- candidates */

static bool may_be_key(const struct infer *x, uint32_t f)
{
	const struct profile *p = &x->col[x->column_of[f]];

	return !x->field[f].nullable && p->empty_text == 0 && p->values > 0;
}

static enum err_code take_candidates(struct keyfind *k, struct err *e)
{
	struct infer *x = k->x;

	k->field = arena_array(x->a, x->nfield + 1, sizeof(*k->field));
	if (!k->field)
		return err_oom(e);
	for (int exact = 1; exact >= 0; exact--) {
		for (uint32_t f = 0; f < x->nfield; f++) {
			if (may_be_key(x, f) && (x->field[f].storage != STORE_F64) == exact)
				k->field[k->ncand++] = f;
		}
	}
	k->words = (k->ncand + 63) / 64;
	return ERR_OK;
}

static enum err_code count_distinct(struct keyfind *k, struct err *e)
{
	k->distinct = arena_array(k->x->a, k->ncand + 1, sizeof(*k->distinct));
	k->most = arena_array(k->x->a, k->ncand + 1, sizeof(*k->most));
	if (!k->distinct || !k->most)
		return err_oom(e);
	for (uint32_t i = k->ncand; i-- > 0;) {
		sample_unique(k, &i, 1, &k->distinct[i]);
		k->most[i] = k->distinct[i] > k->most[i + 1] ? k->distinct[i] : k->most[i + 1];
	}
	return ERR_OK;
}

struct search {
	uint32_t set[INFER_KEY_MAX], size;
	bool found;
};

/* A whole set: in memory, then on the file. */
static enum err_code try_set(struct keyfind *k, struct search *s, struct err *e)
{
	int64_t t0 = clock_mono_ns();
	bool good = hits_all(k, s->set, s->size) && sample_unique(k, s->set, s->size, NULL);

	k->searched_ns += clock_mono_ns() - t0;
	if (!good && k->searched_ns > SEARCH_NS)
		k->none = true;
	if (!good)
		return infer_stopped(k->x, e);
	if (++k->rounds > ROUNDS_MAX) {
		k->none = true;
		return ERR_OK;
	}
	if (verify(k, s->set, s->size, e))
		return e->code;
	s->found = k->npair == 0;
	return s->found ? ERR_OK : learn_pairs(k, e);
}

/* Sets that begin with the first n of s->set, in order. product: how many values these can have together. */
static enum err_code search_sets(struct keyfind *k, struct search *s, uint32_t n, uint32_t from, double product,
				 struct err *e)
{
	for (uint32_t i = from; n < INFER_KEY_MAX && i < k->ncand && !s->found && !k->none; i++) {
		double reach = product * k->distinct[i];
		for (uint32_t left = n + 1; left < s->size; left++)
			reach *= k->most[i + 1];
		if (reach < k->x->nsample)
			continue;
		s->set[n] = i;
		enum err_code c =
		    n + 1 == s->size ? try_set(k, s, e) : search_sets(k, s, n + 1, i + 1, product * k->distinct[i], e);
		if (c)
			return c;
	}
	return ERR_OK;
}

static enum err_code search(struct keyfind *k, struct err *e)
{
	struct search s = {.found = false};

	if (count_distinct(k, e))
		return e->code;
	for (s.size = 1; s.size <= INFER_KEY_MAX && !s.found && !k->none; s.size++) {
		if (search_sets(k, &s, 0, 0, 1, e))
			return e->code;
		if (s.found)
			break;
	}
	if (k->rounds > ROUNDS_MAX || k->searched_ns > SEARCH_NS)
		infer_note(k->x, "the search for a key was given up: too many sets of columns are nearly one");
	for (uint32_t i = 0; s.found && i < s.size; i++)
		k->x->key[i] = k->field[s.set[i]];
	k->x->nkey = s.found ? s.size : 0;
	qsort(k->x->key, k->x->nkey, sizeof(*k->x->key), u32_order);
	return ERR_OK;
}

enum err_code infer_key(struct infer *x, const struct data_file *df, struct err *e)
{
	struct keyfind *k = calloc(1, sizeof(*k));

	if (!k)
		return err_oom(e);
	k->x = x;
	k->df = df;
	enum err_code c = take_candidates(k, e);
	if (!c && x->records > 0 && k->ncand > 0)
		c = search(k, e);
	if (!c && !k->counted)
		c = hash_file(k, NULL, 0, NULL, e);
	x->ret->hopeless = k->rejected;
	free(k);
	return c;
}
