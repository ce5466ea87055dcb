/* test_cql_wire.c: the pure parts of the Cassandra client: tokens, segments, envelopes, messages, options, values. */
#include "sink/cassandra/frame.h"
#include "sink/cassandra/message.h"
#include "sink/cassandra/murmur3.h"
#include "sink/cassandra/segment.h"
#include "sink/cassandra/target.h"
#include "sink/cassandra/type.h"
#include "sink/cassandra/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* From the Python driver's cassandra.metadata.murmur3, bytes over 0x7f included. */
static void tokens(void **state)
{
	static const struct {
		struct span key;
		int64_t token;
	} known[] = {
	    {{"", 0}, INT64_C(0)},
	    {{"\141", 1}, INT64_C(-8839064797231613815)},
	    {{"\101\107\107", 3}, INT64_C(2685924065878131650)},
	    {{"\150\145\154\154\157\054\040\167\157\162\154\144", 12}, INT64_C(3760413751763713166)},
	    {{"\060\061\062\063\064\065\066\067\070\071\141\142\143\144\145\146", 16}, INT64_C(5467490433528156583)},
	    {{"\060\061\062\063\064\065\066\067\070\071\141\142\143\144\145\146\060", 17},
	     INT64_C(-1502884478548852619)},
	    {{"\170\171\172\173\174\175\176\177\200\201\202\203\204\205\206\207\210\211\212\213\214\215\216\217\220\221"
	      "\222\223\224\225",
	      30},
	     INT64_C(-7729557176402675846)},
	    {{"\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377", 15}, INT64_C(-2195530867418009455)},
	    {{"\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200\200"
	      "\200\200\200\200\200",
	      31},
	     INT64_C(2158224688659817168)},
	    {{"\156\303\266\162\144\040\303\251\040\303\274", 11}, INT64_C(5766068628453767338)},
	    {{"\000\000\000\007", 4}, INT64_C(1634052884888577606)},
	    {{"\202\267\016\356\177\032\120\071\276\360\176\302\064\177\006\156\320\217\135\307\121\044\107\343\100\103"
	      "\000\002\153\156\124\125\224\240\145\150\135\144\304\230\013\270\324\124\112\207\041\251\232\001\255\041"
	      "\236\265\234\366\241\136\366\361\132\035\203\013\267\316\011\326\273\300\004\347\027\134\144\074\175",
	      77},
	     INT64_C(-2613588561063890251)},
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		assert_int_equal(murmur3_token(known[i].key.p, known[i].key.n), known[i].token);
}

static void checksums(void **state)
{
	/* zlib.crc32(b"\xfa\x2d\x55\xca" + b"123456789") */
	assert_int_equal(crc32_segment("123456789", 9), 0xe2a261a7);
	assert_int_equal(crc24(0, 0), 0x875060);
}

static struct buf envelope(uint8_t version, int16_t stream, uint8_t opcode, size_t n)
{
	struct buf b;
	buf_init(&b, 64u << 20);
	buf_reserve(&b, FRAME_HEAD + n);
	frame_head(b.p, (uint8_t)(version | 0x80), stream, opcode, n);
	for (size_t i = 0; i < n; i++)
		b.p[FRAME_HEAD + i] = (char)(i * 31 % 7);
	b.n = FRAME_HEAD + n;
	return b;
}

static void feed(struct frame_in *in, const char *p, size_t n)
{
	if (!n)
		return;
	memcpy(frame_in_room(in, n), p, n);
	frame_in_got(in, n);
}

/* Envelopes of many sizes through segments, fed in chunks of every small size. */
static void segments_carry_envelopes(void **state)
{
	static const size_t sizes[] = {0, 1, 500, 131062, 131063, 400000, 3};
	for (int lz4 = 0; lz4 <= (lz4_available() ? 1 : 0); lz4++) {
		for (size_t step = 1; step < 200000; step = step * 7 + 3) {
			struct buf all, out;
			struct frame_in in;
			struct frame f;
			struct err e = {0};
			size_t seen = 0;
			buf_init(&all, 64u << 20);
			buf_init(&out, 64u << 20);
			for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
				struct buf one = envelope(5, (int16_t)i, CQL_RESULT, sizes[i]);
				buf_add(&all, one.p, one.n);
				buf_done(&one);
			}
			frame_segments(all.p, all.n, lz4, &out);
			frame_in_init(&in, 5);
			in.segmented = true;
			in.lz4 = lz4;
			for (size_t at = 0; at < out.n; at += step) {
				bool have = true;
				feed(&in, out.p + at, out.n - at < step ? out.n - at : step);
				while (have) {
					assert_int_equal(frame_in_next(&in, &f, &have, &e), ERR_OK);
					if (!have)
						break;
					assert_int_equal(f.stream, (int)seen);
					assert_int_equal(f.body.n, sizes[seen]);
					for (size_t k = 0; k < f.body.n; k++)
						assert_int_equal(f.body.p[k], (char)(k * 31 % 7));
					seen++;
				}
			}
			assert_int_equal(seen, sizeof sizes / sizeof *sizes);
			frame_in_done(&in);
			buf_done(&all);
			buf_done(&out);
		}
	}
}

/* A flipped bit anywhere in a segment is noticed. */
static void damage_is_noticed(void **state)
{
	struct buf one = envelope(5, 1, CQL_RESULT, 40), out;
	buf_init(&out, 1 << 20);
	frame_segments(one.p, one.n, false, &out);
	for (size_t bit = 0; bit < out.n * 8; bit++) {
		struct segment s;
		out.p[bit / 8] = (char)(out.p[bit / 8] ^ (1 << (bit % 8)));
		assert_int_not_equal(segment_get(out.p, out.n, false, NULL, &s), SEGMENT_OK);
		out.p[bit / 8] = (char)(out.p[bit / 8] ^ (1 << (bit % 8)));
	}
	buf_done(&one);
	buf_done(&out);
}

static void bad_envelopes(void **state)
{
	struct err e = {0};
	struct frame f;
	bool have;
	static const struct {
		const char *bytes;
		size_t n;
		enum err_code code;
	} bad[] = {
	    {"\x05\0\0\1\x08\0\0\0\0", 9, ERR_CORRUPT}, /* a request */
	    {"HTTP/1.1 400", 12, ERR_CORRUPT},
	    {"\x85\0\0\1\x08\x7f\xff\xff\xff", 9, ERR_CORRUPT}, /* endless */
	    {"\x84\0\0\1\x08\0\0\0\0", 9, ERR_VERSION},
	    {"\x85\1\0\1\x08\0\0\0\0", 9, ERR_CORRUPT},		   /* compressed */
	    {"\x85\2\0\1\x08\0\0\0\4abcd", 13, ERR_CORRUPT},	   /* tracing id cut short */
	    {"\x85\x08\0\1\x08\0\0\0\2\xff\xff", 11, ERR_CORRUPT}, /* warnings that are not there */
	    {"\x85\x04\0\1\x08\0\0\0\6\0\1\0\1a\x7f", 15, ERR_CORRUPT},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct frame_in in;
		frame_in_init(&in, 5);
		feed(&in, bad[i].bytes, bad[i].n);
		assert_int_equal(frame_in_next(&in, &f, &have, &e), bad[i].code);
		frame_in_done(&in);
	}
}

/* Every prefix of a rows result is refused, and the whole is read. */
static void results_cut_short(void **state)
{
	static const char rows[] = "\0\0\0\2"
				   "\0\0\0\1"
				   "\0\0\0\2"
				   "\0\1k\0\1t"
				   "\0\1a\0\x09"
				   "\0\1b\0\x22\0\x0d"
				   "\0\0\0\1"
				   "\0\0\0\4\0\0\0\7"
				   "\0\0\0\x0a\0\0\0\1\0\0\0\2hi";
	size_t n = sizeof rows - 1;
	struct arena a;
	struct cql_result r;
	struct err e;
	arena_init(&a, 1 << 20);
	for (size_t k = 0; k + 22 < n; k++)
		assert_int_equal(cql_result_decode((struct span){rows, k}, 5, &a, &r, &e), ERR_CORRUPT);
	assert_int_equal(cql_result_decode((struct span){rows, n}, 5, &a, &r, &e), ERR_OK);
	assert_int_equal(r.nrows, 1);
	assert_int_equal(r.ncolumns, 2);
	struct cql_in in = cql_in(r.rows.p, r.rows.n);
	bool null;
	struct span cell = get_bytes(&in, &null);
	struct query_value v = cql_get_value(&r.column[0].type, cell, null, &a);
	assert_true(v.type == QUERY_INT && v.i == 7);
	cell = get_bytes(&in, &null);
	v = cql_get_value(&r.column[1].type, cell, null, &a);
	assert_true(v.type == QUERY_TEXT && span_is(v.s, "[\"hi\"]"));
	arena_done(&a);
}

static void errors_have_classes(void **state)
{
	static const struct {
		int32_t code;
		enum cql_retry retry;
		bool retriable;
	} known[] = {
	    {CQL_E_OVERLOADED, CQL_RETRY_SLOWER, true},
	    {CQL_E_BOOTSTRAPPING, CQL_RETRY_ELSEWHERE, true},
	    {CQL_E_SERVER, CQL_RETRY_ELSEWHERE, true},
	    {CQL_E_UNAVAILABLE, CQL_RETRY_LATER, true},
	    {CQL_E_WRITE_TIMEOUT, CQL_RETRY_LATER, true},
	    {CQL_E_WRITE_FAILURE, CQL_RETRY_LATER, true},
	    {CQL_E_UNPREPARED, CQL_RETRY_PREPARE, true},
	    {CQL_E_SYNTAX, CQL_RETRY_NEVER, false},
	    {CQL_E_INVALID, CQL_RETRY_NEVER, false},
	    {CQL_E_UNAUTHORIZED, CQL_RETRY_NEVER, false},
	    {CQL_E_CREDENTIALS, CQL_RETRY_NEVER, false},
	    {CQL_E_EXISTS, CQL_RETRY_NEVER, false},
	    {0x7777, CQL_RETRY_NEVER, false},
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct cql_error ce;
		struct err e = {0};
		char body[32];
		char *w = be32(body, (uint32_t)known[i].code);
		w = be16(w, 3);
		memcpy(w, "why", 3);
		assert_true(cql_error_decode((struct span){body, (size_t)(w + 3 - body)}, &ce));
		assert_int_equal(cql_error_retry(&ce), known[i].retry);
		cql_error_set(&ce, "node", &e);
		assert_int_equal(e.retriable, known[i].retriable);
		assert_non_null(strstr(e.msg, "why"));
	}
}

static void decimals(void **state)
{
	static const struct field f = {.logical = LOGICAL_DECIMAL, .storage = STORE_TEXT, .type = AVRO_T_BYTES};
	static const struct cql_type t = {.id = 6};
	static const char *const texts[] = {"0",
					    "0.00",
					    "1",
					    "-1",
					    "127",
					    "128",
					    "-128",
					    "-129",
					    "255.5",
					    "-32768.0",
					    "32768",
					    "-0.01",
					    "99999999999999999999.99",
					    "-123456789012345678901234567890.12345678"};
	struct arena a;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char w[600];
		struct value v = {.s = span_str(texts[i])};
		char *end = cql_put_value(w, &f, &v);
		assert_true((size_t)(end - w) <= v.s.n + CQL_VALUE_OVERHEAD);
		struct query_value got = cql_get_value(&t, (struct span){w + 4, (size_t)(end - w) - 4}, false, &a);
		assert_true(got.type == QUERY_TEXT && span_is(got.s, texts[i]));
	}
	char w[64];
	struct value v = {.s = span_str("-128")};
	assert_int_equal(cql_put_value(w, &f, &v) - w, 4 + 4 + 1); /* the shortest form */
	arena_done(&a);
}

static void targets(void **state)
{
	struct cql_target t;
	struct err e = {0};
	char replication[600];
	assert_int_equal(
	    cql_target_parse("db1,db2:9999,[::1]:1,[::2]?window=7&consistency=one&replication=a:2,b:1", &t, &e),
	    ERR_OK);
	assert_int_equal(t.ncontact, 4);
	assert_string_equal(t.contact[0].port, "9042");
	assert_string_equal(t.contact[1].port, "9999");
	assert_string_equal(t.contact[2].host, "::1");
	assert_string_equal(t.contact[3].port, "9042");
	assert_int_equal(t.window, 7);
	assert_int_equal(t.consistency, CQL_ONE);
	assert_int_equal(cql_target_replication(&t, replication, sizeof replication, &e), ERR_OK);
	assert_string_equal(replication, "{'class': 'NetworkTopologyStrategy', 'a': 2, 'b': 1}");
	static const char *const bad[] = {"",
					  "a,,b",
					  "a:",
					  "a:x",
					  "[::1",
					  "a?window",
					  "a?window=",
					  "a?window=1x",
					  "a?no=1",
					  "a?replication=a'b:1",
					  "a?password=x",
					  "a?replication=",
					  "a?consistency=SERIAL",
					  "a?protocol=3",
					  "a?compression=gz",
					  "a?password=env:NO_SUCH_VARIABLE"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(cql_target_parse(bad[i], &t, &e), ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tokens),
	    cmocka_unit_test(checksums),
	    cmocka_unit_test(segments_carry_envelopes),
	    cmocka_unit_test(damage_is_noticed),
	    cmocka_unit_test(bad_envelopes),
	    cmocka_unit_test(results_cut_short),
	    cmocka_unit_test(errors_have_classes),
	    cmocka_unit_test(decimals),
	    cmocka_unit_test(targets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
