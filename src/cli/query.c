/*
 * query.c: `mysimbdp query`, one SELECT over a tenant's coredms, as a table, JSON or CSV (RFC 4180).
 *
 * Rows stream: JSON and CSV hold one row, a table TABLE_ROWS of them. One form for every store: dates and times as
 * text, true and false, bytes in base64. In CSV an empty cell is null and "" the empty string, as in what tenants
 * upload.
 */
#include "sink/query.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/term.h"
#include "manager/manager.h"
#include "record/convert.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_ROWS 1000
#define TABLE_COLUMNS 24
#define TABLE_MEMORY (64u << 20)
#define TABLE_CELL 500
#define ROW_MAX (512u << 20)

static void base64(struct buf *b, struct span s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = (const uint8_t *)s.p;
	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t v =
		    (uint32_t)p[i] << 16 | (i + 1 < s.n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < s.n ? p[i + 2] : 0);
		buf_char(b, digits[v >> 18]);
		buf_char(b, digits[v >> 12 & 63]);
		buf_char(b, i + 1 < s.n ? digits[v >> 6 & 63] : '=');
		buf_char(b, i + 2 < s.n ? digits[v & 63] : '=');
	}
}

/* Any value but null and text, as all three forms write it. */
static void plain(struct buf *b, const struct query_value *v)
{
	static const struct field single = {.type = AVRO_T_FLOAT, .storage = STORE_F64};
	char text[64];
	switch (v->type) {
	case QUERY_INT:
		buf_printf(b, "%" PRId64, v->i);
		break;
	case QUERY_BOOL:
		buf_str(b, v->i ? "true" : "false");
		break;
	case QUERY_REAL:
		buf_add(b, text, f64_format(v->d, text));
		break;
	case QUERY_FLOAT:
		buf_add(b, text, value_format(&single, &(struct value){.d = v->d}, text, sizeof text));
		break;
	default:
		base64(b, v->s);
		break;
	}
}

static bool is_number(enum query_type t)
{
	return t == QUERY_INT || t == QUERY_REAL || t == QUERY_FLOAT;
}

static enum err_code flush(struct buf *b, struct err *e)
{
	if (b->failed)
		return err_set(e, ERR_LIMIT, "a row of the result is longer than %u MiB", ROW_MAX >> 20);
	if (fwrite(b->p ? b->p : "", 1, b->n, stdout) != b->n)
		return err_sys(e, errno, "write the result");
	buf_clear(b);
	return ERR_OK;
}

/* ---- JSON: an array, one object a line */

/* Names of the members: a name that came before gets a number. */
static enum err_code json_names(const struct cli *cli, const struct store_query *q, const char ***ret, struct err *e)
{
	int n = store_query_columns(q);
	const char **name = arena_array(cli->arena, (size_t)n, sizeof *name);
	for (int i = 0; name && i < n; i++) {
		int number = 1;
		name[i] = arena_strdup(cli->arena, store_query_column(q, i));
		for (int k = 0; name[i] && k < i; k++) {
			if (strcmp(name[k], name[i]) != 0)
				continue;
			name[i] = arena_printf(cli->arena, "%s_%d", store_query_column(q, i), ++number);
			k = -1;
		}
		if (!name[i])
			return err_oom(e);
	}
	*ret = name;
	return name ? ERR_OK : err_oom(e);
}

static void json_row(struct jsonw *w, const struct store_query *q, const char *const *names)
{
	jsonw_begin(w, '{');
	for (int i = 0; i < store_query_columns(q); i++) {
		struct query_value v = store_query_value(q, i);
		char text[64];
		struct buf b;
		jsonw_key(w, names[i]);
		if (v.type == QUERY_NULL || ((v.type == QUERY_REAL || v.type == QUERY_FLOAT) && !isfinite(v.d))) {
			jsonw_null(w);
		} else if (v.type == QUERY_TEXT) {
			jsonw_span(w, v.s);
		} else if (v.type == QUERY_BLOB) {
			buf_init(&b, ROW_MAX);
			base64(&b, v.s);
			jsonw_str(w, buf_cstr(&b));
			buf_done(&b);
		} else {
			buf_init(&b, sizeof text);
			plain(&b, &v);
			jsonw_raw(w, (struct span){buf_cstr(&b), b.n});
			buf_done(&b);
		}
	}
	jsonw_end(w, '}');
}

static enum err_code print_json(const struct cli *cli, struct store_query *q, uint64_t *rows, struct err *e)
{
	const char **names;
	struct buf b;
	bool row;
	enum err_code rc = json_names(cli, q, &names, e);
	if (rc)
		return rc;
	buf_init(&b, ROW_MAX);
	while ((rc = store_query_next(q, &row, e)) == ERR_OK && row) {
		struct jsonw w;
		buf_str(&b, (*rows)++ ? ",\n" : "[\n");
		jsonw_init(&w, &b);
		json_row(&w, q, names);
		if ((rc = flush(&b, e)))
			break;
	}
	if (rc == ERR_OK) {
		buf_str(&b, *rows ? "\n]\n" : "[]\n");
		rc = flush(&b, e);
	}
	buf_done(&b);
	return rc;
}

/* ---- CSV */

static void csv_text(struct buf *b, struct span s)
{
	bool quote = s.n == 0;
	for (size_t i = 0; i < s.n && !quote; i++)
		quote = strchr(",\"\r\n", s.p[i]) && s.p[i];
	if (!quote) {
		buf_span(b, s);
		return;
	}
	buf_char(b, '"');
	for (const char *p = s.p, *end = s.p + s.n; p < end;) {
		const char *q = memchr(p, '"', (size_t)(end - p));
		buf_add(b, p, (size_t)((q ? q : end) - p));
		if (!q)
			break;
		buf_str(b, "\"\"");
		p = q + 1;
	}
	buf_char(b, '"');
}

static enum err_code print_csv(struct store_query *q, uint64_t *rows, struct err *e)
{
	struct buf b;
	bool row;
	int n = store_query_columns(q);
	enum err_code rc;
	buf_init(&b, ROW_MAX);
	for (int i = 0; i < n; i++) {
		buf_str(&b, i ? "," : "");
		csv_text(&b, span_str(store_query_column(q, i)));
	}
	buf_str(&b, "\r\n");
	rc = flush(&b, e);
	while (rc == ERR_OK && (rc = store_query_next(q, &row, e)) == ERR_OK && row) {
		(*rows)++;
		for (int i = 0; i < n; i++) {
			struct query_value v = store_query_value(q, i);
			buf_str(&b, i ? "," : "");
			if (v.type == QUERY_TEXT)
				csv_text(&b, v.s);
			else if (v.type != QUERY_NULL)
				plain(&b, &v);
			else if (n == 1)
				buf_str(&b, "\"\""); /* an empty line would be no record */
		}
		buf_str(&b, "\r\n");
		rc = flush(&b, e);
	}
	buf_done(&b);
	return rc;
}

/* ---- for people */

static struct span shown(const struct query_value *v, struct buf *b, bool cut)
{
	if (v->type == QUERY_NULL)
		return SPAN_LIT("null");
	if (v->type == QUERY_TEXT)
		return cut && v->s.n > TABLE_CELL ? (struct span){v->s.p, TABLE_CELL} : v->s;
	buf_clear(b);
	plain(b, v);
	return (struct span){buf_cstr(b), b->n};
}

/* Many columns: one below the other. */
static void print_below(const struct cli *cli, const struct store_query *q, uint64_t number, struct buf *b)
{
	const struct style *s = style_get(cli->colour_out);
	printf("%srow %" PRIu64 "%s\n", s->bold, number, s->reset);
	for (int i = 0; i < store_query_columns(q); i++) {
		struct query_value v = store_query_value(q, i);
		struct span text = shown(&v, b, true);
		char cell[TABLE_CELL * 4 + 1];
		size_t n = 0;
		for (size_t k = 0; k < text.n && n + 5 < sizeof cell; k++) {
			unsigned char c = (unsigned char)text.p[k];
			n += (size_t)snprintf(cell + n, sizeof cell - n, c < 32 || c == 127 ? "\\x%02x" : "%c", c);
		}
		printf("  %s%s%s = %.*s\n", s->dim, store_query_column(q, i), s->reset, (int)n, cell);
	}
}

static struct table *table_begin(struct arena *a, const struct store_query *q, struct err *e)
{
	int n = store_query_columns(q);
	const char *heads[TABLE_COLUMNS];
	enum table_align align[TABLE_COLUMNS];
	arena_reset(a);
	for (int i = 0; i < n; i++) {
		heads[i] = arena_strdup(a, store_query_column(q, i));
		align[i] = is_number(store_query_value(q, i).type) ? TABLE_RIGHT : TABLE_LEFT; /* as in the first row */
		if (!heads[i])
			return NULL;
	}
	return table_new(a, n, heads, align);
}

static enum err_code print_table(const struct cli *cli, struct store_query *q, uint64_t *rows, struct err *e)
{
	struct arena a;
	struct buf b;
	struct table *t = NULL;
	const struct style *s = style_get(cli->colour_out);
	int n = store_query_columns(q), width = isatty(STDOUT_FILENO) ? cli->width : 0;
	bool row = true;
	enum err_code rc;
	arena_init(&a, TABLE_MEMORY);
	buf_init(&b, ROW_MAX);
	while ((rc = store_query_next(q, &row, e)) == ERR_OK && row) {
		(*rows)++;
		if (n > TABLE_COLUMNS) {
			print_below(cli, q, *rows, &b);
			continue;
		}
		if (!t && !(t = table_begin(&a, q, e))) {
			rc = err_oom(e);
			break;
		}
		for (int i = 0; i < n; i++) {
			struct query_value v = store_query_value(q, i);
			struct span text = shown(&v, &b, true);
			if (v.type == QUERY_NULL)
				table_style(t, s->dim);
			table_cell(t, SPAN_FMT, SPAN_ARG(text));
		}
		if (*rows % TABLE_ROWS == 0) {
			table_print(t, stdout, width, cli->colour_out);
			t = NULL;
		}
	}
	if (rc == ERR_OK && *rows == 0 && n <= TABLE_COLUMNS)
		t = table_begin(&a, q, e);
	if (t)
		table_print(t, stdout, width, cli->colour_out);
	arena_done(&a);
	buf_done(&b);
	return rc;
}

/* ---- the verb */

static enum err_code where(const struct cli *cli, const char **ret_where, const char **ret_sql, struct err *e)
{
	const char *db = cli_get(cli, "db"), *data, *tenant = cli->argv[0];
	if (db && cli->argc != 1)
		return err_set(e, ERR_USAGE, "with --db there is one argument, the SELECT, not %d", cli->argc);
	if (!db && cli->argc != 2) {
		err_set(e, ERR_USAGE, "a tenant and a SELECT are needed, or --db and a SELECT");
		err_hint(e, "mysimbdp query client_b 'SELECT count(*) FROM product_reviews'");
		return ERR_USAGE;
	}
	*ret_sql = cli->argv[cli->argc - 1];
	if (db) { /* a path, or a store with its name before a colon */
		*ret_where = db;
		return ERR_OK;
	}
	if (!*tenant || *tenant == '.' || strchr(tenant, '/'))
		return err_set(e, ERR_INVALID, "\"%s\" is no tenant's name", tenant);
	enum err_code rc = cli_data_dir(cli, &data, e);
	if (rc)
		return rc;
	*ret_where = path_coredms(cli->arena, data, tenant);
	if (!*ret_where)
		return err_oom(e);
	if (access(*ret_where, F_OK) == 0)
		return ERR_OK;
	rc = err_sys(e, errno, "the coredms of tenant \"%s\", \"%s\"", tenant, *ret_where);
	if (rc == ERR_NOT_FOUND)
		err_hint(e, "nothing was delivered yet, or the data directory is another one (--data)");
	return rc;
}

static enum err_code seconds(const struct cli *cli, double *ret, struct err *e)
{
	const char *text = cli_get(cli, "timeout");
	char *end;
	*ret = text ? strtod(text, &end) : 0;
	if (text && (end == text || *end || !(*ret > 0) || *ret > 1e6))
		return err_set(e, ERR_USAGE, "--timeout \"%s\": a number of seconds is needed", text);
	return ERR_OK;
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	const char *place = NULL, *sql = NULL;
	struct store_query *q;
	double limit;
	uint64_t rows = 0;
	enum err_code rc;
	if (cli->json && cli_has(cli, "csv"))
		return err_set(e, ERR_USAGE, "--json and --csv exclude each other");
	if ((rc = seconds(cli, &limit, e)) || (rc = where(cli, &place, &sql, e)))
		return rc;
	int64_t began = clock_mono_ns();
	if ((rc = store_query_open(place, sql, &(struct query_limit){limit, cli->stop}, &q, e)))
		return rc;
	if (cli->json)
		rc = print_json(cli, q, &rows, e);
	else if (cli_has(cli, "csv"))
		rc = print_csv(q, &rows, e);
	else
		rc = print_table(cli, q, &rows, e);
	store_query_close(q);
	if (rc == ERR_OK && fflush(stdout))
		rc = err_sys(e, errno, "write the result");
	if (rc == ERR_OK && !cli->json && !cli_has(cli, "csv") && !cli->quiet)
		fprintf(stderr, "%" PRIu64 " row%s, %.3f s\n", rows, rows == 1 ? "" : "s",
			(double)(clock_mono_ns() - began) / 1e9);
	return rc;
}

static const struct cli_option options[] = {
    {"db", 0, "PATH", "a directory of KEY_SPACE.db files, one such file, or cassandra:HOST, instead of a tenant",
     "file"},
    {"csv", 0, NULL, "CSV (RFC 4180) with a header line; an empty cell is null, \"\" the empty string", NULL},
    {"timeout", 0, "SECONDS", "end a query that takes longer", NULL},
    {0},
};

const struct verb verb_query = {
    .name = "query",
    .usage = "TENANT|--db PATH \"SELECT ...\"",
    .summary = "read what was delivered",
    .options = options,
    .min_args = 1,
    .max_args = 2,
    .help =
	"One SELECT in SQLite's SQL. Nothing can be changed. Every key space is a schema of its own: a table that "
	"only\n"
	"one of them has needs no prefix, else write KEY_SPACE.TABLE. Each row has _mysimbdp_file (the output's id),\n"
	"_mysimbdp_row (the record's number in it) and _mysimbdp_version besides the schema's columns.\n"
	"Cassandra answers a SELECT in CQL: tables are KEY_SPACE.TABLE, lineage columns are quoted "
	"(\"_mysimbdp_row\").\n"
	"With --json the answer is an array with one object a row: dates and times are text, booleans true or false,\n"
	"bytes base64.\n\n"
	"  mysimbdp query client_b 'SELECT product_id, count(*) FROM product_reviews GROUP BY 1 ORDER BY 2 DESC LIMIT "
	"5'\n"
	"  mysimbdp query --db out --csv 'SELECT * FROM analytics' > analytics.csv\n"
	"  mysimbdp query --db cassandra:db1 'SELECT * FROM shop.product_reviews LIMIT 10'",
    .run = run,
};
