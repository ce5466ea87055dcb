/*
 * quantity.h: Kubernetes resource quantities, exactly ("500m", "64Mi", "1Gi", "1e3", "0.5").
 * Source: Kubernetes API reference, "Quantity": plain, decimal SI (n u m k M G T P E), binary SI (Ki Mi Gi Ti Pi Ei),
 * decimal exponent. No digit is lost: the value is kept in 10^-9 units in 128 bits and must fit.
 */
#ifndef TENANT_QUANTITY_H
#define TENANT_QUANTITY_H

#include "base/span.h"

#include <stdint.h>

struct quantity {
	__int128 nano; /* value * 10^9 */
	char text[32]; /* as written */
};

/* NULL when good, else a static text: what is wrong. Negative values are refused. */
const char *quantity_parse(struct span text, struct quantity *ret);
/* Rounded up, saturating. */
int64_t quantity_units(const struct quantity *q); /* whole units: bytes */
int64_t quantity_milli(const struct quantity *q); /* thousandths: millicores */
/* 134217728 -> "128Mi"; 500 millicores -> "500m". */
void quantity_print_bytes(int64_t bytes, char out[32]);

#endif
