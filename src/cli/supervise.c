/* supervise.c: the hidden verb `__supervise SPEC`: the process between the manager and an app (runner/supervise.c). */
#include "cli/verb.h"
#include "runner/runner.h"

static enum err_code run(const struct cli *cli, struct err *e)
{
	(void)e;
	*cli->exit_code = runner_supervise(cli->argv[0]);
	return ERR_OK;
}

static const struct cli_option options[] = {{0}};
const struct verb verb_supervise = {
    .name = "__supervise",
    .usage = "SPEC",
    .summary = "supervise one run of an app (started by the manager)",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
    .hidden = true,
};
