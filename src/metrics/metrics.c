/*
 * metrics.c: the registry: one family a definition (found by its name), one series a set of label values.
 *
 * A family keeps its series in a table with open addressing; the label values of a series are one block of
 * NUL-terminated texts, which is also its key. One mutex guards everything: a value changes once a request or once a
 * batch, never once a record. Without memory a value is dropped: metrics must not be able to fail what they measure.
 */
#include "metrics/metrics.h"

#include "base/hash.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_VALUE_MAX 128 /* longer values are cut */
#define KEY_MAX (METRIC_LABELS_MAX * (LABEL_VALUE_MAX + 1))

struct series {
	char *key; /* label values, each with its NUL */
	size_t nkey;
	double value;	  /* counter, gauge; histogram: sum */
	uint64_t count;	  /* histogram */
	uint64_t *bucket; /* histogram: not cumulative */
};

struct family {
	const struct metric_def *def;
	size_t nlabels, nbuckets;
	struct series *series; /* in order of arrival */
	size_t n, cap;
	uint32_t *slot; /* index + 1 into series, 0 free */
	size_t nslots;	/* a power of two, or 0 */
	struct family *next;
};

struct metrics {
	pthread_mutex_t lock;
	struct family *first, **tail;
};

struct metrics *metrics_new(void)
{
	struct metrics *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	m->tail = &m->first;
	return m;
}

static void family_free(struct family *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->series[i].key);
		free(f->series[i].bucket);
	}
	free(f->series);
	free(f->slot);
	free(f);
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	for (struct family *f = m->first, *next; f; f = next) {
		next = f->next;
		family_free(f);
	}
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static struct family *family_of(struct metrics *m, const struct metric_def *d)
{
	for (struct family *f = m->first; f; f = f->next)
		if (f->def == d || strcmp(f->def->name, d->name) == 0)
			return f;
	struct family *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->def = d;
	while (f->nlabels < METRIC_LABELS_MAX && d->labels[f->nlabels])
		f->nlabels++;
	while (d->buckets && d->buckets[f->nbuckets] != 0)
		f->nbuckets++;
	*m->tail = f;
	m->tail = &f->next;
	return f;
}

/* The values of ap as a key; each is cut to LABEL_VALUE_MAX bytes. */
static size_t key_of(const struct family *f, va_list ap, char key[KEY_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < f->nlabels; i++) {
		const char *v = va_arg(ap, const char *);
		size_t len = v ? strnlen(v, LABEL_VALUE_MAX) : 0;
		memcpy(key + n, v ? v : "", len);
		n += len;
		key[n++] = 0;
	}
	return n;
}

static bool grow(struct family *f)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 8;
		struct series *s = realloc(f->series, cap * sizeof *s);
		if (!s)
			return false;
		f->series = s;
		f->cap = cap;
	}
	if ((f->n + 1) * 2 <= f->nslots)
		return true;
	size_t nslots = f->nslots ? f->nslots * 2 : 16;
	uint32_t *slot = calloc(nslots, sizeof *slot);
	if (!slot)
		return false;
	for (size_t i = 0; i < f->n; i++) {
		size_t at = hash64(f->series[i].key, f->series[i].nkey, 0) & (nslots - 1);
		while (slot[at])
			at = (at + 1) & (nslots - 1);
		slot[at] = (uint32_t)i + 1;
	}
	free(f->slot);
	f->slot = slot;
	f->nslots = nslots;
	return true;
}

static struct series *series_find(struct family *f, const char *key, size_t nkey)
{
	if (!f->nslots)
		return NULL;
	size_t at = hash64(key, nkey, 0) & (f->nslots - 1);
	for (; f->slot[at]; at = (at + 1) & (f->nslots - 1)) {
		struct series *s = &f->series[f->slot[at] - 1];
		if (s->nkey == nkey && memcmp(s->key, key, nkey) == 0)
			return s;
	}
	return NULL;
}

static struct series *series_add(struct family *f, const char *key, size_t nkey)
{
	if (!grow(f))
		return NULL;
	struct series s = {.key = malloc(nkey + 1), .nkey = nkey};
	if (s.key && f->def->type == METRIC_HISTOGRAM)
		s.bucket = calloc(f->nbuckets + 1, sizeof *s.bucket);
	if (!s.key || (f->def->type == METRIC_HISTOGRAM && !s.bucket)) {
		free(s.key);
		free(s.bucket);
		return NULL;
	}
	memcpy(s.key, key, nkey);
	size_t at = hash64(key, nkey, 0) & (f->nslots - 1);
	while (f->slot[at])
		at = (at + 1) & (f->nslots - 1);
	f->series[f->n] = s;
	f->slot[at] = (uint32_t)f->n + 1;
	return &f->series[f->n++];
}

static struct series *series_of(struct metrics *m, const struct metric_def *d, struct family **ret_f, va_list ap)
{
	struct family *f = family_of(m, d);
	if (!f)
		return NULL;
	char key[KEY_MAX];
	size_t nkey = key_of(f, ap, key);
	*ret_f = f;
	struct series *s = series_find(f, key, nkey);
	if (s)
		return s;
	if (f->n >= METRIC_SERIES_MAX - 1 && f->nlabels) {
		nkey = 0;
		for (size_t i = 0; i < f->nlabels; i++) {
			memcpy(key + nkey, "other", 6);
			nkey += 6;
		}
		s = series_find(f, key, nkey);
		if (s)
			return s;
	}
	return series_add(f, key, nkey);
}

enum change { CHANGE_ADD, CHANGE_SET, CHANGE_OBSERVE };

static void observe(const struct family *f, struct series *s, double v)
{
	size_t i = 0;
	while (i < f->nbuckets && v > f->def->buckets[i])
		i++;
	s->bucket[i]++;
	s->count++;
	s->value += v;
}

static void change(struct metrics *m, const struct metric_def *d, enum change what, double v, va_list ap)
{
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	struct family *f = NULL;
	struct series *s = series_of(m, d, &f, ap);
	if (s && d->type == METRIC_HISTOGRAM)
		observe(f, s, v);
	else if (s && what == CHANGE_SET)
		s->value = v;
	else if (s)
		s->value += v;
	pthread_mutex_unlock(&m->lock);
}

void metric_add(struct metrics *m, const struct metric_def *d, double v, ...)
{
	va_list ap;
	va_start(ap, v);
	change(m, d, CHANGE_ADD, v, ap);
	va_end(ap);
}

void metric_set(struct metrics *m, const struct metric_def *d, double v, ...)
{
	va_list ap;
	va_start(ap, v);
	change(m, d, CHANGE_SET, v, ap);
	va_end(ap);
}

void metric_observe(struct metrics *m, const struct metric_def *d, double v, ...)
{
	va_list ap;
	va_start(ap, v);
	change(m, d, CHANGE_OBSERVE, v, ap);
	va_end(ap);
}

/* Escapes of the exposition format: backslash and line feed, and the quote inside label values. */
static void write_escaped(struct buf *out, const char *s, bool quote)
{
	for (; *s; s++) {
		if (*s == '\\')
			buf_str(out, "\\\\");
		else if (*s == '\n')
			buf_str(out, "\\n");
		else if (*s == '"' && quote)
			buf_str(out, "\\\"");
		else
			buf_char(out, *s);
	}
}

/* Whole numbers without a fraction or exponent, others with the digits that read back the same. */
static void write_number(struct buf *out, double v)
{
	if (v == (double)(int64_t)v && v > -9e15 && v < 9e15)
		buf_printf(out, "%lld", (long long)v);
	else
		buf_printf(out, "%.17g", v);
}

static void write_labels(const struct family *f, const struct series *s, const char *le, struct buf *out)
{
	if (!f->nlabels && !le)
		return;
	buf_char(out, '{');
	const char *v = s->key;
	for (size_t i = 0; i < f->nlabels; i++, v += strlen(v) + 1) {
		buf_printf(out, "%s%s=\"", i ? "," : "", f->def->labels[i]);
		write_escaped(out, v, true);
		buf_char(out, '"');
	}
	if (le)
		buf_printf(out, "%sle=\"%s\"", f->nlabels ? "," : "", le);
	buf_char(out, '}');
}

static void write_histogram(const struct family *f, const struct series *s, struct buf *out)
{
	uint64_t sum = 0;
	for (size_t i = 0; i <= f->nbuckets; i++) {
		sum += s->bucket[i];
		char le[32] = "+Inf";
		if (i < f->nbuckets)
			snprintf(le, sizeof le, "%g", f->def->buckets[i]);
		buf_printf(out, "%s_bucket", f->def->name);
		write_labels(f, s, le, out);
		buf_printf(out, " %llu\n", (unsigned long long)sum);
	}
	buf_printf(out, "%s_sum", f->def->name);
	write_labels(f, s, NULL, out);
	buf_char(out, ' ');
	write_number(out, s->value);
	buf_printf(out, "\n%s_count", f->def->name);
	write_labels(f, s, NULL, out);
	buf_printf(out, " %llu\n", (unsigned long long)s->count);
}

void metrics_write(struct metrics *m, struct buf *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	for (const struct family *f = m->first; f; f = f->next) {
		buf_printf(out, "# HELP %s ", f->def->name);
		write_escaped(out, f->def->help, false);
		buf_printf(out, "\n# TYPE %s %s\n", f->def->name, types[f->def->type]);
		for (size_t i = 0; i < f->n; i++) {
			if (f->def->type == METRIC_HISTOGRAM) {
				write_histogram(f, &f->series[i], out);
				continue;
			}
			buf_str(out, f->def->name);
			write_labels(f, &f->series[i], NULL, out);
			buf_char(out, ' ');
			write_number(out, f->series[i].value);
			buf_char(out, '\n');
		}
	}
	pthread_mutex_unlock(&m->lock);
}
