// From the keywords of a call and its shape to numbers: units, caps, kept axes, widths. For host compilers alone; both
// native engines start here.
#pragma once
#include <vector>

#include "volume_plan.hpp"

namespace half_grid {

// The keywords that decide a target, checked by the caller.
struct Task {
  Task(std::vector<double> voxel_size, double scale, int background, bool saturate, double fill);
  std::vector<double> voxel_size;
  double scale;  // 0: world units
  int background;
  bool saturate;  // a volume without a site is infinitely far from one
  float fill;
  Units units;
};

VolumePlan plan_volume(const Task& task, const std::vector<i64>& spatial, bool bordered);

// Voxels along an axis that a search visits in one direction, and some.
double reach_of(const VolumePlan& plan, int axis);

// Axes of arrays of one shape, joined where the strides of every array allow it and blocks stay blocks; axes of one
// voxel are left out.
struct MergedAxes {
  std::vector<i64> extents, blocks;
  std::vector<std::vector<i64>> strides;  // per array, in bytes
};
MergedAxes merged_axes(const std::vector<i64>& shape, const std::vector<std::vector<i64>>& strides,
                       const std::vector<i64>& blocks);

}  // namespace half_grid
