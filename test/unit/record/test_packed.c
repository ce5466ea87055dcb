/*
 * test_packed.c: rows survive packing, and keys sort as their values do.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/packed.h"

static const struct field fields[] = {
    {.name = "t", .type = AVRO_T_STRING, .storage = STORE_TEXT},
    {.name = "i", .type = AVRO_T_LONG, .storage = STORE_I64},
    {.name = "d", .type = AVRO_T_DOUBLE, .storage = STORE_F64},
    {.name = "b", .type = AVRO_T_BYTES, .storage = STORE_BYTES},
    {.name = "n", .type = AVRO_T_STRING, .storage = STORE_TEXT, .nullable = true},
    {.name = "m", .type = AVRO_T_INT, .storage = STORE_I64, .nullable = true},
};
#define NF 6
static const struct schema schema = {.name = "t", .ns = "", .fields = fields, .nfields = NF};

struct maker {
	struct batch *b;
	char data[65536];
	size_t used;
};

static void maker_init(struct maker *m)
{
	m->b = batch_new(&schema, 256);
	m->used = 0;
	assert_non_null(m->b);
	m->b->data = m->data;
	m->b->first_row = 1;
}

static void set_text(struct maker *m, uint32_t r, uint32_t f, const char *p, size_t n)
{
	memcpy(m->data + m->used, p, n);
	m->b->col[f].ref[r] = (struct cell_ref){(uint32_t)m->used, (uint32_t)n};
	m->b->col[f].null[r] = 0;
	m->used += n;
}

static void add(struct maker *m, struct span t, int64_t i, double d, struct span b)
{
	uint32_t r = m->b->nrow++;
	set_text(m, r, 0, t.p, t.n);
	m->b->col[1].i64[r] = i;
	m->b->col[2].f64[r] = d;
	set_text(m, r, 3, b.p, b.n);
	m->b->col[4].null[r] = r % 2 == 0;
	if (r % 2)
		set_text(m, r, 4, "filled", r % 7);
	m->b->col[5].null[r] = r % 3 == 0;
	m->b->col[5].i64[r] = -(int64_t)r;
}

static struct packed_row *pack(const struct packed_plan *p, const struct batch *b, uint32_t r)
{
	size_t key_len, n = packed_size(p, b, r, &key_len);
	assert_int_equal(n % 8, 0);
	struct packed_row *row = malloc(n); /* exact: sanitizers see a byte too many */
	packed_write(p, b, r, row);
	assert_int_equal(row->size, n);
	assert_int_equal(row->key_len, key_len);
	assert_int_equal(row->row, b->first_row + r);
	return row;
}

static void check_round(const struct packed_plan *p, const struct batch *b, uint32_t r)
{
	struct packed_row *row = pack(p, b, r);
	struct value v[NF];
	packed_read(p, row, v);
	for (uint32_t f = 0; f < NF; f++) {
		struct value want = batch_value(b, r, f);
		assert_int_equal(v[f].null, want.null);
		if (want.null)
			continue;
		if (fields[f].storage == STORE_I64)
			assert_int_equal(v[f].i, want.i);
		else if (fields[f].storage == STORE_F64)
			assert_true(v[f].d == want.d);
		else
			assert_true(span_eq(v[f].s, want.s));
	}
	free(row);
}

#define S(x) SPAN_LIT(x)

static void test_round_trip(void **state)
{
	static const uint32_t keys[][4] = {{0}, {0, 1}, {3, 0, 2, 1}, {1, 2}, {3}};
	static const uint32_t nkeys[] = {0, 2, 4, 2, 1};
	struct maker m;
	maker_init(&m);
	add(&m, S(""), 0, 0, S(""));
	add(&m, S("a"), -1, -1.5, S("\0"));
	add(&m, S("a\0b"), INT64_MAX, 1e308, S("\0\1\0\xff"));
	add(&m, S("\0\xff"), INT64_MIN, -1e-308, S("\xff\xff"));
	add(&m, S("HKD"), 2222771642618, 541783, S("ends with zero\0"));
	for (size_t k = 0; k < 5; k++) {
		struct packed_plan p = {&schema, keys[k], nkeys[k]};
		for (uint32_t r = 0; r < m.b->nrow; r++)
			check_round(&p, m.b, r);
	}
	batch_free(m.b);
}

/* In the order in which they have to sort. */
static void test_key_order(void **state)
{
	static const struct span texts[] = {{"", 0},  {"\0", 1},   {"\0\0", 2}, {"\0\1", 2},  {"\0\xff", 2}, {"\1", 1},
					    {"a", 1}, {"a\0", 2},  {"a\0b", 3}, {"a\1", 2},   {"aa", 2},     {"ab", 2},
					    {"b", 1}, {"\xc3", 1}, {"\xff", 1}, {"\xff\0", 2}};
	static const int64_t ints[] = {INT64_MIN, -256, -255, -1, 0, 1, 255, 256, INT64_MAX};
	static const double doubles[] = {-1e300, -2, -1.5, -1e-300, 0, 1e-300, 1, 1.5, 2, 1e300};
	static const uint32_t key_t[] = {0, 1}, key_i[] = {1}, key_d[] = {2};
	struct packed_plan by_t = {&schema, key_t, 2}, by_i = {&schema, key_i, 1}, by_d = {&schema, key_d, 1};
	struct maker m;
	maker_init(&m);
	size_t nt = sizeof texts / sizeof *texts, ni = sizeof ints / sizeof *ints, nd = 10;
	for (size_t i = 0; i < nt * ni; i++)
		add(&m, texts[i / ni], ints[i % ni], doubles[i % nd], S("x"));
	for (uint32_t x = 0; x < m.b->nrow; x++) {
		struct packed_row *tx = pack(&by_t, m.b, x), *ix = pack(&by_i, m.b, x), *dx = pack(&by_d, m.b, x);
		for (uint32_t y = 0; y < m.b->nrow; y++) {
			struct packed_row *ty = pack(&by_t, m.b, y), *iy = pack(&by_i, m.b, y);
			struct packed_row *dy = pack(&by_d, m.b, y);
			int c = packed_compare(tx, ty);
			assert_int_equal((c > 0) - (c < 0), (x > y) - (x < y));
			c = packed_compare(ix, iy);
			assert_int_equal((c > 0) - (c < 0), (x % ni > y % ni) - (x % ni < y % ni));
			c = packed_compare(dx, dy);
			assert_int_equal((c > 0) - (c < 0), (x % nd > y % nd) - (x % nd < y % nd));
			free(ty);
			free(iy);
			free(dy);
		}
		free(tx);
		free(ix);
		free(dx);
	}
	batch_free(m.b);
}

static void test_minus_zero_is_zero(void **state)
{
	static const uint32_t key[] = {2};
	struct packed_plan p = {&schema, key, 1};
	struct maker m;
	maker_init(&m);
	add(&m, S("a"), 1, 0.0, S(""));
	add(&m, S("a"), 1, -0.0, S(""));
	struct packed_row *x = pack(&p, m.b, 0), *y = pack(&p, m.b, 1);
	assert_int_equal(packed_compare(x, y), 0);
	free(x);
	free(y);
	batch_free(m.b);
}

static void test_append_has_no_key(void **state)
{
	struct packed_plan p = {&schema, NULL, 0};
	struct maker m;
	maker_init(&m);
	m.b->first_row = 1000000;
	add(&m, S("a"), 1, 0.5, S("b"));
	struct packed_row *x = pack(&p, m.b, 0);
	assert_int_equal(x->key_len, 0);
	assert_int_equal(x->row, 1000000);
	free(x);
	batch_free(m.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_key_order),
	    cmocka_unit_test(test_minus_zero_is_zero),
	    cmocka_unit_test(test_append_has_no_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
