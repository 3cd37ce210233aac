// The few words that CUDA's compiler and a host compiler say differently.
//
// Under NVRTC there are no standard headers. On the host (the tests run every kernel there) launch_shim.hpp has
// provided the words of CUDA: threadIdx, __syncthreads, __shared__, atomics.
#pragma once
#include "half_grid.hpp"

namespace half_grid {

#if defined(__CUDACC__)
#define DEVICE_FN static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
#define BY_VALUE const __grid_constant__
extern __shared__ float4 dynamic_shared_memory[];
DEVICE_FN float4* dynamic_shared() { return dynamic_shared_memory; }
DEVICE_FN float least(float a, float b) { return fminf(a, b); }
DEVICE_FN float most(float a, float b) { return fmaxf(a, b); }
#else
#define DEVICE_FN static inline
#define DEVICE_MEMBER inline
#define BY_VALUE const
DEVICE_FN float4* dynamic_shared() { return static_cast<float4*>(shim::dynamic_shared_memory()); }
DEVICE_FN float least(float a, float b) { return a < b ? a : b; }
DEVICE_FN float most(float a, float b) { return a < b ? b : a; }
#endif

template <class To, class From> DEVICE_FN To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "bits of two widths");
  union { From from; To to; } both;
  both.from = from;
  return both.to;
}

DEVICE_FN float infinity() { return same_bits<float>(0x7F800000u); }

// Exact below 2²³, and faster than the conversion of the hardware: k as the low bits of 2²³ + k.
DEVICE_FN float small_to_float(u32 k) { return same_bits<float>(0x4B000000u | k) - 8388608.0f; }

// Divisions of 64 bits cost ten times those of 32, and nearly all that come here fit.
DEVICE_FN i64 divided(i64 a, i64 b) {
  return ((a | b) >> 32) == 0 ? i64(u32(a) / u32(b)) : a / b;
}

DEVICE_FN i64 smaller(i64 a, i64 b) { return a < b ? a : b; }

}  // namespace half_grid
