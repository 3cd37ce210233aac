// What decides how a volume is searched, whatever lies in it. Nothing from the standard library: the loops of every SIMD
// level include this.
#pragma once
#include "labels.hpp"

namespace half_grid {

constexpr double BEYOND = 3.4e38;  // a square no search reaches: as far as float32 goes

// What the task and the spatial shape decide. Axes of one voxel are dropped, since they add nothing to a squared
// distance; the others are the last of z, y, x. Distances are in units, squares in squared units.
struct VolumePlan {
  i64 n[3];
  int axis[3];            // which spatial axis of the call this is; -1 for none
  double square[3];       // of half a voxel
  double half[3];         // half a voxel; 0 for none
  double border_least;    // distance to the border along the axes that were dropped
  double cap;             // no search goes beyond this square
  double unit, factor;    // world units; from units to the argument of tanh, or to world units
  bool world_units;       // no tanh
  bool factor_is_normal;  // an ordinary float; else products are taken in double
  float no_site_value;    // the target, before its sign, of a voxel whose volume has no site
  float no_site_square;   // and its squared distance
  bool everywhere;        // background voxels are searched for too
  int scan_bytes;         // of a scan distance; the reach decides it where the volume is deep enough
};
}  // namespace half_grid
