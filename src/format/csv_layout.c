/* csv_layout.c: see csv_layout.h. */
#include "format/csv_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static enum err_code layout_new(const struct schema *s, uint32_t ncol, struct arena *a, struct csv_layout *l,
				struct err *e)
{
	*l = (struct csv_layout){.ncol = ncol};
	l->column_of = arena_array(a, s->nfields + 1, sizeof *l->column_of);
	l->field_of = arena_array(a, ncol + 1, sizeof *l->field_of);
	if (!l->column_of || !l->field_of)
		return err_oom(e);
	for (uint32_t f = 0; f < s->nfields; f++)
		l->column_of[f] = -1;
	for (uint32_t c = 0; c < ncol; c++)
		l->field_of[c] = -1;
	return ERR_OK;
}

enum err_code layout_by_position(const struct schema *s, struct arena *a, struct csv_layout *ret, struct err *e)
{
	enum err_code rc = layout_new(s, s->nfields ? s->nfields : 1, a, ret, e);
	for (uint32_t f = 0; !rc && f < s->nfields; f++)
		ret->column_of[f] = ret->field_of[f] = (int32_t)f;
	return rc;
}

/* Names of a hostile header times fields of the schema: sorted once, found by bisection. */
struct name_ref {
	struct span name;
	uint32_t col;
};

static int by_name(const void *va, const void *vb)
{
	const struct name_ref *a = va, *b = vb;
	size_t n = a->name.n < b->name.n ? a->name.n : b->name.n;
	int c = n ? strncasecmp(a->name.p, b->name.p, n) : 0;
	if (c == 0 && a->name.n != b->name.n)
		c = a->name.n < b->name.n ? -1 : 1;
	return c ? c : a->col < b->col ? -1 : a->col > b->col;
}

static bool same_ignoring_case(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

/* The first of the sorted names that is not below `name`. */
static uint32_t lower_bound(const struct name_ref *sorted, uint32_t n, struct span name)
{
	struct name_ref key = {name, 0};
	uint32_t lo = 0, hi = n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (by_name(&sorted[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static enum err_code twice(struct span name, uint32_t a, uint32_t b, struct err *e)
{
	char q[200];
	err_set(e, ERR_REFUSED, "the header has column \"%s\" twice (columns %u and %u)", cell_quote(name, q), a + 1,
		b + 1);
	return err_hint(e, "give each column its own name");
}

static enum err_code find_field(const struct field *f, uint32_t index, const struct name_ref *sorted, uint32_t n,
				struct csv_layout *l, struct err *e)
{
	struct span name = span_str(f->name);
	int64_t exact = -1, folded = -1, folded2 = -1;
	for (uint32_t i = lower_bound(sorted, n, name); i < n && same_ignoring_case(sorted[i].name, name); i++) {
		if (span_eq(sorted[i].name, name)) {
			if (exact >= 0)
				return twice(name, (uint32_t)exact, sorted[i].col, e);
			exact = sorted[i].col;
		} else if (folded < 0) {
			folded = sorted[i].col;
		} else {
			folded2 = sorted[i].col;
		}
	}
	if (exact < 0 && folded2 >= 0)
		return twice(name, (uint32_t)folded, (uint32_t)folded2, e);
	int64_t col = exact >= 0 ? exact : folded;
	if (col >= 0) {
		l->column_of[index] = (int32_t)col;
		l->field_of[col] = (int32_t)index;
	}
	return ERR_OK;
}

static enum err_code missing(const struct schema *s, const struct csv_layout *l, const struct span *name, uint32_t n,
			     struct err *e)
{
	char list[300] = "", q[200];
	size_t k = 0;
	unsigned lacking = 0;
	for (uint32_t f = 0; f < s->nfields; f++) {
		if (l->column_of[f] >= 0 || s->fields[f].nullable)
			continue;
		if (k < 200)
			k += (size_t)snprintf(list + k, sizeof list - k, "%s\"%.60s\"", lacking ? ", " : "",
					      s->fields[f].name);
		lacking++;
	}
	if (!lacking)
		return ERR_OK;
	err_set(e, ERR_REFUSED, "the header lacks column%s %s%s, which may not be null", lacking == 1 ? "" : "s", list,
		k >= 200 ? " and others" : "");
	if (lacking == s->nfields || n <= 1)
		return err_hint(e, "the header starts with \"%s\": is it a header, and csv.separator.char right?",
				cell_quote(n ? name[0] : (struct span){0}, q));
	return err_hint(e, "add the column, or make the field nullable: \"type\": [\"null\", ...]");
}

static enum err_code warn(const struct schema *s, const struct span *name, struct arena *a, struct csv_layout *l,
			  struct err *e)
{
	struct csv_warning *w = arena_array(a, l->nextra + l->nmissing + 1, sizeof *w);
	bool ok = w != NULL;
	char q[200];
	for (uint32_t c = 0; ok && c < l->ncol; c++) {
		if (l->field_of[c] >= 0)
			continue;
		const char *text =
		    name[c].n ? arena_printf(a, "column \"%s\" is not in the schema: ignored", cell_quote(name[c], q))
			      : arena_printf(a, "column %u of the header has no name: ignored", c + 1);
		w[l->nwarnings++].text = text;
		ok = text != NULL;
	}
	for (uint32_t f = 0; ok && f < s->nfields; f++) {
		if (l->column_of[f] >= 0)
			continue;
		w[l->nwarnings].text =
		    arena_printf(a, "column \"%s\" is not in the file: filled with null", s->fields[f].name);
		ok = w[l->nwarnings++].text != NULL;
	}
	l->warnings = w;
	return ok ? ERR_OK : err_oom(e);
}

enum err_code layout_by_header(const struct schema *s, const struct span *name, uint32_t n, struct arena *a,
			       struct csv_layout *ret, struct err *e)
{
	struct csv_layout *l = ret;
	enum err_code rc = layout_new(s, n, a, l, e);
	struct name_ref *sorted = arena_array(a, n, sizeof *sorted);
	if (rc || !sorted)
		return rc ? rc : err_oom(e);
	for (uint32_t c = 0; c < n; c++)
		sorted[c] = (struct name_ref){name[c], c};
	qsort(sorted, n, sizeof *sorted, by_name);
	for (uint32_t f = 0; f < s->nfields; f++) {
		if ((rc = find_field(&s->fields[f], f, sorted, n, l, e)))
			return rc;
		l->nmissing += l->column_of[f] < 0;
	}
	for (uint32_t c = 0; c < n; c++)
		l->nextra += l->field_of[c] < 0;
	if ((rc = missing(s, l, name, n, e)))
		return rc;
	return warn(s, name, a, l, e);
}
