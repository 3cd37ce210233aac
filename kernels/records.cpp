#include "records.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace half_grid {

i64 product(const std::vector<i64>& numbers) {
  i64 result = 1;
  for (const i64 n : numbers) result *= n;
  return result;
}

namespace {

// Fills in what follows from the voxel size, the scale and the shape.
void describe_volume(Job& job, const VolumePlan& volume, const Task& task, bool bordered) {
  for (int a = 0; a < 3; ++a) {
    job.n[a] = int(volume.n[a]);
    job.square[a] = float(volume.square[a]);
    job.border[a] = float(volume.half[a]);
  }
  job.words = (job.n[2] + 31) / 32;
  job.border_least = float(volume.border_least);
  job.cap = float(volume.cap);
  job.unit = volume.unit, job.factor = float(volume.factor), job.fill = task.fill;
  job.world_units = volume.world_units, job.factor_is_normal = volume.factor_is_normal;
  job.no_site_value = volume.no_site_value;
  job.no_site_square = volume.no_site_square;
  job.background = task.background, job.bordered = bordered, job.everywhere = volume.everywhere;
}

// Fills in the steps of the arrays. Returns false where they have too many axes.
bool describe_views(Job& job, const VolumePlan& volume, const std::vector<const Layout*>& layouts, View* const* views,
                    std::size_t lead) {
  std::vector<std::vector<i64>> leading;
  const std::vector<i64>& shape = layouts[0]->shape;
  for (const Layout* layout : layouts)
    leading.emplace_back(layout->strides.begin(), layout->strides.begin() + std::ptrdiff_t(lead));
  const std::vector<i64> outer(shape.begin(), shape.begin() + std::ptrdiff_t(lead));
  const MergedAxes merged = merged_axes(outer, leading, outer);
  const std::size_t axes = merged.extents.size();
  if (axes > LEADING) return false;
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    for (std::size_t a = 0; a < axes; ++a) views[i]->lead[LEADING - axes + a] = merged.strides[i][a];
    for (int a = 0; a < 3; ++a)
      views[i]->step[a] = volume.axis[a] < 0 ? 0 : layouts[i]->strides[lead + std::size_t(volume.axis[a])];
  }
  for (std::size_t a = 0; a < LEADING; ++a)
    job.leading[a] = a < LEADING - axes ? 1 : merged.extents[a - (LEADING - axes)];
  job.volumes = product(merged.extents), job.slabs = job.replicas = 1;
  return true;
}

// The addresses in the table come later.
void describe_classes(Job& job, const ClassMap& classes, const Layout& labels, std::size_t lead) {
  job.table = classes.table();
  if (lead == 0 || labels.shape[lead - 1] != job.table.classes || labels.strides[lead - 1] != 0)
    throw std::invalid_argument("expected an axis of classes, with step 0, in front of the spatial ones");
  if (job.background == TIMES_LABEL) job.background = ZERO;  // the label of a voxel in a class is 1
}

void check_layouts(const std::vector<const Layout*>& layouts, std::size_t least_axes) {
  for (const Layout* layout : layouts) {
    if (layout->shape.size() < least_axes || layout->strides.size() != layout->shape.size() ||
        layout->shape != layouts[0]->shape)
      throw std::invalid_argument("arrays differ in shape, or have fewer axes than voxel sizes");
    for (const i64 n : layout->shape)
      if (n < 1) throw std::invalid_argument("empty array");
  }
}

}  // namespace

bool describe_job(Job& job, const Task& task, const Layout& labels, const Layout& target, const Layout* mask,
                  const Layout* weight, const ClassMap* classes, bool bordered, VolumePlan& volume) {
  std::vector<const Layout*> layouts = {&labels, &target};
  View* views[4] = {&job.labels, &job.target, nullptr, nullptr};
  if (mask) views[layouts.size()] = &job.mask, layouts.push_back(mask);
  if (weight) views[layouts.size()] = &job.weight, layouts.push_back(weight);
  check_layouts(layouts, task.voxel_size.size());
  const std::size_t lead = labels.shape.size() - task.voxel_size.size();
  volume =
      plan_volume(task, std::vector<i64>(labels.shape.begin() + std::ptrdiff_t(lead), labels.shape.end()), bordered);
  describe_volume(job, volume, task, bordered);
  job.label = labels.format;
  if (mask) job.mask_value = mask->format;
  if (classes) describe_classes(job, *classes, labels, lead);
  return describe_views(job, volume, layouts, views, lead);
}

void describe_bits(Weighing& w, const Job& job) {
  w.rows = i64(job.n[0]) * job.n[1];
  w.nx = job.n[2], w.words = job.words;
}

// Packed squares, where the unit and the cap allow them.
void pack_squares(Job& job, const VolumePlan& volume) {
  for (int a = 0; a < 3; ++a)
    // Beyond the cap it does not matter how far.
    job.twice[a] = int(2 * std::min(volume.square[a], LARGEST_PACKED + 1));
  job.limit = int(2 * std::ceil(volume.cap / 4)) + 1;
  job.deepest = int(std::sqrt(volume.cap / (job.twice[0] / 2)) / 2) + 1;
}

bool describe_weighing(Weighing& w, const Layout& labels, const Layout* mask, const WeightTask& task) {
  check_layouts(mask ? std::vector<const Layout*>{&labels, mask} : std::vector<const Layout*>{&labels}, 1);
  if (task.slab.size() != labels.shape.size()) throw std::invalid_argument("slab");
  std::vector<std::vector<i64>> strides = {labels.strides};
  if (mask) strides.push_back(mask->strides);
  const MergedAxes merged = merged_axes(labels.shape, strides, task.slab);
  const std::size_t axes = merged.extents.size();
  if (axes > AXES) return false;
  for (std::size_t a = 0; a < AXES; ++a) {
    const bool used = a >= AXES - axes;
    const std::size_t from = a - (AXES - axes);
    w.shape[a] = used ? merged.extents[from] : 1;
    w.slab[a] = used ? merged.blocks[from] : 1;
    w.label_step[a] = used ? merged.strides[0][from] : 0;
    w.mask_step[a] = used && mask ? merged.strides[1][from] : 0;
  }
  w.label = labels.format;
  if (mask) w.mask_value = mask->format;
  w.slabs = 1;
  for (std::size_t a = 0; a < labels.shape.size(); ++a) w.slabs *= parts_of(labels.shape[a], task.slab[a]);
  w.parts = parts_of(product(task.slab), PART);
  w.classes = task.classes, w.foreground = task.foreground, w.replicas = 1;
  w.low = task.low, w.high = task.high;
  return true;
}

}  // namespace half_grid
