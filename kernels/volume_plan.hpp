// How a volume is searched, as far as its labels do not matter. Uses nothing from the standard library, because the
// loops of every SIMD level include this file (see level.cpp).
#pragma once
#include "labels.hpp"

namespace half_grid {

constexpr double BEYOND = 3.4e38;  // greater than every square that a search can reach, and nearly the largest float32

// What follows from the task and the spatial shape. Axes of one voxel are dropped, since they add nothing to a squared
// distance; the remaining ones become the last of z, y, x. Distances are in the unit of `Units`, squares in squared
// units.
struct VolumePlan {
  i64 n[3];
  int axis[3];            // the spatial axis of the call that became this one; -1 for none
  double square[3];       // the square of half a voxel
  double half[3];         // half a voxel; 0 where there is no axis
  double border_least;    // the distance to the border along the dropped axes
  double cap;             // no search goes beyond this square
  double unit, factor;    // the unit in world units; the factor from units to the argument of tanh, or to world units
  bool world_units;       // the target is a distance in world units: tanh is not applied
  bool factor_is_normal;  // the factor is far from the limits of float32; otherwise products are computed in double
  float no_site_value;    // the target, before its sign, where the volume has no site
  float no_site_square;   // the squared distance there
  bool everywhere;        // distances of background voxels are needed too
  int scan_bytes;  // bytes of a scan distance: enough for the reach, or for the depth of the volume if that is less
};
}  // namespace half_grid
