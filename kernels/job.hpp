// The records that the kernels of engine `cuda` receive, and the constants that fix the size of their launches.
//
// records.cpp fills the records on the host, and a kernel gets its record by value. This file compiles under NVRTC and
// under a host compiler; the assertions at the end make sure that both lay the records out alike.
#pragma once
#include "labels.hpp"

namespace half_grid {

constexpr int LEADING = 4;  // axes in front of the spatial ones, at most, after axes were merged
constexpr int AXES = 8;     // axes of an array in slabs, at most, after axes were merged

constexpr int FAMILIES = 3;          // faces along z (family z), y (family a) and x (family b)
constexpr int STEPS = 32;            // voxels of a segment of the scan along z: one bit of a word for each
constexpr int KINDS = FAMILIES + 1;  // words per column of a segment: the faces of each family, and the foreground
constexpr int ROWS_PER_CHUNK = 4;    // rows of a chunk, whose least scan distance is kept
constexpr int TILE_ELEMENTS = FAMILIES * 32;  // scan distances of 32 neighbours along x, one family after the other
constexpr int CHUNK_TILE_ELEMENTS = 2 * 32;   // the same for chunks: the least of families z and a, then that of b
constexpr int SQUARES_AT_MOST = 256;  // entries of the scan's table of squares, once for whole and once for half steps

constexpr int ROWS = 4;             // rows of a band in kernel `plane`
constexpr int PLANE_THREADS = 256;  // threads of a block of kernel `plane`, at most
constexpr int PAIR_ROWS = 8;        // rows of a band in kernel `pairs`
constexpr int PAIRS = 16;           // pairs of neighbours along x in a word of bits
constexpr int PAIR_THREADS = 128;   // threads of a block of kernel `pairs`, at most
// Entries of a table of costs: 128 half steps reach NO_SQUARE in any unit, and a search reads 8 steps further.
constexpr int COSTS = 144;

// Voxels that one block of kernel `count` sums; together with THREADS it fixes the order of the sum.
constexpr i64 PART = 16384;
constexpr int THREADS = 256;  // threads of a block of kernels `count`, `settle` and `weigh`, at most

enum Flag { HAS_SITE = 1, HAS_MISSING = 2 };

// An array of the caller. Steps are in bytes and may be negative. `data` is null where the array is not given.
struct View {
  u8* data;
  i64 lead[LEADING];
  i64 step[3];  // z, y, x
};

// Costs of m whole steps and of m + 1/2 steps, in kernel `pairs`. Each stands in both halves of its word.
struct alignas(8) Cost { u32 even, odd; };

// Packed squares of PAIR_ROWS rows at one x: word i holds rows 2i and 2i + 1.
struct alignas(16) PackedRows { u32 word[PAIR_ROWS / 2]; };

// One call on a stack of volumes. Axes of one voxel are dropped, so a 2D image has nz = 1.
struct Job {
  View labels, mask, target, weight;
  ElementFormat label, mask_value;
  i64 volumes;
  i64 leading[LEADING];
  i64 slabs;             // volume i belongs to slab i % slabs
  void *scans, *chunks;  // [buf] scan distances, and the least of each chunk; see tiles.cuh
  u32* inside;           // [buf] (volumes, nz, ny, words) bits: the voxel is annotated and its label is not 0
  u32* annotated;        // [buf] the same shape: the voxel is annotated; null where every voxel is
  u32* flags;            // [buf] (volumes) values of Flag, cleared before the first launch
  u64* counted;  // [out] (replicas, slabs, 2) voxels with label = 0 and with label ≠ 0; null where they are not needed
  double* class_weight;  // [inp] (slabs, 2)
  u64* segments;         // [buf] face bits of long columns; null where they fit in shared memory
  // [buf] (limit + 1) the target of each packed square, before its sign; null where squares are not packed.
  float* values;
  float* rows;           // [buf] C and D of long rows; null where they fit in shared memory
  int n[3], words;       // nz, ny, nx; 32-bit words per row of bits
  double unit;           // the unit of distances, in world units
  float square[3];       // the square of half a voxel per axis, in squared units
  float border[3];       // half a voxel per axis, in units
  float border_least;    // the distance to the border along the axes that were dropped
  float cap;             // no search goes beyond this square, in squared units
  float factor;          // converts units to the argument of tanh, or to world units
  float no_site_value;   // the target, before its sign, where the volume has no site
  float no_site_square;  // the squared distance there
  float fill;
  int background;        // a value of Background
  int world_units;       // the target is a distance in world units: tanh is not applied
  int factor_is_normal;  // `factor` is far from the limits of float32; otherwise products are computed in double
  int everywhere;        // distances of background voxels are needed too
  int bordered;          // the weight is 0 where the border is nearer than the nearest site
  int replicas;          // copies of `counted`, one behind the other: blocks use them in turns
  int twice[3];          // 2 · square per axis, for packed squares (tiles.cuh); 0 where squares are not packed
  int limit, deepest;    // the packed cap; the scan distance from which on every square is at least the cap
  int spare;
  // With classes, volume i is class i % classes of labels that all these volumes share: their step there is 0. Kernel
  // `classify` alone reads the labels; the others read `inside` and `annotated`.
  ClassTable table;
};

// An array in slabs, for kernels `count`, `settle` and `weigh`. Unused axes have one voxel. Steps are in bytes.
struct Weighing {
  u8 *labels, *mask;  // a mask that is null stands for ones
  i64 shape[AXES], slab[AXES], label_step[AXES], mask_step[AXES];
  ElementFormat label, mask_value;
  i64 slabs, parts;                   // the parts of a slab, each summed by one block
  int classes, foreground;            // foreground: there are two classes, label = 0 and label ≠ 0
  i64 replicas;                       // copies of `counted`, one behind the other: blocks of the scan use them in turns
  u64* counted;                       // [buf] (replicas, slabs, classes)
  struct Sum* sums;                   // [buf] (slabs, parts); null in `settle` where the counts are the sums
  double *numerators, *denominators;  // [i/o] (slabs, classes)
  double* class_weight;               // [out] (slabs, classes)
  float* weights;                     // [out] C order
  double low, high;                   // fractions are clipped to this range
  // With classes a slab is a class, and these bits are read instead of the labels; otherwise they are null. They lie as
  // in Job, and so do the volumes in them.
  const u32 *inside, *annotated;
  i64 rows;       // of a volume
  int nx, words;  // voxels of a row; words of bits of a row
};

// The sum of a mask over a part: of floats in `real`, of integers in the other two.
struct Sum {
  double real;
  i64 high, low;  // the sum of integers is high · 2³² + low
};

// A job and its doubled grid, for kernels `mark` and `sample`.
struct Doubled {
  Job job;
  u8* grid;                // [out] of `mark`
  const float* distances;  // [inp] of `sample`; null where the volume has no site
  i64 volume;              // the volume that `sample` works on
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
HALF_GRID_LIES_AT(Job, table, 568);
HALF_GRID_LIES_AT(Weighing, counted, 368);
HALF_GRID_LIES_AT(Weighing, inside, 432);
#undef HALF_GRID_LIES_AT
#endif
static_assert(sizeof(View) == 64 && sizeof(Job) == 600 && sizeof(Weighing) == 464,
              "as large as under the other compiler");
static_assert(sizeof(Doubled) == sizeof(Job) + 24 && sizeof(Sum) == 24, "as large as under the other compiler");
static_assert(sizeof(Cost) == 8 && sizeof(PackedRows) == 16, "as large as under the other compiler");

}  // namespace half_grid
