/*
 * murmur3.h: the token of a partition key under Cassandra's Murmur3Partitioner.
 *
 * The first 64 bits of MurmurHash3 x64 128 with seed 0, but with the bytes of the tail sign-extended, as Cassandra's
 * Java code does; for keys with bytes over 0x7f in the tail this is no MurmurHash3. The smallest int64 becomes the
 * largest. Pure.
 */
#ifndef SINK_CASSANDRA_MURMUR3_H
#define SINK_CASSANDRA_MURMUR3_H

#include <stddef.h>
#include <stdint.h>

int64_t murmur3_token(const void *key, size_t n);

#endif
