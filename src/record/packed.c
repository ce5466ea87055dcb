/*
 * packed.c: see packed.h. Rows of a table are alike, so sizes and values are found field by field without any
 * directory.
 */
#include "record/packed.h"

#include <string.h>

#define SIGN (UINT64_C(1) << 63)

static bool is_text(const struct field *f)
{
	return f->storage == STORE_TEXT || f->storage == STORE_BYTES;
}

static size_t zeros(struct span s)
{
	size_t n = 0;
	const char *end = s.p + s.n;
	for (const char *p = s.p; s.n && (p = memchr(p, 0, (size_t)(end - p))); p++)
		n++;
	return n;
}

/* Fields whose value is in the key as it is. */
struct held {
	uint64_t bits[SCHEMA_FIELDS_MAX / 64];
};

static void held_clear(struct held *h, uint32_t nfields)
{
	for (uint32_t i = 0; i < (nfields + 63) / 64; i++)
		h->bits[i] = 0;
}

static void held_add(struct held *h, uint32_t f)
{
	h->bits[f / 64] |= UINT64_C(1) << (f % 64);
}

static bool held_has(const struct held *h, uint32_t f)
{
	return h->bits[f / 64] >> (f % 64) & 1;
}

/* Monotone: unsigned order of the result is the order of the doubles. */
static uint64_t f64_key(double d)
{
	uint64_t u;
	d += 0.0; /* -0.0 becomes 0.0 */
	memcpy(&u, &d, 8);
	return u & SIGN ? ~u : u | SIGN;
}

static double f64_of_key(uint64_t k)
{
	uint64_t u = k & SIGN ? k & ~SIGN : ~k;
	double d;
	memcpy(&d, &u, 8);
	return d;
}

static uint8_t *put_u64be(uint8_t *out, uint64_t u)
{
	u = __builtin_bswap64(u);
	memcpy(out, &u, 8);
	return out + 8;
}

static uint64_t get_u64be(const uint8_t *p)
{
	uint64_t u;
	memcpy(&u, p, 8);
	return __builtin_bswap64(u);
}

size_t packed_size(const struct packed_plan *p, const struct batch *b, uint32_t r, size_t *ret_key_len)
{
	const struct schema *s = p->schema;
	size_t n = sizeof(struct packed_row) + (s->nfields + 7) / 8;
	for (uint32_t f = 0; f < s->nfields; f++) {
		const struct column *c = &b->col[f];
		if (c->null[r])
			continue;
		n += c->ref ? 4 + (size_t)c->ref[r].len : 8;
	}
	size_t key_len = 0;
	for (uint32_t k = 0; k < p->nkey; k++) {
		uint32_t f = p->key[k];
		struct value v = batch_value(b, r, f);
		if (!is_text(&s->fields[f])) {
			key_len += 8;
			n += v.null ? 8 : 0;
			continue;
		}
		/* In the key instead of among the values (-4 - len), or in both places. */
		size_t z = v.null ? 0 : zeros(v.s);
		key_len += v.null ? 2 : v.s.n + z + 2;
		n += v.null ? 2 : z ? v.s.n + z + 2 : 2 - (size_t)4;
	}
	*ret_key_len = key_len;
	return (n + 7) & ~(size_t)7;
}

/* A null, which the reader of a file never lets through, sorts as zero or empty. */
static uint8_t *put_key(uint8_t *out, const struct field *f, const struct value *v)
{
	if (f->storage == STORE_I64)
		return put_u64be(out, (v->null ? 0 : (uint64_t)v->i) ^ SIGN);
	if (f->storage == STORE_F64)
		return put_u64be(out, f64_key(v->null ? 0 : v->d));
	const char *p = v->s.p, *end = p + v->s.n;
	while (!v->null && p < end) {
		const char *z = memchr(p, 0, (size_t)(end - p));
		size_t n = (size_t)((z ? z : end) - p);
		memcpy(out, p, n);
		out += n;
		if (!z)
			break;
		*out++ = 0;
		*out++ = 0xff;
		p = z + 1;
	}
	*out++ = 0;
	*out++ = 1;
	return out;
}

void packed_write(const struct packed_plan *p, const struct batch *b, uint32_t r, struct packed_row *out)
{
	const struct schema *s = p->schema;
	uint8_t *w = out->bytes;
	struct held held;
	held_clear(&held, s->nfields);
	for (uint32_t k = 0; k < p->nkey; k++) {
		const struct field *f = &s->fields[p->key[k]];
		struct value v = batch_value(b, r, p->key[k]);
		uint8_t *end = put_key(w, f, &v);
		if (!is_text(f) || v.null || (size_t)(end - w) == v.s.n + 2)
			held_add(&held, p->key[k]);
		w = end;
	}
	out->key_len = (uint32_t)(w - out->bytes);
	out->row = b->first_row + r;
	uint8_t *nulls = w;
	memset(nulls, 0, (s->nfields + 7) / 8);
	w += (s->nfields + 7) / 8;
	for (uint32_t f = 0; f < s->nfields; f++) {
		const struct column *c = &b->col[f];
		if (c->null[r]) {
			nulls[f / 8] |= (uint8_t)(1u << (f % 8));
		} else if (held_has(&held, f)) {
			continue;
		} else if (c->i64) {
			memcpy(w, &c->i64[r], 8);
			w += 8;
		} else if (c->f64) {
			memcpy(w, &c->f64[r], 8);
			w += 8;
		} else {
			struct cell_ref ref = c->ref[r];
			memcpy(w, &ref.len, 4);
			if (ref.len)
				memcpy(w + 4, b->data + ref.off, ref.len);
			w += 4 + (size_t)ref.len;
		}
	}
	size_t n = (size_t)(w - (uint8_t *)out);
	memset(w, 0, -n & 7);
	out->size = (uint32_t)((n + 7) & ~(size_t)7);
}

int packed_compare(const struct packed_row *a, const struct packed_row *b)
{
	uint32_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
	int c = n ? memcmp(a->bytes, b->bytes, n) : 0;
	return c ? c : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

/* One field of the key; false when its text had to be changed and lies among the values. */
static bool get_key(const struct field *f, const uint8_t **at, const uint8_t *end, struct value *v)
{
	const uint8_t *p = *at;
	if (f->storage == STORE_I64 || f->storage == STORE_F64) {
		uint64_t u = get_u64be(p);
		if (f->storage == STORE_I64)
			v->i = (int64_t)(u ^ SIGN);
		else
			v->d = f64_of_key(u);
		*at = p + 8;
		return true;
	}
	const uint8_t *z = memchr(p, 0, (size_t)(end - p));
	v->s = (struct span){(const char *)p, (size_t)(z - p)};
	bool plain = z[1] == 1;
	while (z[1] != 1)
		z = memchr(z + 2, 0, (size_t)(end - z - 2));
	*at = z + 2;
	return plain;
}

void packed_read(const struct packed_plan *p, const struct packed_row *r, struct value *v)
{
	const struct schema *s = p->schema;
	const uint8_t *key = r->bytes, *nulls = key + r->key_len, *w = nulls + (s->nfields + 7) / 8;
	struct held held;
	held_clear(&held, s->nfields);
	for (uint32_t k = 0; k < p->nkey; k++) {
		if (get_key(&s->fields[p->key[k]], &key, nulls, &v[p->key[k]]))
			held_add(&held, p->key[k]);
	}
	for (uint32_t f = 0; f < s->nfields; f++) {
		v[f].null = nulls[f / 8] >> (f % 8) & 1;
		if (v[f].null || held_has(&held, f))
			continue;
		if (s->fields[f].storage == STORE_I64) {
			memcpy(&v[f].i, w, 8);
			w += 8;
		} else if (s->fields[f].storage == STORE_F64) {
			memcpy(&v[f].d, w, 8);
			w += 8;
		} else {
			uint32_t n;
			memcpy(&n, w, 4);
			v[f].s = (struct span){(const char *)w + 4, n};
			w += 4 + (size_t)n;
		}
	}
}
