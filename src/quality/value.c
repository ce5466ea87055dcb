/* value.c: see value.h. */
#include "quality/value.h"

#include "base/clock.h"

static void split_decimal(struct span s, bool *neg, struct span *whole, struct span *frac)
{
	*neg = false;
	if (s.n && (*s.p == '-' || *s.p == '+')) {
		*neg = *s.p == '-';
		s.p++;
		s.n--;
	}
	while (s.n && *s.p == '0') {
		s.p++;
		s.n--;
	}
	const char *dot = s.n ? memchr(s.p, '.', s.n) : NULL;
	size_t n = dot ? (size_t)(dot - s.p) : s.n;
	*whole = (struct span){s.p, n};
	*frac = dot ? (struct span){dot + 1, s.n - n - 1} : (struct span){NULL, 0};
	while (frac->n && frac->p[frac->n - 1] == '0')
		frac->n--;
}

static int span_order(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? (c < 0 ? -1 : 1) : (a.n > b.n) - (a.n < b.n);
}

int decimal_compare(struct span a, struct span b)
{
	struct span aw, af, bw, bf;
	bool an, bn;

	split_decimal(a, &an, &aw, &af);
	split_decimal(b, &bn, &bw, &bf);
	bool az = aw.n + af.n == 0, bz = bw.n + bf.n == 0;
	if (az && bz)
		return 0;
	if (az)
		return bn ? 1 : -1;
	if (bz || an != bn)
		return an ? -1 : 1;
	int c = aw.n != bw.n ? (aw.n < bw.n ? -1 : 1) : span_order(aw, bw);
	if (c == 0)
		c = span_order(af, bf);
	return an ? -c : c;
}

bool field_has_time(const struct field *f)
{
	return f->storage == STORE_I64 && (f->logical == LOGICAL_DATE || f->logical == LOGICAL_TIMESTAMP_MILLIS ||
					   f->logical == LOGICAL_TIMESTAMP_MICROS);
}

int64_t field_time_us(const struct field *f, int64_t v)
{
	int64_t unit = f->logical == LOGICAL_DATE ? US_PER_DAY : f->logical == LOGICAL_TIMESTAMP_MILLIS ? 1000 : 1, us;

	if (__builtin_mul_overflow(v, unit, &us))
		return v < 0 ? INT64_MIN : INT64_MAX;
	return us;
}

bool rule_format(struct rule_parse *x, const struct field *f, struct datefmt *ret)
{
	const char *s = rule_str(x, "format");

	if (!s)
		return false;
	if (f->storage != STORE_TEXT || f->logical != LOGICAL_NONE || f->type != AVRO_T_STRING) {
		char type[64];
		rule_error(x, "format", NULL,
			   arena_printf(x->a, "no format: \"%s\" is a %s", f->name, field_type_text(f, type)),
			   "take it out");
		return false;
	}
	const char *wrong = datefmt_compile(span_str(s), ret);
	if (wrong) {
		rule_error(x, "format", NULL, wrong, "for instance \"%d/%m/%Y %H:%M:%S\"");
		return false;
	}
	return true;
}
