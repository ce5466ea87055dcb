/*
 * users.c: as root, every tenant's apps run as a user of their own, a number that has no entry in /etc/passwd.
 *
 * apps.uid_base (default 2000000000) is the first one; DATA/uids keeps who got which, one "UID TENANT" a line, and is
 * only ever added to: a number is never given to another tenant. Without root, with apps.uid_base 0, or where a
 * separate user could not reach its workspace (no mount namespace, and closed directories above), apps run as we do;
 * then inputs are copied instead of linked, and the run's record says so.
 */
#include "manager/internal.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UIDS_MAX (4 << 20)

void users_setup(struct manager *m)
{
	const char *why = NULL;
	char ws[1024];
	snprintf(ws, sizeof ws, "%s/workspace", m->data);
	if (geteuid() != 0)
		why = "the platform's own: it does not run as root";
	else if (!setting(m, "apps.uid_base"))
		why = "the platform's own: apps.uid_base is 0";
	else if (!runner_can_separate(ws))
		why = "the platform's own: no mount namespaces here, and others may not enter the data directory";
	m->separate_users = !why;
	m->user_note = why;
	if (why && geteuid() == 0)
		log_warn("apps do not get users of their own", LF("reason", "%s", why));
}

/* The tenant's line; else *ret_next is one more than the highest number. */
static uid_t find(char *text, const char *tenant, uid_t base, uid_t *ret_next)
{
	*ret_next = base;
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *name;
		uid_t uid = (uid_t)strtoul(line, &name, 10);
		if (*name == ' ' && !strcmp(name + 1, tenant))
			return uid;
		if (uid >= *ret_next)
			*ret_next = uid + 1;
	}
	return 0;
}

static enum err_code allocate(struct manager *m, const char *tenant, uid_t base, uid_t *ret, struct err *e)
{
	struct arena a;
	struct span old = {"", 0};
	struct buf b;
	uid_t next;
	arena_init(&a, 4 * UIDS_MAX);
	buf_init(&b, UIDS_MAX);
	char *path = path_join(&a, m->data, "uids");
	enum err_code rc = path ? file_read(path, UIDS_MAX, &a, &old, e) : err_oom(e);
	if (rc == ERR_NOT_FOUND)
		rc = ERR_OK;
	if (!rc) {
		buf_span(&b, old);
		char *copy = arena_strndup(&a, old.p, old.n);
		uid_t uid = copy ? find(copy, tenant, base, &next) : 0;
		if (!copy) {
			rc = err_oom(e);
		} else if (!uid) {
			uid = next;
			buf_printf(&b, "%u %s\n", uid, tenant);
			rc = b.failed ? err_oom(e) : file_write_atomic(path, b.p, b.n, 0600, e);
		}
		if (!rc)
			*ret = uid;
	}
	buf_done(&b);
	arena_done(&a);
	return rc;
}

enum err_code user_of(struct manager *m, const char *tenant, uid_t *ret, struct err *e)
{
	*ret = 0;
	if (!m->separate_users)
		return ERR_OK;
	uid_t base = (uid_t)setting(m, "apps.uid_base");
	if (!base)
		return ERR_OK;
	pthread_mutex_lock(&m->lock);
	enum err_code rc = allocate(m, tenant, base, ret, e);
	pthread_mutex_unlock(&m->lock);
	return rc ? err_prefix(e, "give tenant \"%s\" a user", tenant) : ERR_OK;
}
