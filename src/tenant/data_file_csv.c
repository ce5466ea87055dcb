/*
 * data_file_csv.c: the dialect of a tenant's CSV files.
 *
 * The keys are those of kafka-connect-spooldir, which tenants of the older platform know; there a character may be
 * given as its code (9 is TAB), so it may here.
 */
#include "tenant/data_file_csv.h"

#include "format/source.h"
#include "tenant/data_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define NULL_WORD_MAX 255

static const char char_allowed[] = "one character of ASCII, \"\\t\", or its code (9 is TAB)";

static bool all_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* The byte a text or code stands for; -1 when it is none. "" is -2. */
static int char_of(const struct json *v)
{
	if (v->type == JN_INT)
		return v->i >= 1 && v->i < 128 ? (int)v->i : -1;
	if (v->type != JN_STRING)
		return -1;
	if (v->s.n == 0)
		return -2;
	if (span_is(v->s, "\\t"))
		return '\t';
	if (all_digits(v->s) && v->s.n <= 3) {
		long code = strtol(v->s.p, NULL, 10);
		return code >= 1 && code < 128 ? (int)code : -1;
	}
	return v->s.n == 1 && (unsigned char)v->s.p[0] < 128 ? v->s.p[0] : -1;
}

/* Reads a character option; false when absent or wrong. empty_ok: "" is 0. */
static bool char_option(const struct json *root, struct problems *p, const char *key, bool empty_ok, char *ret)
{
	const struct json *v = json_get(root, key);
	if (!v)
		return false;
	const char *path = doc_path(p, "$", key);
	int c = char_of(v);
	if (c == -2 && empty_ok) {
		*ret = 0;
		return true;
	}
	if (c < 0) {
		problem_add(p, PROBLEM_ERROR, v, path, NULL,
			    empty_ok ? doc_printf(p, "%s, or \"\" for none", char_allowed) : char_allowed, "");
		return false;
	}
	if (c == '\n' || c == '\r') {
		problem_add(p, PROBLEM_ERROR, v, path, NULL, "a character that does not end lines", "");
		return false;
	}
	if (v->type == JN_STRING && v->s.n == 1 && all_digits(v->s))
		problem_add(p, PROBLEM_WARNING, v, path, NULL, char_allowed,
			    doc_printf(p, "read as the character with the code %d", c));
	*ret = (char)c;
	return true;
}

static void charset_parse(const struct json *root, struct problems *p, struct csv_dialect *d)
{
	static const char *const common[] = {
	    "UTF-8",	"ISO-8859-1", "ISO-8859-15",  "WINDOWS-1252", "UTF-16",	    "UTF-16LE",
	    "UTF-16BE", "GB18030",    "GBK",	      "BIG5",	      "SHIFT_JIS",  "EUC-JP",
	    "EUC-KR",	"KOI8-R",     "WINDOWS-1250", "WINDOWS-1251", "ISO-8859-2", "US-ASCII"};
	const char *name;
	if (!doc_string(p, root, "$", "csv.file.charset", &name))
		return;
	if (!source_charset_known(name)) {
		const char *near = nearest_name(name, common, ARRAY_LENGTH(common));
		problem_add(p, PROBLEM_ERROR, json_get(root, "csv.file.charset"), doc_path(p, "$", "csv.file.charset"),
			    NULL, "a character set that iconv knows (\"iconv -l\" lists them)",
			    near ? doc_printf(p, "did you mean \"%s\"?", near) : "for instance \"ISO-8859-1\"");
		return;
	}
	bool utf8 = strcasecmp(name, "UTF-8") == 0 || strcasecmp(name, "UTF8") == 0;
	d->charset = utf8 ? "UTF-8" : arena_strdup(p->arena, name);
	if (!d->charset)
		doc_no_memory(p);
}

/* True when the unquoted text of a cell can be this word. */
static bool word_can_occur(struct span w, const struct csv_dialect *d)
{
	for (size_t i = 0; i < w.n; i++)
		if (w.p[i] == d->separator || w.p[i] == '\n' || w.p[i] == '\r' ||
		    (i == 0 && d->quote && w.p[i] == d->quote))
			return false;
	return true;
}

static void null_words_parse(const struct json *root, struct problems *p, struct csv_dialect *d)
{
	const struct json *list = json_get(root, "csv.null.values");
	const char *path = doc_path(p, "$", "csv.null.values");
	if (!list)
		return;
	if (list->type == JN_STRING) {
		problem_add(p, PROBLEM_ERROR, list, path, NULL, "a list of texts",
			    doc_printf(p, "write [\"%.60s\"]", list->s.p));
		return;
	}
	if (!doc_is_array(p, list, path, "a list of texts"))
		return;
	if (list->count > NULL_WORDS_MAX) {
		problem_add(p, PROBLEM_ERROR, list, path, doc_printf(p, "%u values", list->count), "at most 32 values",
			    "");
		return;
	}
	struct span *words = arena_array(p->arena, list->count + 1, sizeof *words);
	if (!words) {
		doc_no_memory(p);
		return;
	}
	uint32_t n = 0, i = 0;
	for (const struct json *v = list->child; v; v = v->next, i++) {
		const char *at = doc_path_index(p, path, i);
		bool again = false;
		if (v->type != JN_STRING || v->s.n > NULL_WORD_MAX) {
			problem_add(p, PROBLEM_ERROR, v, at, NULL, "a text of at most 255 bytes", "");
			continue;
		}
		for (uint32_t j = 0; j < n; j++)
			again |= span_eq(words[j], v->s);
		if (v->s.n == 0)
			problem_add(p, PROBLEM_WARNING, v, at, NULL, "an empty cell without quotes is always null",
				    "it changes nothing: \"\" in quotes stays the empty text");
		else if (again)
			problem_add(p, PROBLEM_WARNING, v, at, NULL, "each word once",
				    "the second one changes nothing");
		else if (!word_can_occur(v->s, d))
			problem_add(p, PROBLEM_WARNING, v, at, NULL, "words are compared with cells without quotes",
				    "no cell can have this text: it changes nothing");
		else
			words[n++] = v->s;
	}
	d->null_words = words;
	d->nnull_words = n;
}

static void header_parse(const struct json *root, struct problems *p, struct csv_dialect *d)
{
	static const char key[] = "csv.first.row.as.header";
	if (!json_get(root, key))
		problem_add(p, PROBLEM_WARNING, root, doc_path(p, "$", key), "nothing", "true or false",
			    "true is assumed: the first line of each file names its columns");
	doc_bool(p, root, "$", key, &d->header);
}

void csv_dialect_parse(const struct json *root, struct problems *p, struct csv_dialect *ret)
{
	struct csv_dialect d = {.separator = ',', .quote = '"', .header = true, .charset = "UTF-8"};
	header_parse(root, p, &d);
	char_option(root, p, "csv.separator.char", false, &d.separator);
	char_option(root, p, "csv.quote.char", true, &d.quote);
	d.escape = d.quote;
	bool escape = char_option(root, p, "csv.escape.char", false, &d.escape);
	if (d.separator == d.quote)
		problem_add(p, PROBLEM_ERROR, json_get(root, "csv.separator.char"),
			    doc_path(p, "$", "csv.separator.char"), NULL, "another character than the quote", "");
	if (escape && d.escape == d.separator)
		problem_add(p, PROBLEM_ERROR, json_get(root, "csv.escape.char"), doc_path(p, "$", "csv.escape.char"),
			    NULL, "another character than the separator", "");
	if (escape && !d.quote)
		problem_add(p, PROBLEM_WARNING, json_get(root, "csv.escape.char"), doc_path(p, "$", "csv.escape.char"),
			    NULL, "an escape acts inside quotes", "csv.quote.char is \"\" (none): it changes nothing");
	charset_parse(root, p, &d);
	null_words_parse(root, p, &d);
	*ret = d;
}
