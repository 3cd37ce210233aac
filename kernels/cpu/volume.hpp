// What one volume needs to be computed: plain data, shared by the driver and the loops of every SIMD level.
#pragma once
#include "volume_plan.hpp"

namespace half_grid {

// Labels as they lie in memory. Strides are in bytes and may be anything, alignment too.
struct Labels {
  const u8* data;
  i64 stride[3];  // of z, y, x
  ElementFormat format;
};

struct Volume {
  const VolumePlan* plan;
  i64 nz, ny, nx;
  i64 words;  // 32-bit words per row of bits
  Labels labels;
  u8* out;            // [out] float32 [nz, ny, nx], any strides
  i64 out_stride[3];  //
  void *z, *a, *b;    // [buf] scan distances [nz, ny, nx], plan->scan_bytes each, 64 bytes to spare
  u8* swept;          // [buf] [nz, ny] 0: a row of background where z, a and b hold nothing
  u32* inside;        // [buf] bits [nz, ny, words]: annotated and label ≠ 0
  u32* annotated;     // [buf] bits [nz, ny, words]: annotated; null where every voxel is
  u32* keep;          // [out] bits [nz, ny, words]: not beyond the border; null where nobody asks
  bool everywhere;    // search for background voxels and across unannotated ones too
  bool near_only;     // reach is short: the bounded search alone is exact and cheap
  bool has_no_site;   // the whole volume: every distance is the plan's
  int background;
  float fill;
};

// One group of rows [y0, y1) of a scan, all z. `scratch`: see scan_scratch().
struct ScanTask {
  const Volume* volume;
  i64 y0, y1;
  u8* scratch;
  bool may_miss;                      // [in] labels can be unannotated
  bool site;                          // [out] there is a site
  bool missing;                       // [out] there is an unannotated voxel
  i64 count_inside, count_annotated;  // [out] voxels
  i64 fractions;                      // [out] annotated voxels whose label has a fraction
};

// Panels of columns or bands of rows of one plane.
struct PlaneTask {
  const Volume* volume;
  i64 z;
  i64 first, last;  // panels or bands
  u8* c;            // [buf] [bands, nx padded, lanes] C, transposed
  u8* d;            // [buf] the same for D
  u8* scratch;      // see panel_scratch(), band_scratch()
};

// The loops of one SIMD level.
struct Level {
  void (*scan)(ScanTask&);
  void (*panels)(const PlaneTask&, bool whole);
  void (*bands)(const PlaneTask&, bool whole);
  i64 (*scan_scratch)(const Volume&, i64 rows);
  i64 (*plane_scratch)(const Volume&, bool whole);  // panels and bands share it
  i64 (*plane_bytes)(const Volume&, bool whole);    // of C, and of D
  int lanes_whole, lanes_float;
  void (*weigh)(const u32* inside, const u32* keep, const u32* annotated, float background, float foreground,
                float* out, i64 n);
};

const Level* level_baseline();
const Level* level_avx2();
const Level* level_avx512();

}  // namespace half_grid
