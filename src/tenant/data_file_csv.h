/* data_file_csv.h: the csv.* keys of a data file configuration; inside tenant/ only. */
#ifndef TENANT_DATA_FILE_CSV_H
#define TENANT_DATA_FILE_CSV_H

#include "base/doc.h"
#include "format/csv.h"

/* Fills *ret with defaults and what root says; every problem goes to p. */
void csv_dialect_parse(const struct json *root, struct problems *p, struct csv_dialect *ret);

#endif
