/* reason.c: why a text is no value of its type, in the words of the person who has to mend it. */
#include "record/batch.h"
#include "record/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REASON 192
#define SHOWN 72 /* bytes of the cell, so that the rest of the sentence fits */

/* The cell as cell_quote shows it, shorter. */
static const char *shown(struct span text, char out[200])
{
	cell_quote(text, out);
	size_t n = strlen(out);
	if (n <= SHOWN)
		return out;
	size_t cut = SHOWN - 3;
	while (cut && ((unsigned char)out[cut] & 0xc0) == 0x80)
		cut--;
	memcpy(out + cut, "...", 4);
	return out;
}

__attribute__((format(printf, 2, 3))) static void say(char out[REASON], const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(out, REASON, fmt, ap);
	va_end(ap);
	size_t n = strlen(out), good = utf8_valid_prefix(out, n);
	out[good] = 0; /* never half a character */
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool reads_as_double(struct span text)
{
	double d;
	bool range;
	return parse_f64(text.p, text.n, &d, &range);
}

static struct span trimmed(struct span t)
{
	while (t.n && is_blank(t.p[0])) {
		t.p++;
		t.n--;
	}
	while (t.n && is_blank(t.p[t.n - 1]))
		t.n--;
	return t;
}

static bool is_nan_or_inf(struct span t)
{
	size_t sign = t.p[0] == '-' || t.p[0] == '+';
	return t.n - sign >= 3 && (strncasecmp(t.p + sign, "nan", 3) == 0 || strncasecmp(t.p + sign, "inf", 3) == 0);
}

/* What a number would need to be one; "" when nothing better is known. */
static const char *number_advice(const struct field *f, struct span text)
{
	bool whole = f->type == AVRO_T_INT || f->type == AVRO_T_LONG;
	struct span t = trimmed(text);
	if (text.n == 0)
		return ": a quoted empty text; leave the cell empty for null";
	if (t.n == 0)
		return ": only blanks; leave the cell empty for null";
	if (t.n != text.n && reads_as_double(t))
		return ": take the blanks around it away";
	if (whole && reads_as_double(text))
		return "; double would take it";
	if (!whole && is_nan_or_inf(t))
		return ": no nan or infinity here";
	if (memchr(text.p, ',', text.n))
		return ": no commas within a number";
	return "";
}

static const char *type_name(const struct field *f)
{
	static const char *const logical[] = {
	    [LOGICAL_DATE] = "date",
	    [LOGICAL_TIME_MILLIS] = "time",
	    [LOGICAL_TIME_MICROS] = "time",
	    [LOGICAL_TIMESTAMP_MILLIS] = "timestamp",
	    [LOGICAL_TIMESTAMP_MICROS] = "timestamp",
	    [LOGICAL_DECIMAL] = "decimal",
	    [LOGICAL_UUID] = "uuid",
	};
	static const char *const plain[] = {
	    [AVRO_T_BOOLEAN] = "boolean", [AVRO_T_INT] = "int",	      [AVRO_T_LONG] = "long",
	    [AVRO_T_FLOAT] = "float",	  [AVRO_T_DOUBLE] = "double", [AVRO_T_STRING] = "string",
	    [AVRO_T_BYTES] = "bytes",	  [AVRO_T_FIXED] = "fixed",   [AVRO_T_ENUM] = "enum",
	};
	return f->logical != LOGICAL_NONE ? logical[f->logical] : plain[f->type];
}

static const char *article(const char *name)
{
	return strchr("aeiou", name[0]) && strcmp(name, "uuid") != 0 ? "an" : "a";
}

static void range_reason(const struct field *f, const char *q, struct span text, char out[REASON])
{
	int64_t v;
	bool range;
	if (f->type == AVRO_T_INT)
		say(out, "%s is beyond int (-2147483648..2147483647); %s would take it", q,
		    parse_i64(text.p, text.n, &v, &range) ? "long" : "string or decimal");
	else if (f->type == AVRO_T_LONG)
		say(out,
		    "%s is beyond long (-9223372036854775808..9223372036854775807); "
		    "string or decimal would take it",
		    q);
	else if (f->type == AVRO_T_FLOAT)
		say(out, "%s is beyond float (at most 3.4028235e38)%s", q,
		    reads_as_double(text) ? "; double would take it" : "");
	else
		say(out, "%s is beyond double (at most 1.7976931348623157e308)", q);
}

/* How many digits a decimal text has before and behind its point, without zeros that say nothing. */
static void decimal_digits(struct span t, unsigned *ret_whole, unsigned *ret_frac)
{
	const char *point = memchr(t.p, '.', t.n);
	size_t whole = point ? (size_t)(point - t.p) : t.n, frac = point ? t.n - whole - 1 : 0;
	const char *p = t.p;
	while (whole && (*p < '1' || *p > '9')) {
		p++;
		whole--;
	}
	while (frac && point[frac] == '0')
		frac--;
	*ret_whole = (unsigned)whole;
	*ret_frac = (unsigned)frac;
}

static void inexact_reason(const struct field *f, const char *q, struct span text, char out[REASON])
{
	if (f->logical != LOGICAL_DECIMAL) {
		say(out, "\"%s\" is finer than a millisecond; %s would take it", q,
		    f->logical == LOGICAL_TIME_MILLIS ? "time-micros" : "timestamp-micros");
		return;
	}
	unsigned whole, frac;
	decimal_digits(text, &whole, &frac);
	bool fraction = frac > f->scale;
	say(out, "%s has %u digit%s %s the point, decimal(%u,%u) takes %u", q, fraction ? frac : whole,
	    (fraction ? frac : whole) == 1 ? "" : "s", fraction ? "behind" : "before", f->precision, f->scale,
	    fraction ? f->scale : f->precision - f->scale);
}

static void member_reason(const struct field *f, const char *q, char out[REASON])
{
	char list[100] = "";
	size_t n = 0;
	for (uint32_t i = 0; i < f->nsymbols; i++) {
		size_t need = strlen(f->symbols[i]) + 2;
		if (n + need + 8 > sizeof list) {
			n += (size_t)snprintf(list + n, sizeof list - n, ", ...");
			break;
		}
		n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", f->symbols[i]);
	}
	say(out, "\"%s\" is none of %s", q, list);
}

/* A date whose digits are right but that the calendar does not have. */
static bool impossible_date(struct span t)
{
	static const char shape[] = "dddd-dd-dd";
	if (t.n != sizeof shape - 1)
		return false;
	for (size_t i = 0; i < t.n; i++)
		if (shape[i] == 'd' ? t.p[i] < '0' || t.p[i] > '9' : t.p[i] != shape[i])
			return false;
	return true;
}

static void bad_reason(const struct field *f, const char *q, struct span text, char out[REASON])
{
	const char *name = type_name(f);
	switch (f->logical) {
	case LOGICAL_DATE:
		say(out,
		    impossible_date(text) ? "\"%s\" is no date: the calendar has no such day"
					  : "\"%s\" is no date; write YYYY-MM-DD",
		    q);
		return;
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS:
		say(out, "\"%s\" is no time; write HH:MM:SS, with a fraction if there is one", q);
		return;
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_TIMESTAMP_MICROS:
		say(out, "\"%s\" is no timestamp; write YYYY-MM-DDTHH:MM:SSZ (RFC 3339)", q);
		return;
	case LOGICAL_UUID:
		say(out, "\"%s\" is no uuid; write 8-4-4-4-12 hexadecimal digits", q);
		return;
	default:
		break;
	}
	if (f->type == AVRO_T_BOOLEAN)
		say(out, "\"%s\" is no boolean; write true, false, 1 or 0", q);
	else
		say(out, "\"%s\" is no %s%s", q, name, number_advice(f, text));
}

void convert_reason(const struct field *f, struct span text, enum convert_result why, char out[REASON])
{
	char q[200];
	shown(text, q);
	switch (why) {
	case CONVERT_RANGE:
		range_reason(f, q, text, out);
		break;
	case CONVERT_INEXACT:
		inexact_reason(f, q, text, out);
		break;
	case CONVERT_NOT_MEMBER:
		member_reason(f, q, out);
		break;
	case CONVERT_LENGTH:
		say(out, "\"%s\" has %zu byte%s, fixed takes %u", q, text.n, text.n == 1 ? "" : "s", f->fixed_size);
		break;
	case CONVERT_BAD:
		bad_reason(f, q, text, out);
		break;
	default:
		say(out, "\"%s\" is %s %s", q, article(type_name(f)), type_name(f));
	}
}
