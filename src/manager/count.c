/*
 * count.c: how many records a file has, for a run's record (files and records in and out, app_delta). Only rows are
 * counted, with the tenant's own dialect; what they hold is the gate's business.
 */
#include "manager/internal.h"

#include "format/csv_raw.h"
#include "format/source.h"

#define LOOK_EVERY 4096 /* rows between looks at the stop flag */

int64_t count_records(const char *path, const struct csv_dialect *d, const atomic_bool *stop)
{
	struct source *src;
	struct csv_raw *raw;
	struct raw_row row;
	int64_t n = 0;
	bool more = true;
	if (source_open(path, &(struct source_options){.charset = d->charset}, &src, NULL))
		return -1;
	enum err_code rc = csv_raw_open(src, d, NULL, &raw, NULL);
	if (rc) {
		source_close(src);
		return -1;
	}
	while (!rc && more) {
		rc = csv_raw_next(raw, &row, &more, NULL);
		n += !rc && more;
		if (n % LOOK_EVERY == 0 && atomic_load(stop))
			rc = ERR_INTERRUPTED;
	}
	csv_raw_close(raw);
	source_close(src);
	if (rc)
		return -1;
	return d->header && n > 0 ? n - 1 : n;
}
