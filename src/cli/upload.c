/* upload.c: `mysimbdp upload TENANT FILE...`: sends files to a running platform, one result line each. */
#include "base/clock.h"
#include "base/fd.h"
#include "cli/client.h"
#include "cli/term.h"

#include <inttypes.h>
#include <string.h>

#define EXIT_REFUSED 2

static void tick(void *ctx, uint64_t sent, uint64_t total)
{
	struct progress *bar = ctx;
	bar->total = total;
	progress_update(bar, sent, NULL);
}

/* One line for people: what happened, the id, the name, how big and how fast, what happens next. */
static void print_taken(const struct cli *cli, const struct json *f, int status, double took)
{
	const struct style *s = style_get(cli->colour_out);
	char size[32], rate[32];
	uint64_t n = (uint64_t)json_get_int(f, "size", 0);
	bool fresh = status == 201;
	printf("%s%-8s%s %s%-6s%s %s  %s%s", fresh ? s->green : s->cyan, fresh ? "taken" : "already", s->reset, s->bold,
	       json_get_str(f, "id", "?"), s->reset, json_get_str(f, "name", "?"), s->dim, human_bytes(n, size));
	if (fresh && took > 0)
		printf(", %s/s", human_bytes((uint64_t)((double)n / took), rate));
	const char *next = json_get_str(f, "status", "");
	printf("; %s%s%s%s\n", json_get_str(f, "state", ""), *next ? ": " : "", next, s->reset);
}

static void print_refused(const struct cli *cli, const char *name, const struct err *e, int status)
{
	const struct style *s = style_get(cli->colour_out);
	printf("%s%-8s%s %-6s %s  %s\n", s->red, "refused", s->reset, "", name, e->msg);
	if (e->hint[0])
		printf("%16s%s%s%s\n", "", s->dim, e->hint, s->reset);
	(void)status;
}

static void json_refused(struct jsonw *w, const char *name, const struct err *e, int status)
{
	jsonw_begin(w, '{');
	jsonw_kstr(w, "id", NULL);
	jsonw_kstr(w, "name", name);
	jsonw_kstr(w, "state", "refused");
	jsonw_kstr(w, "status", e->msg);
	jsonw_kint(w, "http", status);
	jsonw_kstr(w, "code", err_info(e->code)->name);
	jsonw_kstr(w, "hint", e->hint);
	jsonw_end(w, '}');
}

/* An answer about the file itself; anything else (no server, no token, no tenant) ends the command. */
static bool about_file(enum err_code code, int status)
{
	return status == 400 || status == 409 || status == 413 || status == 415 || (!status && code == ERR_NOT_FOUND) ||
	       (!status && code == ERR_INVALID) || (!status && code == ERR_IO);
}

static enum err_code send_one(const struct cli *cli, struct client *c, const char *tenant, const char *file,
			      struct jsonw *w, unsigned *refused, struct err *e)
{
	const char *name = cli_get(cli, "name");
	struct progress bar;
	int64_t began = clock_mono_ns();
	struct json *answer = NULL;
	int status = 0;
	if (!name)
		name = path_base(file);
	progress_start(&bar, cli, name, 0);
	enum err_code code = client_upload_as(c, tenant, file, name, tick, &bar, cli->arena, &answer, &status, e);
	progress_end(&bar);
	if (code && !about_file(code, status))
		return code;
	const struct json *files = json_get(answer, "files");
	if (code) {
		++*refused;
		if (cli->json)
			json_refused(w, name, e, status);
		else
			print_refused(cli, name, e, status);
		*e = (struct err){0};
	} else if (cli->json && files && files->child) {
		jsonw_json(w, files->child);
	} else if (files && files->child) {
		print_taken(cli, files->child, status, (double)(clock_mono_ns() - began) / 1e9);
	}
	fflush(stdout);
	return ERR_OK;
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	const char *tenant = cli->argv[0];
	struct client *c;
	struct buf out;
	struct jsonw w;
	unsigned refused = 0;
	if (cli_has(cli, "name") && cli->argc > 2)
		return err_set(e, ERR_USAGE, "--name goes with one file, %d were given", cli->argc - 1);
	for (int i = 1; i < cli->argc; i++)
		if (strcmp(cli->argv[i], "-") == 0 && !cli_has(cli, "name"))
			return err_set(e, ERR_USAGE, "standard input has no name: say --name NAME");
	enum err_code code = client_open(cli, &c, e);
	if (code)
		return code;
	buf_init(&out, 64u << 20);
	jsonw_init(&w, &out);
	w.pretty = true;
	jsonw_begin(&w, '{');
	jsonw_kstr(&w, "tenant", tenant);
	jsonw_key(&w, "files");
	jsonw_begin(&w, '[');
	for (int i = 1; i < cli->argc && !code; i++)
		code = send_one(cli, c, tenant, cli->argv[i], &w, &refused, e);
	jsonw_end(&w, ']');
	jsonw_end(&w, '}');
	if (cli->json && !code)
		cli_print_json(cli, (struct span){out.p, out.n});
	if (refused)
		*cli->exit_code = EXIT_REFUSED;
	buf_done(&out);
	client_close(c);
	return code;
}

static const struct cli_option options[] = {
    {"name", 'n', "NAME", "upload under this name (one file; needed for standard input)", NULL},
    {0},
};

const struct verb verb_upload = {
    .name = "upload",
    .usage = "TENANT FILE...",
    .summary = "send files to a tenant's staging directory",
    .options = options,
    .min_args = 2,
    .max_args = -1,
    .help =
	"A file is known by its name and its content: sending the same again does nothing and says \"already\", so a\n"
	"broken upload is simply repeated. FILE \"-\" is standard input and needs --name.\n\n"
	"  mysimbdp upload client_b reviews.csv\n"
	"  zcat big.csv.gz | mysimbdp upload client_a - --name big.csv\n\n"
	"exit codes: 0 all taken, 2 a file was refused, 3 no answer, 4 interrupted",
    .run = run,
};
