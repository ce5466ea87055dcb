/*
 * keyfind.c: the smallest set of at most four columns whose values are different in every record.
 *
 * For every two records of the file a key must have a column in which they differ: it hits their difference set. So:
 * the smallest set that hits all difference sets known so far is the candidate; it is tried on the file's first
 * records, then on all of them (a sort of 128-bit hashes on disk); two records that it can't tell apart are looked up
 * and give new difference sets. A candidate that survives is a key, and none is smaller, since every smaller one fails
 * some pair that was really seen. If no set of four hits them all, there is no key. (The idea is that of HyUCC, T.
 * Papenbrock and F. Naumann, "A Hybrid Approach for Efficient Unique Column Combination Discovery", 2017.)
 *
 * Different hashes prove different values. Equal ones could only make us miss a key, at odds of 2^-128 a pair.
 */
#include "base/extsort.h"
#include "base/hash.h"
#include "quality/infer_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define PAIRS_MAX 128
#define DIFFS_MAX 4096
#define ROUNDS_MAX 200        /* over the file; a round with a failed candidate reads it twice */
#define SEARCH_MAX 4000000u   /* steps of one search */

struct diff {
	uint64_t *bits;           /* candidates in which two records differ */
	uint32_t n;               /* how many */
};

struct pair {
	uint64_t a, b;
};

struct keyfind {
	struct infer *x;
	const struct data_file *df;
	uint32_t *field;          /* candidates: field indexes, those with exact values first */
	uint32_t ncand, words;
	struct diff diff[DIFFS_MAX];
	uint32_t ndiff;
	bool none;                /* two records are the same in all candidates, or we gave up */
	struct pair pair[PAIRS_MAX];
	uint32_t npair;
	uint32_t steps;
	uint64_t rejected;
	bool counted;             /* rejected is known */
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
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->words; i++)
		n += (uint32_t)__builtin_popcountll(bits[i]);
	if (n == 0) {
		k->none = true;
		return;
	}
	for (uint32_t i = 0; i < k->ndiff; i++) {
		if (is_subset(k->diff[i].bits, bits, k->words))
			return;
	}
	/* Sets that the new one implies are no longer needed. */
	uint32_t keep = 0;
	for (uint32_t i = 0; i < k->ndiff; i++) {
		if (!is_subset(bits, k->diff[i].bits, k->words))
			k->diff[keep++] = k->diff[i];
	}
	k->ndiff = keep;
	uint64_t *copy = arena_array(k->x->a, k->words, sizeof(*copy));
	if (k->ndiff == DIFFS_MAX || !copy) {
		k->none = true;
		return;
	}
	memcpy(copy, bits, k->words * sizeof(*copy));
	k->diff[k->ndiff++] = (struct diff){copy, n};
}

/* ---- the smallest hitting set */

struct search {
	struct keyfind *k;
	uint32_t size;
	uint32_t set[INFER_KEY_MAX], n;
	uint32_t best[INFER_KEY_MAX];
	bool found;
};

static bool has_bit(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* The known difference set with the fewest columns that the set does not hit. */
static const struct diff *unhit(const struct search *s)
{
	const struct diff *least = NULL;

	for (uint32_t i = 0; i < s->k->ndiff; i++) {
		const struct diff *d = &s->k->diff[i];
		bool hit = false;
		for (uint32_t j = 0; j < s->n && !hit; j++)
			hit = has_bit(d->bits, s->set[j]);
		if (!hit && (!least || d->n < least->n))
			least = d;
	}
	return least;
}

static int u32_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Sets of one size rank by their columns from the left; columns without exact values stand last. */
static void take_set(struct search *s)
{
	uint32_t sorted[INFER_KEY_MAX];

	memcpy(sorted, s->set, s->n * sizeof(*sorted));
	qsort(sorted, s->n, sizeof(*sorted), u32_order);
	for (uint32_t i = 0; s->found && i < s->n; i++) {
		if (sorted[i] != s->best[i]) {
			if (sorted[i] > s->best[i])
				return;
			break;
		}
	}
	memcpy(s->best, sorted, s->n * sizeof(*sorted));
	s->found = true;
}

static void search_sets(struct search *s)
{
	if (++s->k->steps > SEARCH_MAX)
		return;
	const struct diff *d = unhit(s);
	if (!d) {
		if (s->n > 0)
			take_set(s);
		return;
	}
	if (s->n == s->size)
		return;
	for (uint32_t i = 0; i < s->k->ncand; i++) {
		if (!has_bit(d->bits, i))
			continue;
		s->set[s->n++] = i;
		search_sets(s);
		s->n--;
	}
}

/* The next candidate into set; its size, 0 when there is none. */
static uint32_t next_candidate(struct keyfind *k, uint32_t set[INFER_KEY_MAX])
{
	k->steps = 0;
	if (k->none || k->ncand == 0)
		return 0;
	if (k->ndiff == 0) {
		set[0] = 0;
		return 1;
	}
	for (uint32_t size = 1; size <= INFER_KEY_MAX; size++) {
		struct search s = {.k = k, .size = size};
		search_sets(&s);
		if (k->steps > SEARCH_MAX) {
			infer_note(k->x, "the search for a key was given up: too many columns are nearly one");
			return 0;
		}
		if (s.found) {
			memcpy(set, s.best, sizeof(s.best));
			return size;
		}
	}
	return 0;
}

/* ---- the first records, in memory */

struct sample_rec {
	uint64_t hash;
	uint32_t row;
};

static int sample_order(const void *a, const void *b)
{
	const struct sample_rec *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->row > y->row) - (x->row < y->row);
}

/* Column of the file that a candidate is. */
static uint32_t candidate_column(const struct keyfind *k, uint32_t i)
{
	return k->x->column_of[k->field[i]];
}

/* True when the set tells all sampled records apart; else new difference sets were added. */
static bool sample_unique(struct keyfind *k, const uint32_t *set, uint32_t n, struct sample_rec *rec, uint64_t *bits)
{
	const struct infer *x = k->x;
	uint32_t found = 0;

	for (uint32_t r = 0; r < x->nsample; r++) {
		const uint64_t *h = x->sample + (size_t)r * x->ncol;
		uint64_t key[INFER_KEY_MAX];
		for (uint32_t i = 0; i < n; i++)
			key[i] = h[candidate_column(k, set[i])];
		rec[r] = (struct sample_rec){hash64(key, n * sizeof(*key), 0), r};
	}
	qsort(rec, x->nsample, sizeof(*rec), sample_order);
	for (uint32_t r = 1; r < x->nsample && found < 16 && !k->none; r++) {
		if (rec[r].hash != rec[r - 1].hash)
			continue;
		const uint64_t *a = x->sample + (size_t)rec[r - 1].row * x->ncol;
		const uint64_t *b = x->sample + (size_t)rec[r].row * x->ncol;
		memset(bits, 0, k->words * sizeof(*bits));
		for (uint32_t i = 0; i < k->ncand; i++) {
			uint32_t c = candidate_column(k, i);
			bits[i / 64] |= (uint64_t)(a[c] != b[c]) << (i % 64);
		}
		add_diff(k, bits);
		found++;
	}
	return found == 0;
}

static uint32_t sample_candidate(struct keyfind *k, uint32_t set[INFER_KEY_MAX], struct err *e)
{
	uint64_t *bits = calloc(k->words + 1, sizeof(*bits));
	struct sample_rec *rec = malloc((k->x->nsample + 1) * sizeof(*rec));
	uint32_t n = 0;

	if (!bits || !rec) {
		err_oom(e);
		k->none = true;
	}
	do {
		n = next_candidate(k, set);
	} while (n && !infer_stopped(k->x, e) && !sample_unique(k, set, n, rec, bits));
	free(bits);
	free(rec);
	return n;
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
	uint64_t *hash;            /* per candidate */
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
				w[at].hash[i] = cell_hash(r.batch, k->field[i], (uint32_t)(w[at].row - r.batch->first_row), 1);
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

static enum err_code search(struct keyfind *k, struct err *e)
{
	uint32_t set[INFER_KEY_MAX];

	for (int round = 0; round < ROUNDS_MAX; round++) {
		e->code = ERR_OK;
		uint32_t n = sample_candidate(k, set, e);
		if (e->code)
			return e->code;
		if (n == 0)
			return ERR_OK;
		if (verify(k, set, n, e))
			return e->code;
		if (k->npair == 0) {
			for (uint32_t i = 0; i < n; i++)
				k->x->key[i] = k->field[set[i]];
			qsort(k->x->key, n, sizeof(*k->x->key), u32_order);
			k->x->nkey = n;
			return ERR_OK;
		}
		if (learn_pairs(k, e))
			return e->code;
	}
	infer_note(k->x, "the search for a key was given up after %d rounds", ROUNDS_MAX);
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
