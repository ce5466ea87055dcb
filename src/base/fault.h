/*
 * fault.h: named points where a test can make the program fail, wait or die.
 *
 *   if (fault_hit("sink.commit.before")) return err_set(e, ERR_IO, "fault sink.commit.before");
 *
 * MYSIMBDP_FAULT="sink.commit.before=kill@3,upload.write=error@1,gate.batch=delay:50" arms points: kill (SIGKILL to
 * ourselves), error (fault_hit returns true), enospc (fault_hit returns true and errno is ENOSPC), delay:MS; @N is the
 * N-th passage (default 1; "@*": every one). Not armed, a point is one load and one branch.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

extern bool fault_armed_; /* set once by fault_setup, before threads start */
void fault_setup(void);	  /* reads MYSIMBDP_FAULT */
bool fault_check_(const char *name);

static inline bool fault_hit(const char *name)
{
	return __builtin_expect(fault_armed_, 0) && fault_check_(name);
}

#endif
