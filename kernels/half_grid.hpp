// The half-grid distance transform: the constants and rules that every engine shares.
//
// Sites lie at the centres of faces between voxels; distances are computed at the centres of voxels. Squared distances
// are separable, so the nearest site is found one axis after the other (Saito & Toriwaki 1994, "New algorithms for
// Euclidean distance transformation"; Felzenszwalb & Huttenlocher 2012, "Distance transforms of sampled functions").
// Instead of a doubled grid there are three families of samples, one for the faces along each axis:
//
//   scan    Z  [nz, ny, nx]  voxels along z to the nearest z-face: k stands for k + 1/2
//           A  [nz, ny, nx]  voxels along z to the nearest face between (y, x) and (y + 1, x)
//           B  [nz, ny, nx]  voxels along z to the nearest face between (y, x) and (y, x + 1)
//   plane   C  [ny, nx]      best of Z at y and A at y + 1/2        (squared, one z-plane at a time)
//           D  [ny, nx]      best of B at y, for the face at x + 1/2
//           d² [ny, nx]      best of C at x and D at x + 1/2
//
// A distance along an axis is a whole number of half voxels. Its square, in squared units, is called its cost.
//
// This file compiles under a host compiler and under NVRTC, which has no standard headers. So it names the integer
// types itself.
#pragma once

#if defined(__CUDACC__)
#define HALF_GRID_FN static __host__ __device__ __forceinline__
#define HALF_GRID_MEMBER __host__ __device__ __forceinline__
#else
#define HALF_GRID_FN static inline
#define HALF_GRID_MEMBER inline
#endif

namespace half_grid {

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// From x = 13 ln 2 = 9.0109 on, tanh(x) rounds to 1 in float32. From SATURATION on every engine writes exactly 1.
constexpr double SATURATION = 9.02;

// A squared distance counts as larger than that to the border only if it exceeds it by this fraction, so that rounding
// does not decide ties. In the distance itself this is 2e-6.
constexpr double BORDER_SLACK = 2e-6;

enum Background { ZERO = 0, SIGNED = 1, TIMES_LABEL = 2 };

// The value that stands for "no face" in a scan of this type. The largest distance that can be stored is one less.
template <class K> struct Scan;
template <> struct Scan<u8> { static constexpr u8 none = 255; };
template <> struct Scan<u16> { static constexpr u16 none = 65535; };
template <> struct Scan<u32> { static constexpr u32 none = 4294967295u; };

template <class To, class From> HALF_GRID_FN To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "bits of two widths");
  union {
    From from;
    To to;
  } both;
  both.from = from;
  return both.to;
}

// Labels are compared by their bits. For floats, -0.0 is read as 0, and NaN marks an unannotated voxel.
template <class T> struct FloatBits;
template <> struct FloatBits<u8> { static constexpr u8 infinity = 0xFF; };  // no float has 8 bits
template <> struct FloatBits<u16> { static constexpr u16 infinity = 0x7C00; };
template <> struct FloatBits<u32> { static constexpr u32 infinity = 0x7F800000u; };
template <> struct FloatBits<u64> { static constexpr u64 infinity = 0x7FF0000000000000ull; };

template <class T> HALF_GRID_FN T float_magnitude(T bits) { return T(bits & T(T(~T(0)) >> 1)); }
template <class T> HALF_GRID_FN T float_code(T bits) { return float_magnitude(bits) ? bits : T(0); }
template <class T> HALF_GRID_FN bool float_is_nan(T bits) { return float_magnitude(bits) > FloatBits<T>::infinity; }

template <class T> HALF_GRID_FN T swapped(T bits) {
  T result = 0;
  for (unsigned i = 0; i < sizeof(T); ++i)
    result = T(T(result << (sizeof(T) > 1 ? 8 : 0)) | T((bits >> (8 * i)) & 0xFF));
  return result;
}

// The unit of all distances below. If there is a unit in which the squares of half voxels are whole numbers, it is
// chosen: then every sum below 2²⁴ is exact in float32, and small squares fit in 16 bits. Otherwise the unit is the
// smallest half voxel, so that squares stay in the range of float32 whether voxels are given in metres or in
// picometres.
struct Units {
  double length;     // the unit, in world units
  double square[3];  // (half a voxel / unit)², per axis
  bool whole;        // whether every square is a whole number
};

HALF_GRID_FN double nearest_whole(double value) { return double(i64(value + 0.5)); }

HALF_GRID_FN Units units_of(const double* voxel_size, int axes) {
  constexpr int finest = 64;  // parts of the smallest half voxel; with more of them squares no longer fit in 16 bits
  double smallest = voxel_size[0];
  for (int a = 1; a < axes; ++a) smallest = voxel_size[a] < smallest ? voxel_size[a] : smallest;
  for (int parts = 1; parts <= finest; ++parts) {
    Units units = {smallest / 2 / parts, {0, 0, 0}, true};
    for (int a = 0; a < axes && units.whole; ++a) {
      const double steps = voxel_size[a] / smallest * parts;
      if (steps > 4096) {
        units.whole = false;
        break;
      }
      const double whole = nearest_whole(steps), off = steps - whole;
      units.whole = (off < 0 ? -off : off) <= 1e-9 * steps;
      units.square[a] = whole * whole;
    }
    if (units.whole) return units;
  }
  Units units = {smallest / 2, {0, 0, 0}, false};
  for (int a = 0; a < axes; ++a) units.square[a] = (voxel_size[a] / smallest) * (voxel_size[a] / smallest);
  return units;
}

// The square, in squared units, from which on the target is exactly 1. Scale 0 means world units, where no square
// saturates: the result is then beyond float32.
HALF_GRID_FN double saturated_square(const Units& units, double scale) {
  if (scale <= 0) return 3.4e38;
  const double reach = SATURATION * scale / units.length * (1 + 1e-5) + 1e-3;
  const double square = double(reach * reach < 9e15 ? nearest_whole(reach * reach + 1) : reach * reach);
  return square < 3.4e38 ? square : 3.4e38;
}

}  // namespace half_grid
