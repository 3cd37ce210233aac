// The weights of a call for target and weight: mask / (2 × clip(numerator / denominator)), for label = 0 and label ≠ 0.
//
//   inside, annotated, keep  [inp]  bits of the scan and of the border; see volume.hpp
//   mask                 [inp]  the labels' shape, any strides; null: ones
//   numerators, denominators  [i/o]  (slabs, 2)
//   weights              [out]  float32, the labels' shape, contiguous
#include "weights.hpp"

#include <algorithm>
#include <new>
#include <vector>

#include "masks.hpp"
#include "threads.hpp"

namespace half_grid {
namespace {

i64 volume_offset(i64 volume, const StridedArray& view, int lead) {
  i64 offset = 0;
  for (int a = lead - 1; a >= 0; --a) {
    offset += volume % view.shape[std::size_t(a)] * view.strides[std::size_t(a)];
    volume /= view.shape[std::size_t(a)];
  }
  return offset;
}

struct RowSum {
  MaskSum all;              // the mask, over annotated voxels
  i64 counted[2] = {0, 0};  // voxels among them with mask ≠ 0: those with label = 0, those with label ≠ 0
};

template <class M> RowSum sum_row(const u8* p, i64 step, i64 n, const u32* inside, const u32* annotated) {
  RowSum row;
  typename SumOf<M>::type sum = 0;
  for (i64 x = 0; x < n; x += 32, ++inside) {
    const int end = int(std::min<i64>(32, n - x));
    const u32 real = annotated ? *annotated++ : ~0u;
    u32 there = 0;
    for (int i = 0; i < end; ++i, p += step) {
      const auto value = number(load<M>(p));
      const bool here = real >> i & 1;
      there |= u32(value != 0 && here) << i;
      if (here) sum += value;
    }
    row.counted[0] += __builtin_popcount(there & ~*inside);
    row.counted[1] += __builtin_popcount(there & *inside);
  }
  row.all.add(sum);
  return row;
}

template <class M>
void weigh_row(const u8* p, i64 step, i64 n, const u32* inside, const u32* keep, const u32* annotated,
               const double* weight, float* out) {
  for (i64 x = 0; x < n; ++x, p += step) {
    const i64 w = x >> 5;
    const int bit = int(x & 31);
    const bool real = (!keep || keep[w] >> bit & 1) && (!annotated || annotated[w] >> bit & 1);
    out[x] = real ? float(double(number(load<M>(p))) * weight[inside[w] >> bit & 1]) : 0.0f;
  }
}

}  // namespace

std::recursive_mutex& counts_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

void renew_counts_mutex() { new (&counts_mutex()) std::recursive_mutex; }

Weigher::Weigher(const CpuTask& p, const LabelArray& labels, const FusedWeights& weighing, const Volume& model)
    : task(p), w(weighing), lead(int(labels.view.shape.size() - p.voxel_size.size())), ny(model.ny), nx(model.nx),
      rows(model.nz * model.ny), weight(std::size_t(2 * weighing.slabs)) {
  if (!w.mask.data) return;
  int to = 2;  // rows are counted in the shape without axes of one voxel
  for (int a = int(p.voxel_size.size()) - 1; a >= 0; --a)
    if (labels.view.shape[std::size_t(lead + a)] > 1) step[to--] = w.mask.strides[std::size_t(lead + a)];
}

const u8* Weigher::mask_row(i64 volume, i64 row) const {
  return w.mask.data + volume_offset(volume, w.mask, lead) + row / ny * step[0] + row % ny * step[1];
}

void Weigher::count(const std::vector<Volume>& volumes, const std::vector<Counted>& counted, Team& team) {
  const i64 count = i64(volumes.size());
  // What this call adds.
  std::vector<double> numerators(std::size_t(2 * w.slabs)), denominators(std::size_t(2 * w.slabs));
  if (!w.mask.data) {
    for (i64 i = 0; i < count; ++i) {
      const Counted& seen = counted[std::size_t(i)];
      const std::size_t at = std::size_t(2 * (i % w.slabs));
      numerators[at] += double(seen.annotated - seen.inside);
      numerators[at + 1] += double(seen.inside);
      for (int c = 0; c < 2; ++c) denominators[at + std::size_t(c)] += double(seen.annotated);
    }
  } else {
    std::vector<RowSum> sums(std::size_t(count * rows));
    team.run(count * rows, [&](int, i64 i) {
      const Volume& v = volumes[std::size_t(i / rows)];
      const i64 at = i % rows * v.words;
      const u8* p = mask_row(i / rows, i % rows);
      with_mask_type(w.mask_format, [&](auto type) {
        sums[std::size_t(i)] =
            sum_row<decltype(type)>(p, step[2], nx, v.inside + at, v.annotated ? v.annotated + at : nullptr);
      });
    });
    std::vector<MaskSum> per_slab(static_cast<std::size_t>(w.slabs));
    for (i64 i = 0; i < count * rows; ++i) {
      const RowSum& row = sums[std::size_t(i)];
      const i64 slab = i / rows % w.slabs;
      per_slab[std::size_t(slab)].add(row.all);
      for (int c = 0; c < 2; ++c) numerators[std::size_t(2 * slab + c)] += double(row.counted[c]);
      mask_above_one |= row.all.whole > row.counted[0] + row.counted[1];  // `whole` is 0 for a float mask
    }
    for (i64 i = 0; i < 2 * w.slabs; ++i) denominators[std::size_t(i)] = per_slab[std::size_t(i / 2)].total();
  }
  // Calls of other threads may add to the same counts. Nothing after this can fail, so counts never change for a call
  // that ends in an error.
  const std::lock_guard<std::recursive_mutex> lock(counts_mutex());
  for (i64 i = 0; i < 2 * w.slabs; ++i) {
    w.numerators[i] += numerators[std::size_t(i)];
    w.denominators[i] += denominators[std::size_t(i)];
  }
  for (i64 s = 0; s < 2 * w.slabs; s += 2)
    weights_of(w.numerators + s, w.denominators + s, 2, w.low, w.high, &weight[std::size_t(s)]);
}

void Weigher::write(const Volume& v, i64 volume, i64 first, i64 last) const {
  const double* own = &weight[std::size_t(2 * (volume % w.slabs))];
  for (i64 row = first; row < last; ++row) {
    float* out = w.weights + (volume * rows + row) * nx;
    const i64 at = row * v.words;
    const u32 *keep = v.keep ? v.keep + at : nullptr, *seen = v.annotated ? v.annotated + at : nullptr;
    if (!w.mask.data) {
      task.level->weigh(v.inside + at, keep, seen, float(own[0]), float(own[1]), out, nx);
      continue;
    }
    const u8* p = mask_row(volume, row);
    with_mask_type(w.mask_format,
                   [&](auto type) { weigh_row<decltype(type)>(p, step[2], nx, v.inside + at, keep, seen, own, out); });
  }
}

}  // namespace half_grid
