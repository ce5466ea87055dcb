/* doc.c: keys, presence and simple values of documents that people wrote. */
#include "base/doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

const char *doc_printf(struct problems *p, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* Keys of a hostile document end up on terminals: no control characters, neither of ASCII nor of C1. */
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
	}
	const char *s = arena_strdup(p->arena, text);
	return s ? s : "";
}

void doc_no_memory(struct problems *p)
{
	p->errors++;
	p->dropped++;
}

static bool plain_name(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_'))
			return false;
	return true;
}

const char *doc_path(struct problems *p, const char *path, const char *key)
{
	return plain_name(key) ? doc_printf(p, "%s.%s", path, key) : doc_printf(p, "%s['%.200s']", path, key);
}

const char *doc_path_index(struct problems *p, const char *path, uint32_t i)
{
	return doc_printf(p, "%s[%u]", path, i);
}

static const struct doc_key *find_key(const struct doc_key *keys, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

void doc_unknown_key(struct problems *p, const struct json *member, const char *path, const struct doc_key *keys,
		     size_t n)
{
	if (p->errors + p->warnings >= PROBLEMS_MAX) {
		p->errors++; /* a hostile document: no more suggestions, they cost time */
		p->dropped++;
		return;
	}
	const char **names = arena_array(p->arena, n + 1, sizeof *names);
	if (!names) {
		doc_no_memory(p);
		return;
	}
	struct buf allowed;
	buf_init(&allowed, 2048);
	buf_str(&allowed, "one of the keys ");
	for (size_t i = 0; i < n; i++) {
		names[i] = keys[i].name;
		buf_printf(&allowed, "%s%s", i ? ", " : "", keys[i].name);
	}
	const char *near = nearest_name(member->key.p, names, n);
	/* The place of the key, not of its value. */
	struct json at = *member;
	at.line = member->key_line;
	at.col = member->key_col;
	problem_add(p, PROBLEM_ERROR, &at, doc_path(p, path, member->key.p),
		    doc_printf(p, "unknown key \"%.80s\"", member->key.p), buf_cstr(&allowed),
		    near ? doc_printf(p, "did you mean \"%s\"?", near) : "remove it");
	buf_done(&allowed);
}

/* An unknown key was already answered with "did you mean THIS?": do not call it missing too. */
static bool misspelt(const struct json *node, const struct doc_key *keys, size_t n, const char *wanted)
{
	for (const struct json *m = node->count <= PROBLEMS_MAX ? node->child : NULL; m; m = m->next)
		if (!find_key(keys, n, m->key.p) && nearest_name(m->key.p, &wanted, 1))
			return true;
	return false;
}

bool doc_absent(const struct json *node, const struct doc_key *keys, size_t n, const char *key)
{
	return !json_get(node, key) && !misspelt(node, keys, n, key);
}

void doc_missing_keys(struct problems *p, const struct json *node, const char *path, const struct doc_key *keys,
		      size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (keys[i].presence == DOC_REQUIRED && doc_absent(node, keys, n, keys[i].name))
			problem_add(p, PROBLEM_ERROR, node, doc_path(p, path, keys[i].name), "nothing", keys[i].text,
				    doc_printf(p, "add \"%s\"", keys[i].name));
}

void doc_keys_check(struct problems *p, const struct json *node, const char *path, const struct doc_key *keys, size_t n)
{
	for (const struct json *m = node->child; m; m = m->next) {
		const struct doc_key *k = find_key(keys, n, m->key.p);
		if (!k) {
			doc_unknown_key(p, m, path, keys, n);
		} else if (k->presence == DOC_LATER) {
			struct json at = *m;
			at.line = m->key_line;
			at.col = m->key_col;
			problem_add(p, PROBLEM_ERROR, &at, doc_path(p, path, k->name),
				    doc_printf(p, "\"%s\" (%s): known, not available yet", k->name, k->text),
				    "documents without it", "remove it until a version of mysimbdp offers it");
		}
	}
	doc_missing_keys(p, node, path, keys, n);
}

static bool no_nuls(struct problems *p, const struct json *v, const char *path)
{
	bool good = true;
	bool key = v->key.n && memchr(v->key.p, '\0', v->key.n);
	if (key || (v->type == JN_STRING && memchr(v->s.p, '\0', v->s.n))) {
		problem_add(p, PROBLEM_ERROR, v, path, NULL, "texts without the character U+0000", "");
		good = false;
	}
	uint32_t i = 0;
	for (const struct json *c = v->child; c; c = c->next, i++) {
		/* Paths cost memory: only of what is wrong or has members. */
		bool look = c->child || memchr(c->key.n ? c->key.p : "x", '\0', c->key.n ? c->key.n : 1) ||
			    (c->type == JN_STRING && memchr(c->s.p, '\0', c->s.n));
		if (look &&
		    !no_nuls(p, c, v->type == JN_ARRAY ? doc_path_index(p, path, i) : doc_path(p, path, c->key.p)))
			good = false;
	}
	return good;
}

/* "line 2, column 19: text", as json_parse says it: the place, and the text behind it. */
static const char *place_read(const char *msg, struct json *at)
{
	static const char line[] = "line ", column[] = ", column ";
	char *end;
	if (strncmp(msg, line, sizeof line - 1) != 0)
		return msg;
	unsigned long l = strtoul(msg + sizeof line - 1, &end, 10);
	if (strncmp(end, column, sizeof column - 1) != 0)
		return msg;
	unsigned long c = strtoul(end + sizeof column - 1, &end, 10);
	if (strncmp(end, ": ", 2) != 0)
		return msg;
	at->line = (uint32_t)l;
	at->col = (uint32_t)c;
	return end + 2;
}

const struct json *doc_parse(struct problems *p, struct span text)
{
	struct json *root;
	struct err e = {0};
	if (json_parse(text, p->arena, &root, &e) == ERR_OK)
		return no_nuls(p, root, "$") ? root : NULL;
	struct json at = {0};
	const char *what = place_read(e.msg, &at);
	problem_add(p, PROBLEM_ERROR, at.line ? &at : NULL, "$", doc_printf(p, "%s", what), "a JSON document", e.hint);
	return NULL;
}

bool doc_is_object(struct problems *p, const struct json *node, const char *path, const char *what)
{
	if (node->type == JN_OBJECT)
		return true;
	problem_add(p, PROBLEM_ERROR, node, path, NULL, what, "write it as {...}");
	return false;
}

bool doc_is_array(struct problems *p, const struct json *node, const char *path, const char *what)
{
	if (node->type == JN_ARRAY)
		return true;
	problem_add(p, PROBLEM_ERROR, node, path, NULL, what, "write it as [...]");
	return false;
}

bool doc_text(struct problems *p, const struct json *obj, const char *path, const char *key, struct span *ret)
{
	const struct json *v = json_get(obj, key);
	if (!v)
		return false;
	if (v->type != JN_STRING) {
		problem_add(p, PROBLEM_ERROR, v, doc_path(p, path, key), NULL, "a text in double quotes", "");
		return false;
	}
	*ret = v->s;
	return true;
}

bool doc_string(struct problems *p, const struct json *obj, const char *path, const char *key, const char **ret)
{
	struct span s;
	if (!doc_text(p, obj, path, key, &s))
		return false;
	if (s.n == 0) {
		problem_add(p, PROBLEM_ERROR, json_get(obj, key), doc_path(p, path, key), "an empty text",
			    "a text that is not empty", "");
		return false;
	}
	*ret = s.p;
	return true;
}

bool doc_bool(struct problems *p, const struct json *obj, const char *path, const char *key, bool *ret)
{
	const struct json *v = json_get(obj, key);
	if (!v)
		return false;
	if (v->type == JN_BOOL) {
		*ret = v->b;
		return true;
	}
	if (v->type == JN_STRING && (strcasecmp(v->s.p, "true") == 0 || strcasecmp(v->s.p, "false") == 0)) {
		*ret = strcasecmp(v->s.p, "true") == 0;
		return true;
	}
	problem_add(p, PROBLEM_ERROR, v, doc_path(p, path, key), NULL, "true or false", "");
	return false;
}

static bool digits_to_int(struct span s, int64_t *ret)
{
	size_t i = 0;
	bool negative = s.n && s.p[0] == '-';
	if (negative)
		i++;
	if (i == s.n)
		return false;
	int64_t v = 0;
	for (; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, s.p[i] - '0', &v))
			return false;
	}
	if (!negative && v == INT64_MIN)
		return false;
	*ret = negative ? v : -v;
	return true;
}

bool doc_int(struct problems *p, const struct json *obj, const char *path, const char *key, int64_t min, int64_t max,
	     int64_t *ret)
{
	const struct json *v = json_get(obj, key);
	if (!v)
		return false;
	int64_t i = 0;
	bool good = v->type == JN_INT || (v->type == JN_STRING && digits_to_int(v->s, &i));
	if (v->type == JN_INT)
		i = v->i;
	if (good && i >= min && i <= max) {
		*ret = i;
		return true;
	}
	problem_add(p, PROBLEM_ERROR, v, doc_path(p, path, key), NULL,
		    max == INT64_MAX ? doc_printf(p, "a whole number, at least %lld", (long long)min)
				     : doc_printf(p, "a whole number, %lld to %lld", (long long)min, (long long)max),
		    "");
	return false;
}

bool doc_choice(struct problems *p, const struct json *obj, const char *path, const char *key,
		const char *const *choices, int *ret)
{
	const struct json *v = json_get(obj, key);
	if (!v)
		return false;
	size_t n = 0;
	struct buf allowed;
	buf_init(&allowed, 1024);
	buf_str(&allowed, "one of ");
	for (; choices[n]; n++) {
		if (v->type == JN_STRING && strcmp(v->s.p, choices[n]) == 0) {
			*ret = (int)n;
			buf_done(&allowed);
			return true;
		}
		buf_printf(&allowed, "%s\"%s\"", n ? ", " : "", choices[n]);
	}
	const char *near = v->type == JN_STRING ? nearest_name(v->s.p, choices, n) : NULL;
	for (size_t i = 0; v->type == JN_STRING && i < n; i++)
		if (strcasecmp(v->s.p, choices[i]) == 0)
			near = choices[i];
	problem_add(p, PROBLEM_ERROR, v, doc_path(p, path, key), NULL, buf_cstr(&allowed),
		    near ? doc_printf(p, "did you mean \"%s\"?", near) : "");
	buf_done(&allowed);
	return false;
}

bool doc_scalar(struct problems *p, const struct json *obj, const char *path, const char *key, const char *allowed,
		struct span *ret)
{
	const struct json *v = json_get(obj, key);
	if (!v)
		return false;
	if (v->type == JN_STRING || v->type == JN_INT || v->type == JN_REAL) {
		*ret = v->s;
		return true;
	}
	problem_add(p, PROBLEM_ERROR, v, doc_path(p, path, key), NULL, allowed, "");
	return false;
}
