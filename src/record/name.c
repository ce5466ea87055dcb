/* name.c: names that every store takes without quoting, and that do not collide with a store's or our own. */
#include "record/name.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define STORE_NAME_MAX 48 /* Cassandra's limit for key spaces and tables */
#define COLUMN_NAME_MAX 128

static bool letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool word_rest(const char *s)
{
	for (; *s; s++)
		if (!letter(*s) && !(*s >= '0' && *s <= '9') && *s != '_')
			return false;
	return true;
}

const char *store_name_check(const char *name)
{
	if (strncasecmp(name, "_mysimbdp", 9) == 0 || strncasecmp(name, "system", 6) == 0 ||
	    strncasecmp(name, "sqlite_", 7) == 0)
		return "a name that does not begin with system, sqlite_ or _mysimbdp (they belong to the stores)";
	if (!letter(name[0]) || !word_rest(name) || strlen(name) > STORE_NAME_MAX)
		return "a letter, then letters, digits and _, at most 48 characters: [A-Za-z][A-Za-z0-9_]{0,47}";
	return NULL;
}

const char *column_name_check(const char *name)
{
	if (strncasecmp(name, "_mysimbdp", 9) == 0)
		return "a name that does not begin with _mysimbdp (these are the lineage columns)";
	if (!(letter(name[0]) || name[0] == '_') || !word_rest(name) || strlen(name) > COLUMN_NAME_MAX)
		return "a letter or _, then letters, digits and _, at most 128 characters";
	return NULL;
}
