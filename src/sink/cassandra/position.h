/*
 * position.h: how far each file is in the store: table "_mysimbdp_position" of the key space.
 *
 * Cassandra has no transaction over partitions, so rows and position can't become durable together. Order stands in
 * for it: the position is written after every row before it was acknowledged, so it never runs ahead, and nothing is
 * lost. Rows behind it may be there already and are written again: each carries USING TIMESTAMP = its row version,
 * which is the same in every run, so the second write changes nothing, and a newer file's row stays the winner.
 *
 * The position changes by a conditional update (IF epoch = ours): a worker that was replaced can't move it any more and
 * learns that from the answer. What it may still write are rows of the same file with the same versions, which are
 * harmless.
 */
#ifndef SINK_CASSANDRA_POSITION_H
#define SINK_CASSANDRA_POSITION_H

#include "sink/cassandra/session.h"
#include "sink/sink.h"

struct cql_position {
	uint64_t position;
	uint64_t delivered;
	bool done;
};

enum err_code cql_position_table(struct cql_session *s, const char *key_space, struct err *e) MUST_USE;
/* Find or make the file's row and take it over: ERR_FENCED when a higher epoch has it, ERR_CONFLICT when it is known
 * as another file. */
enum err_code cql_position_begin(struct cql_session *s, const struct data_file *df, const struct sink_file *f,
				 struct cql_position *ret, struct err *e) MUST_USE;
enum err_code cql_position_set(struct cql_session *s, const struct data_file *df, const struct sink_file *f,
			       const struct cql_position *p, struct err *e) MUST_USE;

#endif
