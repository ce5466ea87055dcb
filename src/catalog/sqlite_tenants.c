/* sqlite_tenants.c: tenants, the versions of their documents, the tables they registered, tokens. */
#include "catalog/ledger.h"

#include <ctype.h>
#include <string.h>

#define NAME_MAX_ 256

static void fold_lower(const char *s, char out[NAME_MAX_])
{
	size_t i = 0;
	for (; i < NAME_MAX_ - 1 && s[i]; i++)
		out[i] = (char)tolower((unsigned char)s[i]);
	out[i] = 0;
}

/* As Kubernetes will know the tenant: '_' is no letter of its names. */
static void fold_id(const char *s, char out[NAME_MAX_])
{
	fold_lower(s, out);
	for (char *p = out; *p; p++) {
		if (*p == '_')
			*p = '-';
	}
}

static enum err_code id_free(struct tx *tx, const char *id, const char *fold, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code =
	    db_query(tx->db, &st, e, "SELECT id FROM tenant WHERE fold = ?1 AND id <> ?2", "tt", fold, id);
	if (code || (code = db_next(tx->db, st, &row, e)) || !row)
		return code;
	err_set(e, ERR_CONFLICT, "tenant \"%s\" collides with \"%s\", which exists: both become \"%s\" in Kubernetes",
		id, db_text(st, 0), fold);
	db_reset(st);
	return err_hint(e, "choose another \"client\" in the service agreement");
}

/* Tables once registered stay registered: their rows are still there after a change of the documents. */
static enum err_code table_register(struct tx *tx, const char *id, const char *table, struct err *e)
{
	char fold[NAME_MAX_];
	sqlite3_stmt *st;
	bool row;
	if (strlen(table) >= NAME_MAX_)
		return err_set(e, ERR_INVALID, "the name of table \"%.60s...\" is too long", table);
	fold_lower(table, fold);
	enum err_code code =
	    db_query(tx->db, &st, e, "SELECT tenant FROM registry WHERE fold = ?1 AND tenant <> ?2", "tt", fold, id);
	if (code || (code = db_next(tx->db, st, &row, e)))
		return code;
	if (row) {
		/* Whose it is, is nobody else's business. */
		db_reset(st);
		err_set(e, ERR_CONFLICT, "table \"%s\" is registered by another tenant", table);
		return err_hint(e, "choose another key_space or schema name");
	}
	return db_exec(tx->db, e,
		       "INSERT INTO registry(fold, name, tenant) VALUES(?1, ?2, ?3) "
		       "ON CONFLICT(fold) DO UPDATE SET name = excluded.name",
		       "ttt", fold, table, id);
}

/* The version in force and whether its texts are the same ones; 0 when there is no such tenant. */
static enum err_code version_now(struct tx *tx, const char *id, const char *data_file, const char *agreement,
				 int64_t *ret, bool *ret_same, struct err *e)
{
	sqlite3_stmt *st;
	bool row;
	enum err_code code = db_query(tx->db, &st, e,
				      "SELECT t.version, d.data_file = ?2 AND d.agreement = ?3 FROM tenant t "
				      "JOIN document d ON d.tenant = t.id AND d.version = t.version WHERE t.id = ?1",
				      "ttt", id, data_file, agreement);
	if (code || (code = db_next(tx->db, st, &row, e)))
		return code;
	*ret = row ? db_int(st, 0) : 0;
	*ret_same = row && db_int(st, 1);
	db_reset(st);
	return ERR_OK;
}

static enum err_code tenant_put_in(struct tx *tx, const char *id, const char *data_file, const char *agreement,
				   const char *const *tables, int64_t *ret_version, struct err *e)
{
	char fold[NAME_MAX_];
	int64_t version;
	bool same;
	fold_id(id, fold);
	enum err_code code = id_free(tx, id, fold, e);
	for (size_t i = 0; !code && tables && tables[i]; i++)
		code = table_register(tx, id, tables[i], e);
	if (code || (code = version_now(tx, id, data_file, agreement, &version, &same, e)))
		return code;
	if (!same) {
		version++;
		code = db_exec(
		    tx->db, e,
		    "INSERT INTO tenant(id, fold, created_us, updated_us, version) "
		    "VALUES(?1, ?2, ?3, ?3, ?4) ON CONFLICT(id) DO UPDATE SET updated_us = excluded.updated_us, "
		    "version = excluded.version",
		    "ttii", id, fold, tx->now, version);
		if (!code)
			code = db_exec(tx->db, e,
				       "INSERT INTO document(tenant, version, data_file, agreement, at_us) "
				       "VALUES(?1, ?2, ?3, ?4, ?5)",
				       "titti", id, version, data_file, agreement, tx->now);
	}
	if (!code)
		*ret_version = version;
	return code;
}

static enum err_code tenant_put(struct catalog *c, const char *id, const char *data_file, const char *agreement,
				const char *const *tables, int64_t *ret_version, struct err *e)
{
	struct tx tx;
	int64_t version = 0;
	if (!id[0] || strlen(id) >= NAME_MAX_)
		return err_set(e, ERR_INVALID, "\"%.60s\" is no tenant id", id);
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = tenant_put_in(&tx, id, data_file, agreement, tables, &version, e);
	code = tx_end(&tx, code, e);
	if (!code && ret_version)
		*ret_version = version;
	return code;
}

#define TENANT_SELECT                                                                                                  \
	"SELECT t.id, t.created_us, t.updated_us, t.paused, d.version, d.data_file, d.agreement FROM tenant t "        \
	"JOIN document d ON d.tenant = t.id "

static enum err_code tenant_from_row(sqlite3_stmt *st, struct arena *a, struct catalog_tenant *ret, struct err *e)
{
	*ret = (struct catalog_tenant){
	    .id = db_text_copy(st, 0, a),
	    .created_us = db_int(st, 1),
	    .updated_us = db_int(st, 2),
	    .paused = db_int(st, 3) != 0,
	    .version = db_int(st, 4),
	    .data_file = db_text_copy(st, 5, a),
	    .agreement = db_text_copy(st, 6, a),
	};
	return ret->id && ret->data_file && ret->agreement ? ERR_OK : err_oom(e);
}

static enum err_code one_tenant(struct db *d, sqlite3_stmt *st, const char *id, struct arena *a,
				struct catalog_tenant *ret, struct err *e)
{
	bool row;
	enum err_code code = db_next(d, st, &row, e);
	if (code)
		return code;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "there is no tenant \"%s\"", id);
	struct catalog_tenant t;
	code = tenant_from_row(st, a, &t, e);
	db_reset(st);
	if (!code)
		*ret = t;
	return code;
}

static enum err_code tenant_get(struct catalog *c, const char *id, struct arena *a, struct catalog_tenant *ret,
				struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	enum err_code code = guard_tenant(c, id, "the tenant", e);
	if (code || (code = rd_begin(c, &d, e)))
		return code;
	code = db_query(d, &st, e, TENANT_SELECT "AND d.version = t.version WHERE t.id = ?1", "t", id);
	if (!code)
		code = one_tenant(d, st, id, a, ret, e);
	return rd_end(c, d, code);
}

static enum err_code tenant_version(struct catalog *c, const char *id, int64_t version, struct arena *a,
				    struct catalog_tenant *ret, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e, TENANT_SELECT "WHERE t.id = ?1 AND d.version = ?2", "ti", id, version);
	if (!code)
		code = one_tenant(d, st, id, a, ret, e);
	if (code == ERR_NOT_FOUND)
		err_set(e, code, "tenant \"%s\" has no version %lld of its documents", id, (long long)version);
	return rd_end(c, d, code);
}

static enum err_code tenants(struct catalog *c, struct arena *a, struct catalog_tenant **ret, size_t *ret_n,
			     struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	bool row;
	struct list list = {.a = a, .size = sizeof(struct catalog_tenant)};
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e, TENANT_SELECT "AND d.version = t.version ORDER BY t.id", "");
	while (!code && !(code = db_next(d, st, &row, e)) && row) {
		struct catalog_tenant *t = list_add(&list);
		code = t ? tenant_from_row(st, a, t, e) : err_oom(e);
	}
	if (!code) {
		*ret = (void *)list.p;
		*ret_n = list.n;
	}
	return rd_end(c, d, code);
}

static enum err_code tenant_pause(struct catalog *c, const char *id, bool paused, struct err *e)
{
	struct tx tx;
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = db_exec(tx.db, e, "UPDATE tenant SET paused = ?2, updated_us = ?3 WHERE id = ?1", "tdi", id, (int)paused,
		       tx.now);
	if (!code && db_changes(tx.db) == 0)
		code = err_set(e, ERR_NOT_FOUND, "there is no tenant \"%s\"", id);
	return tx_end(&tx, code, e);
}

static enum err_code token_put(struct catalog *c, const uint8_t digest[SHA256_LEN], const char *owner, struct err *e)
{
	struct tx tx;
	struct span bytes = {(const char *)digest, SHA256_LEN};
	enum err_code code = tx_begin(c, DURABLE, &tx, e);
	if (code)
		return code;
	code = db_exec(tx.db, e, "DELETE FROM token WHERE owner = ?1", "t", owner);
	if (!code)
		code = db_exec(tx.db, e, "INSERT INTO token(digest, owner, at_us) VALUES(?1, ?2, ?3)", "bti", bytes,
			       owner, tx.now);
	return tx_end(&tx, code, e);
}

static enum err_code token_find(struct catalog *c, const uint8_t digest[SHA256_LEN], struct arena *a,
				const char **ret_owner, struct err *e)
{
	struct db *d;
	sqlite3_stmt *st;
	bool row;
	struct span bytes = {(const char *)digest, SHA256_LEN};
	enum err_code code = rd_begin(c, &d, e);
	if (code)
		return code;
	code = db_query(d, &st, e, "SELECT owner FROM token WHERE digest = ?1", "b", bytes);
	if (!code)
		code = db_next(d, st, &row, e);
	if (!code && !row)
		code = err_set(e, ERR_NOT_FOUND, "the token is unknown");
	if (!code) {
		const char *owner = db_text_copy(st, 0, a);
		if (owner)
			*ret_owner = owner;
		else
			code = err_oom(e);
	}
	return rd_end(c, d, code);
}

void ledger_tenant_ops(struct catalog_ops *o)
{
	o->tenant_put = tenant_put;
	o->tenant_get = tenant_get;
	o->tenant_version = tenant_version;
	o->tenants = tenants;
	o->tenant_pause = tenant_pause;
	o->token_put = token_put;
	o->token_find = token_find;
}
