// Where a volume of a job begins in the memory of the caller.
#pragma once
#include "device.cuh"
#include "job.hpp"

namespace half_grid {

DEVICE_FN i64 offset_of(const View& view, const i64* leading, i64 volume) {
  i64 offset = 0;
  for (int a = LEADING - 1; a >= 0; --a) {
    if (leading[a] == 1) continue;
    const i64 next = divided(volume, leading[a]);
    offset += (volume - next * leading[a]) * view.lead[a];
    volume = next;
  }
  return offset;
}

// The bit of voxel x in a row of bits.
DEVICE_FN bool bit_at(const u32* words, i64 x) { return words[x >> 5] >> (x & 31) & 1; }

}  // namespace half_grid
