// What engine `cuda` launches for a call: the records of its kernels, its scratch, the geometry of its launches.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "job.hpp"
#include "plan.hpp"

namespace half_grid {

// An array of a caller without its memory; strides in bytes.
struct Layout {
  std::vector<i64> shape, strides;
  ElementFormat format;
};

// How classes are weighed.
struct WeightTask {
  int classes;
  bool foreground;        // two classes, label = 0 and label ≠ 0
  std::vector<i64> slab;  // extents of a block
  double low, high;       // clip of a fraction
};

// What a device allows.
struct Limits {
  i64 multiprocessors;
  i64 shared_bytes;  // of shared memory for a block
  // Choices that change no bit: all ways are exact, and tests compare them.
  int scan_bytes;  // of a scan distance, at least
  bool packs;      // squares, where unit and cap allow it
};

// A kernel is known by its file and by one instance of a template in it.
struct Launch {
  std::string file, kernel;
  i64 grid;
  int block[3];
  i64 shared_bytes;
  bool weighs;  // its record is the Weighing; else the Job, or the Doubled that begins with it
};

struct Records {
  Doubled doubled;  // its first field is the Job
  Weighing weighing;
};

// One specialisation: shapes, strides, types and keywords decide everything but where memory lies.
struct LaunchPlan {
  Records records = {};
  std::vector<Launch> launches;
  struct Piece {
    std::vector<i64> fields;  // byte offsets in the records of the pointers to it
    i64 at, bytes;
    std::string name;
  };
  std::vector<Piece> pieces;  // of scratch; those that have to start at 0 come first
  i64 scratch_bytes = 0, cleared_bytes = 0;
  std::vector<i64> grid_shape;  // of the doubled grid of a volume, without axes of one voxel
  std::vector<double> spacing;  // of its points, in units
};

// Empty where kernels cannot address the arrays as they lie: more axes than a record holds.
std::optional<LaunchPlan> plan_targets(const Task& task, const Layout& labels, const Layout& target, const Layout* mask,
                                       const Layout* weight, const WeightTask* weighing, bool bordered,
                                       const Limits& limits);
std::optional<LaunchPlan> plan_weights(const Layout& labels, const Layout* mask, const WeightTask& weighing);
std::optional<LaunchPlan> plan_doubled(const Task& task, const Layout& labels, const Layout& target, const Layout* mask,
                                       const Layout* weight, i64 slabs, bool bordered);

// Every kernel that a plan can name, as (file, name).
std::vector<std::pair<std::string, std::string>> kernel_names();

}  // namespace half_grid
