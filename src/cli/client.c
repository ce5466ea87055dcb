/*
 * client.c: the REST API as a client (libcurl): one handle, one connection, answers as JSON trees.
 *
 * A problem document becomes a struct err with the same code, message and hint, so that the command line says what the
 * server said. A proxy from the environment is not asked about loopback addresses.
 */
#include "cli/client.h"

#include "base/clock.h"
#include "base/fd.h"
#include "cli/term.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20)
#define TOKEN_MAX 4096
#define JOB_POLL_US 100000

struct client {
	const struct cli *cli;
	CURL *curl;
	struct curl_slist *headers;
	const char *url;
	char *token_path; /* where a token was looked for and not found; NULL */
	struct buf answer;
	char curl_error[CURL_ERROR_SIZE];
	/* of the upload under way */
	int fd;
	uint64_t sent, total;
	void (*tick)(void *ctx, uint64_t sent, uint64_t total);
	void *ctx;
	int read_errno;
};

static size_t on_answer(char *p, size_t size, size_t n, void *ctx)
{
	struct buf *b = ctx;
	buf_add(b, p, size * n);
	return b->failed ? 0 : size * n;
}

static int on_progress(void *ctx, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
	struct client *c = ctx;
	(void)dt, (void)dn, (void)ut, (void)un;
	return atomic_load(c->cli->stop); /* anything but 0 ends the transfer */
}

static bool is_loopback(const char *url)
{
	const char *h = strstr(url, "://");
	h = h ? h + 3 : url;
	return strncmp(h, "127.", 4) == 0 || strncmp(h, "[::1]", 5) == 0 || strncmp(h, "localhost", 9) == 0;
}

/* --token, $MYSIMBDP_TOKEN or the file; else the administrator's of the data directory, when it can be read. */
static const char *find_token(struct client *c, struct conf *conf)
{
	const char *token = conf_str(conf, "token"), *dir;
	if (*token)
		return token;
	if (cli_data_dir(c->cli, &dir, NULL))
		return NULL;
	char *path = path_join(c->cli->arena, dir, "admin.token");
	struct span text;
	if (!path)
		return NULL;
	if (file_read(path, TOKEN_MAX, c->cli->arena, &text, NULL)) {
		c->token_path = path;
		return NULL;
	}
	return arena_strndup(c->cli->arena, text.p, strcspn(text.p, "\r\n \t"));
}

static enum err_code add_header(struct client *c, const char *text, struct err *e)
{
	struct curl_slist *more = curl_slist_append(c->headers, text);
	if (!more)
		return err_oom(e);
	c->headers = more;
	return ERR_OK;
}

enum err_code client_open(const struct cli *cli, struct client **ret, struct err *e)
{
	struct conf *conf;
	enum err_code code = cli_conf(cli, &conf, e);
	if (code)
		return code;
	struct client *c = calloc(1, sizeof *c);
	if (!c)
		return err_oom(e);
	c->cli = cli;
	c->fd = -1;
	buf_init(&c->answer, ANSWER_MAX);
	char *url = arena_strdup(cli->arena, conf_str(conf, "url"));
	if (url)
		for (size_t n = strlen(url); n && url[n - 1] == '/'; n--)
			url[n - 1] = 0;
	c->url = url;
	c->curl = curl_easy_init();
	if (!url || !c->curl) {
		client_close(c);
		return err_oom(e);
	}
	const char *token = find_token(c, conf);
	if (token && *token) {
		char *h = arena_printf(cli->arena, "Authorization: Bearer %s", token);
		code = h ? add_header(c, h, e) : err_oom(e);
	}
	if (code) {
		client_close(c);
		return code;
	}
	*ret = c;
	return ERR_OK;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	if (c->curl)
		curl_easy_cleanup(c->curl);
	curl_slist_free_all(c->headers);
	buf_done(&c->answer);
	fd_close(&c->fd);
	free(c);
}

const char *client_url(const struct client *c)
{
	return c->url;
}

const char *plain_text(struct arena *a, const char *s)
{
	char *out = arena_strdup(a, s ? s : "");
	if (out)
		make_plain(out);
	return out ? out : "";
}

int table_width(const struct cli *cli)
{
	return isatty(STDOUT_FILENO) ? cli->width : 0;
}

int64_t json_time(const struct json *v, const char *key)
{
	int64_t us = 0;
	const char *s = json_get_str(v, key, "");
	return timestamp_parse(s, strlen(s), &us) ? us : 0;
}

const char *url_escape(struct arena *a, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, strlen(s) * 3 + 1);
	size_t n = 0;
	if (!out)
		return NULL;
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
			     strchr("-._~", ch);
		if (plain) {
			out[n++] = (char)ch;
		} else {
			out[n++] = '%';
			out[n++] = hex[ch >> 4];
			out[n++] = hex[ch & 15];
		}
	}
	return out;
}

static enum err_code code_named(const char *name)
{
	for (int i = 1; name && i < ERR_COUNT; i++)
		if (strcmp(err_info((enum err_code)i)->name, name) == 0)
			return (enum err_code)i;
	return ERR_INTERNAL;
}

/* A status >= 400: the problem document's words, or what can be said without one. */
static enum err_code problem(struct client *c, long status, const struct json *doc, struct err *e)
{
	const char *detail = json_get_str(doc, "detail", NULL), *hint = json_get_str(doc, "hint", "");
	if (!detail) {
		err_set(e, ERR_INTERNAL, "%s answered with status %ld and no reason", c->url, status);
		return err_hint(e, "is that a mysimbdp server? curl -i %s/version", c->url);
	}
	err_set(e, code_named(json_get_str(doc, "code", NULL)), "%s", detail);
	err_hint(e, "%s", hint);
	if (status == 401 && c->token_path)
		err_hint(e,
			 "no token: \"%s\" can't be read; say --data DIR of the server, or --token TOKEN (a tenant's: "
			 "mysimbdp tenant "
			 "token TENANT)",
			 c->token_path);
	return e ? e->code : ERR_INTERNAL;
}

static enum err_code transfer_failed(struct client *c, CURLcode rc, struct err *e)
{
	if (rc == CURLE_ABORTED_BY_CALLBACK && atomic_load(c->cli->stop))
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	if (c->read_errno)
		return err_sys(e, c->read_errno, "read the file");
	const char *why = c->curl_error[0] ? c->curl_error : curl_easy_strerror(rc);
	if (rc == CURLE_COULDNT_CONNECT) {
		err_set(e, ERR_UNAVAILABLE, "nothing answers at %s", c->url);
		err_hint(e, "start it with `mysimbdp serve` or `make run`, or say where it is: --url URL");
	} else if (rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL) {
		err_set(e, ERR_USAGE, "the address %s can't be used: %s", c->url, why);
		err_hint(e, "--url or $MYSIMBDP_URL, for instance http://127.0.0.1:8090");
	} else {
		err_set(e, ERR_UNAVAILABLE, "the connection to %s broke: %s", c->url, why);
		err_hint(e, "the server may have stopped; its log says why. Sending a file again is safe");
	}
	if (e)
		e->retriable = true;
	return e ? e->code : ERR_UNAVAILABLE;
}

static enum err_code prepare(struct client *c, const char *method, const char *path, struct arena *a, struct err *e)
{
	char *url = arena_printf(a, "%s%s", c->url, path);
	if (!url)
		return err_oom(e);
	curl_easy_reset(c->curl);
	buf_clear(&c->answer);
	c->curl_error[0] = 0;
	c->read_errno = 0;
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &c->answer);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->curl_error);
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
	curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "mysimbdp/" MYSIMBDP_VERSION);
	if (is_loopback(c->url))
		curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
	return ERR_OK;
}

/* The answer to a tree; its text in the arena. */
static enum err_code perform(struct client *c, struct arena *a, struct json **ret, struct span *ret_text,
			     long *ret_status, struct err *e)
{
	long status = 0;
	struct json *doc = NULL;
	CURLcode rc = curl_easy_perform(c->curl);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	/* A server that refuses a body early answers and closes: the answer counts, not the broken sending. */
	if (rc && (status < 400 || !c->answer.n))
		return transfer_failed(c, rc, e);
	struct span text = {arena_strndup(a, buf_cstr(&c->answer), c->answer.n), c->answer.n};
	if (!text.p)
		return err_oom(e);
	char *type = NULL;
	curl_easy_getinfo(c->curl, CURLINFO_CONTENT_TYPE, &type);
	if (type && strstr(type, "json") && json_parse(text, a, &doc, e)) {
		err_set(e, ERR_INTERNAL, "%s sent an answer that is no JSON", c->url);
		return err_hint(e, "is that a mysimbdp server? curl -i %s/version", c->url);
	}
	*ret_status = status;
	*ret_text = text;
	*ret = doc;
	return status >= 400 ? problem(c, status, doc, e) : ERR_OK;
}

enum err_code client_call(struct client *c, const char *method, const char *path, const char *body, struct arena *a,
			  struct json **ret, struct span *ret_text, struct err *e)
{
	long status = 0;
	struct json *doc = NULL;
	struct span text = {0};
	struct curl_slist *headers = NULL;
	enum err_code code = prepare(c, method, path, a, e);
	if (code)
		return code;
	if (body) {
		for (const struct curl_slist *h = c->headers; h; h = h->next)
			headers = curl_slist_append(headers, h->data);
		headers = curl_slist_append(headers, "Content-Type: application/json");
		curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
	} else if (strcmp(method, "POST") == 0) {
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, "");
	}
	code = perform(c, a, &doc, &text, &status, e);
	curl_slist_free_all(headers);
	if (ret)
		*ret = doc;
	if (ret_text)
		*ret_text = text;
	return code;
}

static size_t on_read(char *p, size_t size, size_t n, void *ctx)
{
	struct client *c = ctx;
	ssize_t k;
	do
		k = read(c->fd, p, size * n);
	while (k < 0 && errno == EINTR && !atomic_load(c->cli->stop));
	if (k < 0) {
		c->read_errno = errno;
		return CURL_READFUNC_ABORT;
	}
	c->sent += (uint64_t)k;
	if (c->tick)
		c->tick(c->ctx, c->sent, c->total);
	return (size_t)k;
}

static int on_seek(void *ctx, curl_off_t at, int whence)
{
	struct client *c = ctx;
	if (lseek(c->fd, at, whence) < 0)
		return CURL_SEEKFUNC_CANTSEEK;
	c->sent = (uint64_t)at;
	return CURL_SEEKFUNC_OK;
}

static enum err_code open_body(struct client *c, const char *file, int64_t *ret_size, struct err *e)
{
	struct stat st;
	fd_close(&c->fd);
	if (strcmp(file, "-") == 0) {
		c->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		*ret_size = -1;
		return c->fd < 0 ? err_sys(e, errno, "read standard input") : ERR_OK;
	}
	enum err_code code = fd_open(file, O_RDONLY, 0, &c->fd, e);
	if (code)
		return code;
	if (fstat(c->fd, &st))
		return err_sys(e, errno, "read \"%s\"", file);
	if (S_ISDIR(st.st_mode)) {
		err_set(e, ERR_INVALID, "\"%s\" is a directory", file);
		return err_hint(e, "name the files: %s/*", file);
	}
	*ret_size = S_ISREG(st.st_mode) ? st.st_size : -1;
	return ERR_OK;
}

enum err_code client_upload_as(struct client *c, const char *tenant, const char *file, const char *name,
			       void (*tick)(void *ctx, uint64_t sent, uint64_t total), void *ctx, struct arena *a,
			       struct json **ret, int *ret_status, struct err *e)
{
	int64_t size = -1;
	long status = 0;
	struct span text;
	struct json *doc = NULL;
	*ret_status = 0;
	enum err_code code = open_body(c, file, &size, e);
	if (code)
		return code;
	const char *path = arena_printf(a, "/v1/upload-file/%s?name=%s", url_escape(a, tenant), url_escape(a, name));
	code = path ? prepare(c, "POST", path, a, e) : err_oom(e);
	if (code)
		return code;
	c->tick = tick;
	c->ctx = ctx;
	c->sent = 0;
	c->total = size < 0 ? 0 : (uint64_t)size;
	struct curl_slist *headers = NULL;
	for (const struct curl_slist *h = c->headers; h; h = h->next)
		headers = curl_slist_append(headers, h->data);
	headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c->curl, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
	curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(c->curl, CURLOPT_READDATA, c);
	curl_easy_setopt(c->curl, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(c->curl, CURLOPT_SEEKDATA, c);
	if (size >= 0)
		curl_easy_setopt(c->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
	code = perform(c, a, &doc, &text, &status, e);
	curl_slist_free_all(headers);
	fd_close(&c->fd);
	*ret = doc;
	*ret_status = (int)status;
	return code;
}

enum err_code client_upload(struct client *c, const char *tenant, const char *file,
			    void (*tick)(void *ctx, uint64_t sent, uint64_t total), void *ctx, struct arena *a,
			    struct json **ret, int *ret_status, struct err *e)
{
	return client_upload_as(c, tenant, file, path_base(file), tick, ctx, a, ret, ret_status, e);
}

enum err_code client_job_wait(struct client *c, const char *id, int64_t wait_s, struct arena *a, struct json **ret,
			      struct span *ret_text, struct err *e)
{
	int64_t until = clock_mono_ns() + wait_s * INT64_C(1000000000);
	char *path = arena_printf(a, "/v1/jobs/%s", id);
	if (!path)
		return err_oom(e);
	for (;;) {
		enum err_code code = client_call(c, "GET", path, NULL, a, ret, ret_text, e);
		if (code)
			return code;
		const char *state = json_get_str(*ret, "state", "");
		if (strcmp(state, "done") == 0)
			return ERR_OK;
		if (strcmp(state, "failed") == 0)
			return err_set(e, ERR_REFUSED, "%s", json_get_str(*ret, "error", "the job failed"));
		if (atomic_load(c->cli->stop))
			return err_set(e, ERR_INTERRUPTED, "interrupted; job %s goes on", id);
		if (clock_mono_ns() > until) {
			err_set(e, ERR_TIMEOUT, "job %s is still %s after %" PRId64 " s", id, state, wait_s);
			return err_hint(e, "it goes on by itself; %s/v1/jobs/%s tells how far it is", c->url, id);
		}
		usleep(JOB_POLL_US);
	}
}

enum err_code client_job(struct client *c, const char *path, const char *body, int64_t wait_s, struct arena *a,
			 struct json **ret, struct span *ret_text, struct err *e)
{
	enum err_code code = client_call(c, "POST", path, body, a, ret, ret_text, e);
	return code ? code : client_job_wait(c, json_get_str(*ret, "id", ""), wait_s, a, ret, ret_text, e);
}
