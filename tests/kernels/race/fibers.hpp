// The threads of a block under the race detector: one fiber each, switched where they wait, and their barriers.
#pragma once
#include "launch_shim.hpp"
#include "shadow.hpp"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

namespace race {

constexpr size_t STACK = 256 << 10, SHARED = 1 << 20;

// A fiber is started once by ucontext. After that setjmp switches fibers, which leaves the signal mask alone.
struct Fiber {
  ucontext_t context;
  jmp_buf place;
  Dim3 index;
  bool started, done;
  u32 rounds, warp_rounds;  // how often it has passed a barrier of the block, and one of its warp, plus 1
};

struct Barrier {
  u32 arrived;
  u64 round;
  const char* file;
  int line;
};

inline Findings findings;
inline Module module;
inline Dim3 grid_size, block_size, block_index;
inline void (*body)(const void*);
inline const void* record;
inline Fiber* fibers;
inline char *stacks, *dynamic;
inline std::vector<Barrier> warps;
inline std::vector<u32> ballots, exchanged;
inline Barrier all;
inline u32 current, threads, live;
inline bool moved;
inline jmp_buf scheduler;

inline std::string base_name(const char* file) {
  const char* slash = strrchr(file, '/');
  return slash ? slash + 1 : file;
}

inline void yield() {
  if (!_setjmp(fibers[current].place)) _longjmp(scheduler, 1);
}

inline void wait(Barrier& barrier, u32 expected, const char* file, int line) {
  const u64 round = barrier.round;
  moved = true;
  if (barrier.arrived && (barrier.line != line || strcmp(barrier.file, file)))
    findings.add("barriers at different lines", 0, 0,
                 base_name(file) + ":" + std::to_string(line) + " and " + base_name(barrier.file) + ":" +
                     std::to_string(barrier.line));
  barrier.file = file, barrier.line = line;
  if (++barrier.arrived == expected) {
    barrier.arrived = 0;
    ++barrier.round;
    return;
  }
  while (barrier.round == round) yield();
  moved = true;
}

inline void entry() {
  for (;;) {
    body(record);
    fibers[current].done = moved = true;
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

inline void* memory(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) perror("mmap"), abort();
  return p;
}

inline void make_fibers() {
  if (!fibers) {
    fibers = new Fiber[MOST_THREADS]();
    stacks = static_cast<char*>(memory(MOST_THREADS * STACK));
    dynamic = static_cast<char*>(memory(SHARED));
  }
  for (u32 i = 0; i < MOST_THREADS; ++i) {
    Fiber& fiber = fibers[i];
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stacks + i * STACK;
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
    fiber.started = false;
  }
}

// Returns whether all threads ended. The orders are those of tests/launch_shim.hpp.
inline bool run_block(int order) {
  enum { FORWARDS, BACKWARDS, WARP_BY_WARP };
  all = Barrier();
  warps.assign((threads + 31) / 32, Barrier());
  ballots.assign(warps.size(), 0);
  exchanged.assign(threads, 0);
  live = threads;
  for (u32 t = 0; t < threads; ++t) {
    Fiber& fiber = fibers[t];
    fiber.index = {t % block_size.x, t / block_size.x % block_size.y, t / block_size.x / block_size.y};
    fiber.done = false, fiber.rounds = fiber.warp_rounds = 1;
  }
  for (bool any = true; live && any;) {
    any = false;
    for (u32 i = 0; i < warps.size(); ++i) {
      const u32 warp = order == BACKWARDS ? u32(warps.size()) - 1 - i : i;
      do {
        moved = false;
        for (u32 j = 0; j < 32; ++j) {
          current = warp * 32 + (order == BACKWARDS ? 31 - j : j);
          if (current < threads && !fibers[current].done) resume(fibers[current]);
        }
        any |= moved;
      } while (moved && order == WARP_BY_WARP);
    }
  }
  return live == 0;
}

}  // namespace race
