/*
 * edit.h: changing a JSON text in a few places and leaving every other byte as its owner wrote it.
 *
 *   struct edits ed = {.text = text, .arena = &a};
 *   edit_replace(&ed, node, "[\"null\", \"double\"]");
 *   edit_remove_member(&ed, node2);                    // with its comma
 *   struct span changed = edits_apply(&ed);            // p NULL: out of memory, or a node was not found
 *
 * Nodes come from json_parse of exactly this text. Places must not overlap. Internal to ingest/.
 */
#ifndef INGEST_EDIT_H
#define INGEST_EDIT_H

#include "base/arena.h"
#include "base/json.h"

struct edit {
	size_t at, len;
	const char *with;
};

struct edits {
	struct span text;
	struct arena *arena;
	struct edit *list;
	size_t n, cap;
	bool failed;
};

/* The value's own text in the document; n 0 when it is not there. */
struct span edit_value_text(const struct edits *ed, const struct json *node);
void edit_replace(struct edits *ed, const struct json *node, const char *with);
void edit_remove_member(struct edits *ed, const struct json *node);
/* NUL-terminated, in the arena. */
struct span edits_apply(struct edits *ed);

#endif
