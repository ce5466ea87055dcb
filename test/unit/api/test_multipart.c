/* test_multipart.c: every way to cut a body into chunks gives the same parts; broken bodies are told. */
#include "api/multipart.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What was seen, as text: "[name|filename]data." */
static enum err_code begin(void *ctx, const struct disposition *d, struct err *e)
{
	(void)e;
	buf_printf(ctx, "[%s|%s]", d->name ? d->name : "-", d->filename ? d->filename : "-");
	return ERR_OK;
}

static enum err_code data(void *ctx, const char *p, size_t n, struct err *e)
{
	(void)e;
	assert_true(n > 0);
	buf_add(ctx, p, n);
	return ERR_OK;
}

static enum err_code end(void *ctx, struct err *e)
{
	(void)e;
	buf_str(ctx, ".");
	return ERR_OK;
}

static const struct multipart_events events = {begin, data, end};

static enum err_code parse(const char *body, size_t n, size_t step, struct buf *out)
{
	struct multipart *m = malloc(sizeof *m);
	struct err e = {0};
	enum err_code code = ERR_OK;
	buf_clear(out);
	multipart_init(m, "BB", &events, out);
	for (size_t i = 0; i < n && !code; i += step)
		code = multipart_feed(m, body + i, n - i < step ? n - i : step, &e);
	if (!code)
		code = multipart_finish(m, &e);
	assert_true(!code || e.msg[0]);
	multipart_done(m);
	free(m);
	return code;
}

#define PART(name, file, text)                                                                                         \
	"--BB\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"" file "\"\r\n\r\n" text "\r\n"

static void test_chunks(void **state)
{
	static const struct {
		const char *body, *seen;
	} cases[] = {
	    {PART("f", "a.csv", "x,y\r\n1,2\r\n") "--BB--\r\n", "[f|a.csv]x,y\r\n1,2\r\n."},
	    {PART("f", "a", "") PART("g", "b", "\r") "--BB--", "[f|a].[g|b]\r."},
	    {"pre\r\namble\r\n" PART("f", "a", "--BB") "--BB--\r\nepi\r\n--BB\r\nlogue", "[f|a]--BB."},
	    {PART(
		 "f", "a",
		 "\r\n--B\r\n--\r\n-\r\n\r\r\n--BA") "--BB  \t\r\n"
						     "X: y\r\ncontent-disposition:form-data; name=q\r\n\r\nv\r\n--BB--",
	     "[f|a]\r\n--B\r\n--\r\n-\r\n\r\r\n--BA.[q|-]v."},
	    {"\r\n--BB--", ""},
	    {"--BB--", ""},
	};
	struct buf out;
	(void)state;
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t n = strlen(cases[i].body);
		for (size_t step = 1; step <= n; step++) {
			assert_int_equal(parse(cases[i].body, n, step, &out), ERR_OK);
			assert_string_equal(buf_cstr(&out), cases[i].seen);
		}
		/* Cut anywhere before the last dashes: an error. */
		size_t whole = (size_t)(strstr(cases[i].body, "--BB--") - cases[i].body) + 6;
		for (size_t cut = 0; cut < whole; cut++)
			assert_int_equal(parse(cases[i].body, cut, 7, &out), ERR_INVALID);
	}
	buf_done(&out);
}

static void test_broken(void **state)
{
	static const char *const cases[] = {
	    "",
	    "--BB",
	    "--BBx\r\n",
	    "--BB-x",
	    "--BB\r\n\r\ndata\r\n--BB--",
	    "--BB\r\nContent-Disposition: form-data\n\nx\r\n--BB--",
	    "--BB\r\nno colon\r\n\r\n--BB--",
	    "--BB\rX",
	    "--BB\r\nContent-Disposition: file; filename=x\r\n\r\n\r\n--BB--",
	    "--CC\r\n\r\n--CC--",
	    "--BB\r\nContent-Disposition: form-data; filename=x\r\nContent-Transfer-Encoding: "
	    "base64\r\n\r\neA==\r\n--BB--",
	};
	struct buf out;
	(void)state;
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t step = 1; step < 4; step++)
			assert_int_equal(parse(cases[i], strlen(cases[i]), step, &out), ERR_INVALID);
	size_t n = 70000;
	char *big = malloc(n);
	memset(big, 'x', n);
	assert_int_equal(parse(big, n, 1000, &out), ERR_INVALID); /* an endless preamble */
	memcpy(big, "--BB\r\n", 6);
	assert_int_equal(parse(big, n, 1000, &out), ERR_INVALID); /* an endless head */
	free(big);
	buf_done(&out);
}

static void test_boundaries(void **state)
{
	struct arena a;
	struct err e = {0};
	const char *b;
	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(multipart_boundary("multipart/form-data; boundary=abc", &a, &b, &e), ERR_OK);
	assert_string_equal(b, "abc");
	assert_int_equal(multipart_boundary("multipart/form-data; charset=x; boundary=\"a b:c\"", &a, &b, &e), ERR_OK);
	assert_string_equal(b, "a b:c");
	assert_int_equal(multipart_boundary("multipart/form-data", &a, &b, &e), ERR_INVALID);
	assert_int_equal(multipart_boundary("multipart/form-data; boundary=", &a, &b, &e), ERR_INVALID);
	assert_int_equal(multipart_boundary("multipart/form-data; boundary=\"a \"", &a, &b, &e), ERR_INVALID);
	assert_int_equal(multipart_boundary("multipart/form-data; boundary=\"\r\n\"", &a, &b, &e), ERR_INVALID);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_chunks),
	    cmocka_unit_test(test_broken),
	    cmocka_unit_test(test_boundaries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
