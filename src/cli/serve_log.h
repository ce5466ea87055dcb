/*
 * serve_log.h: the log of `serve` and of its workers from the settings log.level and log.format.
 */
#ifndef CLI_SERVE_LOG_H
#define CLI_SERVE_LOG_H

#include "base/log.h"
#include "conf/conf.h"

#include <string.h>
#include <unistd.h>

static inline void serve_log_setup(const struct conf *conf, const char *component)
{
	const char *level = conf_str(conf, "log.level"), *format = conf_str(conf, "log.format");
	enum log_level l = !strcmp(level, "debug")   ? LOG_DEBUG_
			   : !strcmp(level, "warn")  ? LOG_WARN_
			   : !strcmp(level, "error") ? LOG_ERROR_
						     : LOG_INFO_;
	enum log_format f = !strcmp(format, "json")				? LOG_JSON
			    : !strcmp(format, "logfmt")				? LOG_LOGFMT
			    : !strcmp(format, "human") || isatty(STDERR_FILENO) ? LOG_HUMAN
										: LOG_LOGFMT;
	log_setup(l, f, component);
}

#endif
