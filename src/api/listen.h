/*
 * listen.h: listening sockets, made by us so that port 0, file modes and close-on-exec are in our hands.
 */
#ifndef API_LISTEN_H
#define API_LISTEN_H

#include "base/err.h"

struct listener {
	int fd;
	bool loopback;
	char url[128];       /* as bound; 0.0.0.0 is told as 127.0.0.1 */
};

/* address: a name or number; port 0: a free one. ERR_BUSY when the port is taken. */
enum err_code listen_tcp(const char *address, int port, struct listener *ret, struct err *e) MUST_USE;
/* Mode 0600; an old entry of that path is replaced. */
enum err_code listen_unix(const char *path, int *ret_fd, struct err *e) MUST_USE;

#endif
