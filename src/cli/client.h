/*
 * client.h: talking to a running mysimbdp over its REST API (libcurl), for upload, files, status ...
 * URL: --url, $MYSIMBDP_URL, http://127.0.0.1:8090. Token: --token, $MYSIMBDP_TOKEN, else DATA/admin.token when it can
 * be read. A problem document becomes a struct err with the same code, message and hint.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "base/json.h"
#include "cli/verb.h"

struct client;

enum err_code client_open(const struct cli *cli, struct client **ret, struct err *e) MUST_USE;
void client_close(struct client *c);
/* path begins with '/'; body NULL: none. The answer's JSON in the arena, and its raw text. Statuses >= 400 are errors.
 */
enum err_code client_call(struct client *c, const char *method, const char *path, const char *body, struct arena *a,
			  struct json **ret, struct span *ret_text, struct err *e) MUST_USE;
/* One file; progress ticks with bytes sent. *ret_status is the HTTP status. */
enum err_code client_upload(struct client *c, const char *tenant, const char *file,
			    void (*tick)(void *ctx, uint64_t sent, uint64_t total), void *ctx, struct arena *a,
			    struct json **ret, int *ret_status, struct err *e) MUST_USE;
/* The same under another name; file "-" is standard input. */
enum err_code client_upload_as(struct client *c, const char *tenant, const char *file, const char *name,
			       void (*tick)(void *ctx, uint64_t sent, uint64_t total), void *ctx, struct arena *a,
			       struct json **ret, int *ret_status, struct err *e) MUST_USE;
/* Ask for a job (POST path) and wait for its end; *ret is the job with its result. ERR_REFUSED when it failed. */
enum err_code client_job(struct client *c, const char *path, const char *body, int64_t wait_s, struct arena *a,
			 struct json **ret, struct span *ret_text, struct err *e) MUST_USE;
/* Until a job has ended; ERR_TIMEOUT after wait_s, and the job goes on. */
enum err_code client_job_wait(struct client *c, const char *id, int64_t wait_s, struct arena *a, struct json **ret,
			      struct span *ret_text, struct err *e) MUST_USE;
const char *client_url(const struct client *c);
/* Text of tenants for a terminal: control characters become blanks. In the arena. */
const char *plain_text(struct arena *a, const char *s);
/* Of a table on stdout: the terminal's, 0 (never cut a cell) when it goes elsewhere. */
int table_width(const struct cli *cli);
/* A member that is an RFC 3339 time, in microseconds; 0 when null or missing. */
int64_t json_time(const struct json *v, const char *key);
/* Percent-encode one path segment or query value, in the arena. */
const char *url_escape(struct arena *a, const char *s);

#endif
