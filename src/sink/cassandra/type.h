/*
 * type.h: Avro types and CQL types (design section 6), both ways.
 *
 * boolean boolean; int int; long bigint; float float; double double; string, enum text; date date; time-* time;
 * timestamp-millis timestamp; timestamp-micros bigint (CQL's timestamp has milliseconds); decimal decimal; uuid uuid;
 * bytes, fixed blob.
 */
#ifndef SINK_CASSANDRA_TYPE_H
#define SINK_CASSANDRA_TYPE_H

#include "base/buf.h"
#include "record/batch.h"
#include "sink/cassandra/message.h"
#include "sink/query.h"

#define CQL_VALUE_OVERHEAD 16u /* bytes that a value takes beyond its text, at most */

const char *cql_type_name(const struct field *f);
/* Write [bytes] of a value at w, which has room for its text and CQL_VALUE_OVERHEAD bytes; returns the end. */
char *cql_put_value(char *w, const struct field *f, const struct value *v);

/* One cell of a result. Text that is not in the cell itself goes to the arena. Nothing a server sends is trusted: a
 * cell of a wrong length becomes a blob. */
struct query_value cql_get_value(const struct cql_type *t, struct span cell, bool null, struct arena *a);

#endif
