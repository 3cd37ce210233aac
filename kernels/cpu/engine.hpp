// The driver: volumes to jobs, jobs to threads, counts to weights.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "plan.hpp"
#include "volume.hpp"

namespace half_grid {

// Memory of a caller: strides in bytes, any sign.
struct StridedArray {
  unsigned char* data = nullptr;
  std::vector<i64> shape, strides;
  int width = 0;  // bytes of an element
};

// A task and the loops that run it.
struct CpuTask : Task {
  CpuTask(const Task& task, const std::string& level, bool always_float);
  const Level* level;
  bool always_float;  // never in whole squares of 16 bits
};

// Labels: spatial axes last, volumes in front.
struct LabelArray {
  StridedArray view;
  ElementFormat format;
};

// What the fused call adds: weights of two classes, label = 0 and label ≠ 0.
struct FusedWeights {
  StridedArray mask;  // data null: ones
  ElementFormat mask_format;
  float* weights;        // [out] contiguous, the labels' shape
  double* numerators;    // [i/o] (slabs, 2)
  double* denominators;  // [i/o] (slabs, 2)
  i64 slabs;             // volume i belongs to slab i % slabs
  double low, high;      // clip of a fraction
  bool border;           // weight 0 where the border of the array is nearer than the nearest site
};

// What a pass over labels and mask noticed on the way.
struct Noticed {
  i64 fractions = 0;            // annotated voxels whose label is a float with a fraction
  bool mask_above_one = false;  // an integer mask counts a voxel more than once
};

Noticed targets(const CpuTask& task, const LabelArray& labels, const StridedArray& out, const FusedWeights* weighing,
                int threads);

const Level* level_named(const std::string& name);  // "auto": the widest that runs here
std::vector<std::string> levels();

// Per slab counts and weights for any number of classes; see class_weights.cpp.
struct SlabWeights {
  int classes;
  bool foreground;        // two classes, label = 0 and label ≠ 0
  std::vector<i64> slab;  // block extents
  double low, high;
  double *numerators, *denominators;  // [i/o] (slabs, classes)
};
// Returns whether an integer mask counts a voxel more than once.
bool class_weights(const LabelArray& labels, const StridedArray& mask, const ElementFormat& mask_format, float* weights,
                   const SlabWeights& w, int threads);

}  // namespace half_grid
