/*
 * cases.h: data-driven tests: a file per case, three parts between lines of "---":
 *
 *   what the case shows
 *   ---
 *   the input
 *   ---
 *   what comes out, exactly
 *
 * A new case needs no C: write the first two parts, run the program with UPDATE_CASES=1, and read what it wrote as the
 * third. MYSIMBDP_CASES is the directory test/cases, set by meson.
 */
#ifndef TEST_UNIT_CASES_H
#define TEST_UNIT_CASES_H

#include "base/buf.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Turns the input of a case into its output. name is the file's name without ".case". */
typedef void case_fn(const char *name, struct span input, struct buf *out);

static inline int case_filter(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return n > 5 && strcmp(d->d_name + n - 5, ".case") == 0;
}

static inline void case_read(const char *path, struct buf *text)
{
	char block[4096];
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s can't be read", path);
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
		buf_add(text, block, n);
	fclose(f);
}

static inline unsigned case_run(const char *path, const char *name, case_fn *fn)
{
	static const char line[] = "\n---\n";
	struct buf text, out;
	buf_init(&text, 8 << 20);
	buf_init(&out, 8 << 20);
	case_read(path, &text);
	char *input = strstr(buf_cstr(&text), line), *want = input ? strstr(input + 5, line) : NULL;
	unsigned failed = 0;
	if (!input)
		fail_msg("%s has no line ---", path);
	input += 5;
	struct span in = {input, want ? (size_t)(want - input) : strlen(input)};
	fn(name, in, &out);
	if (getenv("UPDATE_CASES")) {
		FILE *f = fopen(path, "wb");
		fprintf(f, "%.*s%s%s", (int)(input + in.n - text.p), text.p,
			want				  ? line
			: in.n && input[in.n - 1] == '\n' ? "---\n"
							  : line,
			buf_cstr(&out));
		fclose(f);
	} else if (!want || strcmp(want + 5, buf_cstr(&out)) != 0) {
		print_error("%s\n--- wanted\n%s--- got\n%s", path, want ? want + 5 : "", buf_cstr(&out));
		failed = 1;
	}
	buf_done(&out);
	buf_done(&text);
	return failed;
}

/* All cases of a folder of test/cases; at least min of them must be there. */
static inline void cases_run(const char *folder, unsigned min, case_fn *fn)
{
	char dir[1024], path[2048];
	struct dirent **entries;
	const char *root = getenv("MYSIMBDP_CASES");
	unsigned failed = 0;
	snprintf(dir, sizeof dir, "%s/%s", root ? root : "test/cases", folder);
	int n = scandir(dir, &entries, case_filter, alphasort);
	if (n < (int)min)
		fail_msg("%s: %d cases, at least %u were expected", dir, n, min);
	for (int i = 0; i < n; i++) {
		char name[256];
		snprintf(name, sizeof name, "%.*s", (int)strlen(entries[i]->d_name) - 5, entries[i]->d_name);
		snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
		failed += case_run(path, name, fn);
		free(entries[i]);
	}
	free(entries);
	if (failed)
		fail_msg("%u of %d cases in %s failed", failed, n, dir);
}

#endif
