/*
 * json.h: reading JSON with the place of every value, and writing JSON.
 *
 *   struct json *root;
 *   if (json_parse(text, &arena, &root, &err)) ...     // err names line and column
 *   const struct json *v = json_get(root, "name");
 *   if (v && v->type == JN_STRING) use(v->s);
 *
 *   struct jsonw w;
 *   jsonw_init(&w, &buf);
 *   jsonw_begin(&w, '{'); jsonw_key(&w, "rows"); jsonw_int(&w, 7); jsonw_end(&w, '}');
 *
 * jansson checks the text (syntax, UTF-8, duplicate keys); the tree with positions lives in the caller's arena and is
 * read-only afterwards. Numbers keep their text, so that nothing is rounded before somebody decides to.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

enum json_type { JN_NULL, JN_BOOL, JN_INT, JN_REAL, JN_STRING, JN_ARRAY, JN_OBJECT };

struct json {
	enum json_type type;
	bool b;		    /* JN_BOOL */
	int64_t i;	    /* JN_INT; integers beyond int64 are JN_REAL */
	double d;	    /* JN_INT and JN_REAL */
	struct span s;	    /* JN_STRING: decoded, NUL-terminated; numbers: their text as written */
	struct span key;    /* the member's name, inside an object; NUL-terminated */
	struct json *child; /* first element or member */
	struct json *next;  /* next sibling */
	uint32_t count;	    /* elements or members */
	uint32_t line, col; /* of the value's first byte, from 1; col counts characters (UTF-8) */
	uint32_t key_line, key_col;
};

#define JSON_MAX_DEPTH 64

/* Parse one document. ERR_DOCUMENT with line and column in the message for bad text. */
enum err_code json_parse(struct span text, struct arena *a, struct json **ret, struct err *e) MUST_USE;

/* As json_parse, of a file of at most max bytes. *ret_text (may be NULL) is the raw text, in the arena. */
enum err_code json_read_file(const char *path, size_t max, struct arena *a, struct json **ret, struct span *ret_text,
			     struct err *e) MUST_USE;

/* Member of an object by name; NULL when there is none or v is no object. */
const struct json *json_get(const struct json *v, const char *key);

/* Convenience for answers we wrote ourselves: the member's text or integer, or the default. */
const char *json_get_str(const struct json *v, const char *key, const char *dflt);
int64_t json_get_int(const struct json *v, const char *key, int64_t dflt);
bool json_get_bool(const struct json *v, const char *key, bool dflt);

const char *json_type_name(enum json_type t);

/* ---- writing: commas and escapes are the writer's business; errors are the buffer's sticky flag. */
struct jsonw {
	struct buf *b;
	bool pretty;	  /* set after jsonw_init for two-space indentation */
	int pretty_depth; /* what lies deeper stands on one line; 0: nothing does */
	int depth;
	bool comma[JSON_MAX_DEPTH];
	bool after_key;
};

void jsonw_init(struct jsonw *w, struct buf *b);
void jsonw_begin(struct jsonw *w, char open); /* '{' or '[' */
void jsonw_end(struct jsonw *w, char close);
void jsonw_key(struct jsonw *w, const char *key);
void jsonw_str(struct jsonw *w, const char *s);	 /* NULL writes null */
void jsonw_span(struct jsonw *w, struct span s); /* bytes that are no UTF-8 become U+FFFD */
void jsonw_int(struct jsonw *w, int64_t v);
void jsonw_uint(struct jsonw *w, uint64_t v);
void jsonw_double(struct jsonw *w, double v); /* shortest text that reads back the same */
void jsonw_bool(struct jsonw *w, bool v);
void jsonw_null(struct jsonw *w);
void jsonw_raw(struct jsonw *w, struct span json); /* already JSON */
void jsonw_json(struct jsonw *w, const struct json *v);

/* key and value in one call */
void jsonw_kstr(struct jsonw *w, const char *key, const char *s);
void jsonw_kint(struct jsonw *w, const char *key, int64_t v);
void jsonw_kdouble(struct jsonw *w, const char *key, double v);
void jsonw_kbool(struct jsonw *w, const char *key, bool v);

#endif
