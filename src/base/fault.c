/* fault.c: the list of armed points is read once; passages are counted under a lock, so that @N is exact. */
#include "base/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POINTS_MAX 16

enum action { ACTION_KILL, ACTION_ERROR, ACTION_ENOSPC, ACTION_DELAY };

struct point {
	char name[64];
	enum action action;
	long delay_ms, at, seen; /* at 0: every passage */
};

bool fault_armed_;
static struct point points[POINTS_MAX];
static size_t npoints;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void bad(const char *item)
{
	fprintf(stderr, "mysimbdp: MYSIMBDP_FAULT: \"%s\": want NAME=kill|error|enospc|delay:MS[@N|@*]\n", item);
	_exit(64);
}

static void add(char *item)
{
	char *eq = strchr(item, '=');
	if (!eq || npoints == POINTS_MAX || (size_t)(eq - item) >= sizeof points[0].name)
		bad(item);
	struct point *p = &points[npoints++];
	*p = (struct point){.at = 1};
	memcpy(p->name, item, (size_t)(eq - item));
	char *what = eq + 1, *at = strchr(what, '@');
	if (at) {
		p->at = strcmp(at + 1, "*") == 0 ? 0 : strtol(at + 1, NULL, 10);
		*at = 0;
	}
	if (strcmp(what, "kill") == 0)
		p->action = ACTION_KILL;
	else if (strcmp(what, "error") == 0)
		p->action = ACTION_ERROR;
	else if (strcmp(what, "enospc") == 0)
		p->action = ACTION_ENOSPC;
	else if (strncmp(what, "delay:", 6) == 0) {
		p->action = ACTION_DELAY;
		p->delay_ms = strtol(what + 6, NULL, 10);
	} else
		bad(item);
}

void fault_setup(void)
{
	const char *env = getenv("MYSIMBDP_FAULT");
	if (!env || !*env || fault_armed_)
		return;
	char *copy = strdup(env), *save = NULL;
	if (!copy)
		return;
	for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save))
		add(item);
	free(copy);
	fault_armed_ = npoints > 0;
}

bool fault_check_(const char *name)
{
	struct point hit = {0};
	bool found = false;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < npoints && !found; i++) {
		struct point *p = &points[i];
		if (strcmp(p->name, name) == 0 && (++p->seen == p->at || p->at == 0)) {
			hit = *p;
			found = true;
		}
	}
	pthread_mutex_unlock(&lock);
	if (!found)
		return false;
	if (hit.action == ACTION_KILL)
		raise(SIGKILL);
	if (hit.action == ACTION_DELAY) {
		struct timespec t = {hit.delay_ms / 1000, hit.delay_ms % 1000 * 1000000};
		nanosleep(&t, NULL);
		return false;
	}
	errno = hit.action == ACTION_ENOSPC ? ENOSPC : EIO;
	return true;
}
