// From a squared distance to the target and the weight of a voxel: root, tanh, sign, background, unannotated voxels,
// border.
#pragma once
#include "job.cuh"
#include "tanh.hpp"

namespace half_grid {

DEVICE_FN float unsigned_value(const Job& job, float square) {
  const float root = sqrtf(square);
  if (!job.world_units) return saturating_tanh(root * job.factor);
  return job.factor_is_normal ? root * job.factor : float(double(root) * job.unit);
}

// The squared distance from a voxel's centre to the nearest border, increased by BORDER_SLACK.
DEVICE_FN float border_square(const Job& job, int z, int y, int x) {
  const int at[3] = {z, y, x};
  float nearest = job.border_least;
  for (int a = 0; a < 3; ++a) {
    if (job.n[a] == 1) continue;
    const int left = at[a] < job.n[a] - 1 - at[a] ? at[a] : job.n[a] - 1 - at[a];
    nearest = least(nearest, float(2 * left + 1) * job.border[a]);
  }
  return nearest < 1.8e19f ? nearest * nearest * float(1 + 2 * BORDER_SLACK) : 3.4e38f;
}

// One voxel of a volume.
struct Voxel {
  i64 volume;
  int z, y, x;
  bool inside, annotated;
};

DEVICE_FN i64 along(const View& view, const Voxel& v) {
  return v.z * view.step[0] + v.y * view.step[1] + v.x * view.step[2];
}

// Byte offsets of the first voxel of a volume, in each array.
struct Offsets { i64 label, mask, target, weight; };

DEVICE_FN Offsets offsets_of(const Job& job, i64 volume) {
  return {offset_of(job.labels, job.leading, volume), job.mask.data ? offset_of(job.mask, job.leading, volume) : 0,
          offset_of(job.target, job.leading, volume), job.weight.data ? offset_of(job.weight, job.leading, volume) : 0};
}

DEVICE_FN void store(const Job& job, const Offsets& at, const Voxel& v, float value, float square) {
  float target = v.inside ? value : job.background == SIGNED ? 0.0f - value : 0.0f;
  if (job.background == TIMES_LABEL && v.inside)
    target = float(double(target) * number_at(job.label, job.labels.data + at.label + along(job.labels, v)));
  if (!v.annotated) target = job.fill;
  *reinterpret_cast<float*>(job.target.data + at.target + along(job.target, v)) = target;
  if (!job.weight.data) return;
  float weight = 0.0f;
  if (v.annotated && !(job.bordered && square > border_square(job, v.z, v.y, v.x))) {
    const double own = job.class_weight[(v.volume - divided(v.volume, job.slabs) * job.slabs) * 2 + (v.inside ? 1 : 0)];
    weight = float(job.mask.data ? number_at(job.mask_value, job.mask.data + at.mask + along(job.mask, v)) * own : own);
  }
  *reinterpret_cast<float*>(job.weight.data + at.weight + along(job.weight, v)) = weight;
}

// A band of rows in one z-plane: what its voxels have in common.
struct Band {
  Offsets at;
  i64 volume, bits;  // bits: words of bits in front of the band's first row
  int z, y;
  float outside, inside;   // the weights of label = 0 and of label ≠ 0, where there is no mask
  bool by_sign_and_class;  // sign and class alone decide what a voxel receives; no border, mask or fill does

  DEVICE_MEMBER Band(const Job& job, i64 volume_, int z_, int y_)
      : at(offsets_of(job, volume_)), volume(volume_), z(z_), y(y_) {
    bits = ((volume * job.n[0] + z) * job.n[1] + y) * job.words;
    by_sign_and_class = job.background != TIMES_LABEL && !job.annotated && !job.bordered && !job.mask.data;
    outside = inside = 0.0f;
    if (job.weight.data) {
      const double* own = job.class_weight + (volume - divided(volume, job.slabs) * job.slabs) * 2;
      outside = float(own[0]), inside = float(own[1]);
    }
  }
};

struct alignas(8) TwoFloats { float x, y; };

// Writes the voxels x and x + 1 of a band, row after row.
struct Output {
  u8 *target, *weight;
  int x, voxels;  // one where x is the last of its row

  DEVICE_MEMBER Output(const Job& job, const Band& band, int x_) : x(x_), voxels(x_ + 1 < job.n[2] ? 2 : 1) {
    const Voxel v = {band.volume, band.z, band.y, x, false, false};
    target = job.target.data + band.at.target + along(job.target, v);
    weight = job.weight.data ? job.weight.data + band.at.weight + along(job.weight, v) : nullptr;
  }
  DEVICE_MEMBER void next_row(const Job& job) {
    target += job.target.step[1];
    if (weight) weight += job.weight.step[1];
  }

  DEVICE_MEMBER static void put(u8* p, i64 step, float first, float second, int voxels) {
    if (voxels == 2 && step == 4 && (u64(p) & 7) == 0) {
      *reinterpret_cast<TwoFloats*>(p) = {first, second};
      return;
    }
    *reinterpret_cast<float*>(p) = first;
    if (voxels == 2) *reinterpret_cast<float*>(p + step) = second;
  }

  // Only for a band that is `by_sign_and_class`. Values are targets before the sign.
  DEVICE_MEMBER void store_pair(const Job& job, const Band& band, bool inside, float first, bool second_inside,
                                float second) const {
    const bool both = job.background == SIGNED;
    const float outside = both ? 0.0f - first : 0.0f, second_outside = both ? 0.0f - second : 0.0f;
    put(target, job.target.step[2], inside ? first : outside, second_inside ? second : second_outside, voxels);
    if (!weight) return;
    put(weight, job.weight.step[2], inside ? band.inside : band.outside, second_inside ? band.inside : band.outside,
        voxels);
  }
  DEVICE_MEMBER void store_one(const Job& job, const Band& band, bool is_inside, float value) const {
    *reinterpret_cast<float*>(target) = is_inside ? value : job.background == SIGNED ? 0.0f - value : 0.0f;
    if (weight) *reinterpret_cast<float*>(weight) = is_inside ? band.inside : band.outside;
  }
};

// For a voxel of any band. `value` is its target before the sign, `square` its squared distance in squared units.
DEVICE_FN void store_at(const Job& job, const Band& band, int row, int x, bool inside, float value, float square) {
  const bool annotated = !job.annotated || bit_at(job.annotated + band.bits + i64(row) * job.words, x);
  store(job, band.at, {band.volume, band.z, band.y + row, x, inside, annotated}, value, square);
}

}  // namespace half_grid
