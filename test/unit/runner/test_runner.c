/*
 * test_runner.c: real process trees: the contract, exit and signal, limits, escapes, time limits, hostile output, and
 * what an earlier incarnation left. The program is its own supervisor: process.c starts /proc/self/exe.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "runner/internal.h"
#include "runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char base[256];
static int64_t next_run = 1;

struct fixture {
	char ws[512], log[600], text[8192];
	const char *argv[8];
	struct run_spec spec;
	struct run_handle h;
	struct run_status st;
};

static void make(const char *ws, const char *sub, mode_t mode, uid_t uid)
{
	char path[700];
	snprintf(path, sizeof path, "%s/%s", ws, sub);
	assert_int_equal(mkdir(path, mode), 0);
	assert_int_equal(chmod(path, mode), 0);
	if (uid)
		assert_int_equal(chown(path, uid, uid), 0);
}

/* A workspace for a shell script. */
static void setup(struct fixture *f, const char *script, uid_t uid)
{
	memset(f, 0, sizeof *f);
	int64_t run = next_run++;
	snprintf(f->ws, sizeof f->ws, "%s/workspace/%" PRId64, base, run);
	snprintf(f->log, sizeof f->log, "%s/%" PRId64 ".log", base, run);
	assert_int_equal(mkdir(f->ws, 0711), 0);
	make(f->ws, "acme", 0711, 0);
	make(f->ws, "acme/in", 0700, uid);
	make(f->ws, "acme/out", 0700, uid);
	make(f->ws, "tmp", 0700, uid);
	f->argv[0] = "/bin/sh";
	f->argv[1] = "-c";
	f->argv[2] = script;
	f->spec = (struct run_spec){.run = run,
				    .tenant = "acme",
				    .app = "default",
				    .workspace = f->ws,
				    .command = f->argv,
				    .log_path = f->log,
				    .grace_s = 2,
				    .uid = uid,
				    .gid = uid};
}

static void run(struct fixture *f)
{
	struct err e = {0};
	if (runner_process.start(&f->spec, &f->h, &e) || runner_process.wait(&f->h, 30000, &f->st, &e))
		fail_msg("%s", e.msg);
	assert_true(f->st.ended);
	runner_process.release(&f->h);
	FILE *l = fopen(f->log, "r");
	size_t n = l ? fread(f->text, 1, sizeof f->text - 1, l) : 0;
	f->text[n] = 0;
	if (l)
		fclose(l);
}

static bool text_has(const char *text, const char *word)
{
	if (strstr(text, word))
		return true;
	print_message("not found: \"%s\" in: %s\n", word, text);
	return false;
}

static void test_contract(void **state)
{
	struct fixture f;
	setup(&f,
	      "echo id=$CLIENT_ID; cd \"$SOURCE_PATH/$CLIENT_ID\" && ls -d in out; umask; echo x >out/a; "
	      "echo \"extra=$EXTRA secret=$SECRET\"; echo oops >&2; ls /proc/self/fd",
	      0);
	const char *const env[] = {"EXTRA=1", NULL};
	f.spec.env = env;
	setenv("SECRET", "must not be seen", 1);
	run(&f);
	assert_int_equal(f.st.exit_code, 0);
	assert_false(f.st.lost || f.st.stopped || f.st.timed_out);
	assert_string_equal(f.st.reason, "");
	assert_true(text_has(f.text, "id=acme\nin\nout\n0077\nextra=1 secret=\noops\n0\n1\n2\n3\n"));
	assert_true(f.st.ended_us >= f.st.started_us && f.st.cpu_us >= 0 && f.st.peak_bytes > 0);
	assert_true(text_has(f.st.limits, "\"cpu\":\"none\""));
}

static void test_exit_and_signal(void **state)
{
	struct fixture f;
	setup(&f, "exit 3", 0);
	run(&f);
	assert_int_equal(f.st.exit_code, 3);
	assert_string_equal(f.st.reason, "exit 3");
	setup(&f, "kill -SEGV $$", 0);
	run(&f);
	assert_int_equal(f.st.exit_code, -1);
	assert_int_equal(f.st.signal, SIGSEGV);
	assert_true(text_has(f.st.reason, "signal 11"));
}

static void test_not_started(void **state)
{
	struct fixture f;
	setup(&f, "", 0);
	f.argv[0] = "no-such-program";
	run(&f);
	assert_int_equal(f.st.exit_code, -1);
	assert_int_equal(f.st.signal, 0);
	assert_true(text_has(f.st.reason, "did not start: cannot start the program \"no-such-program\": No such file"));
	assert_true(text_has(f.text, "did not start"));
}

static void test_time_limit(void **state)
{
	struct fixture f;
	setup(&f, "trap '' TERM; while :; do sleep 0.1; done", 0);
	f.spec.timeout_s = 1;
	f.spec.grace_s = 1;
	int64_t t = clock_mono_ns();
	run(&f);
	assert_true(f.st.timed_out);
	assert_true(text_has(f.st.reason, "wall-clock limit of 1 s"));
	assert_in_range((clock_mono_ns() - t) / 1000000, 1500, 10000);
}

static void test_stop_is_graceful(void **state)
{
	struct fixture f;
	struct err e = {0};
	setup(&f, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done", 0);
	assert_int_equal(runner_process.start(&f.spec, &f.h, &e), ERR_OK);
	assert_int_equal(runner_process.poll(&f.h, &f.st, &e), ERR_OK);
	assert_false(f.st.ended);
	for (int i = 0; i < 500; i++) { /* until the trap is set */
		struct stat st;
		if (!stat(f.log, &st) && st.st_size)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	assert_int_equal(runner_process.stop(&f.h, 5, &f.st, &e), ERR_OK);
	assert_true(f.st.ended && f.st.stopped);
	assert_int_equal(f.st.exit_code, 0);
	runner_process.release(&f.h);
}

/* Is a process with this argument alive? */
static bool alive(const char *mark)
{
	char cmd[128];
	snprintf(cmd, sizeof cmd, "grep -lsa '%s' /proc/[0-9]*/cmdline | grep -qv self", mark);
	(void)cmd;
	bool found = false;
	for (int pid = 2; pid < 4194304 && !found; pid++) {
		char path[64], text[512];
		snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
		int fd = open(path, O_RDONLY);
		if (fd < 0) {
			if (pid > 200000)
				break;
			continue;
		}
		ssize_t n = read(fd, text, sizeof text - 1);
		close(fd);
		found = n > 0 && memmem(text, (size_t)n, mark, strlen(mark));
	}
	return found;
}

static void test_no_escape(bool no_namespaces)
{
	struct fixture f;
	/* setsid and a double fork leave the process group and the parent; nothing leaves the tree. */
	setup(&f, "(setsid sh -c 'sleep 98765 & sleep 98765' >/dev/null 2>&1 &) ; sleep 0.2; exit 0", 0);
	f.spec.no_namespaces = no_namespaces;
	run(&f);
	assert_int_equal(f.st.exit_code, 0);
	assert_false(alive("98765"));
	assert_true(text_has(f.st.limits, no_namespaces ? "\"namespaces\":\"none\"" : "\"namespaces\":"));
}

static void test_escape_with_namespaces(void **state)
{
	test_no_escape(false);
}

static void test_escape_without_namespaces(void **state)
{
	test_no_escape(true);
}

static void test_log_is_bounded(void **state)
{
	struct fixture f;
	setup(&f,
	      "echo first; i=0; while [ $i -lt 2000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); "
	      "done; echo last",
	      0);
	f.spec.log_max = 4096;
	run(&f);
	assert_in_range(strlen(f.text), 4096, 4096 + 64);
	assert_int_equal(strncmp(f.text, "first\n", 6), 0);
	assert_true(text_has(f.text, "bytes left out ...\n"));
	assert_string_equal(f.text + strlen(f.text) - 5, "last\n");
}

static bool enforced(const struct fixture *f, const char *key)
{
	char mark[64];
	snprintf(mark, sizeof mark, "\"%s\":\"cgroup", key);
	if (strstr(f->st.limits, mark))
		return true;
	assert_true(text_has(f->st.limits, "not enforced: "));
	print_message("[ not here ] %s: %s\n", key, f->st.limits);
	return false;
}

static void test_memory_limit(void **state)
{
	struct fixture f;
	setup(&f, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}", 0);
	f.spec.memory_bytes = 32 << 20;
	run(&f);
	if (!enforced(&f, "memory"))
		return;
	assert_true(f.st.oom);
	assert_int_not_equal(f.st.exit_code, 0);
	assert_true(text_has(f.st.reason, "out of memory"));
	assert_in_range(f.st.peak_bytes, 16 << 20, 32 << 20);
}

static void test_cpu_limit(void **state)
{
	struct fixture f;
	setup(&f, "timeout 1 sh -c 'while :; do :; done'; exit 0", 0);
	f.spec.cpu_milli = 100;
	f.spec.cpu_request_milli = 250;
	run(&f);
	if (!enforced(&f, "cpu"))
		return;
	assert_true(text_has(f.st.limits, "100m"));
	assert_in_range(f.st.cpu_us, 10000, 400000);
}

static void test_process_limit(void **state)
{
	struct fixture f;
	setup(&f, "i=0; while [ $i -lt 30 ]; do sleep 0.3 & i=$((i+1)); done; wait", 0);
	f.spec.max_processes = 8;
	run(&f);
	if (enforced(&f, "processes"))
		assert_true(text_has(f.text, "fork"));
}

/* As the tenant's user: may read a file handed over by link, may not change it, sees nothing else. */
static void test_user(void **state)
{
	struct fixture f;
	struct err e = {0};
	char original[600], link_name[700];
	if (geteuid() != 0)
		skip();
	setup(&f,
	      "cd $SOURCE_PATH/$CLIENT_ID; cat in/f; id -u; chmod 666 in/f; echo evil >>in/f; ls $HIDDEN; "
	      "mv in/f out/f && echo moved; mv ../acme ../other; touch ../x; cat /proc/1/environ",
	      61234);
	char env[300];
	snprintf(env, sizeof env, "HIDDEN=%s/original", base);
	const char *const envs[] = {env, NULL};
	f.spec.env = envs;
	f.spec.hide = base;
	snprintf(original, sizeof original, "%s/original", base);
	snprintf(link_name, sizeof link_name, "%s/acme/in/f", f.ws);
	assert_int_equal(file_write_atomic(original, "payload\n", 8, 0440, &e), ERR_OK);
	assert_int_equal(chown(original, 0, 61234), 0);
	assert_int_equal(link(original, link_name), 0);
	run(&f);
	assert_true(text_has(f.text, "payload\n61234\n"));
	assert_true(text_has(f.text, "chmod: "));
	assert_true(text_has(f.text, "Permission denied"));
	assert_true(text_has(f.text, "moved"));
	assert_null(strstr(f.text, "original\n"));
	struct stat st;
	assert_int_equal(stat(original, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0440);
	assert_int_equal(st.st_size, 8);
	snprintf(link_name, sizeof link_name, "%s/acme/out/f", f.ws);
	assert_int_equal(stat(link_name, &st), 0);
	unlink(original);
}

static void test_killed_supervisor(void **state)
{
	struct fixture f;
	struct err e = {0};
	setup(&f, "echo up; sleep 87654", 0);
	assert_int_equal(runner_process.start(&f.spec, &f.h, &e), ERR_OK);
	for (int i = 0; i < 500 && !alive("87654"); i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	kill(f.h.pid, SIGKILL);
	assert_int_equal(runner_process.wait(&f.h, 10000, &f.st, &e), ERR_OK);
	assert_true(f.st.ended && f.st.lost);
	assert_false(alive("87654"));
	runner_process.release(&f.h);
}

/* A manager that dies: its run ends with it, and the next incarnation sees it gone. */
static void test_manager_dies(void **state)
{
	struct fixture f;
	struct err e = {0};
	setup(&f, "trap '' TERM; echo up; sleep 76543", 0);
	pid_t manager = fork();
	if (!manager) {
		if (runner_process.start(&f.spec, &f.h, &e))
			_exit(1);
		pause();
	}
	for (int i = 0; i < 500 && !alive("76543"); i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	assert_true(alive("76543"));
	kill(manager, SIGKILL);
	waitpid(manager, NULL, 0);
	assert_int_equal(runner_reap_workspace(f.ws, &e), ERR_OK);
	assert_false(alive("76543"));
	assert_int_equal(runner_status(f.ws, &f.st, &e), ERR_OK);
	assert_true(f.st.lost || f.st.stopped);
}

static void test_reap_guards_pid(void **state)
{
	struct err e = {0};
	pid_t pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	int64_t start = process_start_time(pid);
	assert_true(start > 0);
	assert_int_equal(runner_process.reap(pid, start + 1, "", &e), ERR_OK);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(process_start_time(pid), start);
	assert_int_equal(runner_process.reap(pid, start, "", &e), ERR_OK);
	assert_int_equal(process_start_time(pid), 0); /* a zombie is gone */
	waitpid(pid, NULL, 0);
}

/* What an ordinary user's platform does, in a child that is one: 0 well, else which check failed; 77 not possible. */
static int as_ordinary_user(uid_t uid)
{
	struct fixture f;
	struct err e = {0};
	char self[512] = "", secret[700];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (setgid(uid) || setuid(uid) || n < 0 || access(self, X_OK))
		return 77;
	snprintf(base, sizeof base, "/tmp/test_runner_user.XXXXXX");
	if (!mkdtemp(base))
		return 77;
	char ws[300];
	snprintf(ws, sizeof ws, "%s/workspace", base);
	snprintf(secret, sizeof secret, "%s/secret", base);
	if (mkdir(ws, 0700) || file_write_atomic(secret, "hidden\n", 7, 0600, &e))
		return 1;
	setup(&f,
	      "id -u; cat $SOURCE_PATH/../../secret; ls $SOURCE_PATH/../..; echo made >$SOURCE_PATH/acme/out/x; sleep "
	      "65432 &",
	      0);
	f.spec.hide = base;
	f.spec.memory_bytes = 64 << 20;
	run(&f);
	bool separated = !strstr(f.st.limits, "\"namespaces\":\"none\"");
	snprintf(secret, sizeof secret, "%s/acme/out/x", f.ws);
	int rc = f.st.exit_code != 0			       ? 2
		 : !strstr(f.text, "61235\n")		       ? 3
		 : separated && strstr(f.text, "hidden")       ? 4
		 : separated && !strstr(f.text, "workspace\n") ? 5
		 : access(secret, F_OK)			       ? 6
		 : alive("65432")			       ? 7
		 : !strstr(f.st.limits, "\"memory\":\"cgroup") && !strstr(f.st.limits, "\"memory\":\"not enforced: ")
		     ? 8
		     : 0;
	if (rc)
		fprintf(stderr, "%s\n%s\n", f.st.limits, f.text);
	return dir_remove_all(base, &e) && !rc ? 9 : rc;
}

static void test_ordinary_user(void **state)
{
	int status;
	if (geteuid() != 0)
		skip(); /* every other test is this one */
	pid_t pid = fork();
	if (!pid)
		_exit(as_ordinary_user(61235));
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_capabilities(void **state)
{
	char text[512];
	runner_capabilities(text);
	print_message("%s\n", text);
	assert_true(text_has(text, "\"memory\":\""));
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "__supervise"))
		return runner_supervise(argv[2]);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_contract),
	    cmocka_unit_test(test_exit_and_signal),
	    cmocka_unit_test(test_not_started),
	    cmocka_unit_test(test_time_limit),
	    cmocka_unit_test(test_stop_is_graceful),
	    cmocka_unit_test(test_escape_with_namespaces),
	    cmocka_unit_test(test_escape_without_namespaces),
	    cmocka_unit_test(test_log_is_bounded),
	    cmocka_unit_test(test_memory_limit),
	    cmocka_unit_test(test_cpu_limit),
	    cmocka_unit_test(test_process_limit),
	    cmocka_unit_test(test_user),
	    cmocka_unit_test(test_killed_supervisor),
	    cmocka_unit_test(test_manager_dies),
	    cmocka_unit_test(test_reap_guards_pid),
	    cmocka_unit_test(test_ordinary_user),
	    cmocka_unit_test(test_capabilities),
	};
	snprintf(base, sizeof base, "/tmp/test_runner.XXXXXX");
	if (!mkdtemp(base))
		return 99;
	char ws[300];
	snprintf(ws, sizeof ws, "%s/workspace", base);
	if (mkdir(ws, 0711))
		return 99;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	struct err e;
	if (dir_remove_all(base, &e))
		return 98;
	return failed;
}
