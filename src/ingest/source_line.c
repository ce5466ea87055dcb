/*
 * source_line.c: a table of the records' first lines, and one walk over the lines of the mapped file. The platform's
 * originals are immutable while they exist, so the map can't be cut short under us.
 */
#include "ingest/source_line.h"

#include "base/fd.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct slot {
	uint64_t hash;
	size_t entry; /* index + 1 of a record with this first line; 0: free */
};

struct record {
	size_t next;	/* index + 1 of another record with the same first line; 0: none */
	uint64_t found; /* occurrences */
};

struct table {
	struct slot *slot;
	size_t mask;
	struct record *record; /* one an entry */
};

static size_t line_len(const char *p, size_t n)
{
	const char *lf = n ? memchr(p, '\n', n) : NULL;
	size_t len = lf ? (size_t)(lf - p) : n;
	const char *cr = len ? memchr(p, '\r', len) : NULL;
	return cr ? (size_t)(cr - p) : len;
}

static struct slot *find(const struct table *t, uint64_t hash)
{
	size_t i = hash & t->mask;
	while (t->slot[i].entry && t->slot[i].hash != hash)
		i = (i + 1) & t->mask;
	return &t->slot[i];
}

static bool table_make(struct table *t, const struct quarantine_entry *en, size_t n)
{
	size_t cap = 16;
	while (cap < 2 * n)
		cap *= 2;
	*t = (struct table){
	    .slot = calloc(cap, sizeof *t->slot), .mask = cap - 1, .record = calloc(n, sizeof *t->record)};
	if (!t->slot || !t->record)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (en[i].cut || en[i].raw.n == 0)
			continue;
		uint64_t hash = hash64(en[i].raw.p, line_len(en[i].raw.p, en[i].raw.n), 0);
		struct slot *s = find(t, hash);
		t->record[i].next = s->entry;
		s->hash = hash;
		s->entry = i + 1;
	}
	return true;
}

static void line(struct table *t, struct quarantine_entry *en, const char *p, size_t left, size_t len, uint64_t number)
{
	for (size_t i = find(t, hash64(p, len, 0))->entry; i; i = t->record[i - 1].next) {
		struct quarantine_entry *q = &en[i - 1];
		if (q->raw.n > left || memcmp(q->raw.p, p, q->raw.n) != 0)
			continue;
		if (q->raw.n < left && p[q->raw.n] != '\n' && p[q->raw.n] != '\r')
			continue;
		q->source_line = ++t->record[i - 1].found == 1 ? number : 0;
	}
}

/* Physical lines end in LF, CRLF or CR, as the reader of the gate counts them. */
static void walk(struct table *t, struct quarantine_entry *en, const char *p, size_t n)
{
	uint64_t number = 1;
	size_t at = n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	while (at < n) {
		size_t len = line_len(p + at, n - at);
		line(t, en, p + at, n - at, len, number++);
		at += len;
		at += at + 1 < n && p[at] == '\r' && p[at + 1] == '\n' ? 2 : 1;
	}
}

enum err_code source_lines(const char *path, struct quarantine_entry *en, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		en[i].source_line = 0;
	AUTO_FD int fd = -1;
	enum err_code c = fd_open(path, O_RDONLY | O_NOFOLLOW, 0, &fd, e);
	if (c)
		return c == ERR_NOT_FOUND ? ERR_OK : c;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "look at \"%s\"", path);
	size_t size = (size_t)st.st_size;
	if (size == 0 || n == 0 || !S_ISREG(st.st_mode))
		return ERR_OK;
	char *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "map \"%s\"", path);
	madvise(p, size, MADV_SEQUENTIAL);
	struct table t;
	bool made = table_make(&t, en, n);
	if (made)
		walk(&t, en, p, size);
	munmap(p, size);
	free(t.slot);
	free(t.record);
	return made ? ERR_OK : err_oom(e);
}
