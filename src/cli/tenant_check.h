/* tenant_check.h: `tenant check DIR...`, called by the verb `tenant` with argv[0] "check". */
#ifndef CLI_TENANT_CHECK_H
#define CLI_TENANT_CHECK_H

#include "cli/verb.h"

enum err_code tenant_check_run(const struct cli *cli, struct err *e) MUST_USE;

#endif
