#include "records.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>

namespace half_grid {
namespace {

constexpr i64 LARGEST_GRID = 0x7FFFFFFF;
constexpr i64 BLOCKS_BYTES = 1 << 28;
constexpr i64 ALIGNMENT = 256;                           // bytes, of a piece of scratch memory
constexpr i64 SQUARES_BYTES = 2 * SQUARES_AT_MOST * 2;   // bytes of the scan's table of squares
constexpr i64 PAIR_BYTES = 4 * i64(sizeof(PackedRows));  // shared memory for C and D of a pair of columns

constexpr i64 JOB = offsetof(Records, doubled) + offsetof(Doubled, job);
#define JOB_FIELD(name) (JOB + i64(offsetof(Job, name)))
#define WEIGHING_FIELD(name) i64(offsetof(Records, weighing) + offsetof(Weighing, name))

const char* unsigned_type(i64 bytes) {
  return bytes == 1   ? "unsigned char"
         : bytes == 2 ? "unsigned short"
         : bytes == 4 ? "unsigned int"
                      : "unsigned long long";
}
// `label_bytes` 0 stands for the bits of classes, `scan_bytes` 0 for packed squares.
std::string scan_name(i64 label_bytes, i64 scan_bytes) {
  return std::string("half_grid::scan<") + (label_bytes ? unsigned_type(label_bytes) : "half_grid::ClassBits") + ", " +
         (scan_bytes ? unsigned_type(scan_bytes) : "half_grid::Square") + ">";
}
std::string plane_name(i64 scan_bytes, bool in_scratch) {
  return std::string("half_grid::plane<") + unsigned_type(scan_bytes) + ", " + (in_scratch ? "true" : "false") + ">";
}
std::string classify_name(i64 label_bytes) {
  return std::string("half_grid::classify<") + unsigned_type(label_bytes) + ">";
}
std::string mark_name(i64 label_bytes) { return std::string("half_grid::mark<") + unsigned_type(label_bytes) + ">"; }

Launch launch_of(const char* file, const std::string& kernel, i64 grid, int x, int y, i64 shared_bytes,
                 bool weighs = false) {
  return {file, kernel, std::clamp<i64>(grid, 1, LARGEST_GRID), {x, y, 1}, shared_bytes, weighs};
}

// A power of two, since the threads add up in a tree. It depends on the shape alone, and so does the order of the sum.
int threads_of_sum(i64 work) {
  int threads = 32;
  while (threads < THREADS && threads < work) threads *= 2;
  return threads;
}

class Planner {
 public:
  void piece(const char* name, i64 bytes, std::vector<i64> fields, bool cleared = false) {
    (cleared ? cleared_ : others_).push_back({std::move(fields), 0, bytes, name});
  }
  // How many blocks run at once when each needs scratch memory of its own; they take the tasks in turns. There are
  // enough of them to fill the device, unless they would need more than BLOCKS_BYTES and more than the volumes need
  // anyway. Without that limit rows of millions of voxels would take all memory.
  i64 blocks_at_once(i64 blocks, i64 bytes_each, const Limits& limits) const {
    i64 others = 0;
    for (const auto* pieces : {&cleared_, &others_})
      for (const LaunchPlan::Piece& piece : *pieces) others += piece.bytes;
    return std::max<i64>(1,
                         std::min({blocks, 4 * limits.multiprocessors, std::max(BLOCKS_BYTES, others) / bytes_each}));
  }
  LaunchPlan finished() {
    for (LaunchPlan::Piece& piece : cleared_) place(piece);
    plan.cleared_bytes = plan.scratch_bytes;
    for (LaunchPlan::Piece& piece : others_) place(piece);
    return std::move(plan);
  }
  LaunchPlan plan;
  Job& job() { return plan.records.doubled.job; }
  Weighing& weighing() { return plan.records.weighing; }

 private:
  void place(LaunchPlan::Piece& piece) {
    piece.at = plan.scratch_bytes;
    plan.scratch_bytes += parts_of(piece.bytes, ALIGNMENT) * ALIGNMENT;
    plan.pieces.push_back(std::move(piece));
  }
  std::vector<LaunchPlan::Piece> cleared_, others_;
};

// Bits of every volume, and the kernel that makes them where there are classes.
void plan_bits(Planner& planner) {
  const Job& job = planner.job();
  const i64 words = job.volumes * job.n[0] * job.n[1] * job.words;
  std::vector<i64> inside = {JOB_FIELD(inside)}, annotated = {JOB_FIELD(annotated)};
  if (job.table.classes) inside.push_back(WEIGHING_FIELD(inside)), annotated.push_back(WEIGHING_FIELD(annotated));
  planner.piece("inside", words * 4, inside);
  if (job.label.has_ignored || job.label.kind >= FLOATING) planner.piece("annotated", words * 4, annotated);
  if (!job.table.classes) return;
  constexpr int warps = THREADS / 32;
  planner.plan.launches.push_back(launch_of("classify.cu", classify_name(job.label.width),
                                            parts_of(words / job.table.classes, warps), 32, warps, 0));
  describe_bits(planner.weighing(), job);
}

void plan_scan(Planner& planner, bool packed, int scan_bytes, const Limits& limits) {
  const Job& job = planner.job();
  const i64 rows = job.volumes * job.n[0] * job.n[1], chunk_rows = parts_of(job.n[1], ROWS_PER_CHUNK),
            label_bytes = job.table.classes ? 0 : job.label.width;
  const i64 element_bytes = packed ? i64(sizeof(u16)) : scan_bytes;
  planner.piece("scans", rows * job.words * TILE_ELEMENTS * element_bytes, {JOB_FIELD(scans)});
  planner.piece("chunks", job.volumes * job.n[0] * chunk_rows * job.words * CHUNK_TILE_ELEMENTS * element_bytes,
                {JOB_FIELD(chunks)});
  plan_bits(planner);
  if (packed) planner.piece("values", (i64(job.limit) + 1) * 4, {JOB_FIELD(values)});
  const i64 segments = parts_of(job.n[0], STEPS), words_bytes = segments * ROWS_PER_CHUNK * KINDS * 32 * 4;
  i64 grid = job.volumes * chunk_rows * job.words, shared = packed ? SQUARES_BYTES : 0;
  if (shared + words_bytes > limits.shared_bytes) {
    grid = planner.blocks_at_once(grid, words_bytes, limits);
    planner.piece("segments", grid * words_bytes, {JOB_FIELD(segments)});
  } else {
    shared += words_bytes;
  }
  planner.plan.launches.push_back(
      launch_of("scan.cu", scan_name(label_bytes, packed ? 0 : scan_bytes), grid, 32, segments <= 4 ? 4 : 8, shared));
}

void plan_plane(Planner& planner, int scan_bytes, const Limits& limits) {
  const Job& job = planner.job();
  const i64 row_bytes = 2 * i64(job.n[2]) * ROWS * 4;
  i64 grid = job.volumes * job.n[0] * parts_of(job.n[1], ROWS), shared = row_bytes;
  const bool in_scratch = shared > limits.shared_bytes;
  if (in_scratch) {
    grid = planner.blocks_at_once(grid, row_bytes, limits);
    planner.piece("rows", grid * row_bytes, {JOB_FIELD(rows)});
    shared = 0;
  }
  const int threads = std::min(PLANE_THREADS, (job.n[2] + 31) / 32 * 32);
  planner.plan.launches.push_back(launch_of("plane.cu", plane_name(scan_bytes, in_scratch), grid, threads, 1, shared));
}

Launch count_launch(const Weighing& w, i64 slab_voxels) {
  return launch_of("weights.cu", "half_grid::count", w.slabs * w.parts, threads_of_sum(slab_voxels), 1, 0, true);
}
Launch settle_launch(const Weighing& w) {
  return launch_of("weights.cu", "half_grid::settle", w.slabs, threads_of_sum(std::max<i64>(w.parts, w.classes)), 1, 0,
                   true);
}

// Without a mask the scan counts, with several copies of the counters so that blocks do not wait for each other. With a
// mask a kernel of its own counts.
bool plan_counts(Planner& planner, const Layout& labels, const Layout* mask, const WeightTask& task) {
  Weighing& w = planner.weighing();
  if (!describe_weighing(w, labels, mask, task)) return false;
  const i64 class_bytes = w.slabs * w.classes * 8;
  planner.job().slabs = w.slabs;
  if (!mask) planner.job().replicas = int(w.replicas = std::clamp<i64>(512 / w.slabs, 1, 32));
  std::vector<i64> counted = {WEIGHING_FIELD(counted)};
  if (!mask) counted.push_back(JOB_FIELD(counted));
  planner.piece("counted", class_bytes * w.replicas, counted, true);
  planner.piece("class_weight", class_bytes, {JOB_FIELD(class_weight), WEIGHING_FIELD(class_weight)});
  if (mask) {
    planner.piece("sums", w.slabs * w.parts * i64(sizeof(Sum)), {WEIGHING_FIELD(sums)});
    planner.plan.launches.push_back(count_launch(w, product(task.slab)));
  }
  planner.plan.launches.push_back(settle_launch(w));
  return true;
}

}  // namespace

std::optional<LaunchPlan> plan_targets(const Task& task, const Layout& labels, const Layout& target, const Layout* mask,
                                       const Layout* weight, const WeightTask* weighing, bool bordered,
                                       const Limits& limits, const ClassMap* classes) {
  Planner planner;
  Job& job = planner.job();
  VolumePlan volume;
  if (!describe_job(job, task, labels, target, mask, weight, classes, bordered, volume)) return std::nullopt;
  if (classes) planner.plan.class_ids_bytes = classes->ids_bytes();
  const i64 pairs = i64(job.words) * PAIRS,
            pairs_shared = (pairs + 2) * PAIR_BYTES + 2 * COSTS * i64(sizeof(Cost)) + pairs * 4;
  // This choice changes no bit of the result: both kernels are exact.
  const bool packed =
      limits.packs && task.units.whole && volume.cap <= LARGEST_PACKED && pairs_shared <= limits.shared_bytes;
  if (packed) pack_squares(job, volume);
  volume.scan_bytes = std::max(volume.scan_bytes, limits.scan_bytes);
  planner.piece("flags", job.volumes * 4, {JOB_FIELD(flags)}, true);
  plan_scan(planner, packed, volume.scan_bytes, limits);
  if (weighing && !plan_counts(planner, labels, mask, *weighing)) return std::nullopt;
  if (packed) {
    const i64 bands = parts_of(job.n[1], PAIR_ROWS);
    const int threads = int(std::min<i64>(PAIR_THREADS, parts_of(pairs, 32) * 32));
    planner.plan.launches.push_back(
        launch_of("pairs.cu", "half_grid::pairs", job.volumes * job.n[0] * bands, threads, 1, pairs_shared));
  } else {
    plan_plane(planner, volume.scan_bytes, limits);
  }
  return planner.finished();
}

std::optional<LaunchPlan> plan_weights(const Layout& labels, const Layout* mask, const WeightTask& weighing, int dims,
                                       const ClassMap* classes) {
  Planner planner;
  if (classes) {
    const Task task(std::vector<double>(std::size_t(dims), 1.0), 0, ZERO, false, 0);  // only its axes matter
    VolumePlan volume;
    if (!describe_job(planner.job(), task, labels, labels, nullptr, nullptr, classes, false, volume))
      return std::nullopt;
    planner.plan.class_ids_bytes = classes->ids_bytes();
    plan_bits(planner);
  }
  Weighing& w = planner.weighing();
  if (!describe_weighing(w, labels, mask, weighing)) return std::nullopt;
  const i64 class_bytes = w.slabs * w.classes * 8;
  planner.piece("counted", class_bytes, {WEIGHING_FIELD(counted)}, true);
  planner.piece("class_weight", class_bytes, {WEIGHING_FIELD(class_weight)});
  planner.piece("sums", w.slabs * w.parts * i64(sizeof(Sum)), {WEIGHING_FIELD(sums)});
  planner.plan.launches.push_back(count_launch(w, product(weighing.slab)));
  planner.plan.launches.push_back(settle_launch(w));
  planner.plan.launches.push_back(
      launch_of("weights.cu", "half_grid::weigh", parts_of(product(labels.shape), THREADS), THREADS, 1, 0, true));
  return planner.finished();
}

std::optional<LaunchPlan> plan_doubled(const Task& task, const Layout& labels, const Layout& target, const Layout* mask,
                                       const Layout* weight, i64 slabs, bool bordered, const ClassMap* classes) {
  Planner planner;
  Job& job = planner.job();
  VolumePlan volume;
  if (!describe_job(job, task, labels, target, mask, weight, classes, bordered, volume)) return std::nullopt;
  if (classes) planner.plan.class_ids_bytes = classes->ids_bytes();
  job.slabs = slabs;
  i64 points = job.volumes, voxels = 1;
  for (const int n : job.n) points *= 2 * n - 1, voxels *= n;
  for (int a = 0; a < 3; ++a) {
    if (job.n[a] == 1) continue;
    planner.plan.grid_shape.push_back(2 * volume.n[a] - 1);
    planner.plan.spacing.push_back(volume.half[a]);
  }
  planner.piece("flags", job.volumes * 4, {JOB_FIELD(flags)}, true);
  if (classes) plan_bits(planner);
  planner.plan.launches.push_back(
      launch_of("doubled.cu", mark_name(job.label.width), parts_of(points, THREADS), THREADS, 1, 0));
  planner.plan.launches.push_back(
      launch_of("doubled.cu", "half_grid::sample", parts_of(voxels, THREADS), THREADS, 1, 0));
  return planner.finished();
}

std::vector<std::pair<std::string, std::string>> kernel_names() {
  std::vector<std::pair<std::string, std::string>> names;
  for (const i64 label : {1, 2, 4, 8}) {
    for (const i64 scan : {1, 2, 4, 0}) names.emplace_back("scan.cu", scan_name(label, scan));
    names.emplace_back("doubled.cu", mark_name(label));
    names.emplace_back("classify.cu", classify_name(label));
  }
  for (const i64 scan : {1, 2, 4, 0}) names.emplace_back("scan.cu", scan_name(0, scan));
  for (const i64 scan : {1, 2, 4})
    for (const bool in_scratch : {false, true}) names.emplace_back("plane.cu", plane_name(scan, in_scratch));
  names.emplace_back("pairs.cu", "half_grid::pairs");
  names.emplace_back("doubled.cu", "half_grid::sample");
  for (const char* kernel : {"count", "settle", "weigh"})
    names.emplace_back("weights.cu", std::string("half_grid::") + kernel);
  return names;
}

}  // namespace half_grid
