/*
 * json.c: jansson decides whether the text is JSON; a walk over the same text then notes where every value stands.
 *
 * The walk may trust the syntax completely, and takes decoded strings from jansson's tree, whose objects keep the
 * order of their members.
 */
#include "base/json.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

struct walk {
	const char *p, *end;
	uint32_t line, col;
	struct arena *a;
	bool oom;
};

static void step(struct walk *w)
{
	unsigned char c = (unsigned char)*w->p++;
	if (c == '\n') {
		w->line++;
		w->col = 1;
	} else if ((c & 0xc0) != 0x80) {
		w->col++;
	}
}

static void blanks(struct walk *w)
{
	while (w->p < w->end && strchr(" \t\r\n", *w->p) && *w->p)
		step(w);
}

static void skip_string(struct walk *w)
{
	step(w);
	while (w->p < w->end && *w->p != '"') {
		if (*w->p == '\\')
			step(w);
		step(w);
	}
	step(w);
}

static struct json *value(struct walk *w, json_t *from);

static void children(struct walk *w, json_t *from, struct json *v)
{
	struct json **tail = &v->child;
	void *it = json_is_object(from) ? json_object_iter(from) : NULL;
	size_t n = json_is_object(from) ? json_object_size(from) : json_array_size(from);
	step(w);
	for (size_t i = 0; i < n && !w->oom; i++) {
		json_t *sub = it ? json_object_iter_value(it) : json_array_get(from, i);
		blanks(w);
		uint32_t kl = w->line, kc = w->col;
		if (it) {
			skip_string(w);
			blanks(w);
			step(w); /* ':' */
			blanks(w);
		}
		struct json *c = value(w, sub);
		if (!c)
			return;
		if (it) {
			const char *key = json_object_iter_key(it);
			c->key = arena_span(w->a, (struct span){key, json_object_iter_key_len(it)});
			c->key_line = kl;
			c->key_col = kc;
			w->oom |= !c->key.p;
			it = json_object_iter_next(from, it);
		}
		*tail = c;
		tail = &c->next;
		v->count++;
		blanks(w);
		step(w); /* ',' or the closing bracket */
	}
	if (n == 0) {
		blanks(w);
		step(w);
	}
}

static void number(struct walk *w, json_t *from, struct json *v)
{
	const char *begin = w->p;
	while (w->p < w->end && *w->p && strchr("+-0123456789.eE", *w->p))
		step(w);
	v->s = arena_span(w->a, (struct span){begin, (size_t)(w->p - begin)});
	w->oom |= !v->s.p;
	/* The text decides, because jansson is told to read huge integers as real. */
	bool whole = !v->s.p || !strpbrk(v->s.p, ".eE");
	errno = 0;
	v->i = whole && v->s.p ? strtoll(v->s.p, NULL, 10) : 0;
	v->type = whole && errno == 0 ? JN_INT : JN_REAL;
	if (v->type == JN_REAL)
		v->i = 0;
	v->d = json_number_value(from);
}

static struct json *value(struct walk *w, json_t *from)
{
	struct json *v = arena_alloc(w->a, sizeof *v);
	if (!v) {
		w->oom = true;
		return NULL;
	}
	blanks(w);
	v->line = w->line;
	v->col = w->col;
	switch (json_typeof(from)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		v->type = json_is_object(from) ? JN_OBJECT : JN_ARRAY;
		children(w, from, v);
		break;
	case JSON_STRING:
		v->type = JN_STRING;
		v->s = arena_span(w->a, (struct span){json_string_value(from), json_string_length(from)});
		w->oom |= !v->s.p;
		skip_string(w);
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		number(w, from, v);
		break;
	default:
		v->type = json_is_null(from) ? JN_NULL : JN_BOOL;
		v->b = json_is_true(from);
		while (w->p < w->end && *w->p >= 'a' && *w->p <= 'z')
			step(w);
	}
	return w->oom ? NULL : v;
}

enum err_code json_parse(struct span text, struct arena *a, struct json **ret, struct err *e)
{
	json_error_t je;
	struct walk w = {text.p, text.p + text.n, 1, 1, a, false};
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		w.p += 3; /* a byte order mark, as some editors leave it */
	size_t n = (size_t)(w.end - w.p);
	size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
	json_t *root = json_loadb(n ? w.p : "", n, flags, &je);
	if (!root && strstr(je.text, "too big")) /* integers beyond int64: take every number as real */
		root = json_loadb(w.p, n, flags | JSON_DECODE_INT_AS_REAL, &je);
	if (!root)
		return err_set(e, ERR_DOCUMENT, "line %d, column %d: %s", je.line < 1 ? 1 : je.line,
			       je.column < 1 ? 1 : je.column, je.text);
	struct json *v = value(&w, root);
	json_decref(root);
	if (!v)
		return err_set(e, ERR_LIMIT, "the JSON needs more than %zu bytes of memory", a->limit);
	*ret = v;
	return ERR_OK;
}

enum err_code json_read_file(const char *path, size_t max, struct arena *a, struct json **ret, struct span *ret_text,
			     struct err *e)
{
	struct span text;
	enum err_code c = file_read(path, max, a, &text, e);
	if (c)
		return c;
	if ((c = json_parse(text, a, ret, e)))
		return err_prefix(e, "\"%s\"", path);
	if (ret_text)
		*ret_text = text;
	return ERR_OK;
}

const struct json *json_get(const struct json *v, const char *key)
{
	if (!v || v->type != JN_OBJECT)
		return NULL;
	for (const struct json *c = v->child; c; c = c->next) {
		if (span_is(c->key, key))
			return c;
	}
	return NULL;
}

const char *json_get_str(const struct json *v, const char *key, const char *dflt)
{
	const struct json *c = json_get(v, key);
	return c && c->type == JN_STRING ? c->s.p : dflt;
}

int64_t json_get_int(const struct json *v, const char *key, int64_t dflt)
{
	const struct json *c = json_get(v, key);
	return c && c->type == JN_INT ? c->i : dflt;
}

bool json_get_bool(const struct json *v, const char *key, bool dflt)
{
	const struct json *c = json_get(v, key);
	return c && c->type == JN_BOOL ? c->b : dflt;
}

const char *json_type_name(enum json_type t)
{
	static const char *const names[] = {"null",	"a boolean", "an integer", "a number",
					    "a string", "a list",    "an object"};
	return names[t];
}
