/*
 * upload.c: POST /upload-file/{tenant}: a form with one or more files, or a raw body with a file name.
 *
 * Begin looks at the headers and refuses what can be refused before a byte of the body is read. Bytes go straight into
 * an incoming file. Files of a form are committed only when the form's closing boundary was seen, so a cut or broken
 * body leaves nothing behind. Each file has its own result; all of one kind give that status, else 207.
 */
#include "api/incoming.h"
#include "api/multipart.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/problems.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SLOW_AFTER_NS INT64_C(30000000000)
#define SLOW_BYTES_PER_S 256 /* slower than that over 30 s and more is an attack or a dead line */
#define MULTIPART_OVERHEAD (64u << 10)

/* What became of one file of the request. */
struct outcome {
	const char *name;
	int status;		  /* 201, 200 or of err */
	struct catalog_file file; /* when taken; a refused entry has its id only */
	struct err err;
	struct incoming *in; /* complete, not yet committed */
	struct outcome *next;
};

struct upload {
	struct api *api;
	struct req *req;
	const char *tenant;
	struct catalog_tenant doc;
	struct documents docs;
	uint64_t limit;		/* bytes of one file */
	struct multipart *form; /* NULL: raw */
	struct incoming *in;	/* being written; NULL: the part is skipped */
	const char *name;	/* of the part being read */
	struct outcome *first, **tail;
	unsigned n, taken;
	uint64_t skipped;
	bool counted;
	struct upload *next;
};

static struct outcome *outcome_add(struct upload *u, const char *name)
{
	struct outcome *o = arena_alloc(&u->req->arena, sizeof *o);
	if (!o)
		return NULL;
	o->name = name;
	*u->tail = o;
	u->tail = &o->next;
	u->n++;
	return o;
}

/* A refusal that the owner of the files should see also in the list and in the log. */
static void refuse_on_record(struct upload *u, struct outcome *o, uint64_t size)
{
	struct err e = {0};
	int64_t id = 0;
	if (catalog_file_refuse(u->api->o.catalog, u->tenant, o->name, size, o->err.msg, &id, &e))
		log_err("a refusal could not be recorded", &e, NULL, 0);
	o->file = (struct catalog_file){.id = id,
					.tenant = u->tenant,
					.name = o->name,
					.size = size,
					.sha256 = "",
					.state = FILE_REFUSED,
					.status = o->err.msg};
	log_warn("upload refused", LF("tenant", "%s", u->tenant), LF("file_id", "f%" PRId64, id),
		 LF("file", "%s", o->name), LF("error_code", "%s", err_info(o->err.code)->name),
		 LF("reason", "%s", o->err.msg));
}

static void failed(struct upload *u, struct outcome *o)
{
	o->status = err_info(o->err.code)->http;
	count_upload(u->api, u->tenant, err_info(o->err.code)->name, 0);
}

static enum err_code too_big(const struct upload *u, const char *name, uint64_t size, struct err *e)
{
	bool theirs = u->docs.data_file && u->docs.data_file->max_file_size == u->limit;
	char found[64] = "more than that";
	if (size)
		snprintf(found, sizeof found, "%" PRIu64 " bytes", size);
	err_set(e, ERR_TOO_BIG, "\"%s\" has %s; allowed are %" PRIu64 " bytes (%s)", name, found, u->limit,
		theirs ? "max_file_size_mb of the data file configuration" : "the platform's api.max_upload");
	return err_hint(e, "split the file, compress it (.gz or .zst), or raise that limit");
}

/* Bad name: 400. Unknown type or pattern: 415 and a refused entry. */
static enum err_code name_allowed(struct upload *u, const char *name, struct err *e)
{
	char shown[360];
	const char *wrong = file_name_check(name, strlen(name));
	if (wrong) {
		err_set(e, ERR_INVALID, "the file name \"%s\" %s", name_printable(name, strlen(name), shown), wrong);
		return err_hint(e, "allowed are 1 to 255 bytes of UTF-8 without / and \\, not beginning with a dot");
	}
	if (data_file_matches(u->docs.data_file, name))
		return ERR_OK;
	err_set(e, ERR_UNSUPPORTED,
		"\"%s\" is no file that tenant \"%s\" has a configuration for: its %s files must match %s",
		name_printable(name, strlen(name), shown), u->tenant, u->docs.data_file->file_type,
		u->docs.data_file->pattern);
	return err_hint(e, "rename the file, or change input.file.pattern of the data file configuration");
}

static struct outcome *refused(struct upload *u, const char *name, const struct err *e, uint64_t size)
{
	struct outcome *o = outcome_add(u, name);
	if (!o)
		return NULL;
	o->err = *e;
	failed(u, o);
	if (e->code == ERR_UNSUPPORTED || e->code == ERR_TOO_BIG)
		refuse_on_record(u, o, size);
	return o;
}

/* Only these are about one file; anything else ends the whole request. */
static bool about_one_file(enum err_code code)
{
	return code == ERR_INVALID || code == ERR_UNSUPPORTED || code == ERR_TOO_BIG || code == ERR_CONFLICT;
}

static enum err_code part_begin(void *ctx, const struct disposition *head, struct err *e)
{
	struct upload *u = ctx;
	u->name = NULL;
	u->in = NULL;
	if (!head->filename)
		return ERR_OK; /* an ordinary field: nothing of ours */
	if ((int)u->n >= u->api->max_files_per_request) {
		err_set(e, ERR_LIMIT, "the form has more than %d files", u->api->max_files_per_request);
		return err_hint(e, "send them in several requests; nothing of this one was kept");
	}
	u->name = arena_strdup(&u->req->arena, head->filename);
	if (!u->name)
		return err_oom(e);
	struct err bad = {0};
	enum err_code code = name_allowed(u, u->name, &bad);
	if (!code)
		code = incoming_open(u->api, u->tenant, u->name, 0, &u->in, &bad);
	if (code && about_one_file(code)) {
		const char *name = u->name;
		u->name = NULL;
		return refused(u, name, &bad, 0) ? ERR_OK : err_oom(e);
	}
	if (code)
		*e = bad;
	return code;
}

static enum err_code part_data(void *ctx, const char *p, size_t n, struct err *e)
{
	struct upload *u = ctx;
	if (!u->in) {
		u->skipped += n;
		if (u->skipped <= u->limit + MULTIPART_OVERHEAD)
			return ERR_OK;
		if (u->first && u->first->err.code) { /* why its bytes are skipped says more */
			*e = u->first->err;
			return e->code;
		}
		return err_set(e, ERR_TOO_BIG, "the form has more than %" PRIu64 " bytes that are of no use here",
			       u->skipped);
	}
	if (u->in->size + u->in->nbuf + n <= u->limit)
		return incoming_write(u->in, p, n, e);
	enum err_code code = too_big(u, u->name, 0, e);
	if (!refused(u, u->name, e, u->in->size + u->in->nbuf + n))
		return err_oom(e);
	incoming_free(u->in);
	u->in = NULL;
	u->name = NULL;
	/* With other files in the form the rest is still of interest. */
	return u->taken ? ERR_OK : code;
}

static enum err_code part_end(void *ctx, struct err *e)
{
	struct upload *u = ctx;
	if (!u->in)
		return ERR_OK;
	enum err_code code = incoming_seal(u->in, e);
	if (code)
		return code;
	struct outcome *o = outcome_add(u, u->name);
	if (!o)
		return err_oom(e);
	o->in = u->in;
	u->in = NULL;
	u->taken++;
	return ERR_OK;
}

static const struct multipart_events events = {part_begin, part_data, part_end};

/* The name of a raw body: ?name=, X-File-Name or Content-Disposition, in that order. */
static enum err_code raw_name(struct upload *u, struct err *e)
{
	struct req *r = u->req;
	const char *name = req_query(r, "name"), *h;
	if (!name && (h = req_header(r, "X-File-Name"))) {
		char *plain = url_unescape(&r->arena, h, strlen(h), false);
		name = plain ? plain : h;
	}
	if (!name && (h = req_header(r, "Content-Disposition"))) {
		struct disposition d;
		enum err_code code = disposition_parse(span_str(h), &r->arena, &d, e);
		if (code)
			return code;
		name = d.filename;
	}
	if (!name) {
		err_set(e, ERR_INVALID, "the body has no file name");
		return err_hint(e, "send a form (curl -F file=@NAME URL), or say the name of a raw body: "
				   "curl --data-binary @NAME 'URL?name=NAME', or the header X-File-Name");
	}
	u->name = arena_strdup(&r->arena, name);
	return u->name ? ERR_OK : err_oom(e);
}

static enum err_code begin_raw(struct upload *u, uint64_t length, struct err *e)
{
	enum err_code code = raw_name(u, e);
	if (!code)
		code = name_allowed(u, u->name, e);
	if (!code && length > u->limit)
		code = too_big(u, u->name, length, e);
	if (!code)
		code = incoming_open(u->api, u->tenant, u->name, length, &u->in, e);
	if (code && u->name)
		refused(u, u->name, e, length);
	return code;
}

/* A place among the uploads under way; one tenant may not have all of them. */
static enum err_code slot_take(struct upload *u, struct err *e)
{
	struct api *a = u->api;
	int all = 0, mine = 0;
	pthread_mutex_lock(&a->lock);
	for (const struct upload *o = a->uploads; o; o = o->next) {
		all++;
		mine += strcmp(o->tenant, u->tenant) == 0;
	}
	bool room = all < a->max_uploads && mine < (a->max_uploads + 1) / 2 + 1;
	if (room) {
		u->next = a->uploads;
		a->uploads = u;
		u->counted = true;
		atomic_fetch_add(&a->active_uploads, 1);
	}
	pthread_mutex_unlock(&a->lock);
	if (room)
		return ERR_OK;
	err_set(e, ERR_BUSY, "%d uploads are under way (%d of this tenant); allowed are %d", all, mine, a->max_uploads);
	err_hint(e, "wait a moment and send it again, or raise upload.max_parallel");
	if (e)
		e->retriable = true;
	return ERR_BUSY;
}

static void slot_give(struct upload *u)
{
	if (!u->counted)
		return;
	pthread_mutex_lock(&u->api->lock);
	for (struct upload **p = &u->api->uploads; *p; p = &(*p)->next)
		if (*p == u) {
			*p = u->next;
			break;
		}
	atomic_fetch_sub(&u->api->active_uploads, 1);
	pthread_mutex_unlock(&u->api->lock);
}

static bool content_length(const struct req *r, uint64_t *ret)
{
	const char *s = req_header(r, "Content-Length");
	*ret = s ? strtoull(s, NULL, 10) : 0;
	return s != NULL;
}

enum err_code upload_begin(struct req *r, struct err *e)
{
	struct upload *u = calloc(1, sizeof *u);
	if (!u)
		return err_oom(e);
	*u = (struct upload){.api = r->api, .req = r, .tenant = r->param[0], .tail = &u->first};
	r->upload = u;
	if (atomic_load(&r->api->draining)) {
		err_set(e, ERR_UNAVAILABLE, "the server is stopping and takes no new uploads");
		return err_hint(e, "send it again in a moment");
	}
	enum err_code code = documents_of(r, u->tenant, &u->doc, &u->docs, e);
	if (!code)
		code = slot_take(u, e);
	if (code)
		return code;
	u->limit = u->docs.data_file->max_file_size;
	if (!u->limit || u->limit > r->api->max_upload)
		u->limit = r->api->max_upload;
	uint64_t length;
	content_length(r, &length);
	const char *encoding = req_header(r, "Content-Encoding");
	if (encoding && strcasecmp(encoding, "identity") != 0) {
		err_set(e, ERR_UNSUPPORTED, "the body has Content-Encoding \"%.40s\", which is not decoded here",
			encoding);
		return err_hint(
		    e, "send a compressed file as what it is: NAME.csv.gz or NAME.csv.zst, without that header");
	}
	const char *type = req_header(r, "Content-Type");
	if (!type || strncasecmp(type, "multipart/", 10) != 0)
		return begin_raw(u, length, e);
	const char *boundary;
	code = multipart_boundary(type, &r->arena, &boundary, e);
	if (code)
		return code;
	u->form = calloc(1, sizeof *u->form);
	if (!u->form)
		return err_oom(e);
	multipart_init(u->form, boundary, &events, u);
	return ERR_OK;
}

enum err_code upload_feed(struct req *r, const char *p, size_t n, struct err *e)
{
	struct upload *u = r->upload;
	int64_t took = clock_mono_ns() - r->begun_ns;
	if (took > SLOW_AFTER_NS && r->received / (uint64_t)(took / 1000000000) < SLOW_BYTES_PER_S) {
		err_set(e, ERR_TIMEOUT, "the body arrives at less than %d bytes a second", SLOW_BYTES_PER_S);
		r->status = 408;
		return ERR_TIMEOUT;
	}
	if (u->form)
		return multipart_feed(u->form, p, n, e);
	if (r->received > u->limit) {
		enum err_code code = too_big(u, u->name, 0, e);
		refused(u, u->name, e, r->received);
		return code;
	}
	return incoming_write(u->in, p, n, e);
}

static void log_taken(const struct upload *u, const struct outcome *o)
{
	log_info(o->status == 201 ? "file received" : "file received again, nothing to do",
		 LF("tenant", "%s", u->tenant), LF("file_id", "f%" PRId64, o->file.id), LF("file", "%s", o->file.name),
		 LF("bytes", "%" PRIu64, o->file.size), LF("sha256", "%s", o->file.sha256),
		 LF("request", "%s", u->req->id));
}

static void commit(struct upload *u, struct outcome *o)
{
	enum receive_result what = RECEIVE_NEW;
	struct catalog_file f = {0};
	enum err_code code = incoming_commit(o->in, &u->req->arena, &what, &f, &o->err);
	if (!code && what == RECEIVE_CONFLICT) {
		err_set(&o->err, ERR_CONFLICT,
			"\"%s\" is already there as f%" PRId64 " with other content, in state %s", o->name, f.id,
			file_state_name(f.state));
		err_hint(&o->err,
			 "wait until it is processed, delete it (DELETE /v1/files/f%" PRId64 "), or use another name",
			 f.id);
	} else if (!code) {
		o->file = f;
		o->status = what == RECEIVE_NEW ? 201 : 200;
		count_upload(u->api, u->tenant, what == RECEIVE_NEW ? "new" : "repeat", f.size);
		log_taken(u, o);
	}
	incoming_free(o->in);
	o->in = NULL;
	if (o->err.code)
		failed(u, o);
	if (code && !about_one_file(code))
		log_err("upload failed", &o->err, (struct log_field[]){LF("tenant", "%s", u->tenant)}, 1);
}

static void write_outcome(struct jsonw *w, const struct outcome *o, bool mixed)
{
	if (!o->err.code && !mixed) {
		write_file(w, &o->file);
		return;
	}
	jsonw_begin(w, '{');
	write_id(w, "id", 'f', o->file.id);
	jsonw_kstr(w, "name", o->name);
	jsonw_key(w, "size");
	o->file.id ? jsonw_uint(w, o->file.size) : jsonw_null(w);
	jsonw_kstr(w, "sha256", o->file.id && o->file.sha256[0] ? o->file.sha256 : NULL);
	jsonw_kstr(w, "state", o->err.code ? "refused" : file_state_name(o->file.state));
	jsonw_kstr(w, "status", o->err.code ? o->err.msg : o->file.status);
	jsonw_kint(w, "http", o->status);
	if (o->err.code)
		jsonw_kstr(w, "code", err_info(o->err.code)->name);
	if (o->err.hint[0])
		jsonw_kstr(w, "hint", o->err.hint);
	jsonw_end(w, '}');
}

static void write_files(struct req *r, const struct upload *u, bool mixed)
{
	jsonw_key(&r->w, "files");
	jsonw_begin(&r->w, '[');
	for (const struct outcome *o = u->first; o; o = o->next)
		write_outcome(&r->w, o, mixed);
	jsonw_end(&r->w, ']');
}

enum err_code api_upload(struct req *r, struct err *e)
{
	struct upload *u = r->upload;
	enum err_code code = u->form ? multipart_finish(u->form, e) : ERR_OK;
	if (!code && !u->form)
		code = part_end(u, e);
	if (code)
		return code;
	if (!u->first) {
		err_set(e, ERR_INVALID, "the form has no file");
		return err_hint(e, "a file is a part with a filename: curl -F file=@NAME URL");
	}
	for (struct outcome *o = u->first; o; o = o->next)
		if (o->in)
			commit(u, o);
	bool mixed = false;
	for (const struct outcome *o = u->first->next; o; o = o->next)
		mixed |= o->status != u->first->status;
	r->status = mixed ? 207 : u->first->status;
	if (!mixed && u->first->err.code) {
		*e = u->first->err;
		return e->code;
	}
	jsonw_begin(&r->w, '{');
	write_files(r, u, mixed);
	jsonw_end(&r->w, '}');
	if (r->status == 201 && u->n == 1)
		r->location = arena_printf(&r->arena, "/v1/files/f%" PRId64, u->first->file.id);
	return ERR_OK;
}

void upload_free(struct upload *u)
{
	if (!u)
		return;
	slot_give(u);
	incoming_free(u->in);
	for (struct outcome *o = u->first; o; o = o->next)
		incoming_free(o->in);
	if (u->form)
		multipart_done(u->form);
	free(u->form);
	documents_done(&u->docs);
	free(u);
}
