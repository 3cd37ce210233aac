// Kernels with one fault each, for the detector to find, and one without: see test_race_detector.py.
#include "weights.cu"

namespace half_grid {

// `labels` is an input of `shape[0]` words, `weights` an output of as many.
__global__ void sound(BY_VALUE Weighing w) {
  u32* shared = reinterpret_cast<u32*>(dynamic_shared());
  shared[threadIdx.x] = load<u32>(w.labels + 4 * threadIdx.x);
  __syncthreads();
  w.weights[threadIdx.x] = float(shared[blockDim.x - 1 - threadIdx.x]);
}

__global__ void read_beyond(BY_VALUE Weighing w) {
  w.weights[threadIdx.x] = float(load<u32>(w.labels + 4 * threadIdx.x + 4));
}

__global__ void write_before(BY_VALUE Weighing w) { w.weights[int(threadIdx.x) - 1] = 1; }

__global__ void read_between(BY_VALUE Weighing w) {
  w.weights[threadIdx.x] = float(load<u8>(w.mask + 2 * threadIdx.x + 1));
}

__global__ void beyond_shared(BY_VALUE Weighing w) {
  reinterpret_cast<u32*>(dynamic_shared())[threadIdx.x + 1] = w.labels[0];
}

__global__ void misaligned(BY_VALUE Weighing w) {
  if (threadIdx.x + 1 < blockDim.x) w.weights[threadIdx.x] = float(load<u32>(w.labels + 4 * threadIdx.x + 1));
}

__global__ void uninitialised(BY_VALUE Weighing w) {
  const u32* shared = reinterpret_cast<const u32*>(dynamic_shared());
  w.weights[threadIdx.x] = float(shared[threadIdx.x]);
}

__global__ void writes_input(BY_VALUE Weighing w) { w.labels[threadIdx.x] = 0; }

__global__ void divided_barrier(BY_VALUE Weighing w) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  w.weights[threadIdx.x] = 1;
}

__global__ void left_waiting(BY_VALUE Weighing w) {
  w.weights[threadIdx.x] = 1;
  if (threadIdx.x < 32) __syncthreads();
}

__global__ void blocks_race(BY_VALUE Weighing w) { w.weights[threadIdx.x] = float(blockIdx.x); }

// Atomic with atomic is no race, atomic with plain is.
__global__ void atomic_race(BY_VALUE Weighing w) {
  u32* out = reinterpret_cast<u32*>(w.weights);
  if (threadIdx.x < 32) atomicOr(out, 1u);
  else if (threadIdx.x == 32) *out = 1;
}

// A ballot makes lanes wait, but orders no memory.
__global__ void ballot_race(BY_VALUE Weighing w) {
  u32* shared = reinterpret_cast<u32*>(dynamic_shared());
  shared[threadIdx.x] = 1;
  const u32 all = __ballot_sync(~0u, true);
  w.weights[threadIdx.x] = float(shared[threadIdx.x ^ 1] + all);
}

__global__ void far_shift(BY_VALUE Weighing w) {
  w.weights[threadIdx.x] = float(1u << (32 + (threadIdx.x & w.labels[0])));
}

}  // namespace half_grid
