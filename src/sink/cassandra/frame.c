/* frame.c: see frame.h. Specification v5, sections 2 (framing) and 3 (envelope header); v4, section 2. */
#include "sink/cassandra/frame.h"

#include "sink/cassandra/segment.h"
#include "sink/cassandra/wire.h"

#include <stdlib.h>

#define RAW_MAX (FRAME_BODY_MAX + (size_t)(1 << 20))

void frame_in_init(struct frame_in *in, uint8_t version)
{
	*in = (struct frame_in){.version = version};
	buf_init(&in->raw, RAW_MAX);
	buf_init(&in->plain, RAW_MAX);
}

void frame_in_done(struct frame_in *in)
{
	buf_done(&in->raw);
	buf_done(&in->plain);
	free(in->scratch);
	*in = (struct frame_in){0};
}

static void drop(struct buf *b, size_t *at)
{
	if (*at == 0)
		return;
	memmove(b->p, b->p + *at, b->n - *at);
	b->n -= *at;
	*at = 0;
}

char *frame_in_room(struct frame_in *in, size_t n)
{
	drop(&in->raw, &in->at);
	return buf_reserve(&in->raw, n) ? in->raw.p + in->raw.n : NULL;
}

void frame_in_got(struct frame_in *in, size_t n)
{
	in->raw.n += n;
}

/* Segments from raw to plain. */
static enum err_code take_segments(struct frame_in *in, struct err *e)
{
	if (!in->scratch && !(in->scratch = malloc(SEGMENT_PAYLOAD_MAX)))
		return err_oom(e);
	drop(&in->plain, &in->plain_at);
	for (;;) {
		struct segment s;
		enum segment_result r = segment_get(in->raw.p + in->at, in->raw.n - in->at, in->lz4, in->scratch, &s);
		if (r == SEGMENT_MORE)
			return ERR_OK;
		if (r != SEGMENT_OK)
			return err_set(e, ERR_CORRUPT, "%s", segment_result_text(r));
		buf_span(&in->plain, s.payload);
		if (in->plain.failed)
			return err_set(e, ERR_CORRUPT, "a message of more than %u MiB", FRAME_BODY_MAX >> 20);
		in->at += s.size;
	}
}

/* What may stand before the body proper (section 2.2, flags). */
static enum err_code skip_extras(struct frame *f, struct err *e)
{
	struct cql_in in = cql_in(f->body.p, f->body.n);
	if (f->flags & FRAME_COMPRESSED)
		return err_set(e, ERR_CORRUPT, "a compressed message, which was not agreed");
	if (f->flags & FRAME_TRACING)
		get_raw(&in, 16);
	if (f->flags & FRAME_WARNING) {
		for (uint16_t n = get_short(&in); n > 0 && !in.failed; n--)
			get_string(&in);
	}
	if (f->flags & FRAME_PAYLOAD) {
		for (uint16_t n = get_short(&in); n > 0 && !in.failed; n--) {
			bool null;
			get_string(&in);
			get_bytes(&in, &null);
		}
	}
	if (in.failed)
		return err_set(e, ERR_CORRUPT, "a message that ends inside its warnings");
	f->body = (struct span){(const char *)in.p, (size_t)(in.end - in.p)};
	return ERR_OK;
}

enum err_code frame_in_next(struct frame_in *in, struct frame *f, bool *ret_have, struct err *e)
{
	struct buf *b = in->segmented ? &in->plain : &in->raw;
	size_t *at = in->segmented ? &in->plain_at : &in->at;
	*ret_have = false;
	if (in->segmented && in->at < in->raw.n) {
		enum err_code rc = take_segments(in, e);
		if (rc)
			return rc;
	}
	size_t n = b->n - *at;
	if (n < FRAME_HEAD)
		return ERR_OK;
	struct cql_in h = cql_in(b->p + *at, FRAME_HEAD);
	uint8_t version = get_byte(&h);
	*f = (struct frame){.version = version & 0x7f};
	f->flags = get_byte(&h);
	f->stream = (int16_t)get_short(&h);
	f->opcode = get_byte(&h);
	uint32_t len = (uint32_t)get_int(&h);
	if (!(version & 0x80) || f->version < 3 || f->version > 6)
		return err_set(e, ERR_CORRUPT, "bytes that are no answer of the CQL protocol");
	if (len > FRAME_BODY_MAX)
		return err_set(e, ERR_CORRUPT, "a message of %u bytes; %u are allowed", len, FRAME_BODY_MAX);
	if (n < FRAME_HEAD + (size_t)len)
		return ERR_OK;
	if (f->version != in->version && f->opcode != CQL_ERROR)
		return err_set(e, ERR_VERSION, "an answer in protocol version %u, not %u", f->version, in->version);
	f->body = (struct span){b->p + *at + FRAME_HEAD, len};
	*at += FRAME_HEAD + (size_t)len;
	*ret_have = true;
	return skip_extras(f, e);
}

void frame_head(char *p, uint8_t version, int16_t stream, uint8_t opcode, size_t body)
{
	*p++ = (char)version;
	*p++ = 0;
	p = be16(p, (uint16_t)stream);
	*p++ = (char)opcode;
	be32(p, (uint32_t)body);
}

static size_t envelope_size(const char *p)
{
	struct cql_in in = cql_in(p + 5, 4);
	return FRAME_HEAD + (size_t)(uint32_t)get_int(&in);
}

void frame_segments(const char *p, size_t n, bool lz4, struct buf *out)
{
	const char *end = p + n;
	while (p < end) {
		size_t k = 0;
		while (p + k < end && k + envelope_size(p + k) <= SEGMENT_PAYLOAD_MAX)
			k += envelope_size(p + k);
		if (k) {
			segment_put(p, k, true, lz4, out);
			p += k;
			continue;
		}
		for (const char *stop = p + envelope_size(p); p < stop; p += k) {
			k = (size_t)(stop - p) < SEGMENT_PAYLOAD_MAX ? (size_t)(stop - p) : SEGMENT_PAYLOAD_MAX;
			segment_put(p, k, false, lz4, out);
		}
	}
}
