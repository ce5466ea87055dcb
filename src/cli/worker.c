/* worker.c: the hidden verb `__worker`: one tenant's ingestion process, started by the manager (manager/worker.c). */
#include "base/log.h"
#include "cli/serve_log.h"
#include "cli/verb.h"
#include "manager/manager.h"

#include <stdlib.h>

static enum err_code run(const struct cli *cli, struct err *e)
{
	struct conf *conf;
	const char *data, *tenant = cli_get(cli, "tenant"), *epoch = cli_get(cli, "epoch");
	enum err_code rc = cli_conf(cli, &conf, e);
	if (!rc)
		rc = cli_data_dir(cli, &data, e);
	if (rc)
		return rc;
	if (!tenant || !epoch)
		return err_set(e, ERR_USAGE, "__worker needs --tenant and --epoch; the manager starts it");
	serve_log_setup(conf, "worker");
	return worker_main(data, tenant, strtoll(epoch, NULL, 10), conf, cli->stop, e);
}

static const struct cli_option options[] = {
    {"tenant", 0, "ID", "whose outputs to ingest", NULL},
    {"epoch", 0, "N", "fences older workers", NULL},
    {0},
};

const struct verb verb_worker = {
    .name = "__worker",
    .usage = "--tenant ID --epoch N",
    .summary = "ingest a tenant's waiting outputs (started by the manager)",
    .options = options,
    .min_args = 0,
    .max_args = 0,
    .run = run,
    .hidden = true,
};
