/*
 * log.h: one line an event, logfmt or JSON, to stderr.
 *
 *   log_info("file received", LF("tenant", "%s", t), LF("bytes", "%" PRIu64, n));
 *
 * Only outer layers log (cli/, api/, manager/, the worker's main); library code returns errors. The log is the one
 * piece of process-wide state; log_setup is called once before threads start. Lines are written with one write(2), so
 * processes sharing a file do not mix. Repeats of one message are limited per second, and the count of what was left
 * out is told. Row contents never go to the log.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_DEBUG_, LOG_INFO_, LOG_WARN_, LOG_ERROR_ };
enum log_format { LOG_LOGFMT, LOG_JSON, LOG_HUMAN }; /* HUMAN: colour and short times, for a terminal */

struct log_field {
	const char *key;
	char value[256];
};

struct log_field log_field(const char *key, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define LF(key, ...) log_field(key, __VA_ARGS__)

void log_setup(enum log_level min, enum log_format format, const char *component);
enum log_level log_min(void);
void log_event(enum log_level level, const char *msg, const struct log_field *fields, size_t n);

#define LOG_CALL_(level, msg, ...)                                                                                     \
	log_event(level, msg, (const struct log_field[]){__VA_ARGS__},                                                 \
		  sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
#define log_debug(msg, ...) LOG_CALL_(LOG_DEBUG_, msg, __VA_ARGS__)
#define log_info(msg, ...) LOG_CALL_(LOG_INFO_, msg, __VA_ARGS__)
#define log_warn(msg, ...) LOG_CALL_(LOG_WARN_, msg, __VA_ARGS__)
#define log_error(msg, ...) LOG_CALL_(LOG_ERROR_, msg, __VA_ARGS__)

/* Error fields: error_code, error, hint. */
void log_err(const char *msg, const struct err *e, const struct log_field *fields, size_t n);

#endif
