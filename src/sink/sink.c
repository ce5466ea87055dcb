/* sink.c: the list of sinks, and finding one by its URI. */
#include "sink/sink.h"

#include <stdio.h>
#include <string.h>

static const struct sink_class *const sinks[] = {&sink_sqlite, &sink_cassandra};
#define NSINKS (sizeof sinks / sizeof *sinks)

enum err_code sink_find(const char *uri, const struct sink_class **ret, const char **ret_target, struct err *e)
{
	const char *colon = strchr(uri, ':');
	size_t n = colon ? (size_t)(colon - uri) : 0;
	char known[256];
	size_t used = 0;
	for (size_t i = 0; i < NSINKS; i++) {
		const struct sink_class *c = sinks[i];
		if (n && strlen(c->name) == n && strncmp(c->name, uri, n) == 0 && colon[1]) {
			*ret = c;
			*ret_target = colon + 1;
			return ERR_OK;
		}
		int w =
		    snprintf(known + used, sizeof known - used, "%s%s:%s", used ? ", " : "", c->name, c->target_hint);
		if (w > 0 && (size_t)w < sizeof known - used)
			used += (size_t)w;
	}
	err_set(e, ERR_USAGE, "\"%s\" names no sink; known: %s", uri, known);
	if (!colon)
		return err_hint(e, "for a directory of SQLite databases write sqlite:%s", uri);
	return e ? e->code : ERR_USAGE;
}
