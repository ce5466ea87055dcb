/* csv_avx2.c */
#include "format/csv_kernel.h"
const struct csv_kernels csv_kernels_avx2;
