// tanh(x) for x >= 0 in float32. Every engine returns the same bits.
//
// With q = exp(-2x), small x use (1 - q) / (1 + q), where 1 - q is computed without cancellation so that no digits are
// lost. Larger x use 1 - 2q / (1 + q), which is within one unit in the last place. The compilers are told never to fuse
// a multiplication with an addition, so every engine and every SIMD level rounds in the same way.
#pragma once
#include "half_grid.hpp"

namespace half_grid {

// `V` is a register of floats, or one float: with +, -, * and /, `min`, `V::all`, `V::where_greater(a, b, yes, no)` and
// `V::power_of_two`, which raises 2 to a whole number that was rounded by adding 1.5 · 2²³.
template <class V> HALF_GRID_FN V saturating_tanh(V x) {
  const V end = V::all(float(SATURATION)), zero = V::all(0.0f), one = V::all(1.0f), knee = V::all(0.55f);
  const V shift = V::all(12582912.0f);  // 1.5 · 2²³: adding it rounds to a whole number
  const V u = min(x, end) * V::all(-2.0f);
  const V shifted = u * V::all(1.44269504f) + shift, n = shifted - shift;
  const V r = (u - n * V::all(0.693359375f)) - n * V::all(-2.12194440e-4f);  // ln 2 in two parts
  V p = V::all(1.0f / 5040);
  p = p * r + V::all(1.0f / 720);
  p = p * r + V::all(1.0f / 120);
  p = p * r + V::all(1.0f / 24);
  p = p * r + V::all(1.0f / 6);
  p = p * r + V::all(0.5f);
  p = p * (r * r) + r;  // exp(r) - 1
  const V power = V::power_of_two(shifted), scaled = power * p, q = power + scaled;
  const V base = V::where_greater(x, knee, one, zero);
  const V part = V::where_greater(x, knee, zero - (q + q), (one - power) - scaled);
  return V::where_greater(end, x, base + part / (one + q), one);
}

// One float as a register of lanes.
struct OneFloat {
  float v;
  HALF_GRID_MEMBER static OneFloat all(float e) { return {e}; }
  HALF_GRID_MEMBER friend OneFloat operator+(OneFloat a, OneFloat b) { return {a.v + b.v}; }
  HALF_GRID_MEMBER friend OneFloat operator-(OneFloat a, OneFloat b) { return {a.v - b.v}; }
  HALF_GRID_MEMBER friend OneFloat operator*(OneFloat a, OneFloat b) { return {a.v * b.v}; }
  HALF_GRID_MEMBER friend OneFloat operator/(OneFloat a, OneFloat b) { return {a.v / b.v}; }
  HALF_GRID_MEMBER friend OneFloat min(OneFloat a, OneFloat b) { return {a.v < b.v ? a.v : b.v}; }
  HALF_GRID_MEMBER static OneFloat where_greater(OneFloat a, OneFloat b, OneFloat yes, OneFloat no) {
    return {a.v > b.v ? yes.v : no.v};
  }
  HALF_GRID_MEMBER static OneFloat power_of_two(OneFloat a) {
    return {same_bits<float>((same_bits<u32>(a.v) + 127u) << 23)};
  }
};

HALF_GRID_FN float saturating_tanh(float x) { return saturating_tanh(OneFloat{x}).v; }

}  // namespace half_grid
