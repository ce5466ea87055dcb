/*
 * clientbatchingestapp.c: the sample clientbatchingestapp, which a tenant without a program of its own gets.
 *
 * Reads every file in {SOURCE_PATH}/{CLIENT_ID}/in and writes it under the same name to .../out, without the records
 * that have a null value: an unquoted empty cell (`""` is the empty string, no null). All that is kept is passed on
 * byte for byte, the header always; blank lines, being no records, are dropped.
 *
 * What it is not sure about it passes on, because the quality gate behind it sees everything: compressed and UTF-16
 * files as they are; of a quoted record that does not end within 4 MiB (a quote that never closes) the first line as it
 * is, and goes on at the next line, as the gate does.
 *
 * Environment: CLIENT_ID, SOURCE_PATH; optional CSV_SEPARATOR (one character, default ,), CSV_HEADER (false: the first
 * record is data). Exit: 0 all files written, 1 some not (nothing of those is in out/), 64 called wrongly.
 *
 * Results appear complete or not at all: a hidden .tmp file, renamed; making them durable is the platform's business.
 * Memory: one block of 4 MiB.
 * Stand-alone on purpose: one file, nothing but the C library, to be copied and changed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (4u << 20)
#define READ_SIZE (256u << 10)
#define TEMP_NAME ".clientbatchingestapp.tmp"

struct settings {
	const char *client, *source;
	char separator;
	bool header;
};

struct filter {
	char separator;
	char eol;	   /* '\n', or '\r' in a file that has no other; 0 until the first record ended */
	bool header;	   /* the next record is the header */
	bool rest_of_line; /* inside a line over BLOCK: passed on up to its end */
	uint64_t records, dropped;
};

struct record {
	const char *end; /* behind the line end */
	bool null;	 /* it has an unquoted empty cell */
	bool broken;	 /* a quote that never closes: its first line, to be passed on as it is */
};

/* Where files come from and go to; for messages. */
struct job {
	const char *name;
	int in, out;
	int failed;	       /* errno of the first failure, 0 none */
	const char *failed_at; /* "read", "write" ... */
};

static bool fail(struct job *j, const char *at)
{
	if (!j->failed_at) {
		j->failed = errno;
		j->failed_at = at;
	}
	return false;
}

static bool write_all(struct job *j, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(j->out, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return fail(j, "write");
		p += w;
		n -= (size_t)w;
	}
	return true;
}

/* Bytes of the line end at p: 0 it is none, -1 the next byte must be seen first. */
static int line_end(struct filter *f, const char *p, const char *end, bool last)
{
	if (f->eol == '\r' || *p == '\n') {
		f->eol = f->eol ? f->eol : '\n';
		return *p == f->eol;
	}
	if (p + 1 == end)
		return last ? 1 : -1;
	if (p[1] == '\n')
		return 2;
	f->eol = f->eol ? f->eol : '\r';
	return f->eol == '\r';
}

/* A record that has quotes, or the first of a file: cell by cell. False: it does not end before `end`. */
static bool scan_cells(struct filter *f, const char *p, const char *end, bool last, struct record *r)
{
	bool start = true; /* of a cell */
	while (p < end) {
		if (start && *p == '"') {
			for (p++; (p = memchr(p, '"', (size_t)(end - p))) && p + 1 < end && p[1] == '"';)
				p += 2;
			if (!p || (p + 1 == end && !last))
				return false; /* never closed, or maybe the first of two */
			start = false;
		} else if (*p == f->separator) {
			r->null |= start;
			start = true;
		} else if (*p == '\n' || *p == '\r') {
			int n = line_end(f, p, end, last);
			if (n < 0)
				return false;
			if (n > 0) {
				r->null |= start;
				r->end = p + n;
				return true;
			}
			start = false;
		} else {
			start = false;
		}
		p++;
	}
	r->null |= start;
	r->end = end;
	return last;
}

/* A line without quotes is a record: null are two separators side by side, or one at either end. The loop has no
 * branch, so that the compiler makes vector instructions of it. */
static bool line_has_null(const char *p, size_t n, char separator)
{
	if (p[0] == separator || p[n - 1] == separator)
		return true;
	unsigned char found = 0;
	for (size_t i = 0; i + 1 < n; i++)
		found |= (unsigned char)((p[i] == separator) & (p[i + 1] == separator));
	return found;
}

static size_t without_eol(const char *p, const char *end)
{
	if (end > p && end[-1] == '\n')
		end--;
	if (end > p && end[-1] == '\r')
		end--;
	return (size_t)(end - p);
}

/* The record at p; false: more bytes are needed. all: there will be no more of this record, the block is full. */
static bool next_record(struct filter *f, const char *p, const char *end, bool last, bool all, struct record *r)
{
	*r = (struct record){0};
	if (f->eol) {
		const char *eol = memchr(p, f->eol, (size_t)(end - p));
		r->end = eol ? eol + 1 : last ? end : NULL;
		if (r->end && !memchr(p, '"', (size_t)(r->end - p))) {
			size_t n = without_eol(p, r->end);
			r->null = n > 0 && line_has_null(p, n, f->separator);
			return true;
		}
		r->end = NULL;
	}
	if (scan_cells(f, p, end, last, r))
		return true;
	if (!all && !last)
		return false;
	const char *eol = memchr(p, f->eol ? f->eol : '\n', (size_t)(end - p));
	*r = (struct record){.end = eol ? eol + 1 : end, .broken = true};
	f->rest_of_line = !eol && !last;
	return true;
}

static bool keep(struct filter *f, const char *p, const struct record *r)
{
	if (without_eol(p, r->end) == 0)
		return false;
	if (f->header) {
		f->header = false;
		return true;
	}
	f->records++;
	if (!r->null || r->broken)
		return true;
	f->dropped++;
	return false;
}

/* Pass on what is kept of p..p+n as runs of neighbours; *ret_used is how much of it was dealt with. */
static bool filter_block(struct filter *f, struct job *j, const char *p, size_t n, bool last, size_t *ret_used)
{
	const char *at = p, *run = p, *end = p + n;
	if (f->rest_of_line) {
		const char *eol = memchr(p, f->eol ? f->eol : '\n', n);
		f->rest_of_line = !eol;
		at = eol ? eol + 1 : end;
	}
	struct record r;
	while (at < end && next_record(f, at, end, last, at == p && n == BLOCK, &r)) {
		if (!keep(f, at, &r)) {
			if (at > run && !write_all(j, run, (size_t)(at - run)))
				return false;
			run = r.end;
		}
		at = r.end;
	}
	*ret_used = (size_t)(at - p);
	return at == run || write_all(j, run, (size_t)(at - run));
}

/* Compressed and UTF-16 files are told by their first bytes. */
static const char *opaque(const char *p, size_t n)
{
	static const struct {
		const char *magic;
		size_t n;
		const char *what;
	} kinds[] = {{"\x1f\x8b", 2, "compressed with gzip"},
		     {"\x28\xb5\x2f\xfd", 4, "compressed with zstd"},
		     {"\xff\xfe", 2, "UTF-16"},
		     {"\xfe\xff", 2, "UTF-16"}};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (n >= kinds[i].n && memcmp(p, kinds[i].magic, kinds[i].n) == 0)
			return kinds[i].what;
	return NULL;
}

/* Read, filter and write one open file. buf has BLOCK bytes. */
static bool copy_filtered(struct filter *f, struct job *j, char *buf, const char **ret_opaque)
{
	size_t have = 0;
	bool begun = false;
	for (bool last = false; !last;) {
		size_t room = BLOCK - have;
		ssize_t r = read(j->in, buf + have, room < READ_SIZE ? room : READ_SIZE);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return fail(j, "read");
		last = r == 0;
		have += (size_t)r;
		if (!begun && have < 4 && !last)
			continue;
		if (!begun) {
			*ret_opaque = opaque(buf, have);
			size_t bom = have >= 3 && memcmp(buf, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
			if (!write_all(j, buf, bom))
				return false;
			memmove(buf, buf + bom, have -= bom);
			begun = true;
		}
		size_t used = have;
		if (*ret_opaque ? !write_all(j, buf, have) : !filter_block(f, j, buf, have, last, &used))
			return false;
		memmove(buf, buf + used, have - used);
		have -= used;
	}
	return true;
}

static void report(const struct job *j, const struct filter *f, const char *as_is)
{
	if (j->failed_at)
		fprintf(stderr, "clientbatchingestapp: %s: %s: %s; nothing of it is in out/\n", j->name, j->failed_at,
			j->failed == ENOSPC ? "the disk is full, make room and run again" : strerror(j->failed));
	else if (as_is)
		fprintf(stderr, "clientbatchingestapp: %s: %s, passed on as it is\n", j->name, as_is);
	else
		fprintf(stderr, "clientbatchingestapp: %s: %llu records, %llu dropped for a null value\n", j->name,
			(unsigned long long)f->records, (unsigned long long)f->dropped);
}

static bool process_file(const struct settings *s, int dir_in, int dir_out, const char *name, char *buf)
{
	struct job j = {.name = name, .out = -1};
	struct filter f = {.separator = s->separator, .header = s->header};
	const char *as_is = NULL;
	j.in = openat(dir_in, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (j.in < 0) {
		fail(&j, "open");
		report(&j, &f, NULL);
		return false;
	}
	struct stat st;
	if (fstat(j.in, &st) == 0 && !S_ISREG(st.st_mode)) {
		close(j.in);
		return true; /* a directory, a pipe: no file of ours */
	}
	if (unlinkat(dir_out, TEMP_NAME, 0) < 0 && errno != ENOENT)
		fail(&j, "remove an old temporary file");
	else if ((j.out = openat(dir_out, TEMP_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640)) < 0)
		fail(&j, "create in out/");
	else
		copy_filtered(&f, &j, buf, &as_is);
	if (j.out >= 0 && close(j.out) < 0)
		fail(&j, "close");
	if (!j.failed_at && renameat(dir_out, TEMP_NAME, dir_out, name) < 0)
		fail(&j, "rename");
	if (j.failed_at)
		unlinkat(dir_out, TEMP_NAME, 0);
	close(j.in);
	report(&j, &f, as_is);
	return !j.failed_at;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && strcmp(s + n - m, end) == 0;
}

/* Names of files that are not complete yet: hidden, .tmp, .part. */
static int is_candidate(const struct dirent *d)
{
	return d->d_name[0] != '.' && !ends_with(d->d_name, ".tmp") && !ends_with(d->d_name, ".part");
}

static int open_dir(const struct settings *s, const char *sub, char path[4096])
{
	int n = snprintf(path, 4096, "%s/%s/%s", s->source, s->client, sub);
	if (n < 0 || n >= 4096) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int process_all(const struct settings *s)
{
	char path_in[4096], path_out[4096];
	int dir_in = open_dir(s, "in", path_in);
	int dir_out = open_dir(s, "out", path_out);
	if (dir_in < 0 || dir_out < 0) {
		fprintf(stderr,
			"clientbatchingestapp: can't open \"%s\": %s; SOURCE_PATH/CLIENT_ID must have in/ and out/\n",
			dir_in < 0 ? path_in : path_out, strerror(errno));
		return 1;
	}
	struct dirent **names = NULL;
	int n = scandir(path_in, &names, is_candidate, alphasort);
	char *buf = malloc(BLOCK);
	if (n < 0 || !buf)
		fprintf(stderr, "clientbatchingestapp: can't list \"%s\": %s\n", path_in, strerror(errno));
	int bad = n < 0 || !buf;
	for (int i = 0; i < n; i++) {
		bad += buf && !process_file(s, dir_in, dir_out, names[i]->d_name, buf);
		free(names[i]);
	}
	if (n == 0)
		fprintf(stderr, "clientbatchingestapp: nothing to do, \"%s\" has no files\n", path_in);
	free(names);
	free(buf);
	close(dir_in);
	close(dir_out);
	return bad > 0;
}

static int usage(FILE *to, int code)
{
	fputs("usage: CLIENT_ID=id SOURCE_PATH=dir clientbatchingestapp\n\n"
	      "Copies the CSV files of SOURCE_PATH/CLIENT_ID/in to .../out without the records that have a null value\n"
	      "(an unquoted empty cell). Everything that is kept stays as it is, byte for byte.\n\n"
	      "  CSV_SEPARATOR   one character, default ,\n"
	      "  CSV_HEADER      true (default): the first record is the header and is kept; false: it is data\n\n"
	      "Exit: 0 all files written; 1 some not, see the messages; 64 called wrongly.\n",
	      to);
	return code;
}

int main(int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return usage(stdout, 0);
	struct settings s = {getenv("CLIENT_ID"), getenv("SOURCE_PATH"), ',', true};
	const char *separator = getenv("CSV_SEPARATOR"), *header = getenv("CSV_HEADER");
	if (argc > 1 || !s.client || !*s.client || !s.source || !*s.source) {
		fputs("clientbatchingestapp: CLIENT_ID and SOURCE_PATH must be set; it takes no arguments\n", stderr);
		return usage(stderr, 64);
	}
	if (separator && (strlen(separator) != 1 || strchr("\"\r\n", separator[0]))) {
		fprintf(stderr, "clientbatchingestapp: CSV_SEPARATOR \"%s\" is not one plain character\n", separator);
		return 64;
	}
	s.separator = separator ? separator[0] : ',';
	s.header = !header || strcmp(header, "false") != 0;
	return process_all(&s);
}
