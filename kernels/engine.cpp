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

Plan::Plan(std::vector<double> sizes, double scale_, int background_, bool saturate_, double fill_, std::string level_, bool always_float_)
    : voxel_size(std::move(sizes)), scale(scale_), background(background_), saturate(saturate_), fill(float(fill_)),
      level(level_named(level_)), always_float(always_float_) {
  if (voxel_size.size() != 2 && voxel_size.size() != 3) throw std::invalid_argument("expected 2 or 3 voxel sizes");
  for (const double size : voxel_size)
    if (!(size > 0 && std::isfinite(size))) throw std::invalid_argument("voxel sizes are positive and finite");
  if (!(scale >= 0 && std::isfinite(scale))) throw std::invalid_argument("a scale is positive and finite, or 0 for none");
  if (background < ZERO || background > TIMES_LABEL) throw std::invalid_argument("background is 0, 1 or 2");
  units = units_of(voxel_size.data(), int(voxel_size.size()));
}

namespace {

constexpr i64 PER_THREAD = 1 << 14;  // voxels for which one more thread is worth its start
constexpr i64 WAVE_BYTES = i64(48) << 20;
constexpr i64 GROUP_BYTES = 2048;  // of a row group: its running distances stay in the first-level cache

// The volume's axes without those of one voxel, which add nothing to a squared distance, as (z, y, x).
struct Axes {
  i64 n[3] = {1, 1, 1}, label[3] = {0, 0, 0}, out[3] = {0, 0, 0};
  double square[3] = {1, 1, 1}, border[3] = {0, 0, 0};
  double dropped_border = 3e38, shortest = std::numeric_limits<double>::infinity();  // in units
};

Axes axes_of(const Plan& plan, const LabelArray& labels, const View& out) {
  Axes axes;
  const int dims = int(plan.voxel_size.size()), lead = int(labels.view.shape.size()) - dims;
  int to = 2;
  for (int a = dims - 1; a >= 0; --a) {
    const i64 n = labels.view.shape[lead + a];
    const double half = plan.voxel_size[a] / 2 / plan.units.length;
    axes.shortest = std::min(axes.shortest, double(n) * half);
    if (n == 1) {
      axes.dropped_border = std::min(axes.dropped_border, half);
      continue;
    }
    axes.n[to] = n;
    axes.label[to] = labels.view.strides[lead + a];
    axes.out[to] = out.strides[lead + a];
    axes.square[to] = plan.units.square[a];
    axes.border[to] = half;
    --to;
  }
  if (to == 2) {  // a single voxel
    axes.label[2] = labels.view.width;
    axes.out[2] = 4;
  }
  return axes;
}

i64 offset_of(i64 volume, const std::vector<i64>& shape, const std::vector<i64>& strides, int lead) {
  i64 offset = 0;
  for (int a = lead - 1; a >= 0; --a) {
    offset += volume % shape[a] * strides[a];
    volume /= shape[a];
  }
  return offset;
}

struct Job {
  const Plan& plan;
  const LabelArray& labels;
  const View& out;
  const Weighing* weighing;
  int threads;
  Team team;
  Axes axes;
  Volume model;  // what all volumes share
  bool whole, may_miss;
  i64 volumes, voxels, words, group, groups;  // of one volume
  int lead;
  i64 fractions = 0;

  Job(const Plan& p, const LabelArray& l, const View& o, const Weighing* w, int t) : plan(p), labels(l), out(o), weighing(w), threads(worth(l.view, t)), team(threads), axes(axes_of(p, l, o)), model() {
    lead = int(l.view.shape.size() - p.voxel_size.size());
    volumes = 1;
    for (int a = 0; a < lead; ++a) volumes *= l.view.shape[a];
    voxels = axes.n[0] * axes.n[1] * axes.n[2];
    may_miss = l.has_ignored || l.kind == Kind::floating;
    fill_model();
    group = std::max<i64>(1, std::min(axes.n[1], GROUP_BYTES / axes.n[2]));
    groups = (axes.n[1] + group - 1) / group;
  }

  static int worth(const View& labels, int threads) {
    i64 voxels = 1;
    for (const i64 n : labels.shape) voxels *= n;
    return int(std::max<i64>(1, std::min<i64>({threads, 256, voxels / PER_THREAD})));
  }

  void fill_model() {
    Volume& v = model;
    v.nz = axes.n[0], v.ny = axes.n[1], v.nx = axes.n[2];
    words = v.words = (v.nx + 31) / 32;
    v.labels.width = labels.view.width;
    v.labels.floats = labels.kind == Kind::floating;
    v.labels.is_signed = labels.kind == Kind::signed_integer;
    v.labels.foreign = labels.foreign;
    v.labels.has_ignored = labels.has_ignored;
    v.labels.ignored = labels.ignored;
    v.cap = saturated_square(plan.units, plan.scale);
    double border = 0;  // of the voxel furthest from it
    for (int a = 0; a < 3; ++a) {
      v.labels.stride[a] = axes.label[a], v.out_stride[a] = axes.out[a];
      v.square[a] = axes.square[a], v.border_unit[a] = axes.border[a];
      if (axes.n[a] > 1) border = std::max(border, axes.border[a] * double(axes.n[a] + 1));
    }
    v.border_least = axes.dropped_border;
    const bool masked = weighing && weighing->border;
    if (masked) v.cap = std::max(v.cap, std::min(3.4e38, border * border * 1.01 + 2));
    v.unit = plan.units.length, v.scale = plan.scale, v.background = plan.background, v.fill = plan.fill;
    v.lonely = plan.saturate ? std::numeric_limits<double>::infinity() : axes.shortest;
    v.everywhere = plan.background == SIGNED || masked;
    whole = plan.units.whole && v.cap <= 65534 && !plan.always_float;
    const auto reach = [&](int a) { return std::sqrt(v.cap / v.square[a]) / 2 + 1; };  // in voxels, whatever the shape
    v.near_only = std::max({reach(0), reach(1), reach(2)}) <= 255;
    const double deepest = std::min(reach(0), double(v.nz));
    v.scan = deepest <= 254 ? SCAN_NARROW : deepest <= 65534 ? SCAN_MEDIUM : SCAN_WIDE;
  }

  std::size_t bits_bytes() const { return std::size_t((axes.n[0] * axes.n[1] * words * 4 + 63) / 64 * 64); }
  std::size_t line_bytes() const { return std::size_t((axes.n[0] * axes.n[1] + 63) / 64 * 64); }
  std::size_t scan_bytes() const { return std::size_t((voxels * model.scan + 128 + 63) / 64 * 64); }
};

void scan_wave(Job& job, std::vector<Volume>& wave, std::vector<ScanTask>& tasks, unsigned char* scratch, std::size_t scratch_bytes) {
  tasks.assign(wave.size() * std::size_t(job.groups), ScanTask());
  job.team.run(i64(tasks.size()), [&](int worker, i64 i) {
    ScanTask& task = tasks[std::size_t(i)];
    task.volume = &wave[std::size_t(i / job.groups)];
    task.y0 = i % job.groups * job.group;
    task.y1 = std::min(task.y0 + job.group, task.volume->ny);
    task.scratch = scratch + std::size_t(worker) * scratch_bytes;
    task.may_miss = job.may_miss;
    job.plan.level->scan(task);
  });
  for (std::size_t i = 0; i < wave.size(); ++i) {
    bool site = false, missing = false;
    for (i64 g = 0; g < job.groups; ++g) {
      const ScanTask& task = tasks[i * std::size_t(job.groups) + std::size_t(g)];
      site |= task.site, missing |= task.missing, job.fractions += task.fractions;
    }
    wave[i].far_beyond = !site;
    wave[i].everywhere |= missing;
    if (!missing) wave[i].known = nullptr;
  }
}

// Many planes: one after the other per worker, C and D in its cache. Few: all workers on one plane.
struct PlaneBuffers {
  unsigned char* base;
  std::size_t bytes, scratch;  // of C (and of D), of a worker's scratch
  bool shared;
  unsigned char* c(int worker) const { return base + (shared ? 0 : std::size_t(worker) * 2 * bytes); }
  unsigned char* own(int worker, int workers) const { return base + (shared ? 1 : std::size_t(workers)) * 2 * bytes + std::size_t(worker) * scratch; }
};

// With a weigher, a plane's weights are written right behind its targets; `wave` is then all there is.
void run_planes(Job& job, const std::vector<Volume>& wave, const PlaneBuffers& buffers, const Weigher* weigher) {
  const Level& level = *job.plan.level;
  const i64 lanes = job.whole ? level.lanes_whole : level.lanes_float;
  const i64 panels = (job.axes.n[2] + lanes - 1) / lanes, bands = (job.axes.n[1] + lanes - 1) / lanes;
  const auto part = [&](const Volume& volume, i64 z, int worker, i64 first, i64 last) {
    unsigned char* c = buffers.c(worker);
    return PlaneTask{&volume, z, first, last, c, c + buffers.bytes, buffers.own(worker, job.threads)};
  };
  const i64 planes = i64(wave.size()) * job.axes.n[0];
  if (!buffers.shared) {
    job.team.run(planes, [&](int worker, i64 i) {
      const Volume& volume = wave[std::size_t(i / job.axes.n[0])];
      const i64 z = i % job.axes.n[0];
      if (!volume.far_beyond) level.panels(part(volume, z, worker, 0, panels), job.whole);
      level.bands(part(volume, z, worker, 0, bands), job.whole);
      if (weigher) weigher->write(volume, i / job.axes.n[0], z * job.axes.n[1], (z + 1) * job.axes.n[1]);
    });
    return;
  }
  const i64 chunks = std::min<i64>(panels, 4 * job.threads), strips = std::min<i64>(bands, 8 * job.threads);
  for (i64 i = 0; i < planes; ++i) {
    const Volume& volume = wave[std::size_t(i / job.axes.n[0])];
    const i64 z = i % job.axes.n[0];
    if (!volume.far_beyond)
      job.team.run(chunks, [&](int worker, i64 j) {
        level.panels(part(volume, z, worker, j * panels / chunks, (j + 1) * panels / chunks), job.whole);
      });
    job.team.run(strips, [&](int worker, i64 j) {
      const i64 first = j * bands / strips, last = (j + 1) * bands / strips, row = z * job.axes.n[1];
      level.bands(part(volume, z, worker, first, last), job.whole);
      if (weigher) weigher->write(volume, i / job.axes.n[0], row + first * lanes, row + std::min(last * lanes, job.axes.n[1]));
    });
  }
}

}  // namespace

Noticed targets(const Plan& plan, const LabelArray& labels, const View& out, const Weighing* weighing, int threads) {
  Job job(plan, labels, out, weighing, threads);
  const Level& level = *plan.level;
  const bool border = weighing && weighing->border;
  const std::size_t kept_bits = job.bits_bytes() * (1 + std::size_t(job.may_miss) + std::size_t(border));
  const std::size_t per_volume = 3 * job.scan_bytes() + job.line_bytes();
  const i64 in_wave = std::max<i64>(1, std::min(job.volumes, WAVE_BYTES / i64(per_volume + kept_bits)));
  const i64 bit_sets = weighing ? job.volumes : in_wave;
  PlaneBuffers buffers;
  buffers.bytes = std::size_t(level.plane_bytes(job.model, job.whole));
  buffers.scratch = std::size_t(level.plane_scratch(job.model, job.whole));
  buffers.shared = job.threads > 1 && in_wave * job.axes.n[0] < 4 * job.threads;
  const std::size_t scan_scratch = std::size_t((level.scan_scratch(job.model, job.group) + 63) / 64 * 64);
  const std::size_t workers = std::size_t(job.threads);
  const std::size_t plane_total = (buffers.shared ? 1 : workers) * 2 * buffers.bytes + workers * buffers.scratch;
  Scratch scratch(std::size_t(in_wave) * per_volume + std::size_t(bit_sets) * kept_bits + std::max(plane_total, workers * scan_scratch) + 256);
  unsigned char* scans = scratch.take(std::size_t(in_wave) * per_volume);
  unsigned char* bits = scratch.take(std::size_t(bit_sets) * kept_bits);
  buffers.base = scratch.take(std::max(plane_total, workers * scan_scratch));
  if (border) std::memset(bits, 255, std::size_t(bit_sets) * kept_bits);

  std::vector<Volume> wave, all;
  std::vector<ScanTask> tasks;
  std::vector<Counted> counted;
  const std::unique_ptr<Weigher> weigher = weighing ? std::make_unique<Weigher>(plan, labels, *weighing, job.model) : nullptr;
  const bool in_one = in_wave == job.volumes;  // counts are complete before the first plane
  for (i64 first = 0; first < job.volumes; first += in_wave) {
    const i64 last = std::min(job.volumes, first + in_wave);
    wave.assign(std::size_t(last - first), job.model);
    for (i64 i = first; i < last; ++i) {
      Volume& v = wave[std::size_t(i - first)];
      unsigned char* scan = scans + std::size_t(i - first) * per_volume;
      u32* own = reinterpret_cast<u32*>(bits + std::size_t(weighing ? i : i - first) * kept_bits);
      const std::size_t step = job.bits_bytes() / 4;
      v.labels.data = labels.view.data + offset_of(i, labels.view.shape, labels.view.strides, job.lead);
      v.out = out.data + offset_of(i, out.shape, out.strides, job.lead);
      v.z = scan, v.a = scan + job.scan_bytes(), v.b = scan + 2 * job.scan_bytes(), v.swept = scan + 3 * job.scan_bytes();
      v.inside = own;
      v.known = job.may_miss ? own + step : nullptr;
      v.keep = border ? own + step * (job.may_miss ? 2 : 1) : nullptr;
    }
    scan_wave(job, wave, tasks, buffers.base, scan_scratch);
    if (weigher) {
      all.insert(all.end(), wave.begin(), wave.end());
      for (std::size_t i = 0; i < wave.size(); ++i) {
        Counted sum = {0, 0};
        for (std::size_t g = i * std::size_t(job.groups), end = g + std::size_t(job.groups); g < end; ++g)
          sum.inside += tasks[g].count_inside, sum.known += tasks[g].count_known;
        counted.push_back(sum);
      }
      if (in_one) weigher->count(all, counted, job.team);
    }
    run_planes(job, wave, buffers, in_one ? weigher.get() : nullptr);
  }
  if (weigher && !in_one) {
    weigher->count(all, counted, job.team);
    const i64 rows = job.axes.n[0] * job.axes.n[1], strip = std::max<i64>(1, 16384 / job.axes.n[2]), strips = (rows + strip - 1) / strip;
    job.team.run(job.volumes * strips, [&](int, i64 i) {
      const i64 first = i % strips * strip;
      weigher->write(all[std::size_t(i / strips)], i / strips, first, std::min(rows, first + strip));
    });
  }
  return {job.fractions, weigher && weigher->mask_above_one};
}

}  // namespace half_grid
