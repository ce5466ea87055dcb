/*
 * outlog.c: what an app printed, bounded: the first half of the limit as it comes, then the last half (kept in a ring)
 * when the app has ended, with a line between that says how much is left out. Beginnings and ends are what people
 * look for.
 */
#include "runner/internal.h"

#include "base/fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum err_code outlog_open(struct outlog *l, const char *path, uint64_t max, struct err *e)
{
	*l = (struct outlog){.fd = -1};
	if (!max)
		max = RUN_LOG_DEFAULT;
	l->head_left = max / 2;
	l->cap = (size_t)(max - max / 2);
	l->ring = malloc(l->cap);
	if (!l->ring)
		return err_oom(e);
	if (!path[0])
		return ERR_OK;
	enum err_code rc = fd_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &l->fd, e);
	if (rc) {
		free(l->ring);
		l->ring = NULL;
	}
	return rc;
}

/* A full disk must not fail the run: what cannot be written is lost. */
static void put(struct outlog *l, const char *p, size_t n)
{
	if (l->fd >= 0 && n && fd_write_all(l->fd, p, n, "the output log", NULL))
		l->dropped += n;
}

static void ring_add(struct outlog *l, const char *p, size_t n)
{
	if (n >= l->cap) {
		l->dropped += l->n + (n - l->cap);
		memcpy(l->ring, p + (n - l->cap), l->cap);
		l->start = 0;
		l->n = l->cap;
		return;
	}
	if (l->n + n > l->cap) {
		size_t over = l->n + n - l->cap;
		l->start = (l->start + over) % l->cap;
		l->n -= over;
		l->dropped += over;
	}
	size_t at = (l->start + l->n) % l->cap, first = l->cap - at < n ? l->cap - at : n;
	memcpy(l->ring + at, p, first);
	memcpy(l->ring, p + first, n - first);
	l->n += n;
}

void outlog_add(struct outlog *l, const char *p, size_t n)
{
	l->total += n;
	size_t head = n < l->head_left ? n : (size_t)l->head_left;
	put(l, p, head);
	l->head_left -= head;
	if (n > head && l->ring)
		ring_add(l, p + head, n - head);
}

void outlog_close(struct outlog *l)
{
	if (l->ring) {
		char line[96];
		int n =
		    l->dropped ? snprintf(line, sizeof line, "\n... %" PRIu64 " bytes left out ...\n", l->dropped) : 0;
		put(l, line, (size_t)n);
		size_t first = l->cap - l->start < l->n ? l->cap - l->start : l->n;
		put(l, l->ring + l->start, first);
		put(l, l->ring, l->n - first);
	}
	free(l->ring);
	l->ring = NULL;
	fd_close(&l->fd);
}
