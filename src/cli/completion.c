/*
 * completion.c: `mysimbdp completion bash|zsh|fish`: a script for the shell, printed from the verbs and their options,
 * so that it never lags behind. `completion tenants` prints tenants' ids for those scripts, and nothing when no server
 * answers.
 */
#include "cli/client.h"
#include "cli/verb.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 16

/* Actions of a verb: the lower-case alternatives at the front of its usage ("add|check|list DIR"). */
static size_t actions_of(const struct verb *v, char out[WORDS_MAX][24])
{
	size_t n = 0, len = strcspn(v->usage, " [");
	if (!memchr(v->usage, '|', len))
		return 0;
	for (const char *p = v->usage; p < v->usage + len && n < WORDS_MAX;) {
		size_t k = strcspn(p, "| [");
		bool word = k && k < 24;
		for (size_t i = 0; i < k && word; i++)
			word = islower((unsigned char)p[i]) || p[i] == '-';
		if (!word)
			return 0;
		memcpy(out[n], p, k);
		out[n++][k] = 0;
		p += k + (p[k] == '|');
		if (p >= v->usage + len)
			break;
	}
	return n;
}

/* What a positional argument is, from the usage: "tenant", "dir" or "file". */
static const char *argument_of(const struct verb *v)
{
	if (strstr(v->usage, "TENANT"))
		return "tenant";
	return strstr(v->usage, "DIR") && !strstr(v->usage, "FILE") ? "dir" : "file";
}

/* A text for single quotes of a shell. */
static void quoted(const char *s)
{
	putchar('\'');
	for (; *s; s++) {
		if (*s == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*s);
	}
	putchar('\'');
}

static void each_option(const struct verb *v, void (*f)(const struct verb *v, const struct cli_option *o))
{
	for (const struct cli_option *o = v->options; o && o->name; o++)
		f(v, o);
	for (const struct cli_option *o = global_options; o->name; o++)
		f(v, o);
}

static void each_verb(void (*f)(const struct verb *v))
{
	for (size_t i = 0; i < nverbs; i++)
		if (verbs[i] && !verbs[i]->hidden)
			f(verbs[i]);
}

/* ---- bash */

static void bash_name(const struct verb *v)
{
	printf("%s ", v->name);
}

static void bash_option(const struct verb *v, const struct cli_option *o)
{
	(void)v;
	printf("--%s ", o->name);
}

static void bash_verb(const struct verb *v)
{
	char words[WORDS_MAX][24];
	size_t n = actions_of(v, words);
	printf("\t%s)\n\t\toptions='", v->name);
	each_option(v, bash_option);
	printf("' actions='");
	for (size_t i = 0; i < n; i++)
		printf("%s ", words[i]);
	printf("' argument=%s ;;\n", argument_of(v));
}

static void bash(void)
{
	printf("# bash completion of mysimbdp: source <(mysimbdp completion bash)\n"
	       "_mysimbdp()\n{\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n"
	       "\tlocal options actions argument\n\tCOMPREPLY=()\n"
	       "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W '");
	each_verb(bash_name);
	printf("help' -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase $verb in\n");
	each_verb(bash_verb);
	printf("\t*) return ;;\n\tesac\n"
	       "\tcase $prev in\n"
	       "\t--tenant) COMPREPLY=($(compgen -W \"$(mysimbdp completion tenants 2>/dev/null)\" -- \"$cur\")); "
	       "return ;;\n"
	       "\t--color) COMPREPLY=($(compgen -W 'auto always never' -- \"$cur\")); return ;;\n"
	       "\t--data) compopt -o dirnames; COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n"
	       "\tesac\n"
	       "\tif [[ $cur == -* ]]; then\n\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n\t\treturn\n\tfi\n"
	       "\tif [ -n \"$actions\" ] && [ \"$COMP_CWORD\" -eq 2 ]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$actions\" -- \"$cur\"))\n\t\treturn\n\tfi\n"
	       "\tcompopt -o filenames\n\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n"
	       "\tif [ \"$argument\" = tenant ]; then\n"
	       "\t\tCOMPREPLY+=($(compgen -W \"$(mysimbdp completion tenants 2>/dev/null)\" -- \"$cur\"))\n\tfi\n"
	       "}\ncomplete -F _mysimbdp mysimbdp\n");
}

/* ---- zsh */

/* In _arguments and _describe a colon separates, brackets enclose. */
static void zsh_text(const char *s)
{
	for (; *s; s++) {
		if (strchr(":[]\\", *s))
			putchar('\\');
		if (*s == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*s);
	}
}

static void zsh_name(const struct verb *v)
{
	printf("\t\t'%s:", v->name);
	zsh_text(v->summary);
	printf("'\n");
}

static void zsh_option(const struct verb *v, const struct cli_option *o)
{
	(void)v;
	printf("\t\t\t'--%s[", o->name);
	zsh_text(o->text);
	putchar(']');
	if (o->arg) {
		const char *how = !o->complete			       ? " "
				  : strcmp(o->complete, "dir") == 0    ? "_files -/"
				  : strcmp(o->complete, "tenant") == 0 ? "_mysimbdp_tenants"
								       : "_files";
		printf(":%s:%s", o->arg, how);
	}
	printf("' \\\n");
}

static void zsh_verb(const struct verb *v)
{
	char words[WORDS_MAX][24];
	size_t n = actions_of(v, words);
	printf("\t%s)\n\t\t_arguments \\\n", v->name);
	each_option(v, zsh_option);
	if (n) {
		printf("\t\t\t'1:action:(");
		for (size_t i = 0; i < n; i++)
			printf("%s%s", i ? " " : "", words[i]);
		printf(")' \\\n");
	}
	printf("\t\t\t'*:argument:%s' ;;\n", strcmp(argument_of(v), "tenant") == 0 ? "_mysimbdp_tenants_or_files"
					     : strcmp(argument_of(v), "dir") == 0  ? "_files -/"
										   : "_files");
}

static void zsh(void)
{
	printf("#compdef mysimbdp\n# zsh completion of mysimbdp: mysimbdp completion zsh > \"${fpath[1]}/_mysimbdp\"\n"
	       "_mysimbdp_tenants() { compadd -- ${(f)\"$(mysimbdp completion tenants 2>/dev/null)\"} }\n"
	       "_mysimbdp_tenants_or_files() { _mysimbdp_tenants; _files }\n"
	       "_mysimbdp() {\n\tlocal -a verbs\n\tverbs=(\n");
	each_verb(zsh_name);
	printf("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe verb verbs\n\t\treturn\n\tfi\n"
	       "\tlocal verb=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n\tcase $verb in\n");
	each_verb(zsh_verb);
	printf("\tesac\n}\nif [ \"$funcstack[1]\" = _mysimbdp ]; then\n\t_mysimbdp \"$@\"\nelse\n\tcompdef _mysimbdp "
	       "mysimbdp\nfi\n");
}

/* ---- fish */

static void fish_option(const struct verb *v, const struct cli_option *o)
{
	printf("complete -c mysimbdp -n '__fish_seen_subcommand_from %s' -l %s", v->name, o->name);
	if (o->letter)
		printf(" -s %c", o->letter);
	if (o->arg)
		printf(" -r%s", !o->complete			     ? " -f"
				: strcmp(o->complete, "tenant") == 0 ? " -f -a '(mysimbdp completion tenants)'"
								     : "");
	printf(" -d ");
	quoted(o->text);
	putchar('\n');
}

static void fish_verb(const struct verb *v)
{
	char words[WORDS_MAX][24];
	size_t n = actions_of(v, words);
	printf("complete -c mysimbdp -n __fish_use_subcommand -f -a %s -d ", v->name);
	quoted(v->summary);
	putchar('\n');
	each_option(v, fish_option);
	if (n) {
		printf("complete -c mysimbdp -n '__fish_seen_subcommand_from %s' -f -a '", v->name);
		for (size_t i = 0; i < n; i++)
			printf("%s%s", i ? " " : "", words[i]);
		printf("'\n");
	}
	if (strcmp(argument_of(v), "tenant") == 0)
		printf("complete -c mysimbdp -n '__fish_seen_subcommand_from %s' -a '(mysimbdp completion tenants)'\n",
		       v->name);
}

static void fish(void)
{
	printf("# fish completion of mysimbdp: mysimbdp completion fish > ~/.config/fish/completions/mysimbdp.fish\n");
	each_verb(fish_verb);
}

/* Silent about everything that goes wrong: a completion must not disturb the line that is being typed. */
static enum err_code tenants(const struct cli *cli)
{
	struct client *c;
	struct json *answer;
	struct err e = {0};
	if (client_open(cli, &c, &e))
		return ERR_OK;
	if (client_call(c, "GET", "/v1/tenants?limit=1000", NULL, cli->arena, &answer, NULL, &e) == ERR_OK) {
		const struct json *list = json_get(answer, "tenants");
		for (const struct json *t = list ? list->child : NULL; t; t = t->next)
			puts(json_get_str(t, "id", ""));
	}
	client_close(c);
	return ERR_OK;
}

static enum err_code run(const struct cli *cli, struct err *e)
{
	const char *what = cli->argv[0];
	if (strcmp(what, "bash") == 0)
		bash();
	else if (strcmp(what, "zsh") == 0)
		zsh();
	else if (strcmp(what, "fish") == 0)
		fish();
	else if (strcmp(what, "tenants") == 0)
		return tenants(cli);
	else {
		err_set(e, ERR_USAGE, "completion: \"%s\" is no shell that is known here", what);
		return err_hint(e, "allowed: bash, zsh, fish");
	}
	return ERR_OK;
}

const struct verb verb_completion = {
    .name = "completion",
    .usage = "bash|zsh|fish",
    .summary = "a script that completes verbs, options and tenants in your shell",
    .min_args = 1,
    .max_args = 1,
    .help = "  source <(mysimbdp completion bash)\n"
	    "  mysimbdp completion zsh > \"${fpath[1]}/_mysimbdp\"\n"
	    "  mysimbdp completion fish > ~/.config/fish/completions/mysimbdp.fish",
    .run = run,
};
