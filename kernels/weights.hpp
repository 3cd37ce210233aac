// The weights of the fused call: counted once every volume was scanned, written where the planes are.
#pragma once
#include <vector>

#include "engine.hpp"
#include "threads.hpp"

namespace half_grid {

// What a scan counted in one volume.
struct Counted {
  i64 inside, known;
};

class Weigher {
 public:
  Weigher(const Plan& plan, const LabelArray& labels, const Weighing& w, const Volume& model);

  // Adds to the counts and makes the weights; takes every volume of the call, in order.
  void count(const std::vector<Volume>& volumes, const std::vector<Counted>& counted, Team& team);

  // Weights of rows [first, last) of a volume, (z, y) in one index.
  void write(const Volume& v, i64 volume, i64 first, i64 last) const;

  bool mask_above_one = false;  // after count(): whether an integer mask counts a voxel more than once

 private:
  const u8* mask_row(i64 volume, i64 row) const;

  const Plan& plan;
  const Weighing& w;
  int lead;
  i64 ny, nx, rows;
  i64 step[3] = {0, 0, 0};  // of the mask, in bytes
  std::vector<double> weight;  // (slabs, 2)
};

}  // namespace half_grid
