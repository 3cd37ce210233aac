// Masks of any number type, and their sums. Sums of integers are exact. Floats are summed within each row and then row
// by row in order, so that the result does not depend on the number of threads.
#pragma once
#include "engine.hpp"

namespace half_grid {

struct HalfFloat { u16 bits; };
inline double number(HalfFloat value) { return half_float(value.bits); }
template <class M> M number(M value) { return value; }

// Calls `use` with a value of the type that the mask's elements have in memory; half floats are passed as their bits.
template <class Use> auto with_mask_type(const ElementFormat& format, const Use& use) {
  const int kind = format.kind, width = format.width;
  if (kind == FLOATING) return width == 8 ? use(double()) : width == 4 ? use(float()) : use(HalfFloat());
  if (kind == SIGNED_INTEGER)
    return width == 1 ? use((signed char)0) : width == 2 ? use(short()) : width == 4 ? use(int()) : use(i64());
  return width == 1 ? use(u8()) : width == 2 ? use(u16()) : width == 4 ? use(u32()) : use(u64());
}

__extension__ typedef __int128 Wide;

// The type in which the mask of a row is summed: exact for integers, float64 for floats.
template <class M> struct SumOf { typedef i64 type; };
template <> struct SumOf<i64> { typedef Wide type; };
template <> struct SumOf<u64> { typedef Wide type; };
template <> struct SumOf<HalfFloat> { typedef double type; };
template <> struct SumOf<float> { typedef double type; };
template <> struct SumOf<double> { typedef double type; };

// A sum over rows: `whole` of integers, `real` of floats.
struct MaskSum {
  Wide whole = 0;
  double real = 0;
  void add(double sum) { real += sum; }
  void add(Wide sum) { whole += sum; }
  void add(i64 sum) { whole += sum; }
  void add(const MaskSum& other) {
    whole += other.whole;
    real += other.real;
  }
  double total() const { return double(whole) + real; }
};

// weight[c] = 1 / (classes × clipped fraction of class c), in float64.
inline void weights_of(const double* numerators, const double* denominators, int classes, double low, double high,
                       double* weight) {
  for (int c = 0; c < classes; ++c) {
    const double fraction = numerators[c] / denominators[c];
    weight[c] = 1 / (classes * (fraction < low ? low : fraction > high ? high : fraction));
  }
}

}  // namespace half_grid
