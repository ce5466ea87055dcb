/*
 * server.h: private to api/: the server, one request, and what a route is.
 *
 * A request is made when its request line arrived and freed when libmicrohttpd says that it is over. Its handler runs
 * in the connection's own thread, may wait for the ledger, and writes its answer into req->out; returning an error
 * makes a problem document of it. Everything a request needs lives in req->arena.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include "api/api.h"
#include "api/text.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/problems.h"
#include "tenant/agreement.h"
#include "tenant/data_file.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define PATH_PARAMS_MAX 2
#define QUERY_MAX 16
#define BODY_JSON_MAX (2u << 20) /* both documents of a tenant, generously */
#define ANSWER_MAX (64u << 20)
#define UPLOADS_MAX 1024 /* of upload.max_parallel */

struct req;
struct upload;

enum access {
	ACCESS_OPEN,	/* anybody */
	ACCESS_METRICS, /* anybody, unless api.open_metrics is off */
	ACCESS_TOKEN,	/* any token; the handler shows only what its owner may see */
	ACCESS_TENANT,	/* the administrator, or the tenant that the path names */
	ACCESS_ADMIN
};

enum body_kind { BODY_NONE, BODY_JSON, BODY_UPLOAD };

struct route_query {
	const char *name, *text;
};

struct route {
	const char *method, *path; /* "/v1/files/{file}" */
	enum access access;
	enum body_kind body;
	enum err_code (*run)(struct req *r, struct err *e);
	const char *id; /* operationId of the OpenAPI document */
	const char *tag;
	const char *summary;		 /* one sentence */
	const char *answer;		 /* statuses with their meaning: "200 the tenant; 404 unknown tenant" */
	const struct route_query *query; /* ends with {0}; NULL: none */
};

extern const struct route routes[]; /* routes.c */
extern const size_t nroutes;

/* A connection, for the watchdog that ends those which never finish their headers. */
struct conn {
	int fd;
	_Atomic int64_t waiting_since_ns; /* for a request's headers; 0: a request is being served */
	struct conn *next, *prev;
};

struct api {
	struct api_options o;
	struct MHD_Daemon *http, *control;
	char url[128];
	char socket_path[108];
	bool loopback;
	int64_t started_us;
	int64_t header_timeout_ns;
	int64_t body_idle_s;
	uint64_t max_upload; /* bytes, the door of the platform */
	uint64_t min_free;   /* bytes that an upload must leave free */
	int max_uploads;
	int max_files_per_request;
	atomic_bool draining, stopping;
	atomic_int active_uploads;
	pthread_mutex_t lock; /* connections and upload slots */
	pthread_cond_t tick;
	pthread_t watchdog;
	bool watchdog_started;
	struct conn *conns;
	struct upload *uploads; /* under way, a list */
};

struct query_arg {
	const char *name, *value;
};

struct req {
	struct api *api;
	struct MHD_Connection *mhd;
	struct conn *conn;
	bool started;  /* headers were looked at */
	bool failed;   /* the answer is a problem, made before the body */
	bool answered; /* queued, or written by reply_now */
	bool expects_body;
	int64_t begun_ns;
	char id[24]; /* for the log and problem documents */
	struct arena arena;
	const char *method;
	const char *raw_uri;
	const char *path; /* as asked, without the query; escapes kept */
	const struct route *route;
	const char *param[PATH_PARAMS_MAX]; /* decoded */
	struct query_arg query[QUERY_MAX];
	size_t nquery;
	const char *owner;     /* of the token: a tenant, "" the administrator; NULL: no token */
	struct buf body;       /* BODY_JSON */
	struct upload *upload; /* BODY_UPLOAD */
	uint64_t received;     /* bytes of the body */
	/* The answer. */
	int status;		  /* 0: 200 */
	const char *content_type; /* NULL: application/json */
	struct buf out;
	struct jsonw w;		   /* writes to out */
	const char *location;	   /* header Location, or NULL */
	const char *allow;	   /* header Allow of a 405, or NULL */
	int retry_after_s;	   /* header Retry-After, or 0 */
	struct problems *problems; /* of documents, told in the problem document; or NULL */
};

/* request.c */
struct req *req_new(struct api *a, const char *uri);
void req_free(struct req *r);
/* Split the raw URI; ERR_INVALID for escapes that are wrong. */
enum err_code req_parse_uri(struct req *r, struct err *e) MUST_USE;
const char *req_header(const struct req *r, const char *name); /* NULL: not sent */
const char *req_query(const struct req *r, const char *name);  /* NULL: not given */
/* limit (1..1000, default 100) and cursor of a listing. letter: of the ids ('f'); *ret_before 0: from the top. */
enum err_code req_page(const struct req *r, char letter, size_t *ret_limit, int64_t *ret_before,
		       struct err *e) MUST_USE;
/* The body as JSON; ERR_INVALID with line and column. */
enum err_code req_json(struct req *r, struct json **ret, struct err *e) MUST_USE;

/* reply.c */
enum MHD_Result reply_queue(struct req *r);
/* Answer although the body is not read to its end: write, half-close, read what is still coming for a while (so that
 * no reset destroys the answer on its way), then the connection ends: give the result back to libmicrohttpd. */
enum MHD_Result reply_now(struct req *r);
/* For the end of a request that libmicrohttpd gives up: write the answer if the other side may still read. */
void reply_last_words(struct req *r);

/* problem.c: the answer becomes a problem document (RFC 9457). */
void problem_answer(struct req *r, const struct err *e);

/* token.c: SHA-256 of a token, as the ledger keeps it. */
enum err_code token_digest(const char *token, uint8_t out[SHA256_LEN], struct err *e) MUST_USE;

/* auth.c */
enum err_code auth_check(struct req *r, struct err *e) MUST_USE;      /* token -> owner, and the route's access */
enum err_code auth_host(const struct req *r, struct err *e) MUST_USE; /* Host and Origin, against DNS rebinding */
/* May this caller see what belongs to tenant? */
bool auth_may_see(const struct req *r, const char *tenant);

/* routes.c: the route of method and path, its parameters; ERR_NOT_FOUND or ERR_UNSUPPORTED (method, *ret_allow). */
enum err_code route_find(struct req *r, const char **ret_allow, struct err *e) MUST_USE;

/* The handlers. */
#define HANDLER(name) enum err_code name(struct req *r, struct err *e) MUST_USE
HANDLER(api_root); /* system.c */
HANDLER(api_ping);
HANDLER(api_ready);
HANDLER(api_health);
HANDLER(api_version);
HANDLER(api_endpoints);
HANDLER(api_openapi); /* openapi.c */
HANDLER(api_metrics); /* control.c: the second server, on DATA/control.sock, for workers. */
enum err_code control_start(struct api *a, struct err *e) MUST_USE;
void control_stop(struct api *a);

/* api.c: bytes that must stay free on a file system of that size: upload.min_free, but at most 5 percent of it. */
uint64_t api_min_free(const struct api *a, uint64_t total);

/* metrics_page.c */
HANDLER(api_tenants); /* tenants.c */
HANDLER(api_tenant_get);
HANDLER(api_tenant_put);
HANDLER(api_tenant_pause);
HANDLER(api_tenant_resume);
HANDLER(api_tenant_token);
HANDLER(api_tenant_run);
HANDLER(api_tenant_proposal); /* jobs.c */
HANDLER(api_tenant_preview);
HANDLER(api_tenant_replay);
HANDLER(api_jobs_get);
HANDLER(api_tenant_files); /* files.c */
HANDLER(api_files);
HANDLER(api_file_get);
HANDLER(api_file_delete);
HANDLER(api_runs); /* runs.c */
HANDLER(api_run_get);
HANDLER(api_run_output);
HANDLER(api_quarantine); /* quarantine_list.c */
HANDLER(api_status);	 /* status.c */
HANDLER(api_upload);	 /* upload.c: after the last byte */

/* documents.c: the documents of a tenant as texts, parsed with all their checks. */
struct documents {
	struct span data_file_text, agreement_text;
	struct data_file *data_file; /* NULL when it had errors */
	struct agreement *agreement;
	const char *tables[2]; /* "KEY_SPACE.TABLE", NULL */
};
/* Problems go to p. What is returned is parsed; documents_done frees what lives outside the arena. */
void documents_parse(struct span data_file, struct span agreement, struct arena *a, struct problems *p,
		     struct documents *ret);
void documents_done(struct documents *d);
/* Of a tenant in the ledger; ERR_NOT_FOUND names the tenant. */
enum err_code api_documents_of_body(struct req *r, const char *tenant, struct documents *ret, struct err *e) MUST_USE;
enum err_code documents_of(struct req *r, const char *tenant, struct catalog_tenant *ret_t, struct documents *ret,
			   struct err *e) MUST_USE;
/* ERR_NOT_FOUND with a hint when the tenant is not in the ledger. */
enum err_code tenant_find(struct req *r, const char *id, struct catalog_tenant *ret, struct err *e) MUST_USE;

/* tenants.c: an array of all that the caller may see. */
enum err_code api_write_tenants(struct req *r, struct err *e) MUST_USE;

/* json_out.c: what the ledger's rows look like in answers. */
void write_time(struct jsonw *w, const char *key, int64_t us);		  /* null when 0 */
void write_id(struct jsonw *w, const char *key, char letter, int64_t id); /* null when 0 */
void write_file(struct jsonw *w, const struct catalog_file *f);		  /* an object */
void write_file_members(struct jsonw *w, const struct catalog_file *f);
void write_run_members(struct jsonw *w, const struct catalog_run *r);
void write_run(struct jsonw *w, const struct catalog_run *r);
void write_output(struct jsonw *w, const struct catalog_output *o);
void write_job(struct jsonw *w, const struct catalog_job *j);
void write_counts(struct jsonw *w, const struct catalog_counts *c); /* an object: files by state, records */

/* upload.c: begin looks at the headers (tenant, length, kind of body), feed takes bytes as they arrive. */
enum err_code upload_begin(struct req *r, struct err *e) MUST_USE;
enum err_code upload_feed(struct req *r, const char *p, size_t n, struct err *e) MUST_USE;
void upload_free(struct upload *u); /* whatever is incomplete disappears */

/* control.c: the second server, on DATA/control.sock, for workers. */
enum err_code control_start(struct api *a, struct err *e) MUST_USE;
void control_stop(struct api *a);

/* api.c: bytes that must stay free on a file system of that size: upload.min_free, but at most 5 percent of it. */
uint64_t api_min_free(const struct api *a, uint64_t total);

/* metrics_page.c */
void count_request(const struct req *r);
void count_upload(struct api *a, const char *tenant, const char *what, uint64_t bytes);

#endif
