#include "engine.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>

#include "threads.hpp"
#include "weights.hpp"

namespace half_grid {

std::vector<std::string> levels() {
  std::vector<std::string> names;
#if defined(HALF_GRID_HAS_AVX512)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx2"))
    names.push_back("avx512");
#endif
#if defined(HALF_GRID_HAS_AVX2)
  if (__builtin_cpu_supports("avx2")) names.push_back("avx2");
#endif
  names.push_back("baseline");
  return names;
}

const Level* level_named(const std::string& name) {
  const std::vector<std::string> runs = levels();
  const std::string& wanted = name == "auto" ? runs.front() : name;
  if (std::find(runs.begin(), runs.end(), wanted) == runs.end())
    throw std::invalid_argument("SIMD level " + name + " does not run on this processor");
#if defined(HALF_GRID_HAS_AVX512)
  if (wanted == "avx512") return level_avx512();
#endif
#if defined(HALF_GRID_HAS_AVX2)
  if (wanted == "avx2") return level_avx2();
#endif
  return level_baseline();
}

CpuTask::CpuTask(const Task& task, const std::string& name, bool in_float)
    : Task(task), level(level_named(name)), always_float(in_float) {}

namespace {

constexpr i64 PER_THREAD = 1 << 14;  // voxels from which on one more thread saves more than it costs to start it
constexpr i64 WAVE_BYTES = i64(48) << 20;
// Bytes of running distances of a group of rows, so that they stay in the first-level cache.
constexpr i64 GROUP_BYTES = 2048;

i64 offset_of(i64 volume, const std::vector<i64>& shape, const std::vector<i64>& strides, int lead) {
  i64 offset = 0;
  for (int a = lead - 1; a >= 0; --a) {
    offset += volume % shape[a] * strides[a];
    volume /= shape[a];
  }
  return offset;
}

std::vector<i64> spatial_shape(const CpuTask& task, const LabelArray& labels) {
  return {labels.view.shape.end() - std::ptrdiff_t(task.voxel_size.size()), labels.view.shape.end()};
}

// The number of threads that is worth starting.
int useful_threads(const StridedArray& labels, int threads) {
  i64 voxels = 1;
  for (const i64 n : labels.shape) voxels *= n;
  return int(std::max<i64>(1, std::min<i64>({threads, 256, voxels / PER_THREAD})));
}

// What all volumes of a call share.
struct Call {
  const CpuTask& task;
  const LabelArray& labels;
  const StridedArray& out;
  const FusedWeights* weighing;
  int threads;
  Team team;
  VolumePlan plan;
  Volume model;
  bool whole, may_miss;
  i64 volumes, voxels, words, group, groups;  // of one volume
  i64 fractions = 0;
  int lead;

  Call(const CpuTask& t, const LabelArray& l, const StridedArray& o, const FusedWeights* w, int asked)
      : task(t), labels(l), out(o), weighing(w), threads(useful_threads(l.view, asked)), team(threads),
        plan(plan_volume(t, spatial_shape(t, l), w && w->border)), model() {
    lead = int(l.view.shape.size() - t.voxel_size.size());
    volumes = 1;
    for (int a = 0; a < lead; ++a) volumes *= l.view.shape[a];
    voxels = plan.n[0] * plan.n[1] * plan.n[2];
    may_miss = l.format.has_ignored || l.format.kind >= FLOATING;
    fill_model();
    group = std::max<i64>(1, std::min(plan.n[1], GROUP_BYTES / plan.n[2]));
    groups = (plan.n[1] + group - 1) / group;
  }

  void fill_model() {
    Volume& v = model;
    v.plan = &plan;
    v.nz = plan.n[0], v.ny = plan.n[1], v.nx = plan.n[2];
    words = v.words = (v.nx + 31) / 32;
    v.labels.format = labels.format;
    for (int a = 0; a < 3; ++a) {
      const std::size_t axis = std::size_t(lead + plan.axis[a]);
      v.labels.stride[a] = plan.axis[a] < 0 ? 0 : labels.view.strides[axis];
      v.out_stride[a] = plan.axis[a] < 0 ? 0 : out.strides[axis];
    }
    if (plan.axis[2] < 0) v.labels.stride[2] = labels.format.width, v.out_stride[2] = 4;  // a single voxel along x
    v.background = task.background, v.fill = task.fill;
    v.everywhere = plan.everywhere;
    whole = task.units.whole && plan.cap <= 65534 && !task.always_float;
    // Decided without the shape, so that blocks of a volume get the same bits as the whole.
    v.near_only = std::max({reach_of(plan, 0), reach_of(plan, 1), reach_of(plan, 2)}) <= 255;
  }

  std::size_t bits_bytes() const { return std::size_t((plan.n[0] * plan.n[1] * words * 4 + 63) / 64 * 64); }
  std::size_t line_bytes() const { return std::size_t((plan.n[0] * plan.n[1] + 63) / 64 * 64); }
  std::size_t family_bytes() const { return std::size_t((voxels * plan.scan_bytes + 128 + 63) / 64 * 64); }
};

void scan_wave(Call& call, std::vector<Volume>& wave, std::vector<ScanTask>& tasks, unsigned char* scratch,
               std::size_t scratch_bytes) {
  tasks.assign(wave.size() * std::size_t(call.groups), ScanTask());
  call.team.run(i64(tasks.size()), [&](int worker, i64 i) {
    ScanTask& task = tasks[std::size_t(i)];
    task.volume = &wave[std::size_t(i / call.groups)];
    task.y0 = i % call.groups * call.group;
    task.y1 = std::min(task.y0 + call.group, task.volume->ny);
    task.scratch = scratch + std::size_t(worker) * scratch_bytes;
    task.may_miss = call.may_miss;
    call.task.level->scan(task);
  });
  for (std::size_t i = 0; i < wave.size(); ++i) {
    bool site = false, missing = false;
    for (i64 g = 0; g < call.groups; ++g) {
      const ScanTask& task = tasks[i * std::size_t(call.groups) + std::size_t(g)];
      site |= task.site, missing |= task.missing, call.fractions += task.fractions;
    }
    wave[i].has_no_site = !site;
    wave[i].everywhere |= missing;
    if (!missing) wave[i].annotated = nullptr;
  }
}

// Memory for the search of planes. Where there are many planes, each worker searches planes of its own, with C and D in
// its cache. Where there are few, all workers share one plane at a time.
struct PlaneBuffers {
  unsigned char* base;
  std::size_t bytes, scratch;  // bytes of C and of D each; bytes of a worker's scratch memory
  bool shared;
  unsigned char* c(int worker) const { return base + (shared ? 0 : std::size_t(worker) * 2 * bytes); }
  unsigned char* own(int worker, int workers) const {
    return base + (shared ? 1 : std::size_t(workers)) * 2 * bytes + std::size_t(worker) * scratch;
  }
};

// With a weigher, the weights of a plane are written right after its targets; `wave` then holds all volumes of the
// call.
void run_planes(Call& call, const std::vector<Volume>& wave, const PlaneBuffers& buffers, const Weigher* weigher) {
  const Level& level = *call.task.level;
  const i64 lanes = call.whole ? level.lanes_whole : level.lanes_float;
  const i64 panels = (call.plan.n[2] + lanes - 1) / lanes, bands = (call.plan.n[1] + lanes - 1) / lanes;
  const auto part = [&](const Volume& volume, i64 z, int worker, i64 first, i64 last) {
    unsigned char* c = buffers.c(worker);
    return PlaneTask{&volume, z, first, last, c, c + buffers.bytes, buffers.own(worker, call.threads)};
  };
  const i64 planes = i64(wave.size()) * call.plan.n[0];
  if (!buffers.shared) {
    call.team.run(planes, [&](int worker, i64 i) {
      const Volume& volume = wave[std::size_t(i / call.plan.n[0])];
      const i64 z = i % call.plan.n[0];
      if (!volume.has_no_site) level.panels(part(volume, z, worker, 0, panels), call.whole);
      level.bands(part(volume, z, worker, 0, bands), call.whole);
      if (weigher) weigher->write(volume, i / call.plan.n[0], z * call.plan.n[1], (z + 1) * call.plan.n[1]);
    });
    return;
  }
  const i64 chunks = std::min<i64>(panels, 4 * call.threads), strips = std::min<i64>(bands, 8 * call.threads);
  for (i64 i = 0; i < planes; ++i) {
    const Volume& volume = wave[std::size_t(i / call.plan.n[0])];
    const i64 z = i % call.plan.n[0];
    if (!volume.has_no_site)
      call.team.run(chunks, [&](int worker, i64 j) {
        level.panels(part(volume, z, worker, j * panels / chunks, (j + 1) * panels / chunks), call.whole);
      });
    call.team.run(strips, [&](int worker, i64 j) {
      const i64 first = j * bands / strips, last = (j + 1) * bands / strips, row = z * call.plan.n[1];
      level.bands(part(volume, z, worker, first, last), call.whole);
      if (weigher)
        weigher->write(volume, i / call.plan.n[0], row + first * lanes, row + std::min(last * lanes, call.plan.n[1]));
    });
  }
}

}  // namespace

Noticed targets(const CpuTask& task, const LabelArray& labels, const StridedArray& out, const FusedWeights* weighing,
                int threads) {
  Call call(task, labels, out, weighing, threads);
  const Level& level = *task.level;
  const bool border = weighing && weighing->border;
  const std::size_t kept_bits = call.bits_bytes() * (1 + std::size_t(call.may_miss) + std::size_t(border));
  const std::size_t per_volume = 3 * call.family_bytes() + call.line_bytes();
  const i64 in_wave = std::max<i64>(1, std::min(call.volumes, WAVE_BYTES / i64(per_volume + kept_bits)));
  const i64 bit_sets = weighing ? call.volumes : in_wave;
  PlaneBuffers buffers;
  buffers.bytes = std::size_t(level.plane_bytes(call.model, call.whole));
  buffers.scratch = std::size_t(level.plane_scratch(call.model, call.whole));
  buffers.shared = call.threads > 1 && in_wave * call.plan.n[0] < 4 * call.threads;
  const std::size_t scan_scratch = std::size_t((level.scan_scratch(call.model, call.group) + 63) / 64 * 64);
  const std::size_t workers = std::size_t(call.threads);
  const std::size_t plane_total = (buffers.shared ? 1 : workers) * 2 * buffers.bytes + workers * buffers.scratch;
  Scratch scratch(std::size_t(in_wave) * per_volume + std::size_t(bit_sets) * kept_bits +
                  std::max(plane_total, workers * scan_scratch) + 256);
  unsigned char* scans = scratch.take(std::size_t(in_wave) * per_volume);
  unsigned char* bits = scratch.take(std::size_t(bit_sets) * kept_bits);
  buffers.base = scratch.take(std::max(plane_total, workers * scan_scratch));
  if (border) std::memset(bits, 255, std::size_t(bit_sets) * kept_bits);

  std::vector<Volume> wave, all;
  std::vector<ScanTask> tasks;
  std::vector<Counted> counted;
  const std::unique_ptr<Weigher> weigher =
      weighing ? std::make_unique<Weigher>(task, labels, *weighing, call.model) : nullptr;
  const bool in_one = in_wave == call.volumes;  // then the counts are complete before the first plane is searched
  for (i64 first = 0; first < call.volumes; first += in_wave) {
    const i64 last = std::min(call.volumes, first + in_wave);
    wave.assign(std::size_t(last - first), call.model);
    for (i64 i = first; i < last; ++i) {
      Volume& v = wave[std::size_t(i - first)];
      unsigned char* scan = scans + std::size_t(i - first) * per_volume;
      u32* own = reinterpret_cast<u32*>(bits + std::size_t(weighing ? i : i - first) * kept_bits);
      const std::size_t step = call.bits_bytes() / 4;
      v.labels.data = labels.view.data + offset_of(i, labels.view.shape, labels.view.strides, call.lead);
      v.out = out.data + offset_of(i, out.shape, out.strides, call.lead);
      v.z = scan, v.a = scan + call.family_bytes(), v.b = scan + 2 * call.family_bytes(),
      v.swept = scan + 3 * call.family_bytes();
      v.inside = own;
      v.annotated = call.may_miss ? own + step : nullptr;
      v.keep = border ? own + step * (call.may_miss ? 2 : 1) : nullptr;
    }
    scan_wave(call, wave, tasks, buffers.base, scan_scratch);
    if (weigher) {
      all.insert(all.end(), wave.begin(), wave.end());
      for (std::size_t i = 0; i < wave.size(); ++i) {
        Counted sum = {0, 0};
        for (std::size_t g = i * std::size_t(call.groups), end = g + std::size_t(call.groups); g < end; ++g)
          sum.inside += tasks[g].count_inside, sum.annotated += tasks[g].count_annotated;
        counted.push_back(sum);
      }
      if (in_one) weigher->count(all, counted, call.team);
    }
    run_planes(call, wave, buffers, in_one ? weigher.get() : nullptr);
  }
  if (weigher && !in_one) {
    weigher->count(all, counted, call.team);
    const i64 rows = call.plan.n[0] * call.plan.n[1], strip = std::max<i64>(1, 16384 / call.plan.n[2]),
              strips = (rows + strip - 1) / strip;
    call.team.run(call.volumes * strips, [&](int, i64 i) {
      const i64 first = i % strips * strip;
      weigher->write(all[std::size_t(i / strips)], i / strips, first, std::min(rows, first + strip));
    });
  }
  return {call.fractions, weigher && weigher->mask_above_one};
}

}  // namespace half_grid
