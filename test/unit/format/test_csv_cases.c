/*
 * test_csv_cases.c: the case files of test/cases/csv, each case with every SIMD level, block and batch size.
 *
 *   === name
 *   schema: ... (and key, dialect, limits: see case.h)
 *   |input line            ends in LF; \r \n \t \\ \xHH as in C; \c at the end: no line end
 *   ---
 *   expected output
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "case.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef CASES_DIR
#error "CASES_DIR"
#endif

static void add_input(struct buf *b, const char *line)
{
	bool cut = false;
	for (const char *p = line; *p; p++) {
		if (*p != '\\') {
			buf_char(b, *p);
			continue;
		}
		p++;
		if (*p == 'x') {
			buf_char(b, (char)strtol((char[]){p[1], p[2], 0}, NULL, 16));
			p += 2;
		} else if (*p == 'c') {
			cut = true;
		} else {
			buf_char(b, (char)(*p == 'r' ? '\r' : *p == 'n' ? '\n' : *p == 't' ? '\t' : *p));
		}
	}
	if (!cut)
		buf_char(b, '\n');
}

static unsigned ran;

static void run_case(const struct csv_case *c, const char *file)
{
	static const size_t blocks[] = {64, 65, 100, 256, 4096, 0};
	static const uint32_t rows[] = {1, 3, 0};
	for (enum simd_level l = SIMD_PORTABLE; l <= SIMD_AVX512; l++)
		for (size_t i = 0; i < 6; i++)
			for (size_t k = 0; k < 3; k++) {
				struct buf out;
				buf_init(&out, 16 << 20);
				case_run(c, (struct csv_options){.simd = l, .block = blocks[i], .batch_rows = rows[k]},
					 &out);
				if (strcmp(buf_cstr(&out), buf_cstr((struct buf *)&c->expect)) != 0)
					fail_msg("%s, \"%s\", %s, block %zu, batch %u:\n--- got\n%s--- wanted\n%s",
						 file, c->name, simd_level_name(l), blocks[i], rows[k], buf_cstr(&out),
						 c->expect.p ? c->expect.p : "");
				buf_done(&out);
			}
	ran++;
}

static void case_init(struct csv_case *c)
{
	*c = (struct csv_case){.plan.dialect = {.quote = '"', .header = true}};
	arena_init(&c->arena, 1 << 20);
	buf_init(&c->input, 1 << 20);
	buf_init(&c->expect, 1 << 20);
}

static void run_file(const char *name)
{
	char path[512], *line = NULL;
	size_t cap = 0;
	ssize_t n;
	snprintf(path, sizeof path, "%s/%s", CASES_DIR, name);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	struct csv_case c;
	bool open = false, expect = false;
	while ((n = getline(&line, &cap, f)) >= 0) {
		if (n && line[n - 1] == '\n')
			line[n - 1] = 0;
		char *words = strchr(line, ':');
		if (strncmp(line, "=== ", 4) == 0) {
			if (open) {
				run_case(&c, name);
				case_done(&c);
			}
			case_init(&c);
			c.name = arena_strdup(&c.arena, line + 4);
			open = true;
			expect = false;
		} else if (!open || (*line == '#' && !expect)) {
			continue;
		} else if (strcmp(line, "---") == 0) {
			expect = true;
		} else if (expect) {
			if (*line)
				buf_printf(&c.expect, "%s\n", line);
		} else if (*line == '|') {
			add_input(&c.input, line + 1);
		} else if (words) {
			char *copy = arena_strdup(&c.arena, words + 2);
			if (strncmp(line, "schema:", 7) == 0)
				case_parse_schema(&c, copy);
			else if (strncmp(line, "key:", 4) == 0)
				case_parse_key(&c, copy);
			else if (strncmp(line, "dialect:", 8) == 0)
				case_parse_dialect(&c, copy);
			else if (strncmp(line, "limits:", 7) == 0)
				case_parse_limits(&c, copy);
			else
				fail_msg("%s: \"%s\"?", name, line);
		}
	}
	if (open) {
		run_case(&c, name);
		case_done(&c);
	}
	free(line);
	fclose(f);
}

static void every_case_file(void **state)
{
	DIR *d = opendir(CASES_DIR);
	assert_non_null(d);
	for (struct dirent *en; (en = readdir(d));)
		if (strstr(en->d_name, ".cases"))
			run_file(en->d_name);
	closedir(d);
	assert_true(ran > 50);
	print_message("%u cases\n", ran);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_file)};
	return cmocka_run_group_tests_name("csv cases", tests, NULL, NULL);
}
