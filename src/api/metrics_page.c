/*
 * metrics_page.c: GET /metrics.
 *
 * Two registries make the page: the process's (requests, uploads: what only we saw) and one that lives as long as the
 * scrape and is filled from the ledger, so that page and ledger agree by construction and a restart resets nothing.
 * The names of the component metrics follow Vector's component contract.
 */
#include "api/server.h"

#include "base/clock.h"

#include <string.h>

static const struct metric_def build_info = {
    "mysimbdp_build_info", METRIC_GAUGE, "Always 1; the version is a label.", {"version"}};
static const struct metric_def start_time = {
    "mysimbdp_process_start_timestamp_seconds", METRIC_GAUGE, "When this server started.", {0}};
static const struct metric_def file_state = {
    "mysimbdp_file_state", METRIC_GAUGE, "Files by state, from the ledger.", {"tenant", "state"}};
static const struct metric_def received_events = {"mysimbdp_component_received_events_total",
						  METRIC_COUNTER,
						  "Records that a component was given, from the ledger.",
						  {"tenant", "component"}};
static const struct metric_def sent_events = {"mysimbdp_component_sent_events_total",
					      METRIC_COUNTER,
					      "Records that a component passed on, from the ledger.",
					      {"tenant", "component"}};
static const struct metric_def discarded_events = {
    "mysimbdp_component_discarded_events_total",
    METRIC_COUNTER,
    "Records that a component did not pass on; intentional: a rule said so. All of them are in quarantine.",
    {"tenant", "component", "intentional"}};
static const struct metric_def rows_quarantined = {"mysimbdp_rows_quarantined_total",
						   METRIC_COUNTER,
						   "Records that went into quarantine, from the ledger.",
						   {"tenant"}};
static const struct metric_def rows_replayed = {"mysimbdp_rows_replayed_total",
						METRIC_COUNTER,
						"Records that came out of quarantine and were delivered.",
						{"tenant"}};
static const struct metric_def oldest_age = {"mysimbdp_oldest_unprocessed_file_age_seconds",
					     METRIC_GAUGE,
					     "Age of the oldest file that is not delivered yet; 0 when there is none.",
					     {"tenant"}};
static const struct metric_def backlog = {
    "mysimbdp_backlog_bytes", METRIC_GAUGE, "Bytes of files that are not delivered yet.", {"tenant"}};
static const struct metric_def outputs_waiting = {
    "mysimbdp_outputs_waiting", METRIC_GAUGE, "Files between the app and the store.", {"tenant"}};
static const struct metric_def imbalance = {"mysimbdp_ledger_imbalance_rows",
					    METRIC_GAUGE,
					    "Records that the ledger can't account for; anything but 0 is an alert.",
					    {"tenant"}};
static const struct metric_def tenant_paused = {
    "mysimbdp_tenant_paused", METRIC_GAUGE, "1 while no runs are started.", {"tenant"}};

static const struct metric_def http_requests = {"mysimbdp_http_requests_total",
						METRIC_COUNTER,
						"Requests answered since the start.",
						{"method", "route", "status"}};
static const double seconds[] = {0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 0};
static const struct metric_def http_seconds = {"mysimbdp_http_request_duration_seconds",
					       METRIC_HISTOGRAM,
					       "From the request line to the answer.",
					       {"route"},
					       seconds};
static const struct metric_def uploads = {"mysimbdp_uploads_total",
					  METRIC_COUNTER,
					  "Files sent since the start, by result: new, repeat, or the error's name.",
					  {"tenant", "result"}};
static const struct metric_def upload_bytes = {"mysimbdp_component_received_event_bytes_total",
					       METRIC_COUNTER,
					       "Bytes taken since the start.",
					       {"tenant", "component"}};
static const struct metric_def component_errors = {"mysimbdp_component_errors_total",
						   METRIC_COUNTER,
						   "Requests that failed by a fault of ours since the start.",
						   {"component", "reason"}};
static const struct metric_def uploads_active = {"mysimbdp_uploads_active", METRIC_GAUGE, "Uploads under way.", {0}};

void count_request(const struct req *r)
{
	struct metrics *m = r->api->o.metrics;
	const char *route = r->route ? r->route->path : "none";
	char status[8];
	snprintf(status, sizeof status, "%d", r->status);
	metric_add(m, &http_requests, 1, r->route ? r->method : "none", route, status);
	metric_observe(m, &http_seconds, (double)(clock_mono_ns() - r->begun_ns) / 1e9, route);
	if (r->status >= 500)
		metric_add(m, &component_errors, 1, "api", status);
}

void count_upload(struct api *a, const char *tenant, const char *what, uint64_t bytes)
{
	metric_add(a->o.metrics, &uploads, 1, tenant, what);
	if (bytes)
		metric_add(a->o.metrics, &upload_bytes, (double)bytes, tenant, "api");
}

static void fill_tenant(struct metrics *m, const struct catalog_tenant *t, const struct catalog_counts *c)
{
	for (int s = 0; s < FILE_STATES; s++)
		metric_set(m, &file_state, (double)c->files[s], t->id, file_state_name((enum file_state)s));
	metric_set(m, &received_events, (double)(c->accepted + c->rejected), t->id, "gate");
	metric_set(m, &received_events, (double)c->accepted, t->id, "sink");
	metric_set(m, &sent_events, (double)c->accepted, t->id, "gate");
	metric_set(m, &sent_events, (double)c->delivered, t->id, "sink");
	/* With what was replayed since: a counter does not go down. */
	metric_set(m, &discarded_events, (double)(c->rejected + c->replayed), t->id, "gate", "true");
	metric_set(m, &discarded_events, (double)(c->refused_by_sink + c->replayed_sink), t->id, "sink", "false");
	uint64_t back = c->replayed + c->replayed_sink;
	metric_set(m, &rows_quarantined, (double)(c->rejected + c->refused_by_sink + back), t->id);
	metric_set(m, &rows_replayed, (double)back, t->id);
	double age = c->oldest_us ? (double)(clock_now_us() - c->oldest_us) / 1e6 : 0;
	metric_set(m, &oldest_age, age > 0 ? age : 0, t->id);
	metric_set(m, &backlog, (double)c->backlog_bytes, t->id);
	metric_set(m, &outputs_waiting, (double)c->outputs_waiting, t->id);
	metric_set(m, &imbalance, (double)c->imbalance, t->id);
	metric_set(m, &tenant_paused, t->paused, t->id);
}

static enum err_code fill(struct req *r, struct metrics *m, struct err *e)
{
	struct catalog_tenant *t;
	size_t n;
	metric_set(m, &build_info, 1, MYSIMBDP_VERSION);
	metric_set(m, &start_time, (double)r->api->started_us / 1e6);
	metric_set(m, &uploads_active, atomic_load(&r->api->active_uploads));
	enum err_code code = catalog_tenants(r->api->o.catalog, &r->arena, &t, &n, e);
	for (size_t i = 0; i < n && !code; i++) {
		struct catalog_counts c;
		code = catalog_counts(r->api->o.catalog, t[i].id, &c, e);
		if (!code)
			fill_tenant(m, &t[i], &c);
	}
	return code;
}

enum err_code api_metrics(struct req *r, struct err *e)
{
	struct metrics *m = metrics_new();
	if (!m)
		return err_oom(e);
	enum err_code code = fill(r, m, e);
	if (!code) {
		r->content_type = "text/plain; version=0.0.4; charset=utf-8";
		metrics_write(m, &r->out);
		metrics_write(r->api->o.metrics, &r->out);
	}
	metrics_free(m);
	return code;
}
