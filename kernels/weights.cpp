// Class-balanced weights: mask / (classes × clip(numerator / denominator)), with counts per slab.
//
//   fused    labels were read by the scan; their bits, the mask and the counts make the weights of two classes
//   apart    labels of any kind, any number of classes, slabs as blocks of the array
//
// Sums of integer masks are exact; float masks are summed row by row, and rows in order, in float64: the same
// numbers for any number of threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "engine.hpp"
#include "threads.hpp"

namespace half_grid {
namespace {

template <class T> T read(const u8* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

double half_float(u16 bits) {
  const int exponent = bits >> 10 & 31;
  const double fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return fraction != 0 ? std::nan("") : sign * HUGE_VAL;
  return sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
}

struct HalfFloat { u16 bits; };
double number(HalfFloat value) { return half_float(value.bits); }
template <class M> M number(M value) { return value; }

void weights_of(const double* numerators, const double* denominators, int classes, double low, double high, double* weight) {
  for (int c = 0; c < classes; ++c) weight[c] = 1 / (classes * std::min(std::max(numerators[c] / denominators[c], low), high));
}

i64 volume_offset(i64 volume, const View& view, int lead) {
  i64 offset = 0;
  for (int a = lead - 1; a >= 0; --a) {
    offset += volume % view.shape[std::size_t(a)] * view.strides[std::size_t(a)];
    volume /= view.shape[std::size_t(a)];
  }
  return offset;
}

// Calls `use` with a value of the type that the mask's elements have in memory; half floats come as their bits.
template <class Use> void with_mask_type(Kind kind, int width, const Use& use) {
  if (kind == Kind::floating) return width == 8 ? use(double()) : width == 4 ? use(float()) : use(HalfFloat());
  if (kind == Kind::signed_integer) return width == 1 ? use((signed char)0) : width == 2 ? use(short()) : width == 4 ? use(int()) : use(i64());
  return width == 1 ? use(u8()) : width == 2 ? use(u16()) : width == 4 ? use(u32()) : use(u64());
}

// Where a row's mask is summed: exactly for integers, in float64 for floats.
template <class M> struct SumOf { typedef i64 type; };
template <> struct SumOf<i64> { typedef MaskSum::Wide type; };
template <> struct SumOf<u64> { typedef MaskSum::Wide type; };
template <> struct SumOf<HalfFloat> { typedef double type; };
template <> struct SumOf<float> { typedef double type; };
template <> struct SumOf<double> { typedef double type; };

struct RowSum {
  MaskSum all;               // over annotated voxels
  i64 counted[2] = {0, 0};   // of them with mask ≠ 0: label = 0, label ≠ 0
};

template <class M> RowSum sum_row(const u8* p, i64 step, i64 n, const u32* inside, const u32* known) {
  RowSum row;
  typename SumOf<M>::type sum = 0;
  for (i64 x = 0; x < n; x += 32, ++inside) {
    const int end = int(std::min<i64>(32, n - x));
    const u32 real = known ? *known++ : ~0u;
    u32 there = 0;
    for (int i = 0; i < end; ++i, p += step) {
      const auto value = number(read<M>(p));
      const bool here = real >> i & 1;
      there |= u32(value != 0 && here) << i;
      if (here) sum += value;
    }
    row.counted[0] += __builtin_popcount(there & ~*inside);
    row.counted[1] += __builtin_popcount(there & *inside);
  }
  if constexpr (std::is_same_v<typename SumOf<M>::type, double>) row.all.real = sum;
  else row.all.whole = sum;
  return row;
}

template <class M>
void weigh_row(const u8* p, i64 step, i64 n, const u32* inside, const u32* keep, const u32* known, const double* weight, float* out) {
  for (i64 x = 0; x < n; ++x, p += step) {
    const i64 w = x >> 5;
    const int bit = int(x & 31);
    const bool real = (!keep || keep[w] >> bit & 1) && (!known || known[w] >> bit & 1);
    out[x] = real ? float(double(number(read<M>(p))) * weight[inside[w] >> bit & 1]) : 0.0f;
  }
}

}  // namespace

double mask_value(const u8* p, Kind kind, int width) {
  if (kind == Kind::floating) return width == 8 ? read<double>(p) : width == 4 ? double(read<float>(p)) : half_float(read<u16>(p));
  if (kind == Kind::signed_integer)
    return width == 1 ? double(read<signed char>(p)) : width == 2 ? double(read<short>(p)) : width == 4 ? double(read<int>(p)) : double(read<i64>(p));
  return width == 1 ? double(*p) : width == 2 ? double(read<u16>(p)) : width == 4 ? double(read<u32>(p)) : double(read<u64>(p));
}

void MaskSum::add(const u8* p, Kind kind, int width) {
  if (kind == Kind::floating) {
    const double value = mask_value(p, kind, width);
    real += value;
    counted += value != 0;
  } else if (kind == Kind::unsigned_integer && width == 8) {
    whole += read<u64>(p);
    counted += read<u64>(p) != 0;
  } else if (kind == Kind::signed_integer && width == 8) {
    whole += read<i64>(p);
    counted += read<i64>(p) != 0;
  } else {
    const i64 value = i64(mask_value(p, kind, width));
    whole += value;
    counted += value != 0;
  }
}

// Two classes from the scan's bits. A volume's rows are (z, y) of the shape without one-voxel axes; the mask keeps its own.
void weigh_volumes(const Plan& plan, const LabelArray& labels, const Weighing& w, const std::vector<Volume>& volumes,
                   const std::vector<i64>& inside, const std::vector<i64>& known, int threads) {
  const Volume& model = volumes[0];
  const i64 rows = model.nz * model.ny, nx = model.nx, count = i64(volumes.size());
  const int dims = int(plan.voxel_size.size()), lead = int(labels.view.shape.size()) - dims;
  i64 step[3] = {0, 0, 0};
  if (w.mask.data) {
    int to = 2;
    for (int a = dims - 1; a >= 0; --a)
      if (labels.view.shape[std::size_t(lead + a)] > 1) step[to--] = w.mask.strides[std::size_t(lead + a)];
  }
  const auto mask_row = [&](i64 volume, i64 row) {
    return w.mask.data + volume_offset(volume, w.mask, lead) + row / model.ny * step[0] + row % model.ny * step[1];
  };
  if (!w.mask.data) {
    for (i64 i = 0; i < count; ++i) {
      const i64 slab = i % w.slabs;
      w.numerators[2 * slab] += double(known[std::size_t(i)] - inside[std::size_t(i)]);
      w.numerators[2 * slab + 1] += double(inside[std::size_t(i)]);
      for (int c = 0; c < 2; ++c) w.denominators[2 * slab + c] += double(known[std::size_t(i)]);
    }
  } else {
    std::vector<RowSum> sums(std::size_t(count * rows));
    in_parallel(threads, count * rows, [&](int, i64 i) {
      const Volume& v = volumes[std::size_t(i / rows)];
      const i64 at = i % rows * v.words;
      const u8* p = mask_row(i / rows, i % rows);
      with_mask_type(w.mask_kind, w.mask.width, [&](auto type) {
        sums[std::size_t(i)] = sum_row<decltype(type)>(p, step[2], nx, v.inside + at, v.known ? v.known + at : nullptr);
      });
    });
    std::vector<MaskSum> per_slab(static_cast<std::size_t>(w.slabs));
    for (i64 i = 0; i < count * rows; ++i) {
      const RowSum& row = sums[std::size_t(i)];
      const i64 slab = i / rows % w.slabs;
      per_slab[std::size_t(slab)].add(row.all);
      for (int c = 0; c < 2; ++c) w.numerators[2 * slab + c] += double(row.counted[c]);
    }
    for (i64 i = 0; i < 2 * w.slabs; ++i) w.denominators[i] += per_slab[std::size_t(i / 2)].total();
  }
  std::vector<double> weight(std::size_t(2 * w.slabs));
  for (i64 s = 0; s < w.slabs; ++s) weights_of(w.numerators + 2 * s, w.denominators + 2 * s, 2, w.low, w.high, &weight[std::size_t(2 * s)]);
  const i64 strip = std::max<i64>(1, 16384 / nx), strips = (rows + strip - 1) / strip;
  in_parallel(threads, count * strips, [&](int, i64 i) {
    const i64 volume = i / strips;
    const Volume& v = volumes[std::size_t(volume)];
    const double *own = &weight[std::size_t(2 * (volume % w.slabs))];
    for (i64 row = i % strips * strip, end = std::min(rows, row + strip); row < end; ++row) {
      float* out = w.weights + (volume * rows + row) * nx;
      const i64 at = row * v.words;
      const u32 *keep = v.keep ? v.keep + at : nullptr, *seen = v.known ? v.known + at : nullptr;
      if (!w.mask.data) {
        plan.level->weigh(v.inside + at, keep, seen, float(own[0]), float(own[1]), out, nx);
        continue;
      }
      const u8* p = mask_row(volume, row);
      with_mask_type(w.mask_kind, w.mask.width, [&](auto type) {
        weigh_row<decltype(type)>(p, step[2], nx, v.inside + at, keep, seen, own, out);
      });
    }
  });
}

namespace {

// The class of a label, or -1: unannotated, or none of the classes.
struct Classifier {
  const LabelArray& labels;
  int classes;
  bool foreground;

  template <class T> int of(const u8* p) const {
    T bits = read<T>(p);
    if (labels.foreign) bits = swapped(bits);
    if (labels.kind == Kind::floating) {
      bits = float_code(bits);
      if (float_is_nan(bits)) return -1;
    }
    if (labels.has_ignored && bits == T(labels.ignored)) return -1;
    if (foreground) return bits != 0;
    if (labels.kind == Kind::floating) {
      double value;
      if constexpr (sizeof(T) == 8) std::memcpy(&value, &bits, 8);
      else if constexpr (sizeof(T) == 4) { float f; std::memcpy(&f, &bits, 4); value = f; }
      else value = half_float(u16(bits));
      return value >= 0 && value < classes && value == std::floor(value) ? int(value) : -1;
    }
    if (labels.kind == Kind::signed_integer && bits >> (8 * sizeof(T) - 1)) return -1;
    return u64(bits) < u64(classes) ? int(bits) : -1;
  }
};

template <class T>
void class_weights_of(const LabelArray& labels, const View& mask, Kind mask_kind, float* weights, const ClassWeighing& w, int threads) {
  const std::vector<i64>& shape = labels.view.shape;
  const int dims = int(shape.size());
  const Classifier classify{labels, w.classes, w.foreground};
  i64 slabs = 1, rows = 1;
  std::vector<i64> grid(shape.size());
  for (int a = 0; a < dims; ++a) {
    grid[std::size_t(a)] = (shape[std::size_t(a)] + w.slab[std::size_t(a)] - 1) / w.slab[std::size_t(a)];
    slabs *= grid[std::size_t(a)];
    if (a + 1 < dims) rows *= shape[std::size_t(a)];
  }
  const std::size_t last = std::size_t(dims - 1), classes = std::size_t(w.classes);
  const i64 nx = shape[last], blocks = grid[last], extent = w.slab[last];
  // Where a row begins in labels and mask, and the slab of its first block.
  struct Row { i64 label, mask, slab; };
  const auto row_at = [&](i64 row) {
    Row at = {0, 0, 0};
    i64 slab_step = blocks;
    for (int a = dims - 2; a >= 0; --a) {
      const std::size_t s = std::size_t(a);
      const i64 index = row % shape[s];
      row /= shape[s];
      at.label += index * labels.view.strides[s];
      at.mask += index * mask.strides[s];
      at.slab += index / w.slab[s] * slab_step;
      slab_step *= grid[s];
    }
    return at;
  };
  if (rows * nx < (1 << 15)) threads = 1;
  // Strips of rows are summed apart and then in order, or threads would decide the order.
  const i64 parts = std::clamp<i64>(2'000'000 / (slabs * w.classes), 1, 256);  // sums of many slabs take memory
  const i64 strip = std::max<i64>({1, 4096 / nx, (rows + parts - 1) / parts}), strips = (rows + strip - 1) / strip;
  std::vector<std::vector<MaskSum>> sums(static_cast<std::size_t>(strips));
  std::vector<i64> first_slab(static_cast<std::size_t>(strips));
  in_parallel(threads, strips, [&](int, i64 s) {
    const i64 end = std::min(rows, (s + 1) * strip);
    i64 low = slabs, high = 0;
    for (i64 row = s * strip; row < end; ++row) {
      const i64 slab = row_at(row).slab;
      low = std::min(low, slab), high = std::max(high, slab + blocks);
    }
    std::vector<MaskSum>& own = sums[std::size_t(s)];
    own.resize(std::size_t(high - low) * classes);
    first_slab[std::size_t(s)] = low;
    for (i64 row = s * strip; row < end; ++row) {
      const Row at = row_at(row);
      for (i64 x = 0; x < nx; ++x) {
        const int c = classify.template of<T>(labels.view.data + at.label + x * labels.view.strides[last]);
        if (c >= 0) own[std::size_t(at.slab - low + x / extent) * classes + std::size_t(c)].add(mask.data + at.mask + x * mask.strides[last], mask_kind, mask.width);
      }
    }
  });
  std::vector<MaskSum> total(std::size_t(slabs) * classes);
  for (std::size_t s = 0; s < sums.size(); ++s)
    for (std::size_t i = 0; i < sums[s].size(); ++i) total[std::size_t(first_slab[s]) * classes + i].add(sums[s][i]);
  std::vector<double> weight(std::size_t(slabs) * classes);
  for (std::size_t s = 0; s < std::size_t(slabs); ++s) {
    MaskSum all;
    for (std::size_t c = 0; c < classes; ++c) all.add(total[s * classes + c]);
    for (std::size_t c = 0; c < classes; ++c) {
      w.numerators[s * classes + c] += double(total[s * classes + c].counted);
      w.denominators[s * classes + c] += all.total();
    }
    weights_of(w.numerators + s * classes, w.denominators + s * classes, w.classes, w.low, w.high, &weight[s * classes]);
  }
  in_parallel(threads, strips, [&](int, i64 s) {
    for (i64 row = s * strip, end = std::min(rows, (s + 1) * strip); row < end; ++row) {
      const Row at = row_at(row);
      for (i64 x = 0; x < nx; ++x) {
        const int c = classify.template of<T>(labels.view.data + at.label + x * labels.view.strides[last]);
        const u8* p = mask.data + at.mask + x * mask.strides[last];
        weights[row * nx + x] = c < 0 ? 0.0f : float(mask_value(p, mask_kind, mask.width) * weight[std::size_t(at.slab + x / extent) * classes + std::size_t(c)]);
      }
    }
  });
}

}  // namespace

void class_weights(const LabelArray& labels, const View& mask, Kind mask_kind, float* weights, const ClassWeighing& w, int threads) {
  switch (labels.view.width) {
    case 1: return class_weights_of<u8>(labels, mask, mask_kind, weights, w, threads);
    case 2: return class_weights_of<u16>(labels, mask, mask_kind, weights, w, threads);
    case 4: return class_weights_of<u32>(labels, mask, mask_kind, weights, w, threads);
    default: return class_weights_of<u64>(labels, mask, mask_kind, weights, w, threads);
  }
}

}  // namespace half_grid
