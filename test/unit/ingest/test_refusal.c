/* test_refusal.c: a store that can't take some records: the others arrive, and each refused one is in the quarantine
 * with its own reason before the transaction that left it out is committed, also when that commit is killed. */
#include "base/fd.h"
#include "ingest/ingest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 9000

static const char config[] =
    "{\"name\": \"n\", \"file_type\": \"csv\", \"key_space\": \"k\", \"csv.first.row.as.header\": true,"
    " \"schema\": {\"type\": \"record\", \"name\": \"t\", \"fields\": [{\"name\": \"id\", \"type\": \"int\"},"
    " {\"name\": \"word\", \"type\": \"string\"}]}, \"primary_key\": [\"id\"]}";

/* A store in memory that refuses ids ending in 3 and may fail its n-th commit. */
struct sink {
	struct quarantine *quarantine;
	struct packed_plan plan;
	const char *dir;
	bool has[ROWS], pending[ROWS], refused[ROWS + 1];
	size_t nrefused;
	uint64_t position, rows_in_tx;
	int commits, fail_at;
};

static enum err_code fake_begin(struct sink *s, const struct sink_file *f, uint64_t *ret_position, struct err *e)
{
	memset(s->pending, 0, sizeof s->pending);
	s->rows_in_tx = 0;
	*ret_position = s->position;
	return ERR_OK;
}

/* Every refusal of the open transaction is in the quarantine as another process would see it. */
static void all_refusals_are_known(struct sink *s)
{
	struct arena a;
	struct quarantine *other;
	struct quarantine_entry *en;
	struct err e = {0};
	size_t n, found = 0;
	struct quarantine_filter f = {.limit = ROWS};
	arena_init(&a, 16 << 20);
	assert_int_equal(quarantine_open_readonly(s->dir, &other, &e), ERR_OK);
	assert_int_equal(quarantine_list(other, &f, &a, &en, &n, &e), ERR_OK);
	for (size_t i = 0; i < n; i++)
		found += s->refused[en[i].row];
	assert_int_equal(found, s->nrefused);
	quarantine_close(other);
	arena_done(&a);
}

static enum err_code fake_write(struct sink *s, const struct sink_rows *r, struct sink_result *ret,
				struct sink_refusal *ret_refusal, struct err *e)
{
	struct value v[2];
	for (uint32_t i = 0; i < r->n; i++) {
		packed_read(&s->plan, r->rows[i], v);
		if (v[0].i % 10 == 3) {
			ret_refusal->row = r->rows[i]->row;
			s->nrefused += !s->refused[r->rows[i]->row];
			s->refused[r->rows[i]->row] = true;
			snprintf(ret_refusal->reason, sizeof ret_refusal->reason, "%d is not to its taste",
				 (int)v[0].i);
			return err_set(e, ERR_INVALID, "refused");
		}
	}
	for (uint32_t i = 0; i < r->n; i++) {
		packed_read(&s->plan, r->rows[i], v);
		s->pending[v[0].i] = true;
		s->rows_in_tx++;
	}
	*ret = (struct sink_result){0};
	if (r->more)
		return ERR_OK;
	all_refusals_are_known(s);
	if (++s->commits == s->fail_at)
		return err_set(e, ERR_IO, "the store went away");
	for (int i = 0; i < ROWS; i++)
		s->has[i] |= s->pending[i];
	memset(s->pending, 0, sizeof s->pending);
	ret->delivered = s->rows_in_tx;
	s->rows_in_tx = 0;
	s->position = r->position;
	return ERR_OK;
}

static enum err_code fake_end(struct sink *s, struct err *e)
{
	return ERR_OK;
}

static const struct sink_class fake = {
    .name = "fake", .caps = SINK_KEY_ORDER, .begin = fake_begin, .write = fake_write, .end = fake_end};

struct world {
	char dir[64], path[128];
	struct arena a;
	struct err e;
	struct catalog *c;
	struct sink sink;
	struct ingest_plan plan;
	struct catalog_output out;
};

static void setup(struct world *w)
{
	struct problems p;
	bool existing;
	*w = (struct world){.dir = "/tmp/test_refusal.XXXXXX"};
	arena_init(&w->a, 64 << 20);
	assert_non_null(mkdtemp(w->dir));
	w->sink.dir = w->dir;
	problems_init(&p, "test", &w->a);
	struct data_file *df = data_file_parse(span_str(config), "test", &w->a, &p);
	assert_non_null(df);
	w->plan = (struct ingest_plan){.data_file = df, .quality = quality_plan_new(df, NULL, &w->a, &p)};
	w->plan.options = (struct ingest_options){.spill_dir = w->dir, .sink_rows = 300, .csv.batch_rows = 64};
	w->sink.plan = data_file_packed_plan(df);
	snprintf(w->path, sizeof w->path, "%s/f.csv", w->dir);
	FILE *f = fopen(w->path, "w");
	fprintf(f, "id,word\n");
	for (int i = 0; i < ROWS; i++) /* keys fall while record numbers rise */
		fprintf(f, "%d,\"w\n%d\"\n", ROWS - 1 - i, i);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(catalog_open_sqlite(w->dir, &w->c, &w->e), ERR_OK);
	assert_int_equal(quarantine_open(w->dir, &w->sink.quarantine, &w->e), ERR_OK);
	assert_int_equal(catalog_output_add(w->c, "", "f.csv", 1, "00", false, &existing, &w->a, &w->out, &w->e),
			 ERR_OK);
}

static void done(struct world *w)
{
	catalog_close(w->c);
	quarantine_close(w->sink.quarantine);
	data_file_done((struct data_file *)w->plan.data_file);
	assert_int_equal(dir_remove_all(w->dir, &w->e), ERR_OK);
	arena_done(&w->a);
}

static enum err_code ingest(struct world *w, struct ingest_result *r)
{
	struct ingest_target t = {w->c, &fake, &w->sink, "coredms", w->sink.quarantine, 1};
	assert_int_equal(catalog_output_get(w->c, w->out.id, &w->a, &w->out, &w->e), ERR_OK);
	return ingest_file(&w->plan, &t, w->path, &w->out, NULL, r, &w->e);
}

static void check_contents(struct world *w)
{
	struct quarantine_entry *en;
	size_t n;
	struct quarantine_filter f = {.limit = ROWS};
	for (int id = 0; id < ROWS; id++)
		assert_int_equal(w->sink.has[id], id % 10 != 3);
	assert_int_equal(quarantine_list(w->sink.quarantine, &f, &w->a, &en, &n, &w->e), ERR_OK);
	assert_int_equal(n, ROWS / 10);
	for (size_t i = 0; i < n; i++) {
		char reason[64], raw[64];
		int id = ROWS - (int)en[i].row;
		snprintf(reason, sizeof reason, "%d is not to its taste", id);
		snprintf(raw, sizeof raw, "%d,\"w\n%d\"", id, ROWS - 1 - id);
		assert_int_equal(id % 10, 3);
		assert_string_equal(en[i].stage, "sink");
		assert_string_equal(en[i].reason, reason);
		assert_true(span_is(en[i].raw, raw));
		assert_int_equal(en[i].line, 2 * (ROWS - 1 - id) + 2);
	}
}

static void test_refused_records_are_quarantined(void **state)
{
	struct world w;
	struct ingest_result r;
	setup(&w);
	assert_int_equal(ingest(&w, &r), ERR_OK);
	assert_int_equal(r.sink_refused, ROWS / 10);
	assert_int_equal(r.delivered, ROWS - ROWS / 10);
	ingest_result_done(&r);
	check_contents(&w);
	assert_int_equal(catalog_output_get(w.c, w.out.id, &w.a, &w.out, &w.e), ERR_OK);
	assert_int_equal(w.out.delivered + w.out.refused_by_sink, w.out.accepted);
	assert_int_equal(w.out.refused_by_sink, ROWS / 10);
	done(&w);
}

static void test_a_failed_commit_repeats_its_refusals(void **state)
{
	for (int fail = 1; fail <= 3; fail++) {
		struct world w;
		struct ingest_result r;
		setup(&w);
		w.sink.fail_at = fail;
		assert_int_equal(ingest(&w, &r), ERR_IO);
		ingest_result_done(&r);
		assert_int_equal(ingest(&w, &r), ERR_OK);
		assert_int_equal(r.sink_refused, ROWS / 10);
		ingest_result_done(&r);
		check_contents(&w);
		assert_int_equal(catalog_output_get(w.c, w.out.id, &w.a, &w.out, &w.e), ERR_OK);
		assert_int_equal(w.out.delivered, ROWS - ROWS / 10);
		assert_int_equal(w.out.refused_by_sink, ROWS / 10);
		done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_refused_records_are_quarantined),
	    cmocka_unit_test(test_a_failed_commit_repeats_its_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
