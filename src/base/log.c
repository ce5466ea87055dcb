/* log.c: a line is built in a fixed buffer and written with one write(2). */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BURST_PER_SECOND 200 /* lines of one message text; what is over is counted and told */
#define MESSAGES_TRACKED 64

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* The process's log: set once at start-up; the counters below have their own lock. */
static struct {
	enum log_level min;
	enum log_format format;
	char component[32];
} setup = {LOG_INFO_, LOG_LOGFMT, "mysimbdp"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	const char *msg;
	int64_t second;
	unsigned lines, left_out;
} seen[MESSAGES_TRACKED];

void log_setup(enum log_level min, enum log_format format, const char *component)
{
	setup.min = min;
	setup.format = format;
	snprintf(setup.component, sizeof setup.component, "%s", component);
}

enum log_level log_min(void)
{
	return setup.min;
}

struct log_field log_field(const char *key, const char *fmt, ...)
{
	struct log_field f = {.key = key};
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(f.value, sizeof f.value, fmt, ap);
	va_end(ap);
	return f;
}

/* False: too many of this message in this second. *ret_left_out: how many an earlier second left out. */
static bool admit(const char *msg, int64_t now_us, unsigned *ret_left_out)
{
	int64_t second = now_us / US_PER_S;
	bool ok = true;
	*ret_left_out = 0;
	pthread_mutex_lock(&lock);
	size_t slot = 0;
	for (size_t i = 0; i < MESSAGES_TRACKED; i++) {
		if (seen[i].msg == msg) {
			slot = i;
			break;
		}
		if (seen[i].second < seen[slot].second)
			slot = i;
	}
	if (seen[slot].msg != msg || seen[slot].second != second) {
		*ret_left_out = seen[slot].msg == msg ? seen[slot].left_out : 0;
		seen[slot].msg = msg;
		seen[slot].second = second;
		seen[slot].lines = seen[slot].left_out = 0;
	}
	if (++seen[slot].lines > BURST_PER_SECOND) {
		seen[slot].left_out++;
		ok = false;
	}
	pthread_mutex_unlock(&lock);
	return ok;
}

/* As it is only when no reader or terminal can take it for anything else; 0xc2 begins the controls of C1. */
static void add_logfmt_value(struct buf *b, const char *v)
{
	bool plain = *v;
	for (const unsigned char *p = (const unsigned char *)v; *p && plain; p++)
		plain = *p > ' ' && *p != 0x7f && *p != 0xc2 && !strchr("\"=\\", *p);
	if (plain) {
		buf_str(b, v);
		return;
	}
	struct jsonw w;
	jsonw_init(&w, b);
	jsonw_str(&w, v);
}

static void line_logfmt(struct buf *b, enum log_level level, const char *ts, const char *msg, const struct log_field *f,
			size_t n)
{
	buf_printf(b, "ts=%s level=%s msg=", ts, level_names[level]);
	add_logfmt_value(b, msg);
	buf_printf(b, " component=%s", setup.component);
	for (size_t i = 0; i < n; i++) {
		buf_printf(b, " %s=", f[i].key);
		add_logfmt_value(b, f[i].value);
	}
}

static void line_json(struct buf *b, enum log_level level, const char *ts, const char *msg, const struct log_field *f,
		      size_t n)
{
	struct jsonw w;
	jsonw_init(&w, b);
	jsonw_begin(&w, '{');
	jsonw_kstr(&w, "ts", ts);
	jsonw_kstr(&w, "level", level_names[level]);
	jsonw_kstr(&w, "msg", msg);
	jsonw_kstr(&w, "component", setup.component);
	for (size_t i = 0; i < n; i++)
		jsonw_kstr(&w, f[i].key, f[i].value);
	jsonw_end(&w, '}');
}

static void line_human(struct buf *b, enum log_level level, const char *ts, const char *msg, const struct log_field *f,
		       size_t n)
{
	static const char *const colour[] = {"\033[2m", "\033[32m", "\033[33m", "\033[31m"};
	buf_printf(b, "\033[2m%.8s\033[0m %s%-5s\033[0m \033[1m", ts + 11, colour[level], level_names[level]);
	struct jsonw w;
	struct buf quoted;
	buf_init(&quoted, 4096);
	jsonw_init(&w, &quoted);
	jsonw_str(&w, msg); /* escapes control characters; the quotes are dropped */
	if (quoted.n >= 2)
		buf_add(b, quoted.p + 1, quoted.n - 2);
	buf_str(b, "\033[0m");
	for (size_t i = 0; i < n; i++) {
		buf_printf(b, " \033[36m%s\033[0m=", f[i].key);
		add_logfmt_value(b, f[i].value);
	}
	buf_done(&quoted);
}

void log_event(enum log_level level, const char *msg, const struct log_field *fields, size_t n)
{
	unsigned left_out;
	int64_t now = clock_now_us();
	if (level < setup.min || !admit(msg, now, &left_out))
		return;
	char ts[40];
	rfc3339(now, ts);
	struct buf b;
	buf_init(&b, 64 << 10);
	struct log_field more[33];
	if (left_out && n < 32) {
		memcpy(more, fields, n * sizeof *fields);
		more[n] = log_field("left_out_before", "%u", left_out);
		fields = more;
		n++;
	}
	if (setup.format == LOG_JSON)
		line_json(&b, level, ts, msg, fields, n);
	else if (setup.format == LOG_HUMAN)
		line_human(&b, level, ts, msg, fields, n);
	else
		line_logfmt(&b, level, ts, msg, fields, n);
	buf_char(&b, '\n');
	if (b.n && write(STDERR_FILENO, b.p, b.n) < 0) {
		/* nowhere to say so */
	}
	buf_done(&b);
}

void log_err(const char *msg, const struct err *e, const struct log_field *fields, size_t n)
{
	struct log_field all[20];
	size_t k = 0;
	for (; k < n && k < 16; k++)
		all[k] = fields[k];
	all[k++] = log_field("error_code", "%s", err_info(e->code)->name);
	all[k++] = log_field("error", "%s", e->msg);
	if (e->hint[0])
		all[k++] = log_field("hint", "%s", e->hint);
	log_event(LOG_ERROR_, msg, all, k);
}
