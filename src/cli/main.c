/* main.c: finds the verb, parses its options, runs it, prints its error once, and turns the error into an exit code. */
#include "base/fault.h"
#include "base/log.h"
#include "base/problems.h"
#include "cli/term.h"
#include "cli/verb.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static atomic_bool stop; /* set by SIGINT and SIGTERM; verbs look at it through cli->stop */

static void on_signal(int sig)
{
	if (atomic_exchange(&stop, true)) { /* the second one ends us at once */
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

static void help_all(FILE *out, bool colour)
{
	const struct style *s = style_get(colour);
	fprintf(out, "%smysimbdp%s takes tenants' files to the warehouse, and can say where every record is.\n\n",
		s->bold, s->reset);
	fprintf(out, "%susage:%s mysimbdp VERB [OPTIONS] [ARGUMENTS]\n\n%sverbs:%s\n", s->bold, s->reset, s->bold,
		s->reset);
	for (size_t i = 0; i < nverbs; i++) {
		if (verbs[i] && !verbs[i]->hidden)
			fprintf(out, "  %s%-12s%s %s\n", s->cyan, verbs[i]->name, s->reset, verbs[i]->summary);
	}
	fprintf(out, "\n`mysimbdp VERB --help` explains a verb.\n"
		     "exit codes: 0 all accepted, 1 some records rejected, 2 a file refused, 3 fatal, 4 interrupted,\n"
		     "            64 wrong usage, 78 invalid document or configuration\n");
}

static void help_options(FILE *out, const struct cli_option *o, const struct style *s)
{
	for (; o && o->name; o++) {
		char left[64];
		snprintf(left, sizeof left, "%s%c%s--%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ',
			 o->letter ? ", " : "  ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		fprintf(out, "  %s%-26s%s %s\n", s->cyan, left, s->reset, o->text);
	}
}

static void help_verb(const struct verb *v, FILE *out, bool colour)
{
	const struct style *s = style_get(colour);
	fprintf(out, "%s\n\n%susage:%s mysimbdp %s %s\n", v->summary, s->bold, s->reset, v->name, v->usage);
	if (v->help)
		fprintf(out, "\n%s\n", v->help);
	if (v->options && v->options->name) {
		fprintf(out, "\n%soptions:%s\n", s->bold, s->reset);
		help_options(out, v->options, s);
	}
	fprintf(out, "\n%sfor every verb:%s\n", s->bold, s->reset);
	help_options(out, global_options, s);
}

static void print_error(const struct cli *cli, const struct err *e)
{
	const struct style *s = style_get(cli->colour_err);
	fprintf(stderr, "%smysimbdp:%s %s%s%s\n", s->bold, s->reset, s->red, e->msg, s->reset);
	if (e->hint[0])
		fprintf(stderr, "          %s%s%s\n", s->dim, e->hint, s->reset);
}

static int no_such_verb(const char *name)
{
	const char *names[64];
	size_t n = 0;
	for (size_t i = 0; i < nverbs && n < 64; i++) {
		if (verbs[i] && !verbs[i]->hidden)
			names[n++] = verbs[i]->name;
	}
	const char *near = nearest_name(name, names, n);
	fprintf(stderr, "mysimbdp: \"%s\" is no verb", name);
	if (near)
		fprintf(stderr, "; did you mean \"%s\"?", near);
	fprintf(stderr, "\n          `mysimbdp help` lists them\n");
	return 64;
}

static int terminal_width(void)
{
	struct winsize w;
	const char *columns = getenv("COLUMNS");
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20)
		return w.ws_col;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20)
		return w.ws_col;
	int n = columns ? (int)strtol(columns, NULL, 10) : 0;
	return n >= 20 && n < 1000 ? n : 100;
}

static int run_verb(const struct verb *v, int argc, char **argv)
{
	struct arena arena;
	struct err e = {0};
	int exit_code = -1;
	arena_init(&arena, (size_t)1 << 30);
	struct cli cli = {
	    .verb = v, .arena = &arena, .exit_code = &exit_code, .stop = &stop, .width = terminal_width()};
	cli.colour_err = isatty(STDERR_FILENO);
	enum err_code c = cli_parse(&cli, argc, argv, &e);
	if (!c && cli_has(&cli, "help"))
		help_verb(v, stdout, cli.colour_out);
	else if (!c)
		c = v->run(&cli, &e);
	if (c)
		print_error(&cli, &e);
	if ((fflush(stdout) || ferror(stdout)) && !c) {
		fprintf(stderr, "mysimbdp: stdout can't be written\n");
		exit_code = 3;
	}
	arena_done(&arena);
	return exit_code >= 0 ? exit_code : err_info(c)->exit;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	fault_setup();
	const char *name = argc > 1 ? argv[1] : "help";
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		const struct verb *v = argc > 2 ? verb_find(argv[2]) : NULL;
		if (argc > 2 && !v)
			return no_such_verb(argv[2]);
		if (v)
			help_verb(v, stdout, isatty(STDOUT_FILENO));
		else
			help_all(argc > 1 ? stdout : stderr, isatty(argc > 1 ? STDOUT_FILENO : STDERR_FILENO));
		return argc > 1 ? 0 : 64;
	}
	if (strcmp(name, "--version") == 0)
		name = "version";
	const struct verb *v = verb_find(name);
	return v ? run_verb(v, argc - 2, argv + 2) : no_such_verb(name);
}
