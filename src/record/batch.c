/* batch.c: columns of a batch in one allocation, defects in a list that grows. */
#include "record/batch.h"

#include "record/utf8.h"

#include <stdio.h>
#include <stdlib.h>

/* Kernels store whole vectors: room behind the last row of each array. */
#define SLACK 64

static size_t pad(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

static size_t column_bytes(size_t cap)
{
	return pad(cap + SLACK) + pad((cap + SLACK) * 8);
}

struct batch *batch_new(const struct schema *s, uint32_t cap)
{
	if (cap == 0 || cap > BATCH_ROWS_MAX)
		return NULL;
	size_t head = pad(sizeof(struct batch)) + pad(s->nfields * sizeof(struct column));
	size_t rows = pad(cap + SLACK) + pad((cap + SLACK) * sizeof(struct cell_ref));
	size_t size = head + rows + s->nfields * column_bytes(cap);
	char *mem = aligned_alloc(64, size);
	if (!mem)
		return NULL;
	memset(mem, 0, size);
	struct batch *b = (struct batch *)mem;
	b->schema = s;
	b->cap = cap;
	b->col = (struct column *)(mem + pad(sizeof(struct batch)));
	char *at = mem + head;
	b->bad = (uint8_t *)at;
	at += pad(cap + SLACK);
	b->raw = (struct cell_ref *)at;
	at += pad((cap + SLACK) * sizeof(struct cell_ref));
	for (uint32_t f = 0; f < s->nfields; f++) {
		struct column *c = &b->col[f];
		c->null = (uint8_t *)at;
		at += pad(cap + SLACK);
		if (s->fields[f].storage == STORE_I64)
			c->i64 = (int64_t *)at;
		else if (s->fields[f].storage == STORE_F64)
			c->f64 = (double *)at;
		else
			c->ref = (struct cell_ref *)at;
		at += pad((cap + SLACK) * 8);
	}
	return b;
}

void batch_clear(struct batch *b)
{
	if (b->hold)
		b->release(b->hold);
	b->hold = NULL;
	memset(b->bad, 0, b->nrow);
	b->nrow = b->nbad = b->ndefect = 0;
	b->data = NULL;
	b->locate = NULL;
	b->reader = NULL;
	for (uint32_t f = 0; f < b->schema->nfields; f++)
		b->col[f].any_null = false;
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	batch_clear(b);
	free(b->defect);
	free(b);
}

enum err_code batch_defect(struct batch *b, uint32_t r, const struct defect *d, struct err *e)
{
	if (b->ndefect == b->defect_cap) {
		uint32_t cap = b->defect_cap ? b->defect_cap * 2 : 16;
		struct defect *list = realloc(b->defect, cap * sizeof *list);
		if (!list)
			return err_oom(e);
		b->defect = list;
		b->defect_cap = cap;
	}
	struct defect *n = &b->defect[b->ndefect++];
	*n = *d;
	n->index = r;
	n->row = b->first_row + r;
	if (b->locate)
		b->locate(b, n);
	if (d->action != DEFECT_WARN && !b->bad[r]) {
		b->bad[r] = 1;
		b->nbad++;
	}
	return ERR_OK;
}

#define QUOTE_CHARS 60

/* One character of cell as people may see it; returns how many bytes of cell it took. */
static size_t quote_char(struct span cell, size_t i, char piece[8], size_t *ret_len)
{
	unsigned char c = (unsigned char)cell.p[i];
	if (c >= 0x20 && c < 0x7f) {
		piece[0] = (char)c;
		*ret_len = 1;
		return 1;
	}
	unsigned k = utf8_step(cell.p + i, cell.n - i);
	/* C1 controls (U+0080..U+009F) steer terminals as well */
	bool c1 = k == 2 && c == 0xc2 && (unsigned char)cell.p[i + 1] < 0xa0;
	if (k >= 2 && !c1) {
		memcpy(piece, cell.p + i, k);
		*ret_len = k;
		return k;
	}
	if (c == '\n' || c == '\r' || c == '\t')
		*ret_len = (size_t)snprintf(piece, 8, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
	else
		*ret_len = (size_t)snprintf(piece, 8, "\\x%02x", c1 ? (unsigned char)cell.p[i + 1] : c);
	return c1 ? 2 : 1;
}

const char *cell_quote(struct span cell, char out[200])
{
	static const char more[] = "...";
	size_t n = 0, chars = 0, i = 0, cut = 0;
	while (i < cell.n) {
		char piece[8];
		size_t len, took = quote_char(cell, i, piece, &len);
		if (chars + 1 > QUOTE_CHARS || n + len + sizeof more > 200)
			break;
		memcpy(out + n, piece, len);
		n += len;
		chars++;
		if (chars <= QUOTE_CHARS - 3)
			cut = n;
		i += took;
	}
	if (i < cell.n) {
		n = cut;
		memcpy(out + n, more, sizeof more - 1);
		n += sizeof more - 1;
	}
	out[n] = 0;
	return out;
}
