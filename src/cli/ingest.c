/*
 * ingest.c: `mysimbdp ingest`: files to a store, without a running platform.
 *
 * DIR holds everything: KEY_SPACE.db (the tables), ledger.db (which files, and what became of them), quarantine.db
 * (rejected records) and ingest.lock, which one process holds at a time; another waits for it. For a store elsewhere
 * (Cassandra) ledger and quarantine lie in --state.
 */
#include "base/fd.h"
#include "base/hash.h"
#include "cli/documents.h"
#include "cli/rejects.h"
#include "cli/show.h"
#include "cli/term.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_DIR "mysimbdp-state"
#define LOCK_POLL_US 100000
#define SPOOL_BLOCK ((size_t)256 << 10)

struct target {
	const char *dir;
	int lock;
	struct ingest_target t;
};

static void target_close(struct target *g)
{
	if (g->t.sink)
		g->t.sink_class->close(g->t.sink);
	quarantine_close(g->t.quarantine);
	catalog_close(g->t.catalog);
	fd_close(&g->lock);
}

static void tell_waiting(const struct cli *cli, const struct target *g)
{
	char pid[24] = "";
	ssize_t n = pread(g->lock, pid, sizeof(pid) - 1, 0);

	if (n > 0)
		pid[strcspn(pid, "\n")] = 0;
	if (!cli->quiet)
		fprintf(stderr, "mysimbdp: another ingest%s%s writes to \"%s\": waiting for it\n",
			pid[0] ? ", process " : "", pid, g->dir);
}

/* One writer a directory. The kernel gives the lock back when a process dies. */
static enum err_code take_lock(const struct cli *cli, struct target *g, struct err *e)
{
	const char *path = path_join(cli->arena, g->dir, "ingest.lock");
	bool told = false;
	char pid[24];

	if (!path)
		return err_oom(e);
	if (fd_open(path, O_RDWR | O_CREAT, 0600, &g->lock, e))
		return e->code;
	while (flock(g->lock, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, errno, "lock \"%s\"", path);
		if (atomic_load(cli->stop))
			return err_set(e, ERR_INTERRUPTED, "interrupted while another process writes to \"%s\"",
				       g->dir);
		if (!told)
			tell_waiting(cli, g);
		told = true;
		usleep(LOCK_POLL_US);
	}
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(g->lock, 0) != 0)
		return err_sys(e, errno, "write \"%s\"", path);
	return fd_pwrite_all(g->lock, pid, (size_t)n, 0, path, e);
}

static enum err_code target_open(const struct cli *cli, const struct documents *d, struct target *g, struct err *e)
{
	*g = (struct target){.lock = -1, .t.sink_name = "coredms"};
	const char *to, *state = cli_get(cli, "state");
	if (sink_find(cli_get(cli, "to"), &g->t.sink_class, &to, e))
		return e->code;
	if (state && !(g->t.sink_class->caps & SINK_REMOTE))
		return err_set(e, ERR_USAGE, "--state is for stores elsewhere; %s keeps the ledger with its tables",
			       g->t.sink_class->name);
	g->dir = !(g->t.sink_class->caps & SINK_REMOTE) ? to : state ? state : STATE_DIR;
	if (dir_make(g->dir, 0700, e) || take_lock(cli, g, e) || catalog_open_sqlite(g->dir, &g->t.catalog, e) ||
	    quarantine_open(g->dir, &g->t.quarantine, e) || g->t.sink_class->open(to, d->data_file, &g->t.sink, e) ||
	    g->t.sink_class->table(g->t.sink, e))
		return e->code;
	return catalog_epoch_next(g->t.catalog, "", &g->t.epoch, e);
}

/* A stream may have to be read twice, so it goes to an unlinked file first; *ret_path names it. */
static enum err_code spool(const struct cli *cli, const char *from, const char *dir, int *ret_fd, const char **ret_path,
			   struct err *e)
{
	AUTO_FD int opened = -1;
	if (strcmp(from, "-") == 0)
		from = "stdin";
	else if (fd_open(from, O_RDONLY, 0, &opened, e))
		return e->code;
	int in = opened < 0 ? STDIN_FILENO : opened;
	char *path = path_join(cli->arena, dir, ".stream-XXXXXX");
	char *block = malloc(SPOOL_BLOCK);
	AUTO_FD int fd = path ? mkostemp(path, O_CLOEXEC) : -1;
	enum err_code c = ERR_OK;

	if (!path || !block)
		c = err_oom(e);
	else if (fd < 0)
		c = err_sys(e, errno, "make a file in \"%s\"", dir);
	else
		unlink(path);
	while (!c) {
		ssize_t n = read(in, block, SPOOL_BLOCK);
		if (atomic_load(cli->stop))
			c = err_set(e, ERR_INTERRUPTED, "interrupted while reading \"%s\", which can't be resumed",
				    from);
		else if (n < 0 && errno != EINTR)
			c = err_sys(e, errno, "read \"%s\"", from);
		else if (n == 0)
			break;
		else if (n > 0)
			c = fd_write_all(fd, block, (size_t)n, "a copy of the stream", e);
	}
	free(block);
	if (c)
		return c;
	*ret_fd = fd;
	*ret_path = arena_printf(cli->arena, "/proc/self/fd/%d", fd);
	fd = -1;
	return *ret_path ? ERR_OK : err_oom(e);
}

/* The file's identity; a large file shows how far it is, and can be interrupted. */
static enum err_code hash_path(const struct cli *cli, const char *path, char out[SHA256_HEX], uint64_t *ret_size,
			       struct err *e)
{
	AUTO_FD int fd = -1;
	struct progress bar;
	struct sha256 sha;
	struct stat st;
	uint8_t digest[SHA256_LEN];
	size_t n = SPOOL_BLOCK;

	if (fd_open(path, O_RDONLY, 0, &fd, e))
		return e->code;
	progress_start(&bar, cli, path_base(path), fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0);
	char *block = malloc(SPOOL_BLOCK);
	enum err_code c = block ? sha256_init(&sha, e) : err_oom(e);
	*ret_size = 0;
	while (!c && n == SPOOL_BLOCK) {
		if (atomic_load_explicit(cli->stop, memory_order_relaxed))
			c = err_set(e, ERR_INTERRUPTED, "interrupted; nothing of \"%s\" was delivered yet", path);
		else
			c = fd_read_full(fd, block, SPOOL_BLOCK, &n, path, e);
		if (c)
			break;
		sha256_add(&sha, block, n);
		*ret_size += n;
		progress_update(&bar, *ret_size, "identity");
	}
	if (block)
		sha256_done(&sha, digest);
	if (!c)
		sha256_hex(digest, out);
	free(block);
	progress_end(&bar);
	return c;
}

static void tick(void *ctx, const char *phase, uint64_t done, uint64_t total, uint64_t records)
{
	struct progress *p = ctx;
	char n[32], note[64];

	p->total = total;
	snprintf(note, sizeof(note), "%s, %s records", phase, human_count(records, n));
	progress_update(p, done, note);
}

/* Find or make the file's row in the ledger, then everything else is the engine's. */
static enum err_code ingest_one(const struct cli *cli, const struct documents *d, const struct target *g,
				const char *name, const char *path, const char *sha256, uint64_t size,
				struct ingest_result *r, struct err *e)
{
	struct catalog_output out;
	struct progress bar;
	struct ingest_progress ip = {tick, &bar};
	bool existing, again = cli_has(cli, "again") || sha256[0] == 0;

	if (catalog_output_add(g->t.catalog, "", name, size, sha256, again, &existing, cli->arena, &out, e))
		return e->code;
	progress_start(&bar, cli, name, 0);
	enum err_code c = ingest_file(&d->plan, &g->t, path, &out, &ip, r, e);
	progress_end(&bar);
	return c;
}

static void ingest_path(const struct cli *cli, const struct documents *d, const struct target *g, struct show *s,
			const char *path)
{
	AUTO_FD int copy = -1;
	struct ingest_result r = {0};
	struct err e = {0};
	char sha256[SHA256_HEX] = "";
	const char *read_path = path, *name = path_base(path);
	uint64_t size = 0;
	enum err_code c;

	warn_size(cli, d, path);
	if (path_is_stream(path)) {
		if (strcmp(path, "-") == 0)
			name = "stdin";
		c = spool(cli, path, g->dir, &copy, &read_path, &e);
	} else {
		c = hash_path(cli, path, sha256, &size, &e);
	}
	if (!c)
		c = ingest_one(cli, d, g, name, read_path, sha256, size, &r, &e);
	show_file(s, path, sha256, &r, c, &e);
	ingest_result_done(&r);
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct documents d;
	struct target g;
	struct rejects rejects;
	struct show s;
	uint64_t rows = 0;

	if (!cli_get(cli, "to")) {
		err_set(e, ERR_USAGE, "--to is missing: where the records go");
		return err_hint(e, "--to sqlite:DIR makes DIR/KEY_SPACE.db; --to cassandra:HOST makes KEY_SPACE there");
	}
	if (option_uint(cli, "sink-batch", 1, 100000000, &rows, e) || documents_load(cli, &d, e))
		return e->code;
	d.plan.options.sink_rows = (uint32_t)rows;
	enum err_code c = target_open(cli, &d, &g, e);
	if (!c)
		c = rejects_open(cli, &rejects, &d.plan.options, e);
	bool opened = !c;
	if (!c)
		c = show_init(&s, cli, true, e);
	if (!c) {
		for (int i = 0; i < cli->argc && !s.interrupted; i++) {
			rejects_file(&rejects, cli->argv[i]);
			ingest_path(cli, &d, &g, &s, cli->argv[i]);
		}
		show_end(&s);
	}
	struct err late = {0};
	if (opened && rejects_close(&rejects, &late) && !c) {
		c = (*e = late).code;
		*cli->exit_code = -1; /* the error's own */
	}
	target_close(&g);
	cli_documents_done(&d);
	return c;
}

static const struct cli_option options[] = {
    DOCUMENT_OPTIONS,
    {"to", 't', "URI", "where records go: sqlite:DIR, or cassandra:HOST[:PORT][,HOST...][?OPTIONS]", NULL},
    {"state", 0, "DIR", "for Cassandra: where ledger and quarantine are kept (default ./" STATE_DIR ")", "dir"},
    {"again", 0, NULL, "take files again that were delivered before, as newer versions", NULL},
    {"sink-batch", 0, "N", "records a transaction of the store (default 250000)", NULL},
    {0},
};

const struct verb verb_ingest = {
    "ingest",
    "--config DATA-FILE.json [--agreement SERVICE-AGREEMENT.json] --to sqlite:DIR|cassandra:HOST FILE|-...",
    "take files to a store: check, quarantine what is bad, deliver the rest",
    options,
    1,
    -1,
    "Decides about every record as `check` does; the good ones arrive in DIR/KEY_SPACE.db, the bad ones are kept in "
    "the\n"
    "quarantine (`mysimbdp quarantine list --db DIR`). A file is known by its name and SHA-256: a second time nothing "
    "is\n"
    "done (\"already\"); one that was interrupted goes on where it stopped; --again forces a new sequence. Standard "
    "input\n"
    "has no identity and can't be resumed. Two processes on one DIR take turns.\n\n"
    "exit code: 0 all accepted, 1 some records rejected, 2 a file refused (nothing of it delivered), 3 fatal,\n"
    "           4 interrupted (run it again), 78 bad documents\n\n"
    "  mysimbdp ingest --config data-file.json --to sqlite:out reviews.csv\n"
    "  mysimbdp query --db out 'SELECT count(*) FROM product_reviews'\n"
    "  mysimbdp ingest --config data-file.json --to 'cassandra:db1,db2?consistency=LOCAL_QUORUM' reviews.csv",
    run,
    false,
};
