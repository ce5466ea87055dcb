/* control.c */
#include "api/server.h"
enum err_code control_start(struct api *a, struct err *e)
{
	(void)a, (void)e;
	return ERR_OK;
}

void control_stop(struct api *a)
{
	(void)a;
}
