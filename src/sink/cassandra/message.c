/* message.c: see message.h. */
#include "sink/cassandra/message.h"

#include "sink/cassandra/wire.h"

#include <stdio.h>
#include <strings.h>

#define COLUMNS_MAX 4096
#define TYPE_DEPTH_MAX 16

static const char *const consistency_names[] = {"ANY",	  "ONE",	  "TWO",	  "THREE",
						"QUORUM", "ALL",	  "LOCAL_QUORUM", "EACH_QUORUM",
						"SERIAL", "LOCAL_SERIAL", "LOCAL_ONE"};
#define NCONSISTENCY (sizeof consistency_names / sizeof *consistency_names)

const char *cql_consistency_name(unsigned c)
{
	return c < NCONSISTENCY ? consistency_names[c] : "an unknown consistency";
}

bool cql_consistency_parse(const char *name, unsigned *ret)
{
	for (unsigned i = 0; i < NCONSISTENCY; i++) {
		if (strcasecmp(name, consistency_names[i]) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* ---- requests */

#define PARAM_VALUES 0x01u
#define PARAM_SKIP_METADATA 0x02u
#define PARAM_PAGE_SIZE 0x04u
#define PARAM_PAGE 0x08u
#define PARAM_SERIAL 0x10u

void cql_put_params(struct buf *b, uint8_t version, const struct cql_params *p)
{
	uint32_t flags = (p->nvalues ? PARAM_VALUES : 0) | (p->skip_metadata ? PARAM_SKIP_METADATA : 0) |
			 (p->page_size ? PARAM_PAGE_SIZE : 0) | (p->page.p ? PARAM_PAGE : 0) |
			 (p->serial ? PARAM_SERIAL : 0);
	put_short(b, p->consistency);
	if (version >= 5)
		put_int(b, (int32_t)flags);
	else
		put_byte(b, (uint8_t)flags);
	if (p->nvalues) {
		put_short(b, p->nvalues);
		buf_span(b, p->values);
	}
	if (p->page_size)
		put_int(b, p->page_size);
	if (p->page.p)
		put_bytes(b, p->page);
	if (p->serial)
		put_short(b, p->serial);
}

void cql_put_string_map(struct buf *b, const char *const (*pairs)[2], unsigned n)
{
	put_short(b, (uint16_t)n);
	for (unsigned i = 0; i < n; i++) {
		put_string(b, span_str(pairs[i][0]));
		put_string(b, span_str(pairs[i][1]));
	}
}

/* ---- ERROR */

bool cql_error_decode(struct span body, struct cql_error *ret)
{
	struct cql_in in = cql_in(body.p, body.n);
	*ret = (struct cql_error){.code = get_int(&in)};
	ret->text = get_string(&in);
	bool fine = !in.failed;
	switch (ret->code) {
	case CQL_E_UNAVAILABLE:
		ret->consistency = get_short(&in);
		ret->required = get_int(&in);
		ret->received = get_int(&in);
		break;
	case CQL_E_WRITE_TIMEOUT:
	case CQL_E_READ_TIMEOUT:
	case CQL_E_CAS_UNKNOWN:
	case CQL_E_WRITE_FAILURE:
	case CQL_E_READ_FAILURE:
		ret->consistency = get_short(&in);
		ret->received = get_int(&in);
		ret->required = get_int(&in);
		if (ret->code == CQL_E_WRITE_TIMEOUT)
			ret->write_type = get_string(&in);
		break;
	default:
		break;
	}
	return fine;
}

enum cql_retry cql_error_retry(const struct cql_error *ce)
{
	switch (ce->code) {
	case CQL_E_OVERLOADED:
	case 0x4321: /* ScyllaDB's rate limit */
		return CQL_RETRY_SLOWER;
	case CQL_E_SERVER:
	case CQL_E_BOOTSTRAPPING:
	case CQL_E_TRUNCATE:
		return CQL_RETRY_ELSEWHERE;
	case CQL_E_UNAVAILABLE:
	case CQL_E_WRITE_TIMEOUT:
	case CQL_E_READ_TIMEOUT:
	case CQL_E_READ_FAILURE:
	case CQL_E_WRITE_FAILURE:
	case CQL_E_CDC_WRITE_FAILURE:
	case CQL_E_CAS_UNKNOWN:
		return CQL_RETRY_LATER;
	case CQL_E_UNPREPARED:
		return CQL_RETRY_PREPARE;
	default:
		return CQL_RETRY_NEVER;
	}
}

struct error_text {
	int32_t code;
	enum err_code err;
	const char *text;
};

static const struct error_text *error_text(int32_t code)
{
	static const struct error_text texts[] = {
	    {CQL_E_SERVER, ERR_UNAVAILABLE, "server error"},
	    {CQL_E_PROTOCOL, ERR_INTERNAL, "protocol error"},
	    {CQL_E_CREDENTIALS, ERR_AUTH, "user or password are wrong"},
	    {CQL_E_UNAVAILABLE, ERR_UNAVAILABLE, "too few replicas are up"},
	    {CQL_E_OVERLOADED, ERR_BUSY, "overloaded"},
	    {CQL_E_BOOTSTRAPPING, ERR_UNAVAILABLE, "the node is still joining"},
	    {CQL_E_TRUNCATE, ERR_UNAVAILABLE, "truncate error"},
	    {CQL_E_WRITE_TIMEOUT, ERR_TIMEOUT, "write timeout"},
	    {CQL_E_READ_TIMEOUT, ERR_TIMEOUT, "read timeout"},
	    {CQL_E_READ_FAILURE, ERR_UNAVAILABLE, "read failure"},
	    {CQL_E_FUNCTION_FAILURE, ERR_INVALID, "function failure"},
	    {CQL_E_WRITE_FAILURE, ERR_UNAVAILABLE, "write failure"},
	    {CQL_E_CDC_WRITE_FAILURE, ERR_UNAVAILABLE, "the node's change data log is full"},
	    {CQL_E_CAS_UNKNOWN, ERR_TIMEOUT, "the outcome of a conditional write is unknown"},
	    {CQL_E_SYNTAX, ERR_INVALID, "syntax error"},
	    {CQL_E_UNAUTHORIZED, ERR_DENIED, "not permitted"},
	    {CQL_E_INVALID, ERR_INVALID, "invalid"},
	    {CQL_E_CONFIG, ERR_CONFIG, "configuration error"},
	    {CQL_E_EXISTS, ERR_CONFLICT, "exists already"},
	    {CQL_E_UNPREPARED, ERR_UNAVAILABLE, "statement not prepared"},
	    {0x4321, ERR_BUSY, "rate limit"},
	};
	static const struct error_text other = {-1, ERR_UNAVAILABLE, "an error of an unknown kind"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (texts[i].code == code)
			return &texts[i];
	}
	return &other;
}

enum err_code cql_error_set(const struct cql_error *ce, const char *who, struct err *e)
{
	const struct error_text *t = error_text(ce->code);
	char replicas[120] = "";
	if (ce->required)
		snprintf(replicas, sizeof replicas, " (%d of %d replicas needed for %s)", ce->received, ce->required,
			 cql_consistency_name(ce->consistency));
	int n = ce->text.n < 400 ? (int)ce->text.n : 400;
	err_set(e, t->err, "%s: %s%s: %.*s", who, t->text, replicas, n, ce->text.p ? ce->text.p : "");
	if (e)
		e->retriable = cql_error_retry(ce) != CQL_RETRY_NEVER;
	return t->err;
}

/* ---- RESULT */

static bool get_type(struct cql_in *in, struct arena *a, int depth, struct cql_type *ret);

static bool get_subtypes(struct cql_in *in, struct arena *a, int depth, unsigned n, bool named, struct cql_type *ret)
{
	if (n > (size_t)(in->end - in->p)) /* each takes two bytes at least */
		return false;
	struct cql_type *sub = arena_array(a, n, sizeof *sub);
	struct span *names = named ? arena_array(a, n, sizeof *names) : NULL;
	if (!sub || (named && !names))
		return false;
	for (unsigned i = 0; i < n; i++) {
		if (named)
			names[i] = get_string(in);
		if (!get_type(in, a, depth + 1, &sub[i]))
			return false;
	}
	ret->nsub = (uint16_t)n;
	ret->sub = sub;
	ret->names = names;
	return true;
}

static bool get_type(struct cql_in *in, struct arena *a, int depth, struct cql_type *ret)
{
	*ret = (struct cql_type){.id = get_short(in)};
	if (in->failed || depth > TYPE_DEPTH_MAX)
		return false;
	switch (ret->id) {
	case 0x00:
		ret->custom = get_string(in);
		return !in->failed;
	case 0x20: /* list */
	case 0x22: /* set */
		return get_subtypes(in, a, depth, 1, false, ret);
	case 0x21: /* map */
		return get_subtypes(in, a, depth, 2, false, ret);
	case 0x30: /* user-defined */
		get_string(in);
		get_string(in);
		return get_subtypes(in, a, depth, get_short(in), true, ret);
	case 0x31: /* tuple */
		return get_subtypes(in, a, depth, get_short(in), false, ret);
	default:
		return true;
	}
}

static bool get_columns(struct cql_in *in, struct arena *a, bool global, struct cql_result *ret)
{
	if (global) {
		get_string(in);
		get_string(in);
	}
	struct cql_column *c = arena_array(a, ret->ncolumns, sizeof *c);
	for (uint32_t i = 0; c && i < ret->ncolumns; i++) {
		if (!global) {
			get_string(in);
			get_string(in);
		}
		c[i].name = get_string(in);
		if (!get_type(in, a, 0, &c[i].type))
			return false;
	}
	ret->column = c;
	ret->has_metadata = c != NULL;
	return c != NULL;
}

static bool get_metadata(struct cql_in *in, struct arena *a, bool prepared, struct cql_result *ret)
{
	bool null;
	uint32_t flags = (uint32_t)get_int(in);
	ret->ncolumns = (uint32_t)get_int(in);
	if (in->failed || ret->ncolumns > COLUMNS_MAX)
		return false;
	if (prepared) {
		int32_t npk = get_int(in);
		if (npk < 0 || npk > COLUMNS_MAX)
			return false;
		get_raw(in, (size_t)npk * 2);
	}
	if (flags & 0x02)
		ret->page = get_bytes(in, &null);
	if (flags & 0x08)
		get_string(in);
	if (flags & 0x04)
		return !in->failed;
	return get_columns(in, a, flags & 0x01, ret) && !in->failed;
}

static bool get_rows(struct cql_in *in, struct arena *a, struct cql_result *ret)
{
	if (!get_metadata(in, a, false, ret))
		return false;
	int32_t n = get_int(in);
	size_t left = (size_t)(in->end - in->p);
	if (in->failed || n < 0 || (ret->ncolumns ? (uint64_t)n * ret->ncolumns * 4 > left : n > 0))
		return false;
	ret->nrows = (uint32_t)n;
	ret->rows = (struct span){(const char *)in->p, left};
	return true;
}

enum err_code cql_result_decode(struct span body, uint8_t version, struct arena *a, struct cql_result *ret,
				struct err *e)
{
	struct cql_in in = cql_in(body.p, body.n);
	*ret = (struct cql_result){.kind = get_int(&in)};
	bool fine = !in.failed;
	if (fine && ret->kind == CQL_RESULT_ROWS) {
		fine = get_rows(&in, a, ret);
	} else if (fine && ret->kind == CQL_RESULT_PREPARED) {
		ret->id = get_string(&in);
		if (version >= 5)
			ret->metadata_id = get_string(&in);
		fine = !in.failed && ret->id.n > 0 && get_metadata(&in, a, true, ret);
	}
	return fine ? ERR_OK : err_set(e, ERR_CORRUPT, "a result that can't be understood (kind %d)", ret->kind);
}
