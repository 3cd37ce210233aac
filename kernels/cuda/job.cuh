// What one launch needs: plain records, filled by the Python side (see device/records.py, which mirrors them field
// by field; tests compare the sizes and offsets).
#pragma once
#include "device.cuh"
#include "labels.hpp"

namespace half_grid {

constexpr int LEADING = 4;  // axes in front of the spatial ones, after those that lie alike are merged

enum Flag { HAS_SITE = 1, HAS_MISSING = 2 };

// Memory of a caller. Steps are in bytes and of any sign; null data: not given.
struct View {
  u8* data;
  i64 lead[LEADING];
  i64 step[3];  // z, y, x
};

// One call on a stack of volumes. Axes of one voxel are dropped: 2D is nz = 1.
struct Job {
  View labels, mask, target, weight;
  ElementFormat label, mask_value;
  i64 volumes;
  i64 leading[LEADING];
  i64 slabs;          // volume i has the counts of slab i % slabs
  void *scans, *chunks;  // [buf] scan distances, and the least of each chunk or null, see tiles.cuh
  u32* inside;        // [buf] (volumes, nz, ny, words) bits: annotated and label ≠ 0
  u32* known;         // [buf] the same: annotated; null where every voxel is
  u32* flags;         // [buf] (volumes) of Flag, 0 before the first launch
  u64* counted;       // [out] (replicas, slabs, 2) voxels with label = 0, label ≠ 0; null where nobody counts
  double* class_weight;  // [inp] (slabs, 2)
  u64* segments;      // [buf] face bits of long columns, or null: they fit in shared memory
  float* values;      // [buf] (limit + 1) targets of packed squares before the sign, or null: squares are not packed
  float* rows;        // [buf] C and D of long rows, or null: they fit in shared memory
  int n[3], words;    // nz, ny, nx; 32-bit words per row of bits
  double unit;        // world units
  float square[3];    // squared units of half a voxel, per axis
  float border[3];    // units of half a voxel, per axis
  float border_least; // distance to the border along the axes that were dropped
  float cap;          // squared units: no search goes beyond it
  float factor;       // units -> argument of tanh, or world units
  float lonely, lonely_square;  // value (before its sign) and square of every voxel where there is no site
  float fill;
  int background;     // of Background
  int world, plain;   // no tanh; the factor is an ordinary float
  int everywhere;     // background voxels are asked for too
  int bordered;       // weight 0 where the border is nearer than the nearest site
  int replicas;       // of `counted`, one behind the other: blocks take turns
  int twice[3];       // for packed squares (tiles.cuh): 2 · square, per axis; 0 where squares are not packed
  int limit, deepest; // packed cap; scan distance from which on no square is below it
  int spare;
};

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

}  // namespace half_grid
