// From the keywords and the shape of a call to numbers: units, the cap, the axes that are kept, the bytes of a scan
// distance. Both native engines start here. Only the host compiler sees this file.
#pragma once
#include <vector>

#include "volume_plan.hpp"

namespace half_grid {

// The keywords that decide a target. The caller has checked them.
struct Task {
  Task(std::vector<double> voxel_size, double scale, int background, bool saturate, double fill);
  std::vector<double> voxel_size;
  double scale;  // 0 stands for world units
  int background;
  bool saturate;  // the distance is infinite in a volume without a site; otherwise it is half its shortest extent
  float fill;
  Units units;
};

VolumePlan plan_volume(const Task& task, const std::vector<i64>& spatial, bool bordered);

// How many voxels along an axis a search visits in one direction, at most.
double reach_of(const VolumePlan& plan, int axis);

// The axes of arrays of one shape. Neighbouring axes are joined where the strides of every array allow it and blocks
// remain blocks; axes of one voxel are left out.
struct MergedAxes {
  std::vector<i64> extents, blocks;
  std::vector<std::vector<i64>> strides;  // per array, in bytes
};
MergedAxes merged_axes(const std::vector<i64>& shape, const std::vector<std::vector<i64>>& strides,
                       const std::vector<i64>& blocks);

}  // namespace half_grid
