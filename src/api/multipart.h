/*
 * multipart.h: multipart/form-data (RFC 7578, RFC 2046) as a stream, with flat memory.
 *
 *   multipart_init(&m, boundary, &events, ctx);
 *   multipart_feed(&m, bytes, n, &err);      // any chunk size, begin/data/end are called as parts go by
 *   multipart_finish(&m, &err);              // ERR_INVALID when the closing boundary never came
 *
 * Strict where a body may have been cut or mixed up: line ends are CRLF, a part must have a Content-Disposition of
 * form-data, the closing boundary must come. The caller owns the struct; nothing to free but multipart_done.
 */
#ifndef API_MULTIPART_H
#define API_MULTIPART_H

#include "api/names.h"

#include <stdint.h>

#define MULTIPART_BOUNDARY_MAX 70 /* RFC 2046, 5.1.1 */
#define MULTIPART_HEAD_MAX (16u << 10)
#define MULTIPART_PREAMBLE_MAX (64u << 10)

struct multipart_events {
	/* A part begins. filename NULL: an ordinary form field. head lives until the next call. */
	enum err_code (*begin)(void *ctx, const struct disposition *head, struct err *e);
	enum err_code (*data)(void *ctx, const char *p, size_t n, struct err *e);
	enum err_code (*end)(void *ctx, struct err *e);
};

enum multipart_state { MP_PREAMBLE, MP_AFTER, MP_AFTER_DASH, MP_AFTER_CR, MP_HEAD, MP_DATA, MP_EPILOGUE };

struct multipart {
	const struct multipart_events *events;
	void *ctx;
	enum multipart_state state;
	char delimiter[MULTIPART_BOUNDARY_MAX + 5]; /* CR LF - - boundary */
	size_t ndelimiter, matched;
	size_t nhead, preamble;
	uint32_t parts;
	struct arena arena; /* of one part's head */
	char head[MULTIPART_HEAD_MAX];
};

/* The boundary of a Content-Type in the arena; ERR_INVALID when there is none or it is none. */
enum err_code multipart_boundary(const char *content_type, struct arena *a, const char **ret, struct err *e) MUST_USE;
void multipart_init(struct multipart *m, const char *boundary, const struct multipart_events *events, void *ctx);
void multipart_done(struct multipart *m);
enum err_code multipart_feed(struct multipart *m, const char *p, size_t n, struct err *e) MUST_USE;
enum err_code multipart_finish(struct multipart *m, struct err *e) MUST_USE;

#endif
