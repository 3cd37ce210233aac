#include "plan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace half_grid {

Task::Task(std::vector<double> sizes, double scale_, int background_, bool saturate_, double fill_)
    : voxel_size(std::move(sizes)), scale(scale_), background(background_), saturate(saturate_), fill(float(fill_)) {
  if (voxel_size.size() != 2 && voxel_size.size() != 3) throw std::invalid_argument("expected 2 or 3 voxel sizes");
  for (const double size : voxel_size)
    if (!(size > 0 && std::isfinite(size))) throw std::invalid_argument("voxel sizes are positive and finite");
  if (!(scale >= 0 && std::isfinite(scale)))
    throw std::invalid_argument("a scale is positive and finite, or 0 for none");
  if (background < ZERO || background > TIMES_LABEL) throw std::invalid_argument("background is 0, 1 or 2");
  units = units_of(voxel_size.data(), int(voxel_size.size()));
}

double reach_of(const VolumePlan& plan, int axis) { return std::sqrt(plan.cap / plan.square[axis]) / 2 + 1; }

namespace {

// Fills in the spatial axes of more than one voxel, and returns half the shortest extent.
double keep_axes(VolumePlan& plan, const Task& task, const std::vector<i64>& spatial) {
  double shortest = std::numeric_limits<double>::infinity();
  int to = 2;
  for (int a = int(spatial.size()) - 1; a >= 0; --a) {
    const double half = task.voxel_size[std::size_t(a)] / 2 / task.units.length;
    shortest = std::min(shortest, double(spatial[std::size_t(a)]) * half);
    if (spatial[std::size_t(a)] == 1) {
      plan.border_least = std::min(plan.border_least, half);
      continue;
    }
    plan.n[to] = spatial[std::size_t(a)], plan.axis[to] = a;
    plan.square[to] = task.units.square[a], plan.half[to] = half;
    --to;
  }
  return shortest;
}

}  // namespace

VolumePlan plan_volume(const Task& task, const std::vector<i64>& spatial, bool bordered) {
  VolumePlan plan = {{1, 1, 1}, {-1, -1, -1}, {1, 1, 1}, {0, 0, 0}, 3e38, 0, 0, 0, false, false, 0, 0, false, 0};
  const double shortest = keep_axes(plan, task, spatial);
  plan.cap = saturated_square(task.units, task.scale);
  if (bordered) {
    // Distances are compared with that to the border, so the search goes as far as that of the voxel furthest from it.
    double furthest = 0;
    for (int a = 0; a < 3; ++a)
      if (plan.n[a] > 1) furthest = std::max(furthest, plan.half[a] * double(plan.n[a] + 1));
    plan.cap = std::max(plan.cap, std::min(BEYOND, furthest * furthest * 1.01 + 2));
  }
  plan.unit = task.units.length;
  plan.world_units = task.scale <= 0;
  plan.factor = plan.world_units ? plan.unit : plan.unit / task.scale;
  plan.factor_is_normal = plan.factor > 1e-30 && plan.factor < 1e30;
  const double distance = task.saturate ? std::numeric_limits<double>::infinity() : shortest,
               value = distance * plan.factor;
  plan.no_site_square = float(std::min(distance * distance, BEYOND));
  plan.no_site_value = float(plan.world_units ? value : value >= SATURATION ? 1.0 : std::tanh(value));
  plan.everywhere = task.background == SIGNED || bordered;
  const double deepest = std::min(reach_of(plan, 0), double(plan.n[0]));
  plan.scan_bytes = deepest <= 254 ? 1 : deepest <= 65534 ? 2 : 4;
  return plan;
}

MergedAxes merged_axes(const std::vector<i64>& shape, const std::vector<std::vector<i64>>& strides,
                       const std::vector<i64>& blocks) {
  MergedAxes merged;
  merged.strides.resize(strides.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] == 1) continue;
    bool joins = !merged.extents.empty() && merged.blocks.front() == merged.extents.front();
    for (std::size_t i = 0; joins && i < strides.size(); ++i)
      joins = strides[i][axis] == merged.strides[i].front() * merged.extents.front();
    if (joins) {
      merged.blocks.front() *= blocks[axis];
      merged.extents.front() *= shape[axis];
      continue;
    }
    merged.extents.insert(merged.extents.begin(), shape[axis]);
    merged.blocks.insert(merged.blocks.begin(), blocks[axis]);
    for (std::size_t i = 0; i < strides.size(); ++i)
      merged.strides[i].insert(merged.strides[i].begin(), strides[i][axis]);
  }
  return merged;
}

}  // namespace half_grid
