/* listen.c: the listening sockets: TCP on api.listen, and DATA/control.sock for workers. */
#include "api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 511

static enum err_code resolve(const char *address, int port, struct sockaddr_storage *ret, socklen_t *ret_n,
			     struct err *e)
{
	char service[8];
	snprintf(service, sizeof service, "%d", port);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list;
	int rc = getaddrinfo(strcmp(address, "localhost") == 0 ? "127.0.0.1" : address, service, &hints, &list);
	if (rc) {
		err_set(e, ERR_CONFIG, "api.listen is \"%s\": %s", address, gai_strerror(rc));
		return err_hint(e, "use an address of this machine, for instance 127.0.0.1 or 0.0.0.0");
	}
	memcpy(ret, list->ai_addr, list->ai_addrlen);
	*ret_n = list->ai_addrlen;
	freeaddrinfo(list);
	return ERR_OK;
}

/* Where we really listen, as people and clients write it. */
static enum err_code describe(int fd, struct listener *ret, struct err *e)
{
	struct sockaddr_storage bound;
	socklen_t n = sizeof bound;
	char host[INET6_ADDRSTRLEN + 20] = "", port[8] = "";
	if (getsockname(fd, (struct sockaddr *)&bound, &n) ||
	    getnameinfo((struct sockaddr *)&bound, n, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV))
		return err_sys(e, errno, "ask a socket for its address");
	ret->loopback = strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
	if (strcmp(host, "0.0.0.0") == 0)
		memcpy(host, "127.0.0.1", 10);
	else if (strcmp(host, "::") == 0)
		memcpy(host, "::1", 4);
	bool v6 = strchr(host, ':') != NULL;
	snprintf(ret->url, sizeof ret->url, "http://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
	return ERR_OK;
}

/* "127.0.0.1:8090" and "[::1]:8090" carry a port; "::1" does not. */
static enum err_code split(const char *listen, int *port, char host[256], struct err *e)
{
	const char *colon = strrchr(listen, ':');
	bool bracket = listen[0] == '[';
	if (colon && !bracket && strchr(listen, ':') != colon)
		colon = NULL;
	if (colon && bracket && colon[-1] != ']')
		colon = NULL;
	size_t n = colon ? (size_t)(colon - listen) : strlen(listen);
	if (bracket && n >= 2 && listen[n - 1] == ']')
		snprintf(host, 256, "%.*s", (int)(n - 2), listen + 1);
	else
		snprintf(host, 256, "%.*s", (int)n, listen);
	if (!colon)
		return ERR_OK;
	char *end;
	long value = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end || value < 0 || value > 65535)
		return err_set(e, ERR_CONFIG, "api.listen is \"%s\": \"%s\" is no port (0 to 65535)", listen,
			       colon + 1);
	*port = (int)value;
	return ERR_OK;
}

enum err_code listen_tcp(const char *text, int port, struct listener *ret, struct err *e)
{
	struct sockaddr_storage sa = {0};
	socklen_t n = 0;
	char address[256];
	enum err_code code = split(text, &port, address, e);
	if (!code)
		code = resolve(address, port, &sa, &n, e);
	if (code)
		return code;
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	if (fd < 0)
		return err_sys(e, errno, "make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&sa, n) || listen(fd, BACKLOG)) {
		int sys = errno;
		close(fd);
		if (sys != EADDRINUSE)
			return err_sys(e, sys, "listen on %s port %d", address, port);
		err_set(e, ERR_BUSY, "port %d of %s is taken by another program", port, address);
		return err_hint(
		    e,
		    "stop that program (ss -ltnp shows it), or choose another: --set api.port=8091 (0: any free one)");
	}
	struct listener l = {.fd = fd};
	code = describe(fd, &l, e);
	if (code)
		close(fd);
	else
		*ret = l;
	return code;
}

enum err_code listen_unix(const char *path, int *ret_fd, struct err *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof sa.sun_path) {
		err_set(e, ERR_CONFIG, "the path \"%s\" is too long for a socket (%zu bytes at most)", path,
			sizeof sa.sun_path - 1);
		return err_hint(e, "choose a data directory with a shorter path: --data DIR");
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	unlink(path); /* the data directory's lock says that nobody else listens there */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, errno, "make a socket");
	/* fchmod before bind decides the mode of the entry, so there is no moment with a wider one. */
	if (fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&sa, sizeof sa) || chmod(path, 0600) ||
	    listen(fd, BACKLOG)) {
		int sys = errno;
		close(fd);
		return err_sys(e, sys, "listen on \"%s\"", path);
	}
	*ret_fd = fd;
	return ERR_OK;
}
