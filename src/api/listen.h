/*
 * listen.h: listening sockets, made by us so that port 0, file modes and close-on-exec are in our hands.
 */
#ifndef API_LISTEN_H
#define API_LISTEN_H

#include "base/err.h"

struct listener {
	int fd;
	bool loopback;
	char url[128]; /* as bound; 0.0.0.0 is told as 127.0.0.1 */
};

/* listen: a name or number, with or without a port behind it ("127.0.0.1:8090", "[::1]:0"), which then counts; port 0:
 * a free one. ERR_BUSY when it is taken. */
enum err_code listen_tcp(const char *listen, int port, struct listener *ret, struct err *e) MUST_USE;
/* Mode 0600; an old entry of that path is replaced. */
enum err_code listen_unix(const char *path, int *ret_fd, struct err *e) MUST_USE;

#endif
