/*
 * fuzz_cql.c: any bytes from a Cassandra node: no crash, no read beyond what came, an error or messages.
 *
 * The first byte chooses: bit 0 segments, bit 1 LZ4, bit 2 a small feeding step; the rest is the stream. Each message
 * is decoded as what its opcode says, results down to every cell.
 */
#include "sink/cassandra/frame.h"
#include "sink/cassandra/message.h"
#include "sink/cassandra/segment.h"
#include "sink/cassandra/type.h"
#include "sink/cassandra/wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void decode(const struct frame *f, struct arena *a)
{
	struct cql_result r;
	struct cql_error ce;
	struct err e = {0};
	arena_reset(a);
	if (f->opcode == CQL_ERROR && cql_error_decode(f->body, &ce))
		cql_error_set(&ce, "fuzz", &e);
	if (f->opcode != CQL_RESULT || cql_result_decode(f->body, 5, a, &r, &e) || !r.has_metadata)
		return;
	struct cql_in in = cql_in(r.rows.p, r.rows.n);
	for (uint32_t i = 0; i < r.nrows && !in.failed; i++) {
		for (uint32_t c = 0; c < r.ncolumns; c++) {
			bool null;
			struct span cell = get_bytes(&in, &null);
			cql_get_value(&r.column[c].type, cell, null, a);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct frame_in in;
	struct arena a;
	struct frame f;
	struct err e = {0};
	enum err_code rc = ERR_OK;
	if (n < 1)
		return 0;
	size_t step = p[0] & 4 ? 3 : n;
	frame_in_init(&in, 5);
	arena_init(&a, 4 << 20);
	in.segmented = p[0] & 1;
	in.lz4 = (p[0] & 2) && lz4_available();
	for (size_t at = 1; at < n && !rc; at += step) {
		size_t k = n - at < step ? n - at : step;
		bool have = true;
		memcpy(frame_in_room(&in, k), p + at, k);
		frame_in_got(&in, k);
		while (!rc && have) {
			rc = frame_in_next(&in, &f, &have, &e);
			if (!rc && have)
				decode(&f, &a);
		}
	}
	frame_in_done(&in);
	arena_done(&a);
	return 0;
}
