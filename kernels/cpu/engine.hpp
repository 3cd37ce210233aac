// Engine `cpu`: divides the volumes of a call among threads, runs the loops of a SIMD level, and makes weights from
// counts.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "classes.hpp"
#include "plan.hpp"
#include "volume.hpp"

namespace half_grid {

// An array of the caller. Strides are in bytes and may be negative.
struct StridedArray {
  unsigned char* data = nullptr;
  std::vector<i64> shape, strides;
  int width = 0;  // bytes of an element
};

// A task, and the SIMD level whose loops run it.
struct CpuTask : Task {
  CpuTask(const Task& task, const std::string& level, bool always_float);
  const Level* level;
  std::vector<const Level*> narrower;  // the vector levels that may take its place, where it was not asked for by name
  bool always_float;                   // never use squares of 16 bits, even where they are exact
};

// Labels: spatial axes last, volumes in front.
struct LabelArray {
  StridedArray view;
  ElementFormat format;
};

// What a call for target and weight needs in addition. There are two classes, label = 0 and label ≠ 0.
struct FusedWeights {
  StridedArray mask;  // `data` null stands for ones
  ElementFormat mask_format;
  float* weights;        // [out] contiguous, the labels' shape
  double* numerators;    // [i/o] (slabs, 2)
  double* denominators;  // [i/o] (slabs, 2)
  i64 slabs;             // volume i belongs to slab i % slabs
  double low, high;      // clip of a fraction
  bool border;           // the weight is 0 where the border of the array is nearer than the nearest site
};

// What a call noticed in labels and mask, for a warning.
struct Noticed {
  i64 fractions = 0;            // annotated voxels whose label is not a whole number
  bool mask_above_one = false;  // an integer mask has a value above 1
};

// With `classes` the labels have an axis of classes in front of the spatial ones, whose volumes share their memory.
Noticed targets(const CpuTask& task, const LabelArray& labels, const StridedArray& out, const FusedWeights* weighing,
                int threads, const ClassMap* classes);

const Level* level_named(const std::string& name);  // "auto" is the widest that this processor runs
std::vector<std::string> levels();

// Weights for any number of classes, with counts per slab; see class_weights.cpp.
struct SlabWeights {
  int classes;
  bool foreground;        // the two classes are label = 0 and label ≠ 0
  std::vector<i64> slab;  // extents of a block of the array
  double low, high;
  double *numerators, *denominators;  // [i/o] (slabs, classes)
  const ClassMap* of_labels;  // a slab is a class of this map, and the two classes are outside and inside; may be null
};
// Returns whether an integer mask has a value above 1.
bool class_weights(const LabelArray& labels, const StridedArray& mask, const ElementFormat& mask_format, float* weights,
                   const SlabWeights& w, int threads);

}  // namespace half_grid
