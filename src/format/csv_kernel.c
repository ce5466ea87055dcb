/* csv_kernel.c: which kernels this machine can run. */
#include "format/csv_kernel.h"

#include <stddef.h>

const char *simd_level_name(enum simd_level l)
{
	static const char *const names[] = {"auto", "portable", "avx2", "avx512"};
	return names[(unsigned)l < 4 ? l : 0];
}

#if defined(__x86_64__)
static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
	       __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("popcnt");
}

static bool has_avx512(void)
{
	return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
}

const struct csv_kernels *csv_kernels_pick(enum simd_level level)
{
	if ((level == SIMD_AUTO || level >= SIMD_AVX512) && has_avx512())
		return &csv_kernels_avx512;
	if ((level == SIMD_AUTO || level >= SIMD_AVX2) && has_avx2())
		return &csv_kernels_avx2;
	return &csv_kernels_portable;
}
#else
const struct csv_kernels *csv_kernels_pick(enum simd_level level)
{
	(void)level;
	return &csv_kernels_portable;
}
#endif
