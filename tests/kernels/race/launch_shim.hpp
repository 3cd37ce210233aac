// CUDA's names for kernels under the race detector, in place of tests/launch_shim.hpp; runtime.cpp implements them.
#pragma once
#include "cuda_words.hpp"

#include <stddef.h>

struct Dim3 { unsigned x, y, z; };

// Addresses of a shared library: those of the whole library, and those of its variables in __shared__ memory.
struct Module { unsigned long begin, end, shared_begin, shared_end; };

extern "C" {
Dim3 race_thread();
Dim3 race_block();
Dim3 race_block_size();
Dim3 race_grid_size();
void* race_dynamic_shared();
void race_syncthreads(const char* file, int line);
void race_syncwarp(const char* file, int line);
unsigned race_ballot(unsigned lanes, bool predicate, const char* file, int line);
unsigned race_shuffle_xor(unsigned lanes, unsigned value, unsigned apart, const char* file, int line);
unsigned long long race_atomic_add(void* at, size_t size, unsigned long long value);
unsigned long long race_atomic_or(void* at, size_t size, unsigned long long value);
}

namespace shim {
inline void* dynamic_shared_memory() { return race_dynamic_shared(); }
}  // namespace shim

#define __global__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("cuda_shared"), aligned(16)))
#define blockIdx (race_block())
#define blockDim (race_block_size())
#define gridDim (race_grid_size())
#define threadIdx (race_thread())
#define __syncthreads() race_syncthreads(__FILE__, __LINE__)
#define __syncwarp() race_syncwarp(__FILE__, __LINE__)
#define __ballot_sync(lanes, predicate) race_ballot(lanes, predicate, __FILE__, __LINE__)
#define __shfl_xor_sync(lanes, value, apart) race_shuffle_xor(lanes, value, unsigned(apart), __FILE__, __LINE__)

template <class T> __attribute__((always_inline)) inline T atomicAdd(T* at, T value) {
  return T(race_atomic_add(at, sizeof(T), value));
}
template <class T> __attribute__((always_inline)) inline T atomicOr(T* at, T value) {
  return T(race_atomic_or(at, sizeof(T), value));
}
