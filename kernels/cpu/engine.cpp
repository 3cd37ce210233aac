#include "engine.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>

#include "call.hpp"
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

constexpr i64 STRIP_VOXELS = 16384;  // of a part of a volume whose rows are read or written without searching

// What was counted while the labels were turned into the bits of classes.
struct Classified {
  std::vector<Counted> counted;  // of every volume
  std::vector<char> missing;     // of every volume: whether it has an unannotated voxel
};

Classified classify(Call& call, const Memory& memory) {
  const ClassTable table = call.classes->table();
  const i64 rows = call.plan.n[0] * call.plan.n[1], strip = std::max<i64>(1, STRIP_VOXELS / call.plan.n[2]),
            strips = (rows + strip - 1) / strip, of_volume = i64(call.bits_bytes() / 4);
  std::vector<Volume> labels(std::size_t(call.volumes / call.per_label), call.model);
  for (i64 i = 0; i < i64(labels.size()); ++i)
    labels[std::size_t(i)].labels.data = call.labels_of(i * call.per_label);
  std::vector<ClassTask> tasks(labels.size() * std::size_t(strips));
  std::vector<i64> inside(tasks.size() * std::size_t(table.classes));
  call.team.run(i64(tasks.size()), [&](int worker, i64 i) {
    const i64 volume = i / strips, first = i % strips * strip;
    ClassTask& task = tasks[std::size_t(i)];
    task = {&labels[std::size_t(volume)],
            table,
            first,
            std::min(rows, first + strip),
            memory.inside + volume * table.classes * of_volume,
            of_volume,
            call.may_miss ? memory.annotated + volume * of_volume : nullptr,
            memory.buffers.base + std::size_t(worker) * memory.of_classes,
            &inside[std::size_t(i * table.classes)],
            0,
            0};
    call.task.level->classify(task);
  });
  Classified found;
  for (i64 volume = 0; volume < call.volumes; ++volume) {
    Counted sum = {0, 0};
    for (i64 s = volume / call.per_label * strips, end = s + strips; s < end; ++s) {
      sum.inside += inside[std::size_t(s * table.classes + volume % call.per_label)];
      sum.annotated += tasks[std::size_t(s)].count_annotated;
    }
    found.counted.push_back(sum);
    found.missing.push_back(sum.annotated != call.voxels);
  }
  for (const ClassTask& task : tasks) call.fractions += task.fractions;
  return found;
}

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

// With a weigher, the weights of a plane are written right after its targets. The wave begins with volume `begin`.
void run_planes(Call& call, const std::vector<Volume>& wave, i64 begin, const PlaneBuffers& buffers,
                const Weigher* weigher) {
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
      if (weigher) weigher->write(volume, begin + i / call.plan.n[0], z * call.plan.n[1], (z + 1) * call.plan.n[1]);
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
        weigher->write(volume, begin + i / call.plan.n[0], row + first * lanes,
                       row + std::min(last * lanes, call.plan.n[1]));
    });
  }
}

// Volume i, the one with that number in its wave: what it reads and writes.
Volume volume_of(const Call& call, const Memory& memory, i64 i, i64 in_wave, bool border) {
  Volume v = call.model;
  unsigned char* scan = memory.scans + std::size_t(in_wave) * memory.per_volume;
  const i64 set = memory.bit_sets > memory.in_wave ? i : in_wave;
  const std::size_t step = call.bits_bytes() / 4;
  u32* own = reinterpret_cast<u32*>(memory.bits + std::size_t(set) * memory.kept_bits);
  v.labels.data = call.labels_of(i);
  v.out = call.out.data + offset_of(i, call.out.shape, call.out.strides, call.lead);
  v.z = scan, v.a = scan + call.family_bytes(), v.b = scan + 2 * call.family_bytes(),
  v.swept = scan + 3 * call.family_bytes();
  if (call.classes) {
    v.inside = memory.inside + std::size_t(i) * step;
    v.annotated = call.may_miss ? memory.annotated + std::size_t(i / call.per_label) * step : nullptr;
    v.keep = border ? own : nullptr;
    if (border) std::memset(own, 255, memory.kept_bits);  // an earlier wave has used it
    return v;
  }
  v.inside = own;
  v.annotated = call.may_miss ? own + step : nullptr;
  v.keep = border ? own + step * (call.may_miss ? 2 : 1) : nullptr;
  return v;
}

// The weights of all volumes, where they could not be written plane by plane.
void write_weights(Call& call, const std::vector<Volume>& all, const Weigher& weigher) {
  const i64 rows = call.plan.n[0] * call.plan.n[1], strip = std::max<i64>(1, STRIP_VOXELS / call.plan.n[2]),
            strips = (rows + strip - 1) / strip;
  call.team.run(call.volumes * strips, [&](int, i64 i) {
    const i64 first = i % strips * strip;
    weigher.write(all[std::size_t(i / strips)], i / strips, first, std::min(rows, first + strip));
  });
}

}  // namespace

Noticed targets(const CpuTask& task, const LabelArray& labels, const StridedArray& out, const FusedWeights* weighing,
                int threads, const ClassMap* classes) {
  Call call(task, labels, out, weighing, threads, classes);
  const bool border = weighing && weighing->border;
  const Memory memory(call, border);
  if (border) std::memset(memory.bits, 255, std::size_t(memory.bit_sets) * memory.kept_bits);

  std::vector<Volume> wave, all;
  std::vector<ScanTask> tasks;
  std::vector<Counted> counted;
  const std::unique_ptr<Weigher> weigher =
      weighing ? std::make_unique<Weigher>(task, labels, *weighing, call.model) : nullptr;
  if (classes) {
    const Classified found = classify(call, memory);
    for (i64 i = 0; weigher && i < call.volumes; ++i) {
      all.push_back(volume_of(call, memory, i, 0, false));
      if (!found.missing[std::size_t(i)]) all.back().annotated = nullptr;
    }
    if (weigher) weigher->count(all, found.counted, call.team);
  }
  // Whether the counts are complete before the first plane is searched.
  const bool counts_first = classes || memory.in_wave == call.volumes;
  for (i64 first = 0; first < call.volumes; first += memory.in_wave) {
    const i64 last = std::min(call.volumes, first + memory.in_wave);
    wave.clear();
    for (i64 i = first; i < last; ++i) wave.push_back(volume_of(call, memory, i, i - first, border));
    scan_wave(call, wave, tasks, memory.buffers.base, memory.of_scan);
    if (weigher && !classes) {
      all.insert(all.end(), wave.begin(), wave.end());
      for (std::size_t i = 0; i < wave.size(); ++i) {
        Counted sum = {0, 0};
        for (std::size_t g = i * std::size_t(call.groups), end = g + std::size_t(call.groups); g < end; ++g)
          sum.inside += tasks[g].count_inside, sum.annotated += tasks[g].count_annotated;
        counted.push_back(sum);
      }
      if (counts_first) weigher->count(all, counted, call.team);
    }
    run_planes(call, wave, first, memory.buffers, counts_first ? weigher.get() : nullptr);
  }
  if (weigher && !counts_first) {
    weigher->count(all, counted, call.team);
    write_weights(call, all, *weigher);
  }
  return {call.fractions, weigher && weigher->mask_above_one};
}

}  // namespace half_grid
