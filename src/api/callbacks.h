/* callbacks.h: what libmicrohttpd calls (server.c); cls is the struct api. */
#ifndef API_CALLBACKS_H
#define API_CALLBACKS_H

#include "api/server.h"

void *on_uri(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
			   const char *version, const char *data, size_t *size, void **con);
void on_completed(void *cls, struct MHD_Connection *mhd, void **con, enum MHD_RequestTerminationCode why);
void on_connection(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode what);
void *watch_connections(void *cls); /* a thread */

#endif
