/*
 * source.c: three layers, each with a function that fills a buffer.
 *
 *   raw_read      the descriptor, or memory
 *   decoded_read  itself, or through inflate or zstd (format/decode.h)
 *   text_read     itself, or through iconv
 *
 * Plain UTF-8 files are read straight into the caller's buffer. The first bytes are decoded at opening, so that a
 * damaged or unknown file is told at once and the byte order mark can be dropped.
 */
#include "format/source.h"

#include "base/fd.h"
#include "format/decode.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_SIZE (64u << 10)
#define HEAD_SIZE 64u
#define MAX_BYTES_DEFAULT (UINT64_C(1) << 40)
#define NO_TEXT '\xff'

struct source {
	char *name;
	int fd;
	bool own_fd;
	struct span memory; /* instead of fd */
	char *in;	    /* compressed bytes, or the first bytes of a plain file */
	size_t in_pos, in_n;
	bool in_eof;
	struct decoder *decoder; /* NULL: plain */
	iconv_t cd;
	bool convert;
	size_t unit; /* bytes to skip where the charset has no character */
	char *enc;   /* bytes in that charset */
	size_t enc_pos, enc_n;
	bool enc_eof;
	char head[HEAD_SIZE]; /* the first text, without byte order mark */
	size_t head_pos, head_n;
	uint64_t raw_bytes, bytes, max_bytes;
};

static enum err_code raw_read(struct source *s, void *buf, size_t cap, size_t *ret_n, struct err *e)
{
	size_t n;
	if (s->fd < 0) {
		n = s->memory.n < cap ? s->memory.n : cap;
		if (n)
			memcpy(buf, s->memory.p, n);
		s->memory.p += n;
		s->memory.n -= n;
	} else {
		ssize_t got = read(s->fd, buf, cap); /* EINTR: told to stop while a pipe had nothing */
		if (got < 0)
			return err_sys(e, errno, "read \"%s\"", s->name);
		n = (size_t)got;
	}
	s->raw_bytes += n;
	*ret_n = n;
	return ERR_OK;
}

static enum err_code fill_in(struct source *s, struct err *e)
{
	s->in_pos = s->in_n = 0;
	enum err_code rc = raw_read(s, s->in, IN_SIZE, &s->in_n, e);
	s->in_eof = rc == ERR_OK && s->in_n == 0;
	return rc;
}

static enum err_code decompress(struct source *s, void *buf, size_t cap, size_t *ret_n, struct err *e)
{
	enum err_code rc;
	for (;;) {
		if (s->in_pos == s->in_n && !s->in_eof && (rc = fill_in(s, e)))
			return rc;
		struct decode_io io = {s->in + s->in_pos, s->in_n - s->in_pos, buf, cap, s->in_eof};
		if ((rc = decoder_step(s->decoder, &io, e)))
			return err_prefix(e, "\"%s\", compressed byte %llu", s->name,
					  (unsigned long long)(s->raw_bytes - io.in_n));
		s->in_pos = s->in_n - io.in_n;
		if (io.cap < cap || (s->in_eof && s->in_pos == s->in_n)) {
			*ret_n = cap - io.cap;
			return ERR_OK;
		}
	}
}

static enum err_code decoded_read(struct source *s, void *buf, size_t cap, size_t *ret_n, struct err *e)
{
	if (s->decoder)
		return decompress(s, buf, cap, ret_n, e);
	if (s->in_pos == s->in_n)
		return raw_read(s, buf, cap, ret_n, e);
	size_t n = s->in_n - s->in_pos < cap ? s->in_n - s->in_pos : cap;
	memcpy(buf, s->in + s->in_pos, n);
	s->in_pos += n;
	*ret_n = n;
	return ERR_OK;
}

/* Refill enc behind what is left of it. */
static enum err_code fill_enc(struct source *s, struct err *e)
{
	memmove(s->enc, s->enc + s->enc_pos, s->enc_n - s->enc_pos);
	s->enc_n -= s->enc_pos;
	s->enc_pos = 0;
	size_t n;
	enum err_code rc = decoded_read(s, s->enc + s->enc_n, IN_SIZE - s->enc_n, &n, e);
	if (rc)
		return rc;
	s->enc_n += n;
	s->enc_eof = n == 0;
	return ERR_OK;
}

/* At least 8 bytes of room: a character, or the mark for none, always fits. */
static enum err_code convert_read(struct source *s, char *buf, size_t cap, size_t *ret_n, struct err *e)
{
	char *out = buf;
	size_t room = cap;
	bool starved = s->enc_pos == s->enc_n;
	while (room == cap) {
		enum err_code rc;
		if (starved && !s->enc_eof && (rc = fill_enc(s, e)))
			return rc;
		starved = false;
		char *in = s->enc + s->enc_pos;
		size_t left = s->enc_n - s->enc_pos;
		if (left == 0 && s->enc_eof)
			break;
		size_t r = iconv(s->cd, &in, &left, &out, &room);
		int why = r == (size_t)-1 ? errno : 0;
		s->enc_pos = s->enc_n - left;
		if (why == E2BIG)
			break;
		if (why == EILSEQ || (why == EINVAL && s->enc_eof)) {
			if (room == 0)
				break;
			*out++ = NO_TEXT;
			room--;
			s->enc_pos += left < s->unit ? left : s->unit;
		}
		starved = why == EINVAL || s->enc_pos == s->enc_n;
	}
	*ret_n = cap - room;
	return ERR_OK;
}

static enum err_code text_read(struct source *s, char *buf, size_t cap, size_t *ret_n, struct err *e)
{
	if (!s->convert)
		return decoded_read(s, buf, cap, ret_n, e);
	if (cap >= 16)
		return convert_read(s, buf, cap, ret_n, e);
	s->head_pos = 0; /* a tiny buffer: through the head */
	enum err_code rc = convert_read(s, s->head, sizeof s->head, &s->head_n, e);
	*ret_n = 0;
	return rc;
}

enum err_code source_read(struct source *s, void *buf, size_t cap, size_t *ret_n, struct err *e)
{
	size_t n = 0;
	if (s->head_pos == s->head_n) {
		enum err_code rc = text_read(s, buf, cap, &n, e);
		if (rc)
			return rc;
	}
	if (s->head_pos < s->head_n) {
		n = s->head_n - s->head_pos < cap ? s->head_n - s->head_pos : cap;
		memcpy(buf, s->head + s->head_pos, n);
		s->head_pos += n;
	}
	s->bytes += n;
	if (s->bytes > s->max_bytes) {
		err_set(e, ERR_TOO_BIG, "\"%s\" has more than %llu bytes%s", s->name, (unsigned long long)s->max_bytes,
			s->decoder ? " when decompressed" : "");
		return err_hint(e, "split the file, or raise the limit on the decoded size");
	}
	*ret_n = n;
	return ERR_OK;
}

static bool is_utf8_name(const char *charset)
{
	return !charset || !*charset || strcasecmp(charset, "UTF-8") == 0 || strcasecmp(charset, "UTF8") == 0;
}

/* iconv's own options ("//TRANSLIT") would change data in silence. */
static bool plain_name(const char *charset)
{
	for (const char *p = charset; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_.:()+", *p))
			return false;
	return *charset && strlen(charset) < 64;
}

bool source_charset_known(const char *charset)
{
	if (is_utf8_name(charset))
		return true;
	iconv_t cd = plain_name(charset) ? iconv_open("UTF-8", charset) : (iconv_t)-1;
	if (cd == (iconv_t)-1)
		return false;
	iconv_close(cd);
	return true;
}

static enum err_code open_charset(struct source *s, const char *charset, struct err *e)
{
	if (is_utf8_name(charset))
		return ERR_OK;
	s->cd = plain_name(charset) ? iconv_open("UTF-8", charset) : (iconv_t)-1;
	if (s->cd == (iconv_t)-1) {
		err_set(e, ERR_UNSUPPORTED, "csv.file.charset \"%.40s\" is not known here", charset);
		return err_hint(
		    e, "names are those of \"iconv -l\", for instance UTF-8, UTF-16, ISO-8859-1, WINDOWS-1252");
	}
	s->convert = true;
	s->unit = strncasecmp(charset, "UTF-16", 6) == 0 || strncasecmp(charset, "UCS-2", 5) == 0   ? 2
		  : strncasecmp(charset, "UTF-32", 6) == 0 || strncasecmp(charset, "UCS-4", 5) == 0 ? 4
												    : 1;
	s->enc = malloc(IN_SIZE);
	return s->enc ? ERR_OK : err_oom(e);
}

/* Tell the encoding, decode the first bytes, drop a byte order mark. */
static enum err_code open_head(struct source *s, struct err *e)
{
	enum err_code rc;
	while (s->in_n < 4) {
		size_t n = 0;
		if ((rc = raw_read(s, s->in + s->in_n, IN_SIZE - s->in_n, &n, e)))
			return rc;
		s->in_n += n;
		if (n == 0)
			break;
	}
	const struct decoder_class *c = decoder_find((struct span){s->in, s->in_n});
	if (c && !(s->decoder = decoder_new(c)))
		return err_oom(e);
	char head[HEAD_SIZE];
	size_t have = 0, n = 1;
	while (have < 3 && n) {
		if (s->convert)
			rc = convert_read(s, head + have, sizeof head - have, &n, e);
		else
			rc = decoded_read(s, head + have, sizeof head - have, &n, e);
		if (rc)
			return rc;
		have += n;
	}
	size_t bom = have >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	s->head_n = have - bom;
	memcpy(s->head, head + bom, s->head_n);
	return ERR_OK;
}

static enum err_code open_any(struct source *from, const char *name, const struct source_options *opt,
			      struct source **ret, struct err *e)
{
	struct source *s = malloc(sizeof *s);
	if (!s) {
		if (from->own_fd)
			close(from->fd);
		return err_oom(e);
	}
	*s = *from;
	s->max_bytes = opt && opt->max_bytes ? opt->max_bytes : MAX_BYTES_DEFAULT;
	s->name = strdup(name);
	s->in = malloc(IN_SIZE);
	enum err_code rc = s->name && s->in ? open_charset(s, opt ? opt->charset : NULL, e) : err_oom(e);
	if (!rc)
		rc = open_head(s, e);
	if (rc) {
		source_close(s);
		return rc;
	}
	*ret = s;
	return ERR_OK;
}

enum err_code source_open_fd(int fd, const char *name, const struct source_options *opt, struct source **ret,
			     struct err *e)
{
	return open_any(&(struct source){.fd = fd}, name, opt, ret, e);
}

enum err_code source_open_span(struct span text, const char *name, const struct source_options *opt,
			       struct source **ret, struct err *e)
{
	return open_any(&(struct source){.fd = -1, .memory = text}, name, opt, ret, e);
}

enum err_code source_open(const char *path, const struct source_options *opt, struct source **ret, struct err *e)
{
	if (strcmp(path, "-") == 0)
		return source_open_fd(STDIN_FILENO, "standard input", opt, ret, e);
	int fd;
	enum err_code rc = fd_open(path, O_RDONLY, 0, &fd, e);
	if (rc)
		return rc;
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		return err_set(e, ERR_INVALID, "\"%s\" is a directory, not a file", path);
	}
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return open_any(&(struct source){.fd = fd, .own_fd = true}, path, opt, ret, e);
}

uint64_t source_raw_bytes(const struct source *s)
{
	return s->raw_bytes;
}

uint64_t source_bytes(const struct source *s)
{
	return s->bytes;
}

const char *source_encoding(const struct source *s)
{
	return s->decoder ? decoder_name(s->decoder) : "";
}

void source_close(struct source *s)
{
	if (!s)
		return;
	if (s->own_fd)
		close(s->fd);
	if (s->convert)
		iconv_close(s->cd);
	decoder_free(s->decoder);
	free(s->name);
	free(s->in);
	free(s->enc);
	free(s);
}
