// Class-balanced weights for any number of classes, where slabs are blocks of the array.
//
//   labels, mask              [inp]  same shape, any strides
//   numerators, denominators  [i/o]  (slabs, classes)
//   weights                   [out]  float32, the labels' shape, contiguous
//
// Threads sum strips of rows, and the strips are added up in order. So the sum does not depend on the number of
// threads.
#include <algorithm>
#include <vector>

#include "masks.hpp"
#include "threads.hpp"

namespace half_grid {
namespace {

// Where a row begins in labels and mask, in bytes, and the slab of its first block.
struct Row { i64 label, mask, slab; };

struct Grid {
  const LabelArray& labels;
  const StridedArray& mask;
  const SlabWeights& w;
  std::vector<i64> blocks;  // blocks along each axis
  i64 slabs = 1, rows = 1, strip, strips;

  Grid(const LabelArray& l, const StridedArray& m, const SlabWeights& weighing)
      : labels(l), mask(m), w(weighing), blocks(l.view.shape.size()) {
    const std::vector<i64>& shape = labels.view.shape;
    for (std::size_t a = 0; a < shape.size(); ++a) {
      blocks[a] = (shape[a] + w.slab[a] - 1) / w.slab[a];
      slabs *= blocks[a];
      if (a + 1 < shape.size()) rows *= shape[a];
    }
    const i64 parts =
        // Fewer strips where there are many slabs, since each strip has sums of its own.
        std::clamp<i64>(2'000'000 / (slabs * w.classes), 1, 256);
    strip = std::max<i64>({1, 4096 / shape.back(), (rows + parts - 1) / parts});
    strips = (rows + strip - 1) / strip;
  }

  Row row(i64 index) const {
    Row at = {0, 0, 0};
    i64 slab_step = blocks.back();
    for (std::size_t a = blocks.size() - 1; a-- > 0;) {
      const i64 i = index % labels.view.shape[a];
      index /= labels.view.shape[a];
      at.label += i * labels.view.strides[a];
      at.mask += i * mask.strides[a];
      at.slab += i / w.slab[a] * slab_step;
      slab_step *= blocks[a];
    }
    return at;
  }

  // Calls use(slab, index of the first voxel, number of voxels, label, mask) for each block's part of each row of a
  // strip.
  template <class Use> void each_part(i64 s, const Use& use) const {
    const i64 nx = labels.view.shape.back(), extent = w.slab.back();
    for (i64 index = s * strip, end = std::min(rows, index + strip); index < end; ++index) {
      const Row at = row(index);
      for (i64 x = 0, slab = at.slab; x < nx; x += extent, ++slab)
        use(slab, index * nx + x, std::min(nx - x, extent),
            labels.view.data + at.label + x * labels.view.strides.back(),
            mask.data + at.mask + x * mask.strides.back());
    }
  }
};

// The sums of one strip, for the slabs [first, first + all.size()).
struct StripSums {
  i64 first;
  std::vector<MaskSum> all;
  std::vector<i64> counted;  // voxels with mask ≠ 0, per slab and class
};

template <class T, class M> bool class_weights_of(const Grid& grid, float* weights, int threads) {
  Team team(threads);
  const SlabWeights& w = grid.w;
  const ClassTable table = w.of_labels ? w.of_labels->table() : ClassTable{nullptr, nullptr, 0, 0, 0};
  const auto classify = [&](i64 slab, const u8* p) {
    const Label<T> label = label_at<T>(grid.labels.format, p);
    if (!w.of_labels) return class_of(grid.labels.format, w.classes, w.foreground, label);
    return label.missing ? -1 : int(is_in_class(table, class_row_of(table, label.code), slab));
  };
  const std::size_t classes = std::size_t(w.classes), slabs = std::size_t(grid.slabs);
  const i64 label_step = grid.labels.view.strides.back(), mask_step = grid.mask.strides.back();
  std::vector<StripSums> sums(static_cast<std::size_t>(grid.strips));
  team.run(grid.strips, [&](int, i64 s) {
    StripSums& own = sums[std::size_t(s)];
    i64 low = grid.slabs, high = 0;
    for (i64 index = s * grid.strip, end = std::min(grid.rows, index + grid.strip); index < end; ++index) {
      const i64 slab = grid.row(index).slab;
      low = std::min(low, slab), high = std::max(high, slab + grid.blocks.back());
    }
    own.first = low;
    own.all.resize(std::size_t(high - low));
    own.counted.resize(std::size_t(high - low) * classes);
    grid.each_part(s, [&](i64 slab, i64, i64 n, const u8* label, const u8* mask) {
      i64* counted = &own.counted[std::size_t(slab - low) * classes];
      typename SumOf<M>::type sum = 0;
      for (i64 x = 0; x < n; ++x, label += label_step, mask += mask_step) {
        const int c = classify(slab, label);
        const auto value = number(load<M>(mask));
        if (c < 0) continue;
        counted[c] += value != 0;
        sum += value;
      }
      own.all[std::size_t(slab - low)].add(sum);
    });
  });
  std::vector<MaskSum> all(slabs);
  Wide sum = 0, counted = 0;
  for (const StripSums& strip : sums) {
    for (std::size_t i = 0; i < strip.all.size(); ++i)
      all[std::size_t(strip.first) + i].add(strip.all[i]), sum += strip.all[i].whole;
    for (std::size_t i = 0; i < strip.counted.size(); ++i) {
      w.numerators[std::size_t(strip.first) * classes + i] += double(strip.counted[i]);
      counted += strip.counted[i];
    }
  }
  std::vector<double> weight(slabs * classes);
  for (std::size_t s = 0; s < slabs; ++s) {
    for (std::size_t c = 0; c < classes; ++c) w.denominators[s * classes + c] += all[s].total();
    weights_of(w.numerators + s * classes, w.denominators + s * classes, w.classes, w.low, w.high,
               &weight[s * classes]);
  }
  team.run(grid.strips, [&](int, i64 s) {
    grid.each_part(s, [&](i64 slab, i64 first, i64 n, const u8* label, const u8* mask) {
      const double* own = &weight[std::size_t(slab) * classes];
      for (i64 x = 0; x < n; ++x, label += label_step, mask += mask_step) {
        const int c = classify(slab, label);
        weights[first + x] = c < 0 ? 0.0f : float(double(number(load<M>(mask))) * own[c]);
      }
    });
  });
  return sum > counted;  // `whole` is 0 for a float mask
}

}  // namespace

bool class_weights(const LabelArray& labels, const StridedArray& mask, const ElementFormat& mask_format, float* weights,
                   const SlabWeights& w, int threads) {
  const Grid grid(labels, mask, w);
  if (grid.rows * labels.view.shape.back() < (1 << 15)) threads = 1;
  return with_mask_type(mask_format, [&](auto type) {
    typedef decltype(type) M;
    switch (labels.view.width) {
      case 1: return class_weights_of<u8, M>(grid, weights, threads);
      case 2: return class_weights_of<u16, M>(grid, weights, threads);
      case 4: return class_weights_of<u32, M>(grid, weights, threads);
      default: return class_weights_of<u64, M>(grid, weights, threads);
    }
  });
}

}  // namespace half_grid
