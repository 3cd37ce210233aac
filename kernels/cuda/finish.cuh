// From a squared distance to what is stored: root, tanh, sign, background, unannotated voxels, border, weight.
#pragma once
#include "values.cuh"

namespace half_grid {

// tanh(x) for x >= 0, from q = exp(-2x): below 1/2 as (1 - q) / (1 + q), with 1 - q found without cancellation so that
// small x keep their digits, above as 1 - 2q / (1 + q). Step by step what the CPU engine does, and no contraction (see
// the compiler's options), so the two differ by no bit.
DEVICE_FN float saturating_tanh(float x) {
  const float end = float(SATURATION), knee = 0.55f, shift = 12582912.0f;  // 1.5 · 2²³ rounds
  const float u = least(x, end) * -2.0f;
  const float shifted = u * 1.44269504f + shift, n = shifted - shift;
  const float r = (u - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * (r * r) + r;  // exp(r) - 1
  const float power = same_bits<float>((same_bits<u32>(shifted) + 127u) << 23), scaled = power * p, q = power + scaled;
  const float base = x > knee ? 1.0f : 0.0f, part = x > knee ? 0.0f - (q + q) : (1.0f - power) - scaled;
  return x < end ? base + part / (1.0f + q) : 1.0f;
}

DEVICE_FN float unsigned_value(const Job& job, float square) {
  const float root = sqrtf(square);
  if (!job.world) return saturating_tanh(root * job.factor);
  return job.plain ? root * job.factor : float(double(root) * job.unit);
}

// Squared distance from a voxel's centre to the nearest border, with some slack: ties are no "larger".
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

// One voxel: `value` is its target before the sign, `square` its squared distance in squared units.
struct Voxel {
  i64 volume;
  int z, y, x;
  bool inside, known;
};

DEVICE_FN i64 along(const View& view, const Voxel& v) { return v.z * view.step[0] + v.y * view.step[1] + v.x * view.step[2]; }

// `label`, `target`, `weight` and `mask` are offsets of the volume's first voxel.
struct Offsets {
  i64 label, mask, target, weight;
};

DEVICE_FN Offsets offsets_of(const Job& job, i64 volume) {
  return {offset_of(job.labels, job.leading, volume), job.mask.data ? offset_of(job.mask, job.leading, volume) : 0,
          offset_of(job.target, job.leading, volume), job.weight.data ? offset_of(job.weight, job.leading, volume) : 0};
}

DEVICE_FN void store(const Job& job, const Offsets& at, const Voxel& v, float value, float square) {
  float target = v.inside ? value : job.background == SIGNED ? 0.0f - value : 0.0f;
  if (job.background == TIMES_LABEL && v.inside)
    target = float(double(target) * number_at(job.label, job.labels.data + at.label + along(job.labels, v)));
  if (!v.known) target = job.fill;
  *reinterpret_cast<float*>(job.target.data + at.target + along(job.target, v)) = target;
  if (!job.weight.data) return;
  float weight = 0.0f;
  if (v.known && !(job.bordered && square > border_square(job, v.z, v.y, v.x))) {
    const double own = job.class_weight[(v.volume - divided(v.volume, job.slabs) * job.slabs) * 2 + (v.inside ? 1 : 0)];
    weight = float(job.mask.data ? number_at(job.mask_value, job.mask.data + at.mask + along(job.mask, v)) * own : own);
  }
  *reinterpret_cast<float*>(job.weight.data + at.weight + along(job.weight, v)) = weight;
}

}  // namespace half_grid
