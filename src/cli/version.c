/* version.c: `mysimbdp version`. */
#include "base/json.h"
#include "cli/verb.h"

#include <stdio.h>

static enum err_code run(const struct cli *cli, struct err *e)
{
	if (cli->json)
		printf("{\"name\":\"mysimbdp\",\"version\":\"%s\"}\n", MYSIMBDP_VERSION);
	else
		printf("mysimbdp %s\n", MYSIMBDP_VERSION);
	return ERR_OK;
}

const struct verb verb_version = {"version", "", "the version of this program", NULL, 0, 0, NULL, run, false};
