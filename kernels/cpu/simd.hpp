// The SIMD level of this translation unit. The build defines it together with the compiler flags.
#pragma once
#include <stddef.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(HALF_GRID_AVX512)
#define HALF_GRID_LEVEL level_avx512
#elif defined(HALF_GRID_AVX2)
#define HALF_GRID_LEVEL level_avx2
#else
#define HALF_GRID_LEVEL level_baseline
#endif

// For the parts of a loop that pass their variables on in registers.
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define ALWAYS_INLINE_MEMBER inline __attribute__((always_inline))
