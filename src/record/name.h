/*
 * name.h: which names a table, a key space and a column may have (design section 6), checked in one place.
 */
#ifndef RECORD_NAME_H
#define RECORD_NAME_H

/* Key space or table: NULL when good, else what is allowed. */
const char *store_name_check(const char *name);
/* Column: NULL when good, else what is allowed. */
const char *column_name_check(const char *name);

#endif
