/* test_conf.c: settings: precedence, origins, YAML, units, mistakes; and that the printed documents are up to date. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fd.h"
#include "conf/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
	char dir[64], file[96];
	struct arena a;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	snprintf(p->dir, sizeof p->dir, "/tmp/test_conf.XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->file, sizeof p->file, "%s/m.yaml", p->dir);
	arena_init(&p->a, 64 << 20);
	unsetenv("MYSIMBDP_API_PORT");
	unsetenv("MYSIMBDP_CONFIG");
	setenv("MYSIMBDP_DOCS_", "x", 1); /* a variable with our prefix that belongs to somebody else */
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct err e = {0};
	(void)!dir_remove_all(p->dir, &e);
	arena_done(&p->a);
	free(p);
	return 0;
}

static void write_text(const char *path, const char *text)
{
	struct err e = {0};
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, &e), ERR_OK);
}

static struct conf *load(struct place *p, const char *yaml, const char *flag)
{
	struct conf *c = NULL;
	struct err e = {0};
	if (yaml)
		write_text(p->file, yaml);
	if (conf_load(yaml ? p->file : "/dev/null", &flag, flag ? 1 : 0, &p->a, &c, &e))
		fail_msg("%s", e.msg);
	return c;
}

/* The file is refused, and the message has every part of want (separated by |). */
static void refused(struct place *p, const char *yaml, const char *flag, enum err_code code, const char *want)
{
	struct conf *c = NULL;
	struct err e = {0};
	char parts[512];
	if (yaml)
		write_text(p->file, yaml);
	enum err_code got = conf_load(yaml ? p->file : "/dev/null", &flag, flag ? 1 : 0, &p->a, &c, &e);
	if (got != code)
		fail_msg("%s%s: code %d, not %d", yaml ? yaml : "", flag ? flag : "", got, code);
	assert_null(c);
	snprintf(parts, sizeof parts, "%s", want);
	for (char *save = NULL, *part = strtok_r(parts, "|", &save); part; part = strtok_r(NULL, "|", &save))
		if (!strstr(e.msg, part))
			fail_msg("\"%s\" has no \"%s\"", e.msg, part);
}

static void test_defaults(void **state)
{
	struct place *p = *state;
	struct conf *c = load(p, NULL, NULL);
	assert_int_equal(conf_int(c, "api.port"), 8090);
	assert_string_equal(conf_str(c, "api.listen"), "127.0.0.1");
	assert_int_equal(conf_int(c, "ingest.sort_memory"), 8 << 20);
	assert_int_equal(conf_int(c, "shutdown.grace"), 60);
	assert_false(conf_bool(c, "api.no_auth"));
	assert_string_equal(conf_origin(c, "api.port"), "default");
	assert_true(conf_str(c, "data")[0] == '/');
}

static void test_precedence(void **state)
{
	struct place *p = *state;
	char origin[128];
	struct conf *c = load(p, "api:\n  port: 1001\nlog.level: debug\n", NULL);
	assert_int_equal(conf_int(c, "api.port"), 1001);
	snprintf(origin, sizeof origin, "%s:2", p->file);
	assert_string_equal(conf_origin(c, "api.port"), origin);
	assert_string_equal(conf_str(c, "log.level"), "debug");
	assert_string_equal(conf_file(c), p->file);
	setenv("MYSIMBDP_API_PORT", "1002", 1);
	c = load(p, "api: {port: 1001}", NULL);
	assert_int_equal(conf_int(c, "api.port"), 1002);
	assert_string_equal(conf_origin(c, "api.port"), "environment MYSIMBDP_API_PORT");
	c = load(p, "api: {port: 1001}", "api.port=1003");
	assert_int_equal(conf_int(c, "api.port"), 1003);
	assert_string_equal(conf_origin(c, "api.port"), "flag");
	setenv("MYSIMBDP_API_PORT", "", 1); /* empty: not given */
	assert_int_equal(conf_int(load(p, "api: {port: 1001}", NULL), "api.port"), 1001);
	unsetenv("MYSIMBDP_API_PORT");
}

static void test_drop_ins(void **state)
{
	struct place *p = *state;
	char path[160];
	snprintf(path, sizeof path, "%s/conf.d", p->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/conf.d/20.yaml", p->dir);
	write_text(path, "api.port: 2\n");
	snprintf(path, sizeof path, "%s/conf.d/10.yaml", p->dir);
	write_text(path, "api:\n  port: 1\n  listen: ::1\n");
	snprintf(path, sizeof path, "%s/conf.d/30.yaml.bak", p->dir);
	write_text(path, "api.port: 3\n");
	struct conf *c = load(p, "api.port: 9\n", NULL);
	assert_int_equal(conf_int(c, "api.port"), 2);
	assert_string_equal(conf_str(c, "api.listen"), "::1");
}

static void test_expansion(void **state)
{
	struct place *p = *state;
	setenv("TEST_CONF_X", "7070", 1);
	unsetenv("TEST_CONF_NONE");
	struct conf *c = load(
	    p, "api.port: ${TEST_CONF_X}\ntoken: a$$b${TEST_CONF_NONE:c}$d\nurl: '${TEST_CONF_NONE:http://h:1/}'\n",
	    NULL);
	assert_int_equal(conf_int(c, "api.port"), 7070);
	assert_string_equal(conf_str(c, "token"), "a$bc$d");
	assert_string_equal(conf_str(c, "url"), "http://h:1/");
	refused(p, "token: ${TEST_CONF_NONE}\n", NULL, ERR_CONFIG, ":1:|no variable \"TEST_CONF_NONE\"");
	refused(p, "token: ${TEST_CONF_X\n", NULL, ERR_CONFIG, ":1:|without \"}\"");
}

static void test_units(void **state)
{
	static const struct {
		const char *text;
		int64_t n;
	} bytes[] = {{"65536", 65536},	{"64KiB", 65536},   {"64 kib", 65536},	{"1.5MiB", 1572864},
		     {"640kB", 640000}, {"2G", 2000000000}, {"2Gi", 2147483648}},
	  seconds[] = {{"90", 90}, {"90s", 90}, {"1.5m", 90}, {"1m30s", 90}, {"1h", 3600}, {"1d", 86400}, {"0", 0}};
	struct place *p = *state;
	char flag[96];
	for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
		snprintf(flag, sizeof flag, "api.max_upload=%s", bytes[i].text);
		assert_int_equal(conf_int(load(p, NULL, flag), "api.max_upload"), bytes[i].n);
	}
	for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
		snprintf(flag, sizeof flag, "shutdown.grace=%s", seconds[i].text);
		assert_int_equal(conf_int(load(p, NULL, flag), "shutdown.grace"), seconds[i].n);
	}
	static const char *const bad[] = {"shutdown.grace=5 apples",
					  "shutdown.grace=-1",
					  "shutdown.grace=",
					  "shutdown.grace=0.5s",
					  "shutdown.grace=99999999999999999999",
					  "shutdown.grace=2d",
					  "worker.memory=1",
					  "worker.memory=64MiBx",
					  "worker.memory=1MiB1MiB",
					  "api.port=65536",
					  "api.port=80.5",
					  "api.port=+1x",
					  "log.level=loud",
					  "log.level=info|warn",
					  "api.no_auth=perhaps"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused(p, NULL, bad[i], ERR_USAGE, "allowed: ");
}

static void test_mistakes(void **state)
{
	struct place *p = *state;
	refused(p, "api:\n  prot: 1\n", NULL, ERR_CONFIG,
		":2:|unknown setting \"api.prot\"|did you mean \"api.port\"?");
	refused(p, "apy:\n  port: 1\n", NULL, ERR_CONFIG, ":1:|unknown setting \"apy\"");
	refused(p, "port: 1\n", NULL, ERR_CONFIG, "did you mean \"api.port\"?");
	refused(p, "api: 5\n", NULL, ERR_CONFIG, ":1:|is a group of settings");
	refused(p, "api:\n  port:\n    x: 1\n", NULL, ERR_CONFIG, ":2:|is one setting, not a group");
	refused(p, "api:\n  port: [1]\n", NULL, ERR_CONFIG, ":2:|single value");
	refused(p, "api:\n  port:\n", NULL, ERR_CONFIG, ":2:|has no value");
	refused(p, "api.port: 1\napi:\n  port: 2\n", NULL, ERR_CONFIG, ":3:|given twice");
	refused(p, "api.port: 99999\n", NULL, ERR_CONFIG, ":1|\"99999\"|0 to 65535");
	refused(p, "- a\n", NULL, ERR_CONFIG, ":1:|settings were expected");
	refused(p, "a: &x 1\nb: *x\n", NULL, ERR_CONFIG, ":1:|unknown setting");
	refused(p, "api: *x\n", NULL, ERR_CONFIG, ":1:|single value");
	refused(p, "api: {port: 1\n", NULL, ERR_CONFIG, "no YAML");
	refused(p, "api.port: 1\n---\napi.port: 2\n", NULL, ERR_CONFIG, "second YAML document");
	refused(p, NULL, "api.prot=1", ERR_USAGE, "flag: unknown setting|did you mean \"api.port\"?");
	refused(p, NULL, "api.port", ERR_USAGE, "NAME=VALUE");
	refused(p, "token: \"a\\nb\"\n", NULL, ERR_CONFIG, "setting \"token\"");
	setenv("MYSIMBDP_API_PROT", "1", 1);
	refused(p, NULL, NULL, ERR_CONFIG, "MYSIMBDP_API_PROT|did you mean MYSIMBDP_API_PORT?");
	unsetenv("MYSIMBDP_API_PROT");
	struct conf *c = NULL;
	struct err e = {0};
	assert_int_not_equal(conf_load("/nonexistent/m.yaml", NULL, 0, &p->a, &c, &e), ERR_OK);
	assert_non_null(strstr(e.msg, "/nonexistent/m.yaml"));
	/* A secret is in no message. */
	e = (struct err){0};
	write_text(p->file, "token: \"hunter2\\x01\"\n");
	assert_int_equal(conf_load(p->file, NULL, 0, &p->a, &c, &e), ERR_CONFIG);
	assert_null(strstr(e.msg, "hunter2"));
}

static void test_empty_file(void **state)
{
	struct place *p = *state;
	assert_int_equal(conf_int(load(p, "", NULL), "api.port"), 8090);
	assert_int_equal(conf_int(load(p, "# nothing\n", NULL), "api.port"), 8090);
	assert_int_equal(conf_int(load(p, "---\n", NULL), "api.port"), 8090);
	assert_int_equal(conf_int(load(p, "api:\n#  port: 1\n", NULL), "api.port"), 8090);
}

/* What the rows print is what is checked in, and the template with every line uncommented loads. */
static void test_documents(void **state)
{
	struct place *p = *state;
	struct buf out, plain;
	struct span text;
	struct err e = {0};
	char path[1024];
	const char *docs = getenv("MYSIMBDP_DOCS");
	buf_init(&out, 1 << 20);
	conf_write_docs(&out);
	snprintf(path, sizeof path, "%s/configuration.md", docs ? docs : "docs");
	if (file_read(path, 1 << 20, &p->a, &text, &e))
		fail_msg("%s", e.msg);
	if (strcmp(text.p, buf_cstr(&out)) != 0)
		fail_msg("%s differs from the settings: `mysimbdp config docs > docs/configuration.md`", path);
	buf_clear(&out);
	conf_write_template(&out);
	load(p, buf_cstr(&out), NULL);
	buf_init(&plain, 1 << 20);
	for (const char *s = buf_cstr(&out); *s;) {
		size_t n = strcspn(s, "\n");
		if (s[0] == '#' && (s[1] != ' ' || s[2] == ' ')) /* "# text" stays a comment */
			buf_add(&plain, s + 1, n - 1);
		buf_char(&plain, '\n');
		s += n + (s[n] == '\n');
	}
	struct conf *c = load(p, buf_cstr(&plain), NULL);
	for (size_t i = 0; i < conf_nrows; i++)
		assert_string_not_equal(conf_origin(c, conf_rows[i].name), "default");
	buf_done(&plain);
	buf_done(&out);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_defaults), T(test_precedence), T(test_drop_ins),   T(test_expansion),
	    T(test_units),    T(test_mistakes),	  T(test_empty_file), T(test_documents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
