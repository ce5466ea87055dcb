/*
 * csv_block.h: a stretch of the decoded text that batches point into, kept alive by counting its users.
 *
 * The reader fills one block after the other; a batch holds the block its cells lie in, so the reader may go on while
 * somebody works on the batch. Vector code may read BLOCK_PAD bytes before and behind the data.
 */
#ifndef FORMAT_CSV_BLOCK_H
#define FORMAT_CSV_BLOCK_H

#include "base/err.h"
#include "format/source.h"

#include <stdatomic.h>

#define BLOCK_PAD 64u

struct csv_block {
	atomic_uint refs;
	size_t cap;	    /* bytes of data */
	size_t scratch_cap; /* bytes behind data + cap + BLOCK_PAD, for repaired cells */
	size_t scratch_used;
	uint64_t offset; /* of data[0] in the decoded text */
	uint64_t line;	 /* physical line of data[0] */
	char *data;
};

/* What is read but not yet consumed: [pos, n) of cur. */
struct csv_feed {
	struct source *src;   /* NULL: the caller copies text into cur itself */
	size_t block;	      /* bytes a read */
	size_t scratch_extra; /* scratch a block needs beyond its own size */
	struct csv_block *pool[4];
	struct csv_block *cur;
	size_t pos, n;
	bool eof;
};

enum err_code feed_init(struct csv_feed *f, struct source *src, size_t block, size_t scratch_extra,
			struct err *e) MUST_USE;
/* Keep [pos, n), read at least one byte more behind it, or set eof. line: the physical line at pos. */
enum err_code feed_more(struct csv_feed *f, uint64_t line, struct err *e) MUST_USE;
/* Keep [pos, n) and make room for `room` bytes behind it, in a block that nobody else uses. */
enum err_code feed_move(struct csv_feed *f, size_t room, uint64_t line, struct err *e) MUST_USE;
void feed_done(struct csv_feed *f);

struct csv_block *block_ref(struct csv_block *b);
void block_unref(void *b);

static inline size_t block_scratch_at(const struct csv_block *b)
{
	return b->cap + BLOCK_PAD + b->scratch_used;
}

static inline size_t block_scratch_left(const struct csv_block *b)
{
	return b->scratch_cap - b->scratch_used;
}

#endif
