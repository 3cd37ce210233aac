// The records that kernels of engine `cuda` are launched with, and the numbers that their geometry rests on.
//
// plan.cpp fills them on the host; kernels receive them by value. Compiles under NVRTC and under a host compiler, and
// both lay the records out alike: see the assertions at the end.
#pragma once
#include "labels.hpp"

namespace half_grid {

constexpr int LEADING = 4;  // axes in front of the spatial ones, after those that lie alike are merged
constexpr int AXES = 8;     // of an array in slabs, after merging

constexpr int FAMILIES = 3;                   // of faces: along z, y and x
constexpr int STEPS = 32;                     // of a segment of the scan along z: the bits of a word
constexpr int KINDS = FAMILIES + 1;           // of words per column of a segment: faces of each family, and foreground
constexpr int ROWS_PER_CHUNK = 4;             // rows whose least scan distances are kept together
constexpr int TILE_ELEMENTS = FAMILIES * 32;  // scan distances of 32 neighbours along x, family by family
constexpr int CHUNK_TILE_ELEMENTS = 2 * 32;   // the same for chunks: families z and a together, and b
constexpr int SQUARES_AT_MOST = 256;          // entries of the scan's table of squares, for whole and for half steps

constexpr int ROWS = 4;            // of a band in kernel `plane`
constexpr int PAIR_ROWS = 8;       // of a band in kernel `pairs`
constexpr int PAIRS = 16;          // of neighbours along x in a word of bits
constexpr int PAIR_THREADS = 128;  // of a block of kernel `pairs`, at most
constexpr int COSTS = 144;         // 128 half steps reach NO_SQUARE in any unit, and a search looks 8 steps further

constexpr i64 PART = 16384;   // voxels that one block sums in kernel `count`; with THREADS it fixes the order
constexpr int THREADS = 256;  // of a block of kernels `count`, `settle` and `weigh`, at most

enum Flag { HAS_SITE = 1, HAS_MISSING = 2 };

// Memory of a caller. Steps are in bytes and of any sign; null data: not given.
struct View {
  u8* data;
  i64 lead[LEADING];
  i64 step[3];  // z, y, x
};

// Costs of m whole steps and of m + 1/2, twice over, in kernel `pairs`.
struct alignas(8) Cost { u32 even, odd; };

// Squares of PAIR_ROWS rows at one x: rows 2i and 2i + 1 in word i.
struct alignas(16) PackedRows { u32 word[PAIR_ROWS / 2]; };

// One call on a stack of volumes. Axes of one voxel are dropped: 2D is nz = 1.
struct Job {
  View labels, mask, target, weight;
  ElementFormat label, mask_value;
  i64 volumes;
  i64 leading[LEADING];
  i64 slabs;             // volume i has the counts of slab i % slabs
  void *scans, *chunks;  // [buf] scan distances, and the least of each chunk or null, see tiles.cuh
  u32* inside;           // [buf] (volumes, nz, ny, words) bits: annotated and label ≠ 0
  u32* annotated;        // [buf] the same: annotated; null where every voxel is
  u32* flags;            // [buf] (volumes) of Flag, 0 before the first launch
  u64* counted;          // [out] (replicas, slabs, 2) voxels with label = 0, label ≠ 0; null where nobody counts
  double* class_weight;  // [inp] (slabs, 2)
  u64* segments;         // [buf] face bits of long columns, or null: they fit in shared memory
  float* values;         // [buf] (limit + 1) targets of packed squares before the sign, or null: squares are not packed
  float* rows;           // [buf] C and D of long rows, or null: they fit in shared memory
  int n[3], words;       // nz, ny, nx; 32-bit words per row of bits
  double unit;           // world units
  float square[3];       // squared units of half a voxel, per axis
  float border[3];       // units of half a voxel, per axis
  float border_least;    // distance to the border along the axes that were dropped
  float cap;             // squared units: no search goes beyond it
  float factor;          // from units to the argument of tanh, or to world units
  float no_site_value;   // target, before its sign, of a voxel whose volume has no site
  float no_site_square;  // and its squared distance
  float fill;
  int background;        // of Background
  int world_units;       // no tanh
  int factor_is_normal;  // an ordinary float; else products are taken in double
  int everywhere;        // background voxels are searched for too
  int bordered;          // weight 0 where the border is nearer than the nearest site
  int replicas;          // of `counted`, one behind the other: blocks take turns
  int twice[3];          // for packed squares (tiles.cuh): 2 · square, per axis; 0 where squares are not packed
  int limit, deepest;    // packed cap; scan distance from which on no square is below it
  int spare;
};

// An array in slabs, for kernels `count`, `settle` and `weigh`. Unused axes have one voxel; steps in bytes.
struct Weighing {
  u8 *labels, *mask;  // mask null: ones
  i64 shape[AXES], slab[AXES], label_step[AXES], mask_step[AXES];
  ElementFormat label, mask_value;
  i64 slabs, parts;                   // parts of a slab
  int classes, foreground;            // foreground: label = 0 and label ≠ 0
  i64 replicas;                       // of `counted`, one behind the other: the scan's blocks take turns
  u64* counted;                       // [buf] (replicas, slabs, classes)
  struct Sum* sums;                   // [buf] (slabs, parts); null in settle: the counts are the sums
  double *numerators, *denominators;  // [i/o] (slabs, classes)
  double* class_weight;               // [out] (slabs, classes)
  float* weights;                     // [out] C order
  double low, high;                   // clip of a fraction
};

// A part of a mask's sum.
struct Sum {
  double real;
  i64 high, low;  // of integers: high · 2³² + low
};

// A job and its doubled grid, for kernels `mark` and `sample`.
struct Doubled {
  Job job;
  u8* grid;                // [out] of mark
  const float* distances;  // [inp] of sample; null: the volume has no site
  i64 volume;              // of sample
};

#if !defined(__CUDACC_RTC__)  // NVRTC has no offsetof
#define HALF_GRID_LIES_AT(record, field, offset)             \
  static_assert(__builtin_offsetof(record, field) == offset, \
                #record "." #field " lies elsewhere under the other compiler")
HALF_GRID_LIES_AT(View, step, 40);
HALF_GRID_LIES_AT(Job, scans, 368);
HALF_GRID_LIES_AT(Job, n, 448);
HALF_GRID_LIES_AT(Job, unit, 464);
HALF_GRID_LIES_AT(Job, twice, 544);
HALF_GRID_LIES_AT(Weighing, counted, 368);
#undef HALF_GRID_LIES_AT
#endif
static_assert(sizeof(View) == 64 && sizeof(Job) == 568 && sizeof(Weighing) == 432,
              "as large as under the other compiler");
static_assert(sizeof(Doubled) == sizeof(Job) + 24 && sizeof(Sum) == 24, "as large as under the other compiler");
static_assert(sizeof(Cost) == 8 && sizeof(PackedRows) == 16, "as large as under the other compiler");

}  // namespace half_grid
