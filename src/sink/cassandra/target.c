/* target.c: see target.h. */
#include "sink/cassandra/target.h"

#include "base/fd.h"
#include "base/problems.h"
#include "sink/cassandra/message.h"
#include "sink/cassandra/segment.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum kind { NUMBER, TEXT, CONSISTENCY, COMPRESSION, SECRET };

struct option {
	const char *name;
	enum kind kind;
	size_t offset, size; /* size: of a text */
	int64_t least, most;
	const char *standard, *text;
};

#define AT(field) offsetof(struct cql_target, field), sizeof(((struct cql_target *)0)->field)

static const struct option options[] = {
    {"batch_bytes", NUMBER, AT(batch_bytes), 1024, 8 << 20, "65536", "bytes of a batch, which is of one partition"},
    {"batch_rows", NUMBER, AT(batch_rows), 1, 1000, "100", "rows of a batch"},
    {"compression", COMPRESSION, AT(lz4), 0, 1, "none", "none or lz4, on the wire (protocol 5)"},
    {"connections", NUMBER, AT(connections), 1, 8, "1", "connections to each node"},
    {"consistency", CONSISTENCY, AT(consistency), 0, 10, "LOCAL_QUORUM", "ONE, LOCAL_QUORUM, QUORUM, ALL ..."},
    {"dc", TEXT, AT(dc), 0, 0, "", "the data centre to talk to; default: that of the first node that answers"},
    {"password", SECRET, AT(password), 0, 0, "", "env:NAME or file:PATH"},
    {"patience", NUMBER, AT(patience), 1, 3600, "30", "seconds that a request may take with all its repetitions"},
    {"protocol", NUMBER, AT(protocol), 4, 5, "5", "the highest protocol version to try"},
    {"replication", TEXT, AT(replication), 0, 0, "1",
     "of a key space that is made: copies, or dc1:2,dc2:1 for data centres"},
    {"timeout", NUMBER, AT(timeout), 1, 600, "12", "seconds without an answer after which a connection is given up"},
    {"ttl", NUMBER, AT(ttl), 0, 630720000, "0", "seconds after which rows vanish; 0: never"},
    {"user", TEXT, AT(user), 0, 0, "", "name for the password"},
    {"window", NUMBER, AT(window), 1, 4096, "64", "requests in flight at one node, at most"},
};
#define NOPTIONS (sizeof options / sizeof *options)

const char *cql_target_option(unsigned i, const char **ret_text)
{
	if (i >= NOPTIONS)
		return NULL;
	*ret_text = options[i].text;
	return options[i].name;
}

static enum err_code read_secret(const char *reference, char *out, size_t cap, struct err *e)
{
	if (!*reference)
		return ERR_OK;
	if (strncmp(reference, "env:", 4) == 0) {
		const char *v = getenv(reference + 4);
		if (!v || strlen(v) >= cap)
			return err_set(e, ERR_USAGE, "password: the environment has no usable %s", reference + 4);
		memcpy(out, v, strlen(v) + 1);
		return ERR_OK;
	}
	if (strncmp(reference, "file:", 5) != 0) {
		err_set(e, ERR_USAGE, "password: what stands in a command line is no secret");
		return err_hint(e, "write password=env:NAME or password=file:PATH");
	}
	struct arena a;
	struct span s;
	arena_init(&a, 1 << 16);
	enum err_code rc = file_read(reference + 5, cap - 1, &a, &s, e);
	if (!rc) {
		while (s.n && isspace((unsigned char)s.p[s.n - 1]))
			s.n--;
		memcpy(out, s.p, s.n);
		out[s.n] = 0;
		explicit_bzero((void *)s.p, s.n);
	}
	arena_done(&a);
	return rc;
}

static enum err_code set_number(const struct option *o, const char *value, void *field, struct err *e)
{
	char *end;
	long long v = strtoll(value, &end, 10);
	if (end == value || *end || v < o->least || v > o->most)
		return err_set(e, ERR_USAGE, "%s=%s: a number from %lld to %lld is needed", o->name, value,
			       (long long)o->least, (long long)o->most);
	*(int64_t *)field = v;
	return ERR_OK;
}

static enum err_code set_lz4(const char *value, void *field, struct err *e)
{
	bool lz4 = strcasecmp(value, "lz4") == 0;
	if (!lz4 && strcasecmp(value, "none") != 0)
		return err_set(e, ERR_USAGE, "compression=%s: known are none and lz4", value);
	if (lz4 && !lz4_available())
		return err_set(e, ERR_USAGE, "compression=lz4: this program was built without LZ4");
	*(int64_t *)field = lz4;
	return ERR_OK;
}

static enum err_code set(struct cql_target *t, const struct option *o, const char *value, struct err *e)
{
	void *field = (char *)t + o->offset;
	unsigned consistency;
	switch (o->kind) {
	case NUMBER:
		return set_number(o, value, field, e);
	case CONSISTENCY:
		if (!cql_consistency_parse(value, &consistency) || consistency == CQL_ANY ||
		    consistency == CQL_SERIAL || consistency == CQL_LOCAL_SERIAL)
			return err_set(
			    e, ERR_USAGE,
			    "consistency=%s: known are ONE, TWO, THREE, QUORUM, ALL, LOCAL_ONE, LOCAL_QUORUM "
			    "and EACH_QUORUM",
			    value);
		*(int64_t *)field = consistency;
		return ERR_OK;
	case COMPRESSION:
		return set_lz4(value, field, e);
	case SECRET:
		return read_secret(value, field, o->size, e);
	case TEXT:
	default:
		if (strlen(value) >= o->size)
			return err_set(e, ERR_USAGE, "%s: %zu characters are allowed", o->name, o->size - 1);
		memcpy(field, value, strlen(value) + 1);
		return ERR_OK;
	}
}

static enum err_code set_option(struct cql_target *t, char *pair, struct err *e)
{
	const char *names[NOPTIONS];
	char *eq = strchr(pair, '=');
	if (!eq)
		return err_set(e, ERR_USAGE, "\"%s\": options are written name=value", pair);
	*eq = 0;
	for (size_t i = 0; i < NOPTIONS; i++) {
		names[i] = options[i].name;
		if (strcmp(pair, options[i].name) == 0)
			return set(t, &options[i], eq + 1, e);
	}
	const char *near = nearest_name(pair, names, NOPTIONS);
	err_set(e, ERR_USAGE, "Cassandra has no option \"%s\"", pair);
	return near
		   ? err_hint(e, "did you mean %s?", near)
		   : err_hint(e, "known: batch_bytes, batch_rows, compression, connections, consistency, dc, password, "
				 "patience, protocol, replication, timeout, ttl, user, window");
}

/* HOST, HOST:PORT, [IPV6] or [IPV6]:PORT */
static enum err_code set_contact(struct cql_target *t, const char *text, struct err *e)
{
	if (t->ncontact == CQL_CONTACTS_MAX)
		return err_set(e, ERR_USAGE, "more than %d hosts", CQL_CONTACTS_MAX);
	struct cql_contact *c = &t->contact[t->ncontact];
	bool six = text[0] == '[';
	const char *host = six ? text + 1 : text, *stop = six ? strchr(text, ']') : strchrnul(text, ':');
	const char *port = stop && six ? stop + 1 : stop;
	if (!stop || stop == host || (size_t)(stop - host) >= sizeof c->host)
		return err_set(e, ERR_USAGE, "\"%s\" is no host", text);
	const char *digits = *port == ':' ? port + 1 : CQL_PORT;
	size_t n = strlen(digits);
	if ((*port && *port != ':') || n == 0 || n > 5 || strspn(digits, "0123456789") != n)
		return err_set(e, ERR_USAGE, "\"%s\": the port is no number", text);
	memcpy(c->host, host, (size_t)(stop - host));
	c->host[stop - host] = 0;
	memcpy(c->port, digits, n + 1);
	t->ncontact++;
	return ERR_OK;
}

static enum err_code parse(char *copy, struct cql_target *t, struct err *e)
{
	enum err_code rc = ERR_OK;
	char *query = strchr(copy, '?');
	if (query)
		*query++ = 0;
	for (char *p = copy, *next; p && !rc; p = next) {
		next = strchr(p, ',');
		if (next)
			*next++ = 0;
		rc = set_contact(t, p, e);
	}
	for (char *p = query, *next; p && *p && !rc; p = next) {
		next = strchr(p, '&');
		if (next)
			*next++ = 0;
		rc = set_option(t, p, e);
	}
	return rc;
}

enum err_code cql_target_parse(const char *text, struct cql_target *ret, struct err *e)
{
	*ret = (struct cql_target){0};
	enum err_code rc = ERR_OK;
	for (size_t i = 0; i < NOPTIONS && !rc; i++)
		rc = set(ret, &options[i], options[i].standard, e);
	char *copy = strdup(text);
	if (!copy)
		return err_oom(e);
	char unused[600];
	rc = rc ? rc : parse(copy, ret, e);
	rc = rc ? rc : cql_target_replication(ret, unused, sizeof unused, e);
	free(copy);
	if (rc)
		cql_target_done(ret);
	return rc;
}

void cql_target_done(struct cql_target *t)
{
	explicit_bzero(t->password, sizeof t->password);
}

static bool dc_name(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)p[i]) && p[i] != '_' && p[i] != '-' && p[i] != '.')
			return false;
	}
	return n > 0;
}

static bool copies(const char *p, size_t n)
{
	return n > 0 && n < 4 && strspn(p, "0123456789") >= n && p[0] != '0';
}

enum err_code cql_target_replication(const struct cql_target *t, char *out, size_t cap, struct err *e)
{
	const char *p = t->replication;
	struct buf b;
	buf_init(&b, cap - 1);
	bool fine = true;
	if (copies(p, strlen(p))) {
		buf_printf(&b, "{'class': 'SimpleStrategy', 'replication_factor': %s}", p);
	} else {
		buf_str(&b, "{'class': 'NetworkTopologyStrategy'");
		for (const char *next; p && fine; p = next) {
			size_t n = strcspn(p, ",");
			const char *colon = memchr(p, ':', n);
			next = p[n] ? p + n + 1 : NULL;
			fine =
			    colon && dc_name(p, (size_t)(colon - p)) && copies(colon + 1, n - (size_t)(colon + 1 - p));
			if (fine)
				buf_printf(&b, ", '%.*s': %.*s", (int)(colon - p), p, (int)(p + n - colon - 1),
					   colon + 1);
		}
		buf_char(&b, '}');
	}
	if (!fine || b.failed)
		err_set(e, ERR_USAGE, "replication=%s: copies from 1 to 999 are needed, or dc1:2,dc2:1",
			t->replication);
	else
		memcpy(out, buf_cstr(&b), b.n + 1);
	fine = fine && !b.failed;
	buf_done(&b);
	return fine ? ERR_OK : ERR_USAGE;
}
