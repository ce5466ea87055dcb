/*
 * replay.c: main for a fuzz target without libFuzzer: every file of the corpus folders named on the command line, and
 * what is left of each after cutting it short at a few places.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	if (!f || fstat(fileno(f), &st) != 0) {
		perror(path);
		exit(1);
	}
	size_t size = (size_t)st.st_size;
	/* Exactly as large as the input: reads behind it are seen by the sanitizers. */
	for (size_t cut = 0; cut <= 4; cut++) {
		size_t n = cut == 0 ? size : size * (cut * 2 - 1) / 8;
		uint8_t *data = malloc(n ? n : 1);
		rewind(f);
		if (!data || fread(data, 1, n, f) != n) {
			perror(path);
			exit(1);
		}
		LLVMFuzzerTestOneInput(data, n);
		free(data);
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	unsigned n = 0;
	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);
		if (!d) {
			perror(argv[i]);
			return 1;
		}
		for (struct dirent *e; (e = readdir(d));) {
			char path[4096];
			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
			one(path);
			n++;
		}
		closedir(d);
	}
	printf("%u inputs\n", n);
	return n == 0;
}
