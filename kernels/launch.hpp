// What engine `cuda` launches for a call: the records that its kernels receive, its scratch memory, and the size of
// each launch.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "classes.hpp"
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
  i64 shared_bytes;  // of shared memory that a block may use
  // The next two change no bit of a result, because all methods are exact. Tests compare them.
  int scan_bytes;  // the least bytes of a scan distance
  bool packs;      // whether squares may be packed, where the unit and the cap allow it
};

// A kernel is known by its file and by one instance of a template in it.
struct Launch {
  std::string file, kernel;
  i64 grid;
  int block[3];
  i64 shared_bytes;
  bool weighs;  // whether its record is the Weighing; otherwise it is the Job, or the Doubled that begins with it
};

struct Records {
  Doubled doubled;  // begins with the Job
  Weighing weighing;
};

// All launches of a call. Shapes, strides, types and keywords decide everything in it except the addresses.
struct LaunchPlan {
  Records records = {};
  std::vector<Launch> launches;
  struct Piece {
    std::vector<i64> fields;  // byte offsets, within the records, of the pointers to this piece
    i64 at, bytes;
    std::string name;
  };
  std::vector<Piece> pieces;  // of scratch memory; those that must be cleared come first
  i64 scratch_bytes = 0, cleared_bytes = 0;
  i64 class_ids_bytes = 0;  // see ClassMap
  std::vector<i64> grid_shape;  // the shape of the doubled grid of a volume, without axes of one voxel
  std::vector<double> spacing;  // the distances between its points, in units
};

// Empty where the kernels cannot address the arrays: they have more axes than a record holds. With `classes` the labels
// have an axis of classes in front of the spatial ones, with step 0; without, it is null.
std::optional<LaunchPlan> plan_targets(const Task& task, const Layout& labels, const Layout& target, const Layout* mask,
                                       const Layout* weight, const WeightTask* weighing, bool bordered,
                                       const Limits& limits, const ClassMap* classes);
// `dims` is the number of spatial axes, which matters with classes only.
std::optional<LaunchPlan> plan_weights(const Layout& labels, const Layout* mask, const WeightTask& weighing, int dims,
                                       const ClassMap* classes);
std::optional<LaunchPlan> plan_doubled(const Task& task, const Layout& labels, const Layout& target, const Layout* mask,
                                       const Layout* weight, i64 slabs, bool bordered, const ClassMap* classes);

// Every kernel that a plan can name, as (file, name).
std::vector<std::pair<std::string, std::string>> kernel_names();

}  // namespace half_grid
