/*
 * schema.c: the tables of ledger.db, as steps from format to format. A step that was released is never changed: a new
 * format is a new step, CATALOG_FORMAT goes up by one, and docs/ledger.md says what is new.
 *
 * application_id is "mbdL". Everything that is listed has an index that gives its order; counts come from covering
 * indexes. Text of tenants' documents is kept for each version.
 */
#include "catalog/ledger.h"

static const char step_0_to_1[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"

    "CREATE TABLE tenant(id TEXT PRIMARY KEY, fold TEXT NOT NULL UNIQUE, created_us INTEGER NOT NULL,"
    " updated_us INTEGER NOT NULL, paused INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE document(tenant TEXT NOT NULL, version INTEGER NOT NULL, data_file TEXT NOT NULL,"
    " agreement TEXT NOT NULL, at_us INTEGER NOT NULL, PRIMARY KEY(tenant, version)) WITHOUT ROWID;"
    /* KEY_SPACE.TABLE in lower case -> its owner; versions of rows already given out end below next_version */
    "CREATE TABLE registry(fold TEXT PRIMARY KEY, name TEXT NOT NULL, tenant TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE version_range(fold TEXT PRIMARY KEY, next_version INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE token(digest BLOB PRIMARY KEY, owner TEXT NOT NULL UNIQUE, at_us INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE epoch(tenant TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;"

    "CREATE TABLE file(id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, name TEXT NOT NULL,"
    " size INTEGER NOT NULL, sha256 TEXT NOT NULL, state INTEGER NOT NULL, status TEXT NOT NULL,"
    " run INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, received_us INTEGER NOT NULL,"
    " updated_us INTEGER NOT NULL);"
    "CREATE INDEX file_name ON file(name, tenant, id);"
    "CREATE INDEX file_tenant ON file(tenant, id);"
    "CREATE INDEX file_tenant_state ON file(tenant, state, id, size, received_us);"
    "CREATE INDEX file_state ON file(state, id, size, received_us);"
    "CREATE INDEX file_run ON file(run) WHERE run <> 0;"
    "CREATE TABLE event(id INTEGER PRIMARY KEY, file INTEGER NOT NULL, at_us INTEGER NOT NULL, what TEXT NOT NULL,"
    " text TEXT NOT NULL);"
    "CREATE INDEX event_file ON event(file, id);"

    "CREATE TABLE run(id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, app TEXT NOT NULL,"
    " trigger TEXT NOT NULL, state INTEGER NOT NULL, reason TEXT NOT NULL, scheduled_us INTEGER NOT NULL,"
    " started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL, repeats INTEGER NOT NULL, files_in INTEGER NOT NULL,"
    " files_out INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, records_in INTEGER NOT NULL,"
    " records_out INTEGER NOT NULL, exit_code INTEGER NOT NULL, signal INTEGER NOT NULL, cpu_us INTEGER NOT NULL,"
    " peak_bytes INTEGER NOT NULL, limits TEXT NOT NULL, pid INTEGER NOT NULL, pid_start INTEGER NOT NULL,"
    " cgroup TEXT NOT NULL);"
    "CREATE INDEX run_tenant ON run(tenant, app, id);"
    "CREATE INDEX run_newest ON run(tenant, id);"
    "CREATE TABLE run_file(run INTEGER NOT NULL, file INTEGER NOT NULL, PRIMARY KEY(run, file)) WITHOUT ROWID;"
    "CREATE TABLE schedule(tenant TEXT NOT NULL, app TEXT NOT NULL, last_us INTEGER NOT NULL,"
    " PRIMARY KEY(tenant, app)) WITHOUT ROWID;"

    /* records, accepted, rejected are what the gate said; delivered, superseded, refused the sums of delivery;
     * replayed and replayed_sink what came out of the quarantine later. Readers see rejected - replayed and so on. */
    "CREATE TABLE output(id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, tenant TEXT NOT NULL,"
    " name TEXT NOT NULL, source TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, state INTEGER NOT NULL,"
    " reason TEXT NOT NULL DEFAULT '', version_base INTEGER NOT NULL DEFAULT 0,"
    " version_rows INTEGER NOT NULL DEFAULT 0, document_version INTEGER NOT NULL DEFAULT 0,"
    " records INTEGER NOT NULL DEFAULT 0, accepted INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,"
    " delivered INTEGER NOT NULL DEFAULT 0, superseded INTEGER NOT NULL DEFAULT 0,"
    " refused INTEGER NOT NULL DEFAULT 0, replayed INTEGER NOT NULL DEFAULT 0,"
    " replayed_sink INTEGER NOT NULL DEFAULT 0, verdict TEXT NOT NULL DEFAULT '',"
    " created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL);"
    "CREATE INDEX output_identity ON output(tenant, name, sha256, id);"
    "CREATE INDEX output_tenant_state ON output(tenant, state, id);"
    "CREATE INDEX output_state ON output(state, id);"
    "CREATE INDEX output_run ON output(run, id);"
    "CREATE INDEX output_counts ON output(tenant, state, records, accepted, rejected, delivered, refused, replayed,"
    " replayed_sink);"
    "CREATE TABLE delivery(output INTEGER NOT NULL, sink TEXT NOT NULL, first INTEGER NOT NULL,"
    " last INTEGER NOT NULL, delivered INTEGER NOT NULL, superseded INTEGER NOT NULL, refused INTEGER NOT NULL,"
    " at_us INTEGER NOT NULL, PRIMARY KEY(output, sink, first)) WITHOUT ROWID;"

    "CREATE TABLE job(id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, kind TEXT NOT NULL,"
    " params TEXT NOT NULL, state INTEGER NOT NULL, epoch INTEGER NOT NULL DEFAULT 0, result TEXT NOT NULL DEFAULT '',"
    " created_us INTEGER NOT NULL, ended_us INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX job_open ON job(tenant, id) WHERE state < 2;"
    "CREATE TABLE erasure(id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, tenant TEXT NOT NULL, kind TEXT NOT NULL,"
    " ref INTEGER NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL, why TEXT NOT NULL);"
    "CREATE INDEX erasure_tenant ON erasure(tenant, id);"
    "CREATE TABLE child(pid INTEGER NOT NULL, pid_start INTEGER NOT NULL, kind TEXT NOT NULL, tenant TEXT NOT NULL,"
    " cgroup TEXT NOT NULL, ref INTEGER NOT NULL, PRIMARY KEY(pid, pid_start)) WITHOUT ROWID;"
    "PRAGMA application_id = 1835164748;"
    "PRAGMA user_version = 1;";

/* Which table an output's versions belong to, so that `ledger check` knows where to look for its rows. */
static const char step_1_to_2[] = "ALTER TABLE output ADD COLUMN tbl TEXT NOT NULL DEFAULT '';"
				  "PRAGMA user_version = 2;";

static const char *const steps[] = {step_0_to_1, step_1_to_2};
_Static_assert(sizeof steps / sizeof *steps == CATALOG_FORMAT, "one step for each format");

const struct db_format ledger_format = {"ledger", 1835164748, steps, CATALOG_FORMAT};
