// CUDA's types, and those of its instructions that do not involve other threads, for the host.
#pragma once
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct alignas(16) float4 { float x, y, z, w; };

namespace shim {

// Applies `what` to both halves of two words, as CUDA's video instructions do.
template <class Do> unsigned by_halves(unsigned a, unsigned b, Do what) {
  return what(a & 0xFFFF, b & 0xFFFF) | what(a >> 16, b >> 16) << 16;
}
inline unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned most(unsigned a, unsigned b) { return a < b ? b : a; }
// A sum that overflows is a mistake in the kernel: stop there.
inline unsigned sum(unsigned a, unsigned b) {
  if (a + b > 0xFFFF) fprintf(stderr, "%u + %u do not fit in 16 bits\n", a, b), abort();
  return a + b;
}
inline unsigned chosen_bytes(unsigned a, unsigned b, unsigned selector) {
  const unsigned long long all = (unsigned long long)b << 32 | a;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) result |= unsigned(all >> (8 * (selector >> (4 * i) & 7)) & 0xFF) << (8 * i);
  return result;
}

}  // namespace shim

#define __vminu2(a, b) shim::by_halves(a, b, shim::least)
#define __vmaxu2(a, b) shim::by_halves(a, b, shim::most)
#define __viaddmin_u16x2(a, b, c) shim::by_halves(shim::by_halves(a, b, shim::sum), c, shim::least)
#define __byte_perm(a, b, selector) shim::chosen_bytes(a, b, selector)
#define __clz(word) ((word) ? __builtin_clz(unsigned(word)) : 32)
#define __ffs(word) __builtin_ffs(word)
#define __popc(word) __builtin_popcount(word)
