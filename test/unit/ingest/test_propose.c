/* test_propose.c: proposals, previews and replays over a quarantine, with the real gate and store. */
#include "base/fault.h"
#include "base/fd.h"
#include "ingest/edit.h"
#include "ingest/ingest.h"
#include "sink/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char config[] = "{\n"
			     "  \"name\": \"speed-tracking-data\",\n"
			     "  \"file_type\": \"csv\",\n"
			     "  \"key_space\": \"mysimbdp_coredms\",\n"
			     "  \"csv.first.row.as.header\": \"true\",\n"
			     "  \"schema\": {\n"
			     "    \"type\": \"record\",\n"
			     "    \"name\": \"analytics\", \n"
			     "    \"fields\": [\n"
			     "      { \"name\": \"PROVINCECODE\", \"type\": \"string\" },\n"
			     "      { \"name\": \"IFINDEX\", \"type\": \"int\" },\n"
			     "      { \"name\": \"ONUID\", \"type\": \"int\" },\n"
			     "      { \"name\": \"DAY\", \"type\": \"string\", \"logicalType\": \"date\" },\n"
			     "      { \"name\": \"SPEEDIN\",   \"type\":\"double\" },\n"
			     "      {\"logicalType\": \"date\", \"name\": \"UNTIL\", \"type\": \"string\"}\n"
			     "    ]\n"
			     "  },\n"
			     "  \"primary_key\": [\"PROVINCECODE\", \"ONUID\"]\n"
			     "}\n";
static const char head[] = "PROVINCECODE,IFINDEX,ONUID,DAY,SPEEDIN,UNTIL\n";

struct world {
	char dir[64], sub[4][128];
	struct arena a;
	struct err e;
	struct data_file *df;
	struct ingest_plan plan;
	struct catalog *c;
	struct quarantine *q;
	struct sink *sink;
};

#define OK(w, call)                                                                                                    \
	do {                                                                                                           \
		if ((call) != ERR_OK)                                                                                  \
			fail_msg("%s: %s", #call, (w)->e.msg);                                                         \
	} while (0)

static struct data_file *parse(struct world *w, const char *text)
{
	struct problems p;
	problems_init(&p, "test", &w->a);
	struct data_file *df = data_file_parse(arena_span(&w->a, span_str(text)), "test", &w->a, &p);
	if (!df)
		fail_msg("%s: found %s, allowed %s", p.first->path, p.first->found, p.first->allowed);
	return df;
}

static const struct quality_plan *rules(struct world *w, const struct data_file *df, const char *quality)
{
	struct problems p;
	struct json *node = NULL;
	problems_init(&p, "test", &w->a);
	if (quality)
		OK(w, json_parse(span_str(quality), &w->a, &node, &w->e));
	const struct quality_plan *q = quality_plan_new(df, node, &w->a, &p);
	if (!q)
		fail_msg("%s: found %s, allowed %s", p.first->path, p.first->found, p.first->allowed);
	return q;
}

static void use(struct world *w, const char *text, const char *quality)
{
	w->df = parse(w, text);
	w->plan = (struct ingest_plan){.data_file = w->df, .quality = rules(w, w->df, quality)};
	w->plan.options.spill_dir = w->dir;
}

static void sink_reopen(struct world *w)
{
	if (w->sink)
		sink_sqlite.close(w->sink);
	w->sink = NULL;
	OK(w, sink_sqlite.open(w->sub[2], w->df, &w->sink, &w->e));
	OK(w, sink_sqlite.table(w->sink, &w->e));
}

static void open_all(struct world *w)
{
	OK(w, catalog_open_sqlite(w->sub[0], &w->c, &w->e));
	OK(w, quarantine_open(w->sub[1], &w->q, &w->e));
	sink_reopen(w);
}

static void close_all(struct world *w)
{
	sink_sqlite.close(w->sink);
	quarantine_close(w->q);
	catalog_close(w->c);
	w->sink = NULL;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	static const char *const subs[] = {"ledger", "quarantine", "coredms", "files"};
	strcpy(w->dir, "/tmp/test_propose.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	arena_init(&w->a, 256 << 20);
	for (int i = 0; i < 4; i++) {
		snprintf(w->sub[i], sizeof w->sub[i], "%s/%s", w->dir, subs[i]);
		OK(w, dir_make(w->sub[i], 0700, &w->e));
	}
	use(w, config, NULL);
	open_all(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	close_all(w);
	data_file_done(w->df);
	arena_done(&w->a);
	OK(w, dir_remove_all(w->dir, &w->e));
	free(w);
	return 0;
}

static struct ingest_target target(struct world *w)
{
	return (struct ingest_target){w->c, &sink_sqlite, w->sink, "coredms", w->q, 1};
}

/* A file through check, quarantine and store; gives the output's id. */
static int64_t ingest(struct world *w, const char *name, const char *header, const char *rows)
{
	char path[256], sha[SHA256_HEX];
	struct buf b;
	uint64_t size;
	struct catalog_output o;
	struct ingest_result r;
	bool existing;
	buf_init(&b, 1 << 26);
	buf_str(&b, header);
	buf_str(&b, rows);
	snprintf(path, sizeof path, "%s/%s", w->sub[3], name);
	OK(w, file_write_atomic(path, b.p, b.n, 0600, &w->e));
	buf_done(&b);
	OK(w, sha256_file(path, sha, &size, &w->e));
	OK(w, catalog_output_add(w->c, "", name, size, sha, false, &existing, &w->a, &o, &w->e));
	struct ingest_target t = target(w);
	OK(w, ingest_file(&w->plan, &t, path, &o, NULL, &r, &w->e));
	ingest_result_done(&r);
	return o.id;
}

static struct catalog_output output(struct world *w, int64_t id)
{
	struct catalog_output o;
	OK(w, catalog_output_get(w->c, id, &w->a, &o, &w->e));
	return o;
}

static struct proposal propose(struct world *w)
{
	struct proposal p;
	OK(w, ingest_propose(w->q, w->df, w->plan.quality, &w->a, &p, &w->e));
	return p;
}

/* The store's answer to a query as one string. */
static const char *query(struct world *w, const char *sql)
{
	struct sqlite_query *q;
	struct buf b;
	bool row;
	buf_init(&b, 1 << 16);
	OK(w, sqlite_query_open(w->sub[2], sql, &q, &w->e));
	while (sqlite_query_next(q, &row, &w->e) == ERR_OK && row) {
		for (int i = 0; i < sqlite_query_columns(q); i++) {
			struct query_value v = sqlite_query_value(q, i);
			if (v.type == QUERY_TEXT)
				buf_span(&b, v.s);
			else if (v.type == QUERY_INT)
				buf_printf(&b, "%lld", (long long)v.i);
			else if (v.type == QUERY_REAL)
				buf_printf(&b, "%g", v.d);
			else
				buf_str(&b, "NULL");
			buf_char(&b, ' ');
		}
	}
	sqlite_query_close(q);
	const char *s = arena_strdup(&w->a, buf_cstr(&b));
	buf_done(&b);
	return s;
}

/* ---- proposals */

static void test_client_a(void **state)
{
	struct world *w = *state;
	ingest(w, "a.csv", head,
	       "HKD,6828878457269,222277164261810113006,2019-08-01,541783,2019-08-02\n"
	       "HKD,268501248,10113007,2019-08-01,120934,2019-08-02\n"
	       "HKD,268501504,10113008,2019-08-01,,2019-08-02\n"
	       "HKD,268501505,10113009,2019-08-01,77,2019-08-02\n");
	struct proposal p = propose(w);
	assert_int_equal(p.nchanges, 3);
	assert_string_equal(p.changes[0].field, "IFINDEX");
	assert_string_equal(p.changes[0].from, "int");
	assert_string_equal(p.changes[0].to, "long");
	assert_string_equal(p.changes[0].because, "6828878457269 fits no int");
	assert_string_equal(p.changes[1].field, "ONUID");
	assert_string_equal(p.changes[1].to, "string");
	assert_string_equal(p.changes[1].because, "222277164261810113006 fits no long");
	assert_string_equal(p.changes[2].field, "SPEEDIN");
	assert_string_equal(p.changes[2].to, "union of null and double");
	assert_int_equal(p.helped, 2);
	assert_int_equal(p.left, 0);
	/* Only the three places differ. */
	struct buf want;
	buf_init(&want, 1 << 16);
	const char *at = config, *cut;
	static const char *const was[] = {"IFINDEX\", \"type\": \"int\"", "ONUID\", \"type\": \"int\"",
					  "\"type\":\"double\""};
	static const char *const is[] = {"IFINDEX\", \"type\": \"long\"", "ONUID\", \"type\": \"string\"",
					 "\"type\":[\"null\", \"double\"]"};
	for (int i = 0; i < 3; i++) {
		cut = strstr(at, was[i]);
		buf_add(&want, at, (size_t)(cut - at));
		buf_str(&want, is[i]);
		at = cut + strlen(was[i]);
	}
	buf_str(&want, at);
	assert_string_equal(p.data_file, buf_cstr(&want));
	buf_done(&want);
}

static void test_nothing_helps(void **state)
{
	struct world *w = *state;
	struct proposal p = propose(w);
	assert_null(p.data_file);
	assert_int_equal(p.left, 0);
	ingest(w, "a.csv", head, "HKD,1,2,2019-08-01\n,1,3,2019-08-01,1,2019-08-02\n");
	p = propose(w);
	assert_null(p.data_file);
	assert_int_equal(p.left, 2);
	assert_int_equal(p.nchanges, 0);
}

static void test_logical_types(void **state)
{
	struct world *w = *state;
	ingest(w, "a.csv", head,
	       "HKD,1.5,1,01/08/2019,1,\n"
	       "HKD,3,2,2019-08-01,abc,2019-08-02\n");
	struct proposal p = propose(w);
	assert_non_null(p.data_file);
	assert_int_equal(p.helped, 2);
	assert_non_null(strstr(p.data_file, "{ \"name\": \"IFINDEX\", \"type\": \"double\" }"));
	assert_non_null(strstr(p.data_file, "{ \"name\": \"DAY\", \"type\": \"string\" }"));
	assert_non_null(strstr(p.data_file, "{ \"name\": \"SPEEDIN\",   \"type\":\"string\" }"));
	assert_non_null(strstr(p.data_file, "{ \"name\": \"UNTIL\", \"type\": [\"null\", "
					    "{\"type\": \"string\", \"logicalType\": \"date\"}]}"));
	struct data_file *df = parse(w, p.data_file);
	assert_int_equal(df->schema->fields[3].logical, LOGICAL_NONE);
	assert_int_equal(df->schema->fields[5].logical, LOGICAL_DATE);
	assert_true(df->schema->fields[5].nullable);
	data_file_done(df);
}

static void test_big_numbers(void **state)
{
	struct world *w = *state;
	ingest(w, "a.csv", head,
	       "HKD,99999999999999999999,1,2019-08-01,1e400,2019-08-02\n"
	       "HKD,-7000000000,2,2019-08-01,1,2019-08-02\n");
	struct proposal p = propose(w);
	assert_non_null(
	    strstr(p.data_file, "\"IFINDEX\", \"type\": {\"type\": \"bytes\", \"logicalType\": \"decimal\""));
	assert_string_equal(p.changes[0].because, "99999999999999999999 fits no long");
	assert_int_equal(p.changes[0].records, 2);
	assert_string_equal(p.changes[1].to, "string");
	assert_int_equal(p.helped, 2);
}

static void test_column_order_of_each_file(void **state)
{
	struct world *w = *state;
	ingest(w, "a.csv", "UNTIL,SPEEDIN,DAY,ONUID,IFINDEX,PROVINCECODE,NOTE\n",
	       "2019-08-02,1,2019-08-01,5,6828878457269,HKD,a note\n");
	ingest(w, "b.csv", head, "HKD,1,222277164261810113006,2019-08-01,1,2019-08-02\n");
	struct proposal p = propose(w);
	assert_int_equal(p.nchanges, 2);
	assert_string_equal(p.changes[0].field, "IFINDEX");
	assert_string_equal(p.changes[0].to, "long");
	assert_string_equal(p.changes[1].to, "string");
	assert_int_equal(p.helped, 2);
}

static void test_edit(void **state)
{
	struct world *w = *state;
	static const char text[] =
	    "\xef\xbb\xbf{\"\xc3\xa9\": {\"a\": \"x\\\"]\", \"b\" : [1, {\"c\": 2}] , \"d\":true},\n \"e\":-1.5}";
	struct json *root;
	struct edits ed = {.text = span_str(text), .arena = &w->a};
	OK(w, json_parse(ed.text, &w->a, &root, &w->e));
	const struct json *in = json_get(root, "\xc3\xa9");
	assert_true(span_is(edit_value_text(&ed, json_get(in, "b")), "[1, {\"c\": 2}]"));
	assert_true(span_is(edit_value_text(&ed, json_get(root, "e")), "-1.5"));
	edit_replace(&ed, json_get(root, "e"), "0");
	edit_remove_member(&ed, json_get(in, "a"));
	edit_remove_member(&ed, json_get(in, "d"));
	struct span out = edits_apply(&ed);
	assert_string_equal(out.p, "\xef\xbb\xbf{\"\xc3\xa9\": { \"b\" : [1, {\"c\": 2}] },\n \"e\":0}");
}

/* ---- replay */

static const char two_bad[] = "HKD,1,1,2019-08-01,1,2019-08-02\n"
			      "HKD,6828878457269,2,2019-08-01,2,2019-08-02\n"
			      "HKD,3,3,2019-08-01,3,2019-08-02\n"
			      "HKD,6828878457270,3,2019-08-01,4,2019-08-02\n"
			      "HKD,5,5\n";

static void adopt(struct world *w, const char *text)
{
	data_file_done(w->df);
	use(w, text, NULL);
	uint64_t rows;
	OK(w, sqlite_rebuild(w->sub[2], w->df, &rows, &w->e));
	sink_reopen(w);
}

static struct replay_result replay(struct world *w, bool dry_run)
{
	struct replay_result r;
	struct ingest_target t = target(w);
	struct quarantine_filter f = {0};
	OK(w, ingest_replay(&w->plan, &t, &f, dry_run, &r, &w->e));
	return r;
}

static void test_replay(void **state)
{
	struct world *w = *state;
	int64_t id = ingest(w, "a.csv", head, two_bad);
	struct replay_result r = replay(w, false);
	assert_int_equal(r.tried, 3);
	assert_int_equal(r.passed, 0);
	adopt(w, propose(w).data_file);
	r = replay(w, true);
	assert_int_equal(r.passed, 2);
	assert_int_equal(output(w, id).rejected, 3);
	r = replay(w, false);
	assert_int_equal(r.passed, 2);
	assert_int_equal(r.delivered, 2);
	assert_int_equal(r.still_bad, 1);
	struct catalog_output o = output(w, id);
	assert_int_equal(o.records, 5);
	assert_int_equal(o.rejected, 1);
	assert_int_equal(o.accepted, 4);
	assert_int_equal(o.delivered, 4);
	r = replay(w, false);
	assert_int_equal(r.tried, 1);
	assert_int_equal(output(w, id).delivered, 4);
	/* Their own versions: record 4 is later than record 3 of the same key, which was delivered before it. */
	assert_string_equal(query(w, "SELECT ONUID, IFINDEX, _mysimbdp_row FROM analytics ORDER BY _mysimbdp_row"),
			    "1 1 1 2 6828878457269 2 3 6828878457270 4 ");
	assert_string_equal(query(w, "SELECT count(DISTINCT _mysimbdp_version - _mysimbdp_row) FROM analytics"), "1 ");
}

static void test_newer_rows_stay(void **state)
{
	struct world *w = *state;
	ingest(w, "a.csv", head, "HKD,6828878457269,2,2019-08-01,1,2019-08-02\n");
	ingest(w, "b.csv", head, "HKD,7,2,2019-08-01,2,2019-08-02\n");
	adopt(w, propose(w).data_file);
	struct replay_result r = replay(w, false);
	assert_int_equal(r.passed, 1);
	assert_string_equal(query(w, "SELECT IFINDEX FROM analytics"), "7 ");
}

/* Killed at each place of a replay: afterwards once more, and everything is there once. */
static void test_replay_kill(void **state)
{
	struct world *w = *state;
	static const char *const faults[] = {"replay.delivered=kill",	"quarantine.commit=kill",
					     "replay.marked=kill",	"ledger.commit=kill",
					     "sink.commit.before=kill", "sink.commit.after=kill"};
	int64_t id = ingest(w, "a.csv", head, two_bad);
	adopt(w, propose(w).data_file);
	close_all(w);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		char cmd[1024];
		snprintf(cmd, sizeof cmd, "rm -rf %s/copy && mkdir %s/copy && cp -r %s %s %s %s/copy", w->dir, w->dir,
			 w->sub[0], w->sub[1], w->sub[2], w->dir);
		assert_int_equal(system(cmd), 0);
		pid_t pid = fork();
		if (pid == 0) {
			setenv("MYSIMBDP_FAULT", faults[i], 1);
			fault_setup();
			open_all(w);
			replay(w, false);
			_exit(0);
		}
		int status;
		waitpid(pid, &status, 0);
		if (!WIFSIGNALED(status))
			fail_msg("%s did not kill", faults[i]);
		open_all(w);
		replay(w, false);
		struct catalog_output o = output(w, id);
		assert_int_equal(o.delivered, 4);
		assert_int_equal(o.accepted, 4);
		assert_int_equal(o.rejected, 1);
		assert_string_equal(
		    query(w, "SELECT ONUID, IFINDEX, _mysimbdp_row FROM analytics ORDER BY _mysimbdp_row"),
		    "1 1 1 2 6828878457269 2 3 6828878457270 4 ");
		close_all(w);
		snprintf(cmd, sizeof cmd, "cd %s && rm -rf ledger quarantine coredms && mv copy/* . && rmdir copy",
			 w->dir);
		assert_int_equal(system(cmd), 0);
	}
	open_all(w);
}

static void test_refused_file_stays(void **state)
{
	struct world *w = *state;
	data_file_done(w->df);
	use(w, config, "{\"max_rejected\": \"10%\"}");
	int64_t id = ingest(w, "a.csv", head, two_bad);
	assert_int_equal(output(w, id).state, OUTPUT_REFUSED);
	adopt(w, propose(w).data_file);
	struct replay_result r = replay(w, false);
	assert_int_equal(r.passed, 0);
	assert_string_equal(query(w, "SELECT count(*) FROM analytics"), "0 ");
}

/* A rule changes: what it rejected passes, and what is still bad says why now. */
static void test_rule_change(void **state)
{
	struct world *w = *state;
	data_file_done(w->df);
	use(w, config, "{\"rules\": [{\"rule\": \"range\", \"column\": \"SPEEDIN\", \"max\": 2}]}");
	int64_t id = ingest(w, "a.csv", head,
			    "HKD,1,1,2019-08-01,1,2019-08-02\n"
			    "HKD,2,2,2019-08-01,3,2019-08-02\n"
			    "HKD,3,3,2019-08-01,9,2019-08-02\n");
	assert_int_equal(output(w, id).rejected, 2);
	data_file_done(w->df);
	use(w, config, "{\"rules\": [{\"rule\": \"range\", \"column\": \"SPEEDIN\", \"max\": 5}]}");
	sink_reopen(w);
	struct preview_result pr;
	char path[256];
	snprintf(path, sizeof path, "%s/a.csv", w->sub[3]);
	const char *paths[] = {path};
	OK(w, ingest_preview(&w->plan, paths, 1, w->q, &pr, &w->e));
	assert_int_equal(pr.files, 1);
	assert_int_equal(pr.records, 3);
	assert_int_equal(pr.accepted, 2);
	assert_int_equal(pr.quarantined, 2);
	assert_int_equal(pr.would_pass, 1);
	assert_int_equal(output(w, id).rejected, 2);
	struct replay_result r = replay(w, false);
	assert_int_equal(r.passed, 1);
	assert_int_equal(r.still_bad, 1);
	struct quarantine_entry *en;
	size_t n;
	OK(w, quarantine_list(w->q, &(struct quarantine_filter){0}, &w->a, &en, &n, &w->e));
	assert_int_equal(n, 1);
	assert_int_equal(en->row, 3);
	assert_non_null(strstr(en->reason, "5"));
	assert_string_equal(query(w, "SELECT count(*) FROM analytics"), "2 ");
}

static void test_repeats_are_held(void **state)
{
	struct world *w = *state;
	static const char unique[] = "{\"rules\": [{\"rule\": \"unique\", \"columns\": [\"SPEEDIN\"]}]}";
	data_file_done(w->df);
	use(w, config, unique);
	ingest(w, "a.csv", head, "HKD,1,1,2019-08-01,1,2019-08-02\nHKD,2,2,2019-08-01,1,2019-08-02\n");
	struct replay_result r = replay(w, false);
	assert_int_equal(r.tried, 1);
	assert_int_equal(r.passed, 0);
	data_file_done(w->df);
	use(w, config, NULL);
	sink_reopen(w);
	r = replay(w, false);
	assert_int_equal(r.passed, 1);
	assert_string_equal(query(w, "SELECT count(*) FROM analytics"), "2 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_client_a, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_nothing_helps, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_logical_types, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_big_numbers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_column_order_of_each_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_edit, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_replay, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_newer_rows_stay, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_replay_kill, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refused_file_stays, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rule_change, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_repeats_are_held, setup, teardown),
	};
	return cmocka_run_group_tests_name("propose", tests, NULL, NULL);
}
