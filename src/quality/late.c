/* late.c: see late.h. */
#include "quality/late.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IN_MEMORY (UINT64_C(1) << 20)
#define KEEP_RESIDENT (1u << 18) /* records between two times that written pages are let go */

struct late_rec {
	uint64_t row_be; /* key: row, then rule */
	uint64_t rule_be;
	uint64_t of;
};

enum err_code late_new(const struct extsort_options *opt, struct late **ret, struct err *e)
{
	struct late *l = calloc(1, sizeof(*l));

	if (!l)
		return err_oom(e);
	l->dir = opt->dir;
	if (extsort_new(opt, &l->sort, e)) {
		late_free(l);
		return e->code;
	}
	*ret = l;
	return ERR_OK;
}

enum err_code late_put(struct late *l, uint32_t rule, uint64_t row, uint64_t of, struct err *e)
{
	struct late_rec r = {__builtin_bswap64(row), __builtin_bswap64(rule), of};

	l->put++;
	return extsort_add(l->sort, &r, sizeof(r), 0, 16, e);
}

/* n bytes of an unlinked file whose blocks are there (writing to a mapped hole on a full disk would kill us). */
static enum err_code map_spill(const char *dir, size_t n, void **ret, struct err *e)
{
	AUTO_FD int fd = -1;
	char path[4096];
	int rc;

	if (!dir)
		dir = getenv("TMPDIR");
	if (!dir || !*dir)
		dir = "/tmp";
	if (snprintf(path, sizeof(path), "%s/mysimbdp-late-XXXXXX", dir) >= (int)sizeof(path))
		return err_set(e, ERR_LIMIT, "the name of the spill directory is too long");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "make a spill file in \"%s\"", dir);
	unlink(path);
	rc = posix_fallocate(fd, 0, (off_t)n);
	if (rc)
		return err_sys(e, rc, "spill %zu bytes to \"%s\"", n, dir);
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "map a spill file in \"%s\"", dir);
	*ret = p;
	return ERR_OK;
}

static enum err_code late_room(struct late *l, struct err *e)
{
	if (l->put > SIZE_MAX / 32)
		return err_set(e, ERR_LIMIT, "too many duplicates");
	l->mem_size = (size_t)l->put * 17;
	if (l->mem_size > IN_MEMORY) {
		if (map_spill(l->dir, l->mem_size, &l->mem, e))
			return e->code;
		l->mapped = true;
		return ERR_OK;
	}
	l->mem = malloc(l->mem_size);
	return l->mem ? ERR_OK : err_oom(e);
}

/* The pages of a mapped file are in the page cache; they need not be ours until somebody reads them. */
static void let_go(const struct late *l)
{
	if (l->mapped)
		madvise(l->mem, l->mem_size, MADV_DONTNEED);
}

enum err_code late_finish(struct late *l, void (*found)(void *ctx, uint32_t rule, bool first), void *ctx, struct err *e)
{
	const void *p;
	size_t len;

	if (l->put == 0)
		return ERR_OK;
	if (extsort_finish(l->sort, e) || late_room(l, e))
		return e->code;
	uint64_t *row = l->mem, *of = row + l->put;
	uint8_t *rule = (uint8_t *)(of + l->put);
	uint64_t n = 0;
	for (;;) {
		if (extsort_next(l->sort, &p, &len, e))
			return e->code;
		if (!p)
			break;
		struct late_rec r;
		memcpy(&r, p, sizeof(r));
		uint64_t at = __builtin_bswap64(r.row_be);
		uint32_t which = (uint32_t)__builtin_bswap64(r.rule_be);
		bool first = n == 0 || row[n - 1] != at;
		found(ctx, which, first);
		if (!first)
			continue;
		row[n] = at;
		of[n] = r.of;
		rule[n] = (uint8_t)which;
		if (++n % KEEP_RESIDENT == 0)
			let_go(l);
	}
	let_go(l);
	l->row = row;
	l->of = of;
	l->rule = rule;
	l->n = n;
	return ERR_OK;
}

void late_free(struct late *l)
{
	if (!l)
		return;
	extsort_free(l->sort);
	if (l->mapped)
		munmap(l->mem, l->mem_size);
	else
		free(l->mem);
	free(l);
}
