// The driver: volumes to jobs, jobs to threads, counts to weights.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "job.hpp"

namespace half_grid {

// Memory of a caller: strides in bytes, any sign.
struct View {
  unsigned char* data = nullptr;
  std::vector<i64> shape, strides;
  int width = 0;
};

enum class Kind { unsigned_integer, signed_integer, floating };

// What decides a target, checked and turned into units once.
struct Plan {
  Plan(std::vector<double> voxel_size, double scale, int background, bool saturate, double fill, std::string level,
       bool always_float);
  std::vector<double> voxel_size;
  double scale;  // 0: world units
  int background;
  bool saturate;
  float fill;
  const Level* level;
  bool always_float;
  Units units;
};

// Labels: spatial axes last, volumes in front. `ignored` is a bit pattern in the labels' own width.
struct LabelArray {
  View view;
  Kind kind;
  bool foreign, has_ignored;
  u64 ignored;
};

// What the fused call adds: weights of two classes, label = 0 and label ≠ 0.
struct Weighing {
  View mask;                // data null: ones
  Kind mask_kind;
  float* weights;           // [out] contiguous, the labels' shape
  double* numerators;       // [i/o] (slabs, 2)
  double* denominators;     // [i/o] (slabs, 2)
  i64 slabs;                // volume i belongs to slab i % slabs
  double low, high;         // clip of a fraction
  bool border;              // weight 0 where the border of the array is nearer than the nearest site
};

// What a pass over labels and mask noticed on the way.
struct Noticed {
  i64 fractions = 0;            // annotated voxels whose label is a float with a fraction
  bool mask_above_one = false;  // an integer mask counts a voxel more than once
};

Noticed targets(const Plan& plan, const LabelArray& labels, const View& out, const Weighing* weighing, int threads);

const Level* level_named(const std::string& name);  // "auto": the widest that runs here
std::vector<std::string> levels();

// Per slab counts and weights for any number of classes; see class_weights.cpp.
struct ClassWeighing {
  int classes;
  bool foreground;          // two classes, label = 0 and label ≠ 0
  std::vector<i64> slab;    // block extents
  double low, high;
  double *numerators, *denominators;  // [i/o] (slabs, classes)
};
// Returns whether an integer mask counts a voxel more than once.
bool class_weights(const LabelArray& labels, const View& mask, Kind mask_kind, float* weights, const ClassWeighing& w, int threads);

}  // namespace half_grid
