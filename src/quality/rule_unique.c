/*
 * rule_unique.c: validity: no two records of the file have the same values in some columns.
 *
 * Exact and with flat memory: the values of every record that nothing else rejected go into a sort on disk
 * (base/extsort.h), equal ones come out side by side in the order of the file; the first is kept, the later ones are
 * rejected. Records with a null among the columns equal nothing (as in SQL). Values longer than KEY_PLAIN together are
 * replaced by their SHA-256.
 */
#include "quality/rules.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY_PLAIN 1024
#define UNIQUE_MAX 8

struct unique {
	struct extsort *sort;
	uint8_t *prev; /* key of the first record of a group */
	size_t prev_n;
	uint64_t prev_row;
};

static void unique_parse(struct rule_parse *x, struct rule *r)
{
	if (r->nfield == 0) {
		r->field = x->df->key;
		r->nfield = x->df->nkey;
	}
	if (r->nfield == 0)
		rule_error(x, "columns", "", "\"columns\": a list of columns",
			   "without them the primary key is meant, but primary_key is []");
	if (r->number >= UNIQUE_MAX) {
		uint32_t before = 0;
		for (uint32_t i = 1; i <= r->number; i++)
			before += (r - i)->class == &rule_unique;
		if (before >= UNIQUE_MAX)
			rule_error(x, "rule", NULL, "at most 8 rules \"unique\"", "each one sorts the whole file");
	}
}

static enum err_code unique_open(struct rule_run *x, struct err *e)
{
	struct unique *u = x->state;
	struct extsort_options so = {.dir = x->opt->spill_dir, .memory = x->opt->memory};

	u->prev = malloc(1 + KEY_PLAIN);
	if (!u->prev)
		return err_oom(e);
	return extsort_new(&so, &u->sort, e);
}

/* Bytes that the key takes as it is; *null when a column is null. */
static size_t key_size(const struct rule *r, const struct batch *b, uint32_t row, bool *null)
{
	size_t n = 0;

	*null = false;
	for (uint32_t i = 0; i < r->nfield; i++) {
		const struct column *c = &b->col[r->field[i]];
		*null |= c->null[row] != 0;
		n += c->ref ? sizeof(uint32_t) + c->ref[row].len : 8;
	}
	return n;
}

/* What two equal records have in common, byte for byte: fixed parts, and lengths in front of texts. */
static void put_key(const struct rule *r, const struct batch *b, uint32_t row,
		    void (*put)(void *, const void *, size_t), void *ctx)
{
	for (uint32_t i = 0; i < r->nfield; i++) {
		const struct column *c = &b->col[r->field[i]];
		if (c->i64) {
			put(ctx, &c->i64[row], 8);
		} else if (c->f64) {
			double d = c->f64[row] + 0.0; /* -0 equals 0 */
			put(ctx, &d, 8);
		} else {
			put(ctx, &c->ref[row].len, sizeof(uint32_t));
			put(ctx, b->data + c->ref[row].off, c->ref[row].len);
		}
	}
}

static void put_bytes(void *ctx, const void *p, size_t n)
{
	uint8_t **at = ctx;

	memcpy(*at, p, n);
	*at += n;
}

static void put_sha(void *ctx, const void *p, size_t n)
{
	sha256_add(ctx, p, n);
}

static enum err_code unique_add(struct rule_run *x, struct unique *u, uint32_t row, size_t n, struct err *e)
{
	uint8_t digest[SHA256_LEN];
	struct sha256 sha;
	void *rec;

	if (n > KEY_PLAIN) {
		if (sha256_init(&sha, e))
			return e->code;
		put_key(x->rule, x->b, row, put_sha, &sha);
		sha256_done(&sha, digest);
	}
	size_t len = n > KEY_PLAIN ? SHA256_LEN : n;
	/* Record number, whether the key is a digest, key; sorted by all behind the number. */
	if (extsort_reserve(u->sort, 8 + 1 + len, 8, 1 + len, &rec, e))
		return e->code;
	uint64_t number = x->b->first_row + row;
	uint8_t *at = rec;
	memcpy(at, &number, 8);
	at[8] = n > KEY_PLAIN;
	at += 9;
	if (n > KEY_PLAIN)
		memcpy(at, digest, SHA256_LEN);
	else
		put_key(x->rule, x->b, row, put_bytes, &at);
	return ERR_OK;
}

static enum err_code unique_scan(struct rule_run *x, struct err *e)
{
	struct unique *u = x->state;

	for (uint32_t r = 0; r < x->b->nrow; r++) {
		bool null;
		if (rule_skips(x, r))
			continue;
		size_t n = key_size(x->rule, x->b, r, &null);
		if (!null && unique_add(x, u, r, n, e))
			return e->code;
	}
	return ERR_OK;
}

static enum err_code unique_late(struct rule_run *x, late_fn *put, void *ctx, struct err *e)
{
	struct unique *u = x->state;
	const void *p;
	size_t n;

	if (extsort_finish(u->sort, e))
		return e->code;
	for (;;) {
		if (extsort_next(u->sort, &p, &n, e))
			return e->code;
		if (!p)
			return ERR_OK;
		uint64_t row;
		const uint8_t *key = (const uint8_t *)p + 8;
		memcpy(&row, p, 8);
		n -= 8;
		if (n == u->prev_n && memcmp(key, u->prev, n) == 0) {
			if (put(ctx, x->rule, row, u->prev_row, e))
				return e->code;
			continue;
		}
		memcpy(u->prev, key, n);
		u->prev_n = n;
		u->prev_row = row;
	}
}

static void unique_close(struct rule_run *x)
{
	struct unique *u = x->state;

	extsort_free(u->sort);
	free(u->prev);
}

const struct rule_class rule_unique = {
    .name = "unique",
    .kind = "validity",
    .summary = "no two records have the same values in these columns (default: the primary key); the first is kept",
    .flags = RULE_COLUMNS | RULE_COLUMNS_OPT | RULE_WHOLE,
    .state_size = sizeof(struct unique),
    .parse = unique_parse,
    .open = unique_open,
    .scan = unique_scan,
    .late = unique_late,
    .close = unique_close,
};
