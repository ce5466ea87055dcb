/*
 * fuzz_cron.c: any bytes as a schedule, in a zone chosen by the first byte: starts come strictly later each time, at
 * full minutes, and the search ends; the words fit their place. The same bytes as a quantity: what is printed is taken.
 */
#include "tenant/cron.h"
#include "tenant/quantity.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(x)                                                                                                       \
	do {                                                                                                           \
		if (!(x))                                                                                              \
			abort();                                                                                       \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_schedule(struct span text, const char *zone, int64_t t, struct arena *a)
{
	struct cron c;
	struct err e = {0};
	char words[160];
	if (cron_parse(text, a, &c))
		return;
	CHECK(strlen(c.text) <= text.n);
	if (timezone_load(zone, a, &c.tz, &e))
		c.tz = NULL; /* a machine without tzdata */
	memset(words, 'x', sizeof words);
	cron_describe(&c, words);
	CHECK(memchr(words, '\0', sizeof words));
	for (int i = 0; i < 5; i++) {
		int64_t next = cron_next(&c, t);
		CHECK(next > t);
		if (next == INT64_MAX)
			break;
		CHECK(c.every_s || (next + timezone_offset(c.tz, next)) % 60 == 0);
		t = next;
	}
}

static void check_quantity(struct span text)
{
	struct quantity q, again;
	char out[32];
	if (quantity_parse(text, &q))
		return;
	CHECK(q.nano >= 0 && quantity_units(&q) >= 0 && quantity_milli(&q) >= quantity_units(&q));
	quantity_print_bytes(quantity_units(&q), out);
	CHECK(quantity_parse(span_str(out), &again) == NULL && quantity_units(&again) == quantity_units(&q));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const zones[] = {
	    "UTC",	    "Europe/Berlin",	   "America/New_York", "Asia/Beirut",
	    "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia",     "America/Sao_Paulo",
	    "Asia/Gaza",    "Antarctica/Troll"};
	struct arena a;
	if (size < 2 || size > 1024)
		return 0;
	arena_init(&a, 16 << 20);
	struct span text = {(const char *)data + 2, size - 2};
	check_schedule(text, zones[data[0] % (sizeof zones / sizeof *zones)], (int64_t)data[1] * 86400 * 90, &a);
	check_quantity(text);
	arena_done(&a);
	return 0;
}
