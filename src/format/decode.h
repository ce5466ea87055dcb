/*
 * decode.h: streaming decompression behind source.h: one class per encoding, found by its magic bytes.
 *
 * A decoder takes any number of members or frames one behind the other; an end of the input in the middle of one is
 * ERR_CORRUPT.
 */
#ifndef FORMAT_DECODE_H
#define FORMAT_DECODE_H

#include "base/err.h"
#include "base/span.h"

struct decoder;
struct decoder_class;

/* What a step consumes and fills: both move. */
struct decode_io {
	const char *in;
	size_t in_n;
	char *out;
	size_t cap;
	bool in_eof; /* nothing comes behind in */
};

/* The class whose magic bytes text starts with, or NULL: not compressed. */
const struct decoder_class *decoder_find(struct span text);
struct decoder *decoder_new(const struct decoder_class *c); /* NULL without memory */
enum err_code decoder_step(struct decoder *d, struct decode_io *io, struct err *e) MUST_USE;
const char *decoder_name(const struct decoder *d);
void decoder_free(struct decoder *d);

#endif
