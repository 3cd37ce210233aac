// The few things that CUDA's compiler and a host compiler express differently.
//
// Under NVRTC there are no standard headers. The tests run every kernel on the host, where launch_shim.hpp has defined
// the names of CUDA: threadIdx, __syncthreads, __shared__, atomics.
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

DEVICE_FN float infinity() { return same_bits<float>(0x7F800000u); }

// Converts k < 2²³ exactly, and faster than the hardware does: k is put into the low bits of the float 2²³ + k.
DEVICE_FN float small_to_float(u32 k) { return same_bits<float>(0x4B000000u | k) - 8388608.0f; }

// A division of 64 bits costs ten times one of 32, and nearly all operands here fit in 32 bits.
DEVICE_FN i64 divided(i64 a, i64 b) { return ((a | b) >> 32) == 0 ? i64(u32(a) / u32(b)) : a / b; }

// The functions below work on two numbers of 16 bits in one word. Sums must not overflow 16 bits, or a carry would
// leave its half. `add_least` is one instruction from compute capability 9.0 on.
DEVICE_FN u32 add_least(u32 a, u32 b, u32 c) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  return __vminu2(a + b, c);
#else
  return __viaddmin_u16x2(a, b, c);
#endif
}
DEVICE_FN u32 least_of_two(u32 a, u32 b) { return __vminu2(a, b); }
DEVICE_FN u32 most_of_two(u32 a, u32 b) { return __vmaxu2(a, b); }
DEVICE_FN u32 twice_over(u32 half) { return half | half << 16; }
DEVICE_FN u32 low_halves(u32 a, u32 b) { return __byte_perm(a, b, 0x5410); }
DEVICE_FN u32 high_halves(u32 a, u32 b) { return __byte_perm(a, b, 0x7632); }
// A word with 0xFFFF in each half whose bit is set: bit 0 is for the low half, bit 1 for the high one.
DEVICE_FN u32 halves_of(u32 bits) { return ((bits & 1) | (bits & 2) << 15) * 0xFFFFu; }

DEVICE_FN i64 smaller(i64 a, i64 b) { return a < b ? a : b; }

}  // namespace half_grid
