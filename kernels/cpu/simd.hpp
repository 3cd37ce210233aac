// Which instructions this translation unit may use: the build names the level, the flags come with it.
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

// For the parts of a loop whose variables belong in registers.
#define ALWAYS_INLINE static inline __attribute__((always_inline))
