// What one volume needs to be computed. The structs hold nothing but data, because the engine and the loops of every
// SIMD level share them.
#pragma once
#include "codes.hpp"

namespace half_grid {

// Labels as they lie in memory. Strides are in bytes; strides and alignment are arbitrary.
struct Labels {
  const u8* data;
  i64 stride[3];  // for z, y, x
  ElementFormat format;
};

struct Volume {
  const VolumePlan* plan;
  Codes codes;  // of squares in 16 bits
  i64 nz, ny, nx;
  i64 words;  // 32-bit words per row of bits
  Labels labels;
  u8* out;            // [out] float32 (nz, ny, nx), any strides
  i64 out_stride[3];  //
  void *z, *a, *b;    // [buf] (nz, ny, nx) scan distances of plan->scan_bytes; 64 bytes more are readable
  u8* swept;          // [buf] (nz, ny) 0 for a row of background that was skipped: z, a and b are not set there
  u32* inside;        // [buf] (nz, ny, words) bits: the voxel is annotated and its label is not 0; [inp] for a class
  u32* annotated;     // [buf] (nz, ny, words) bits: the voxel is annotated; null where every voxel is
  // [out] (nz, ny, words) bits: the nearest site is not further than the border; null where this is not needed.
  u32* keep;
  bool is_class;     // the volume is a class: `inside` and `annotated` are read instead of labels, see classify.hpp
  bool everywhere;   // search in full: for background voxels too, and across unannotated ones
  bool near_only;    // the reach is short, so the bounded search is fast enough and the envelope is never needed
  bool has_no_site;  // the volume has no site: every distance is that of the plan
  int background;
  float fill;
};

// The scan of a group of rows [y0, y1), for all z. `scratch` holds scan_scratch() bytes. Threads count in tasks that are
// neighbours in memory, so each has cache lines of its own.
struct alignas(64) ScanTask {
  const Volume* volume;
  i64 y0, y1;
  u8* scratch;
  bool may_miss;                      // [inp] labels can be unannotated
  bool site;                          // [out] there is a site
  bool missing;                       // [out] there is an unannotated voxel
  i64 count_inside, count_annotated;  // [out] numbers of voxels
  i64 fractions;                      // [out] annotated voxels whose label is not a whole number
};

// The classes of some rows [first, last) of a volume of labels; a row has one index for (z, y).
struct alignas(64) ClassTask {
  const Volume* volume;
  ClassTable table;
  i64 first, last;
  u32* inside;  // [out] bits, `step` words from class to class; see classify.hpp
  i64 step;
  u32* annotated;  // [out] bits; null where every voxel is annotated
  u8* scratch;
  i64* count_inside;    // [out] (classes) numbers of voxels are added
  i64 count_annotated;  // [out] numbers of voxels
  i64 fractions;        // [out] as in ScanTask
};

// The search of some panels of columns, or of some bands of rows, of one plane.
struct PlaneTask {
  const Volume* volume;
  i64 z;
  i64 first, last;  // panels, or bands
  u8* c;            // [buf] (bands, nx padded, lanes) C, transposed
  u8* d;            // [buf] the same for D
  u8* scratch;      // [buf] plane_scratch() bytes of this worker
};

// The loops of one SIMD level.
struct Level {
  void (*scan)(ScanTask&);
  void (*classify)(ClassTask&);
  void (*panels)(const PlaneTask&, bool whole);
  void (*bands)(const PlaneTask&, bool whole);
  i64 (*scan_scratch)(const Volume&, i64 rows);
  i64 (*class_scratch)(const Volume&);
  i64 (*plane_scratch)(const Volume&, bool whole);  // for panels and for bands
  i64 (*plane_bytes)(const Volume&, bool whole);    // of C, and as many of D
  int lanes_whole, lanes_float;
  void (*weigh)(const u32* inside, const u32* keep, const u32* annotated, float background, float foreground,
                float* out, i64 n);
};

const Level* level_baseline();
const Level* level_avx2();
const Level* level_avx512();

}  // namespace half_grid
