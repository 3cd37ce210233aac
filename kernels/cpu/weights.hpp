// The weights of a call for target and weight. Voxels are counted after every volume was scanned; weights are written
// plane by plane.
#pragma once
#include <mutex>
#include <vector>

#include "engine.hpp"
#include "threads.hpp"

namespace half_grid {

// This mutex is held while counts are read, added to and written, never while a volume is searched. Python takes it as
// `CountsLock`. A forked child has none of the threads that may hold it, so it makes the mutex anew: see counting.py.
std::recursive_mutex& counts_mutex();
void renew_counts_mutex();

// What a scan counted in one volume.
struct Counted { i64 inside, annotated; };

class Weigher {
 public:
  Weigher(const CpuTask& task, const LabelArray& labels, const FusedWeights& w, const Volume& model);

  // Adds to the counts and computes the weight of each class. Takes every volume of the call, in order.
  void count(const std::vector<Volume>& volumes, const std::vector<Counted>& counted, Team& team);

  // Writes the weights of rows [first, last) of a volume; a row has one index for (z, y).
  void write(const Volume& v, i64 volume, i64 first, i64 last) const;

  bool mask_above_one = false;  // after count(): whether an integer mask has a value above 1

 private:
  const u8* mask_row(i64 volume, i64 row) const;

  const CpuTask& task;
  const FusedWeights& w;
  int lead;
  i64 ny, nx, rows;
  i64 step[3] = {0, 0, 0};     // steps of the mask, in bytes
  std::vector<double> weight;  // (slabs, 2)
};

}  // namespace half_grid
