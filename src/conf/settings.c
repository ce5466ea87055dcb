/* settings.c: every setting: one row each. docs/configuration.md, help and the template are printed from these rows. */
#include "conf/conf.h"

#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define DAY ((int64_t)86400)

const struct conf_row conf_rows[] = {
    {"data", CONF_STRING, "", 0, 0, NULL,
     "Data directory: ledger, staging, workspaces, warehouse. Default: /var/lib/mysimbdp as root, else "
     "$XDG_STATE_HOME/mysimbdp (~/.local/state/mysimbdp).",
     false},
    {"url", CONF_STRING, "http://127.0.0.1:8090", 0, 0, NULL,
     "Where the client verbs (upload, files, status ...) find a running mysimbdp.", false},
    {"token", CONF_STRING, "", 0, 0, NULL,
     "Bearer token of the client verbs. Default: the administrator's of the data directory, when it can be read.",
     true},

    {"api.listen", CONF_STRING, "127.0.0.1", 0, 0, NULL,
     "Address that the REST API listens on; with a port (127.0.0.1:8090) that one counts.", false},
    {"api.port", CONF_INT, "8090", 0, 65535, NULL, "Port of the REST API; 0 takes a free one.", false},
    {"api.max_upload", CONF_BYTES, "10GiB", 1, 1024 * TIB, NULL,
     "Largest upload of any tenant; a tenant's max_file_size_mb may be lower.", false},
    {"api.max_connections", CONF_INT, "256", 1, 65536, NULL, "Connections served at the same time.", false},
    {"api.idle_timeout", CONF_SECONDS, "60s", 1, DAY, NULL, "A connection on which nothing moves is closed after it.",
     false},
    {"api.no_auth", CONF_BOOL, "false", 0, 0, NULL,
     "Answer requests without a token; only on a loopback address, and with a warning.", false},
    {"api.open_metrics", CONF_BOOL, "false", 0, 0, NULL, "Answer /metrics without a token.", false},

    {"api.header_timeout", CONF_SECONDS, "20s", 1, DAY, NULL,
     "A connection whose next request is not there with all its headers after it is closed.", false},

    {"upload.min_free", CONF_BYTES, "1GiB", 0, 1024 * TIB, NULL,
     "Disk space to keep free (never more than 5% of the disk): uploads that would go below are answered 507.", false},
    {"upload.max_parallel", CONF_INT, "64", 1, 65536, NULL,
     "Uploads at the same time; one tenant gets half of them and one more. More are answered 503 with Retry-After.",
     false},
    {"upload.max_files", CONF_INT, "100", 1, 10000, NULL, "Files in one form.", false},

    {"log.level", CONF_CHOICE, "info", 0, 0, "debug|info|warn|error", "The least level that is logged.", false},
    {"log.format", CONF_CHOICE, "auto", 0, 0, "auto|human|logfmt|json",
     "Form of log lines; auto is human on a terminal and logfmt elsewhere.", false},

    {"ingest.source_batch_rows", CONF_INT, "4096", 1, 65536, NULL, "Records that a source connector reads at once.",
     false},
    {"ingest.sink_batch_rows", CONF_INT, "250000", 1, 100000000, NULL, "Records in a transaction of a sink.", false},
    {"ingest.sort_memory", CONF_BYTES, "8MiB", MIB, 64 * GIB, NULL,
     "Memory for sorting records by key; the rest is sorted on disk.", false},
    {"ingest.max_cell", CONF_BYTES, "1MiB", 64, 64 * MIB, NULL, "Longest cell; a longer one is a defect of its record.",
     false},
    {"ingest.max_row", CONF_BYTES, "4MiB", 256, 256 * MIB, NULL,
     "Longest record; a longer one is rejected, and an unclosed quote is given up there.", false},
    {"ingest.decompressed_max", CONF_BYTES, "100GiB", KIB, 1024 * TIB, NULL,
     "Largest size of a compressed file once it is decompressed.", false},

    {"manager.tick", CONF_SECONDS, "1s", 1, 3600, NULL, "How often the batchingestmanager looks at schedules and runs.",
     false},
    {"manager.max_runs", CONF_INT, "16", 1, 1024, NULL,
     "Runs of tenants' apps at the same time; one tenant has at most half of them.", false},
    {"manager.run_attempts", CONF_INT, "3", 1, 100, NULL,
     "A file with which an app failed alone this often is parked; files that fail together are halved first.", false},
    {"manager.retry_delay", CONF_SECONDS, "5s", 0, 3600, NULL,
     "Pause before files of a failed run are tried again; it doubles with each try, up to 10 minutes.", false},
    {"manager.keep_logs", CONF_SECONDS, "2592000s", 0, 3650 * DAY, NULL,
     "How long the output of runs is kept; never longer than the tenant's data_retention_period_days.", false},
    {"manager.output_max", CONF_BYTES, "1MiB", KIB, GIB, NULL, "Output (stdout and stderr) kept of a run.", false},
    {"manager.worker_idle", CONF_SECONDS, "10s", 0, DAY, NULL, "A worker without work ends after this time.", false},
    {"manager.grace", CONF_SECONDS, "10s", 0, 3600, NULL, "Time between SIGTERM and SIGKILL when a run is stopped.",
     false},

    {"apps.uid_base", CONF_INT, "2000000000", 0, 4000000000, NULL,
     "As root, each tenant's apps run as a user of their own, numbered from here; 0: as mysimbdp's own user.", false},
    {"apps.max_processes", CONF_INT, "512", 1, 1000000, NULL, "Processes and threads of a run.", false},
    {"apps.max_output", CONF_BYTES, "100GiB", KIB, 1024 * TIB, NULL, "Bytes that a run may leave in out/.", false},

    {"worker.memory", CONF_BYTES, "256MiB", 32 * MIB, 1024 * GIB, NULL, "Memory limit of a tenant's worker process.",
     false},

    {"retention.interval", CONF_SECONDS, "60s", 1, DAY, NULL,
     "How often files are looked at that data_retention_period_days says to erase.", false},
    {"shutdown.grace", CONF_SECONDS, "60s", 0, DAY, NULL,
     "Time for uploads and runs to end after SIGTERM; what is left is dealt anew at the next start.", false},
};

const size_t conf_nrows = sizeof conf_rows / sizeof *conf_rows;
