/*
 * incoming.h: one uploaded file on its way to staging/TENANT/.files/ID.
 *
 *   tmp-RANDOM         while bytes arrive; its SHA-256 is computed on the way
 *   ready-SHA-RANDOM   all bytes are there, fsynced; its directory too        (incoming_seal)
 *   the ledger         a row in state received, durable                       (incoming_commit)
 *   ID                 renamed, directory fsynced; only now the upload is acknowledged
 *
 * A crash before the ledger's commit leaves a tmp- or ready- file that nobody knows: incoming_recover removes it at the
 * next start. A crash between commit and rename leaves a row without its file, but the ready- file is durable and says
 * by its name what it holds: incoming_recover gives it its id. So what is acknowledged is there, and what is visible
 * is complete.
 */
#ifndef API_INCOMING_H
#define API_INCOMING_H

#include "base/hash.h"
#include "catalog/catalog.h"

struct api;

#define INCOMING_BUFFER (128u << 10)

struct incoming {
	struct api *api;
	const char *tenant, *name; /* of the caller, must outlive it */
	char *dir, *path;	   /* heap */
	int fd;
	bool sealed;
	struct sha256 sha;
	bool sha_open;
	char hex[SHA256_HEX];
	uint64_t size, flushed, checked_free;
	size_t nbuf;
	char *buf;
	struct incoming *next; /* for lists of the caller */
};

/* expected: bytes announced, 0 unknown; ERR_NOSPACE when they would eat into the space that must stay free. */
enum err_code incoming_open(struct api *a, const char *tenant, const char *name, uint64_t expected,
			    struct incoming **ret, struct err *e) MUST_USE;
enum err_code incoming_write(struct incoming *in, const char *p, size_t n, struct err *e) MUST_USE;
enum err_code incoming_seal(struct incoming *in, struct err *e) MUST_USE;
/* The ledger decides: new, repeat or conflict; new files are staged at once when a manager runs. */
enum err_code incoming_commit(struct incoming *in, struct arena *a, enum receive_result *ret_what,
			      struct catalog_file *ret, struct err *e) MUST_USE;
/* Removes what was not committed. NULL is fine. */
void incoming_free(struct incoming *in);

/* At start, before requests are taken. */
enum err_code incoming_recover(struct api *a, struct err *e) MUST_USE;

#endif
