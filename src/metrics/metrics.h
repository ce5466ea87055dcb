/*
 * metrics.h: counters, gauges and histograms with labels, printed as Prometheus text (exposition format 0.0.4).
 *
 *   static const struct metric_def rows_total = {"mysimbdp_component_received_events_total", METRIC_COUNTER, "...",
 *                                                {"tenant", "component"}};
 *   metric_add(reg, &rows_total, 5, "client_a", "gate");
 *
 * A registry is process-lifetime and thread-safe. Series per metric are limited (METRIC_SERIES_MAX); beyond it values
 * go to a series whose labels are "other". Names follow ../docs/metrics.md: prefix mysimbdp_, base units, _total on
 * counters; labels never hold file names or keys.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/buf.h"

#include <stdint.h>

#define METRIC_LABELS_MAX 4
#define METRIC_SERIES_MAX 10000

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_def {
	const char *name;
	enum metric_type type;
	const char *help;
	const char *labels[METRIC_LABELS_MAX + 1]; /* NULL-terminated */
	const double *buckets;			   /* histogram: upper bounds, ends with 0 */
};

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
/* Label values follow, as many as the definition has. */
void metric_add(struct metrics *m, const struct metric_def *d, double v, ...);
void metric_set(struct metrics *m, const struct metric_def *d, double v, ...);
void metric_observe(struct metrics *m, const struct metric_def *d, double v, ...);
void metrics_write(struct metrics *m, struct buf *out);

#endif
