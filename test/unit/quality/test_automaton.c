/* test_automaton.c: patterns: what matches, the same answers as the C library, and what is refused. */
#include "suite.h"

#include "quality/automaton.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *pattern, *text;
	bool match;
} cases[] = {
    {"abc", "abc", true},
    {"abc", "abcd", false},
    {"abc", "xabc", false},
    {"^abc$", "abc", true},
    {"a|b$", "b", true},
    {"a*", "", true},
    {"(a|b)*c", "ababc", true},
    {"[A-Z]{2}[0-9]+", "AB12", true},
    {"[A-Z]{2}[0-9]+", "A12", false},
    {"\\d{3}-\\d{2}", "123-45", true},
    {"[\\d.]+", "1.5", true},
    {"[^,]+", "a,b", false},
    {".", "\xc3\xa9", true},
    {"..", "\xc3\xa9", false},
    {".{2}", "\xe2\x82\xac\xf0\x9f\x98\x80", true},
    {"[\xc3\xa0-\xc3\xbf]+", "\xc3\xa9\xc3\xa8", true},
    {"[^a]", "\xf0\x9f\x98\x80", true},
    {"[\xc3\xa0-\xc3\xbf]", "a", false},
    {"[[:alpha:]_]+", "ab_c", true},
    {"[]a]+", "]a", true},
    {"[a-]+", "a-a", true},
    {"(?:ab)?", "", true},
    {"(a*)*b", "aaaab", true},
    {"(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    {"\\.", ".", true},
    {"\\.", "a", false},
    {"a{0}", "", true},
    {"a{2,}", "a", false},
    {"a{2,}", "aaaaa", true},
    {"a{1,3}", "aaaa", false},
    {"(|a)b", "b", true},
    {"\\w+@\\w+\\.[a-z]{2,3}", "a_1@b.de", true},
    {"\\S+", "a b", false},
    {"[\\]]", "]", true},
    {"\\$1", "$1", true},
};

static void test_cases(void **state)
{
	char wrong[AUTOMATON_ERROR_MAX];
	struct arena a;

	arena_init(&a, 16 << 20);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct automaton *p = automaton_compile(span_str(cases[i].pattern), &a, wrong);
		if (!p)
			fail_msg("%s: %s", cases[i].pattern, wrong);
		if (automaton_match(p, cases[i].text, strlen(cases[i].text)) != cases[i].match)
			fail_msg("%s on %s", cases[i].pattern, cases[i].text);
	}
	arena_done(&a);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "(",
	    ")",
	    "a)",
	    "[",
	    "[z-a]",
	    "*a",
	    "a**",
	    "a+?",
	    "a{1",
	    "a{2,1}",
	    "a{999}",
	    "(a)\\1",
	    "\\",
	    "(?=a)",
	    "[[:nope:]]",
	    "a^b",
	    "a$b",
	    "\\b",
	    "(a|b)*a(a|b){14}",
	    "((((.{200}){200}){200}){200})",
	    "(((a{1,255}){1,255}){1,255})*",
	};
	char wrong[AUTOMATON_ERROR_MAX];
	struct arena a;

	arena_init(&a, 16 << 20);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (automaton_compile(span_str(bad[i]), &a, wrong))
			fail_msg("%s was taken", bad[i]);
		assert_true(strlen(wrong) > 5);
	}
	arena_done(&a);
}

/* Random patterns over a small alphabet against regexec. */
static size_t random_pattern(char *out, int depth)
{
	size_t n = 0;
	int parts = 1 + rand() % 3;

	for (int i = 0; i < parts; i++) {
		switch (rand() % (depth > 0 ? 7 : 4)) {
		case 0:
			n += (size_t)sprintf(out + n, "[ab]");
			break;
		case 1:
			n += (size_t)sprintf(out + n, "[^a]");
			break;
		case 2:
			n += (size_t)sprintf(out + n, ".");
			break;
		case 3:
			n += (size_t)sprintf(out + n, "%c", 'a' + rand() % 3);
			break;
		default:
			out[n++] = '(';
			n += random_pattern(out + n, depth - 1);
			if (rand() % 2) {
				out[n++] = '|';
				n += random_pattern(out + n, depth - 1);
			}
			out[n++] = ')';
		}
		static const char *const times[] = {"*", "+", "?", "{2}", "{1,2}", "", "", ""};
		n += (size_t)sprintf(out + n, "%s", times[rand() % 8]);
	}
	out[n] = 0;
	return n;
}

static void test_against_regexec(void **state)
{
	char pattern[4096], anchored[4200], wrong[AUTOMATON_ERROR_MAX], text[12];

	srand(7);
	for (int i = 0; i < 400; i++) {
		struct arena a;
		regex_t re;
		arena_init(&a, 16 << 20);
		random_pattern(pattern, 2);
		snprintf(anchored, sizeof(anchored), "^(%s)$", pattern);
		if (strlen(pattern) > 200 || regcomp(&re, anchored, REG_EXTENDED | REG_NOSUB)) {
			arena_done(&a);
			continue;
		}
		const struct automaton *p = automaton_compile(span_str(pattern), &a, wrong);
		for (int k = 0; p && k < 60; k++) {
			size_t n = (size_t)(rand() % 9);
			for (size_t j = 0; j < n; j++)
				text[j] = (char)('a' + rand() % 3);
			text[n] = 0;
			if (automaton_match(p, text, n) != (regexec(&re, text, 0, NULL, 0) == 0))
				fail_msg("%s on %s", pattern, text);
		}
		regfree(&re);
		arena_done(&a);
	}
}

int run_automaton_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_against_regexec),
	};

	return cmocka_run_group_tests_name("automaton", tests, NULL, NULL);
}
