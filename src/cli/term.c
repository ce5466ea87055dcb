/* term.c: tables, bars and readable numbers. Display width follows wcwidth's two interesting classes: combining marks
 * take nothing, East Asian wide characters and emoji take two columns (Unicode TR 11, the blocks that matter). */
#include "cli/term.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 24

const struct style *style_get(bool colour)
{
	static const struct style none = {"", "", "", "", "", "", "", "", ""};
	static const struct style sgr = {"\033[1m",  "\033[2m",	 "\033[31m", "\033[32m", "\033[33m",
					 "\033[34m", "\033[36m", "\033[7m",  "\033[0m"};
	return colour ? &sgr : &none;
}

struct cell {
	const char *text, *sgr;
	size_t width;
};

struct table {
	struct arena *arena;
	int ncols;
	const char *heads[COLUMNS_MAX];
	enum table_align align[COLUMNS_MAX];
	struct cell *cells;
	size_t n, cap;
	const char *sgr; /* for the next cell */
};

/* The character at p (n > 0 bytes left): its length in bytes and columns. */
static size_t glyph(const char *p, size_t n, size_t *ret_width)
{
	unsigned char c = (unsigned char)*p;
	size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
	if (len > n)
		len = n;
	uint32_t u = len == 1 ? c : len == 2 ? c & 0x1f : len == 3 ? c & 0x0f : c & 0x07;
	for (size_t i = 1; i < len; i++)
		u = u << 6 | ((unsigned char)p[i] & 0x3f);
	bool zero = (u >= 0x300 && u <= 0x36f) || u == 0x200d || (u >= 0xfe00 && u <= 0xfe0f);
	bool wide = (u >= 0x1100 && u <= 0x115f) || (u >= 0x2e80 && u <= 0xa4cf) || (u >= 0xac00 && u <= 0xd7a3) ||
		    (u >= 0xf900 && u <= 0xfaff) || (u >= 0xfe30 && u <= 0xfe6f) || (u >= 0xff00 && u <= 0xff60) ||
		    (u >= 0x1f300 && u <= 0x1f64f) || (u >= 0x1f680 && u <= 0x1f6ff) ||
		    (u >= 0x1f900 && u <= 0x1f9ff) || (u >= 0x20000 && u <= 0x3fffd);
	*ret_width = zero ? 0 : wide ? 2 : 1;
	return len;
}

size_t display_width(const char *s, size_t n)
{
	size_t width = 0, w;
	for (size_t i = 0; i < n; width += w)
		i += glyph(s + i, n - i, &w);
	return width;
}

struct table *table_new(struct arena *a, int ncols, const char *const *heads, const enum table_align *align)
{
	struct table *t = arena_alloc(a, sizeof *t);
	if (!t || ncols < 1 || ncols > COLUMNS_MAX)
		abort();
	t->arena = a;
	t->ncols = ncols;
	for (int i = 0; i < ncols; i++) {
		t->heads[i] = heads[i];
		t->align[i] = align ? align[i] : TABLE_LEFT;
	}
	return t;
}

void table_style(struct table *t, const char *sgr)
{
	t->sgr = sgr;
}

void make_plain(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = ' ';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* U+0080 to U+009F */
			p[0] = p[1] = ' ';
	}
}

void table_cell(struct table *t, const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	make_plain(text);
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct cell *more = arena_array(t->arena, cap, sizeof *more);
		if (!more)
			return;
		if (t->n)
			memcpy(more, t->cells, t->n * sizeof *more);
		t->cells = more;
		t->cap = cap;
	}
	const char *copy = arena_strdup(t->arena, text);
	t->cells[t->n++] = (struct cell){copy ? copy : "", t->sgr, display_width(text, strlen(text))};
	t->sgr = NULL;
}

/* Columns that are wider than their share give up what is needed, the widest first. */
static void fit(size_t *width, int n, int total)
{
	for (;;) {
		size_t sum = 0;
		int widest = 0;
		for (int i = 0; i < n; i++) {
			sum += width[i] + (i ? 2 : 0);
			if (width[i] > width[widest])
				widest = i;
		}
		if (total <= 0 || sum <= (size_t)total || width[widest] <= 12)
			return;
		size_t over = sum - (size_t)total, give = width[widest] - 12;
		width[widest] -= over < give ? (over + 1) / 2 : give;
	}
}

static void put_cell(FILE *out, const char *text, size_t have, size_t want, enum table_align align, bool last)
{
	size_t cut = strlen(text);
	if (have > want) {
		size_t w = 0, g;
		for (cut = 0; text[cut];) {
			size_t len = glyph(text + cut, strlen(text + cut), &g);
			if (w + g > want - 1)
				break;
			w += g;
			cut += len;
		}
		have = w + 1;
	}
	size_t pad = want > have ? want - have : 0;
	if (align == TABLE_RIGHT)
		fprintf(out, "%*s", (int)pad, "");
	fprintf(out, "%.*s%s", (int)cut, text, text[cut] ? "…" : "");
	if (align == TABLE_LEFT && !last)
		fprintf(out, "%*s", (int)pad, "");
}

void table_print(const struct table *t, FILE *out, int total, bool colour)
{
	const struct style *s = style_get(colour);
	size_t width[COLUMNS_MAX];
	for (int i = 0; i < t->ncols; i++)
		width[i] = display_width(t->heads[i], strlen(t->heads[i]));
	for (size_t k = 0; k < t->n; k++) {
		if (t->cells[k].width > width[k % (size_t)t->ncols])
			width[k % (size_t)t->ncols] = t->cells[k].width;
	}
	fit(width, t->ncols, total);
	for (int i = 0; i < t->ncols; i++) {
		fprintf(out, "%s%s", i ? "  " : "", s->dim);
		put_cell(out, t->heads[i], display_width(t->heads[i], strlen(t->heads[i])), width[i], t->align[i],
			 i == t->ncols - 1);
		fputs(s->reset, out);
	}
	for (size_t k = 0; k < t->n; k++) {
		int i = (int)(k % (size_t)t->ncols);
		const struct cell *c = &t->cells[k];
		fputs(i ? "  " : "\n", out);
		if (colour && c->sgr)
			fputs(c->sgr, out);
		put_cell(out, c->text, c->width, width[i], t->align[i], i == t->ncols - 1);
		if (colour && c->sgr)
			fputs(s->reset, out);
	}
	fputc('\n', out);
}

#define BAR 30

void progress_start(struct progress *p, const struct cli *cli, const char *label, uint64_t total)
{
	*p = (struct progress){.cli = cli, .label = label, .total = total, .started_ns = clock_mono_ns()};
}

static void draw(const struct progress *p, const char *note, int64_t now)
{
	static const char *const part[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	char bytes[32], rate[32], left[32] = "";
	double seconds = (double)(now - p->started_ns) / 1e9;
	double share = p->total ? (double)p->done / (double)p->total : 0;
	if (share > 1)
		share = 1;
	human_bytes(p->done, bytes);
	human_bytes((uint64_t)((double)p->done / (seconds > 0.01 ? seconds : 0.01)), rate);
	if (share > 0.01 && seconds > 1)
		human_duration(seconds / share - seconds, left);
	const struct style *s = style_get(p->cli->colour_err);
	int eighths = (int)(share * BAR * 8), full = eighths / 8, frac = eighths % 8;
	fprintf(stderr, "\r\033[K%s%.24s%s ", s->bold, p->label, s->reset);
	if (p->total) {
		fprintf(stderr, "%s", s->green);
		for (int i = 0; i < full; i++)
			fputs("█", stderr);
		fputs(part[frac], stderr);
		fprintf(stderr, "%s%*s %3d%% ", s->reset, BAR - full - (frac ? 1 : 0), "", (int)(share * 100));
	}
	fprintf(stderr, "%s%s  %s/s%s%s%s%s%s", s->dim, bytes, rate, *left ? "  " : "", left, *left ? " left" : "",
		s->reset, "");
	if (note && *note)
		fprintf(stderr, "  %s", note);
	fflush(stderr);
}

void progress_update(struct progress *p, uint64_t done, const char *note)
{
	p->done = done;
	if (!p->cli->progress)
		return;
	int64_t now = clock_mono_ns();
	if (now - p->started_ns < INT64_C(200000000) || now - p->drawn_ns < INT64_C(100000000))
		return;
	p->drawn_ns = now;
	p->drawn = true;
	draw(p, note, now);
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}

const char *human_bytes(uint64_t n, char out[32])
{
	static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double)n;
	int u = 0;
	while (v >= 999.5 && u < 6) {
		v /= 1000;
		u++;
	}
	snprintf(out, 32, u == 0 || v >= 99.95 ? "%.0f %s" : "%.1f %s", v, unit[u]);
	return out;
}

const char *human_count(uint64_t n, char out[32])
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%" PRIu64, n), k = 0;
	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			out[k++] = ',';
		out[k++] = digits[i];
	}
	out[k] = 0;
	return out;
}

const char *human_duration(double s, char out[32])
{
	if (s < 0.0095)
		snprintf(out, 32, "%.1f ms", s * 1e3);
	else if (s < 0.995)
		snprintf(out, 32, "%.0f ms", s * 1e3);
	else if (s < 59.95)
		snprintf(out, 32, "%.1f s", s);
	else if (s < 3600)
		snprintf(out, 32, "%d min %02d s", (int)s / 60, (int)s % 60);
	else if (s < 86400)
		snprintf(out, 32, "%d h %02d min", (int)s / 3600, (int)s / 60 % 60);
	else
		snprintf(out, 32, "%d d %02d h", (int)(s / 86400), (int)(s / 3600) % 24);
	return out;
}

const char *human_ago(int64_t us, int64_t now_us, char out[40])
{
	double s = (double)(now_us - us) / 1e6;
	char d[32];
	if (us == 0)
		snprintf(out, 40, "never");
	else if (s < 0)
		snprintf(out, 40, "in %s", human_duration(-s, d));
	else if (s < 1)
		snprintf(out, 40, "now");
	else if (s < 60)
		snprintf(out, 40, "%d s ago", (int)s);
	else if (s < 3600)
		snprintf(out, 40, "%d min ago", (int)s / 60);
	else if (s < 86400)
		snprintf(out, 40, "%d h ago", (int)s / 3600);
	else
		snprintf(out, 40, "%d d ago", (int)(s / 86400));
	return out;
}
