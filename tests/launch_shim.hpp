// CUDA's names on the host. A kernel runs block by block, with one fiber per thread, so that barriers, ballots and
// shared memory work as on a device. A thread runs until it waits. The order of the threads can be reversed, which
// shows what a missing barrier breaks. A block in which some threads wait for ever is reported.
#pragma once
#include "cuda_words.hpp"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <vector>

struct Dim3 { unsigned x, y, z; };

namespace shim {

struct Barrier {
  unsigned arrived = 0;
  unsigned long long round = 0;
};

// A fiber is started once by ucontext. After that setjmp switches fibers, which leaves the signal mask alone and is 50
// times faster.
struct Fiber {
  ucontext_t context;
  jmp_buf place;
  Dim3 index;
  bool started = false, done = true;
};

inline Dim3 grid, block, block_index;
inline std::vector<Fiber> fibers;
inline std::vector<Barrier> warps;
inline std::vector<unsigned> ballots, lanes;
inline Barrier all;
inline unsigned current, live;
inline bool moved;
inline jmp_buf scheduler;
inline std::vector<char> dynamic;
inline void (*body)(const void*);
inline const void* record;

constexpr size_t STACK = 64 << 10;

inline unsigned threads_of_block() { return block.x * block.y * block.z; }

inline void* dynamic_shared_memory() {
  const size_t at = reinterpret_cast<size_t>(dynamic.data());
  return dynamic.data() + (16 - at % 16) % 16;
}

inline void yield() {
  if (!_setjmp(fibers[current].place)) _longjmp(scheduler, 1);
}

inline void wait(Barrier& barrier, unsigned threads) {
  const unsigned long long round = barrier.round;
  moved = true;
  if (++barrier.arrived == threads) {
    barrier.arrived = 0;
    ++barrier.round;
    return;
  }
  while (barrier.round == round) yield();
  moved = true;
}

inline unsigned ballot(bool predicate) {
  const unsigned warp = current / 32;
  if (threads_of_block() - warp * 32 < 32) fprintf(stderr, "ballot in a warp of less than 32 threads\n"), abort();
  const unsigned bit = 1u << (current % 32);
  ballots[warp] = predicate ? ballots[warp] | bit : ballots[warp] & ~bit;
  wait(warps[warp], 32);
  const unsigned result = ballots[warp];
  wait(warps[warp], 32);
  return result;
}

inline unsigned exchanged(unsigned value, unsigned lanes_apart) {
  const unsigned warp = current / 32;
  lanes[current] = value;
  wait(warps[warp], 32);
  const unsigned result = lanes[current ^ lanes_apart];
  wait(warps[warp], 32);
  return result;
}

inline void entry() {
  for (;;) {
    body(record);
    fibers[current].done = true;
    moved = true;
    --live;
    yield();
  }
}

__attribute__((noinline)) inline void resume(Fiber& fiber) {
  if (_setjmp(scheduler)) return;
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  setcontext(&fiber.context);
}

inline void make(Fiber& fiber) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = malloc(STACK);
  fiber.context.uc_stack.ss_size = STACK;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
}

// WARP_BY_WARP lets a warp run as far ahead of the others as barriers allow.
enum Order { FORWARDS = 0, BACKWARDS = 1, WARP_BY_WARP = 2 };

// Returns 0, or 1 where threads wait for ever.
inline int run(void (*kernel)(const void*), const void* argument, Dim3 grid_size, Dim3 block_size, size_t shared_bytes,
               Order order) {
  grid = grid_size, block = block_size, body = kernel, record = argument;
  const unsigned threads = threads_of_block();
  dynamic.assign(shared_bytes + 64, char(0xA5));
  if (fibers.empty()) {
    fibers.resize(1024);
    for (Fiber& fiber : fibers) make(fiber);
  }
  for (block_index = {0, 0, 0}; block_index.x < grid.x; ++block_index.x) {
    warps.assign((threads + 31) / 32, Barrier());
    ballots.assign((threads + 31) / 32, 0);
    lanes.assign(threads, 0);
    all = Barrier();
    live = threads;
    memset(dynamic.data(), 0xA5, dynamic.size());
    for (unsigned t = 0; t < threads; ++t) {
      Fiber& fiber = fibers[t];
      fiber.done = false;
      fiber.index = {t % block.x, t / block.x % block.y, t / block.x / block.y};
    }
    const unsigned warps_there = unsigned(warps.size());
    while (live) {
      bool any = false;
      for (unsigned i = 0; i < warps_there; ++i) {
        const unsigned warp = order == BACKWARDS ? warps_there - 1 - i : i;
        do {
          moved = false;
          for (unsigned j = 0; j < 32; ++j) {
            current = warp * 32 + (order == BACKWARDS ? 31 - j : j);
            if (current < threads && !fibers[current].done) resume(fibers[current]);
          }
          any |= moved;
        } while (moved && order == WARP_BY_WARP);
      }
      if (!any) {
        fibers.clear();  // those that still wait cannot be used again
        return 1;
      }
    }
  }
  return 0;
}

}  // namespace shim

#define __global__
#define __launch_bounds__(...)
#define __shared__ static
#define blockIdx (shim::block_index)
#define blockDim (shim::block)
#define gridDim (shim::grid)
#define threadIdx (shim::fibers[shim::current].index)
#define __syncthreads() shim::wait(shim::all, shim::threads_of_block())
#define __syncwarp() shim::wait(shim::warps[shim::current / 32], 32)
#define __ballot_sync(mask, predicate) shim::ballot(predicate)
#define __shfl_xor_sync(mask, value, apart) shim::exchanged(value, unsigned(apart))
template <class T> T atomicAdd(T* at, T value) {
  T before = *at;
  *at += value;
  return before;
}
template <class T> T atomicOr(T* at, T value) {
  T before = *at;
  *at |= value;
  return before;
}
