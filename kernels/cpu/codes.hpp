// Squares as whole numbers of 16 bits, which reach up to four times as far as the squares themselves.
//
// A squared distance is z·i² + y·j² + x·k², where z, y and x are the squares of half voxels. Exactly one of i, j and k is
// odd: that along the axis of the face. An even one adds a multiple of 4 to the square, an odd one that of the half voxel
// and a multiple of 8. So samples of faces along y and x begin with y or x, the first half step towards them, and all
// that a search adds to a sample is a multiple of 4; where y and x are multiples of 16, it is one of 16. Then a sum has
// the remainder of its sample, which is one of few: 0 or 1 of 4, and 0, 1, 4 or 9 of 16.
//
// The code of a square is its quotient times the number of remainders that occur, plus the rank of its remainder. Codes
// are in the order of squares, and a multiple of the modulus adds the same to every code.
#pragma once
#include "volume_plan.hpp"

namespace half_grid {

// A square is u · modulus + rank² + least for the code u · slots + rank; with a modulus of 1 they are the same.
struct Codes { i64 modulus, slots, least; };

// The greatest code of a square that is not above this one, where `least` is 0.
HALF_GRID_FN i64 code_of(const Codes& c, i64 square) {
  i64 rank = 0;
  while (rank + 1 < c.slots && (rank + 1) * (rank + 1) <= square % c.modulus) ++rank;
  return square / c.modulus * c.slots + rank;
}

HALF_GRID_FN i64 square_of(const Codes& c, i64 code) {
  const i64 rank = code % c.slots;
  return code / c.slots * c.modulus + rank * rank + c.least;
}

// A code whose square is at least this one.
HALF_GRID_FN i64 code_beyond(const Codes& c, double square) { return code_of(c, i64(square) - 1) + 1; }

// The codes that reach farthest with these squares of half voxels, which are whole numbers without a common divisor.
HALF_GRID_FN Codes farthest_codes(const double (&square)[3]) {
  // An axis of one voxel has no faces.
  const i64 x = i64(square[2]), y = square[1] > 0 ? i64(square[1]) : x, z = square[0] > 0 ? i64(square[0]) : y;
  if (y % 16 == 0 && x % 16 == 0 && z % 2 == 1) return {16, 4, 0};
  const bool some = (z | y | x) & 1, all = z & y & x & 1;
  return {4, some && !all ? 2 : 1, all ? 1 : 0};
}

// What an axis adds to a code for one half step, but for what is the same for all of them.
HALF_GRID_FN double code_step(const Codes& c, const VolumePlan& plan, int axis) {
  return plan.square[axis] * double(c.slots) / double(c.modulus);
}

// Whether 16 bits hold what a search adds up: at most the code of the cap and 1, and `room` for the differences between
// the ways from four neighbouring outputs to a chunk (search.hpp). Those to the chunk j chunks away differ by at most
// 224 · j steps, beyond (8j - 7)² steps that they share. They may be cut off where both together reach the cap anyway.
HALF_GRID_FN bool fit(const Codes& c, const VolumePlan& plan) {
  if (plan.scan_bytes != 1 || plan.cap > 1e9) return false;
  const double cap = double(code_beyond(c, plan.cap)), room = 65535 - (cap + 1);
  if (cap <= room) return true;
  bool all = room > 0;
  for (int axis = 1; axis < 3; ++axis) {
    const double step = code_step(c, plan, axis);
    all &= 28 * (__builtin_sqrt(step * (cap - room + step)) + 7 * step) <= room;
  }
  return all;
}

// The codes of a plan with whole squares: the squares themselves, where they fit.
HALF_GRID_FN Codes codes_of(const VolumePlan& plan) {
  const Codes squares = {1, 1, 0};
  return fit(squares, plan) ? squares : farthest_codes(plan.square);
}

}  // namespace half_grid
