#include "engine.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>

#include "call.hpp"
#include "weights.hpp"

namespace half_grid {

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
  for (i64 i = 0; i < i64(labels.size()); ++i) labels[std::size_t(i)].labels.data = call.labels_of(i * call.per_label);
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
            memory.workers.base + std::size_t(worker) * memory.of_classes,
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

ScanTask scan_group(const Call& call, const Volume& volume, i64 group, unsigned char* scratch) {
  ScanTask task = {};
  task.volume = &volume;
  task.y0 = group * call.group;
  task.y1 = std::min(task.y0 + call.group, volume.ny);
  task.scratch = scratch;
  task.may_miss = call.may_miss;
  call.task.level->scan(task);
  return task;
}

// What was found in a volume, from all its groups of rows.
struct Scanned {
  Counted counted = {0, 0};
  i64 fractions = 0;
  bool site = false, missing = false;

  void add(const ScanTask& task) {
    counted.inside += task.count_inside, counted.annotated += task.count_annotated;
    fractions += task.fractions;
    site |= task.site, missing |= task.missing;
  }
  void tell(Volume& volume) const {
    volume.has_no_site = !site;
    volume.everywhere |= missing;
    if (!missing) volume.annotated = nullptr;
  }
};

void scan_wave(Call& call, std::vector<Volume>& wave, std::vector<Counted>& counted, const WorkerMemory& memory) {
  std::vector<ScanTask> tasks(wave.size() * std::size_t(call.groups));
  call.team.run(i64(tasks.size()), [&](int worker, i64 i) {
    tasks[std::size_t(i)] = scan_group(call, wave[std::size_t(i / call.groups)], i % call.groups, memory.scan(worker));
  });
  for (std::size_t i = 0; i < wave.size(); ++i) {
    Scanned found;
    for (i64 g = 0; g < call.groups; ++g) found.add(tasks[i * std::size_t(call.groups) + std::size_t(g)]);
    found.tell(wave[i]);
    call.fractions += found.fractions;
    counted.push_back(found.counted);
  }
}

PlaneTask part_of(const WorkerMemory& memory, const Volume& volume, i64 z, int worker, i64 first, i64 last) {
  unsigned char* c = memory.c(worker);
  return {&volume, z, first, last, c, c + memory.bytes, memory.own(worker)};
}

// Stores a plane of a volume without a site, where its bits decide the targets; returns whether they do.
bool fill_plane(const Call& call, const Volume& volume, i64 z) {
  if (!volume.has_no_site || volume.background == TIMES_LABEL || volume.annotated || volume.keep ||
      volume.out_stride[2] != 4)
    return false;
  const float inside = volume.plan->no_site_value, outside = volume.background == SIGNED ? -inside : 0.0f;
  for (i64 y = 0; y < volume.ny; ++y)
    call.task.level->weigh(volume.inside + (z * volume.ny + y) * volume.words, nullptr, nullptr, outside, inside,
                           reinterpret_cast<float*>(volume.out + z * volume.out_stride[0] + y * volume.out_stride[1]),
                           volume.nx);
  return true;
}

// A plane of the volume with that number, by one worker. With a weigher, the weights are written right after the targets.
void run_plane(const Call& call, const WorkerMemory& memory, const Volume& volume, i64 number, i64 z, int worker,
               const Weigher* weigher) {
  const i64 lanes = call.lanes(), ny = call.plan.n[1], panels = (call.plan.n[2] + lanes - 1) / lanes;
  if (!volume.has_no_site) call.level->panels(part_of(memory, volume, z, worker, 0, panels), call.whole);
  if (!fill_plane(call, volume, z))
    call.level->bands(part_of(memory, volume, z, worker, 0, (ny + lanes - 1) / lanes), call.whole);
  if (weigher) weigher->write(volume, number, z * ny, (z + 1) * ny);
}

// The wave begins with volume `begin`.
void run_planes(Call& call, const std::vector<Volume>& wave, i64 begin, const WorkerMemory& memory,
                const Weigher* weigher) {
  const i64 nz = call.plan.n[0], ny = call.plan.n[1], planes = i64(wave.size()) * nz;
  if (!memory.shared) {
    call.team.run(planes, [&](int worker, i64 i) {
      run_plane(call, memory, wave[std::size_t(i / nz)], begin + i / nz, i % nz, worker, weigher);
    });
    return;
  }
  const i64 lanes = call.lanes(), panels = (call.plan.n[2] + lanes - 1) / lanes, bands = (ny + lanes - 1) / lanes;
  const i64 chunks = std::min<i64>(panels, 4 * call.threads), strips = std::min<i64>(bands, 8 * call.threads);
  for (i64 i = 0; i < planes; ++i) {
    const Volume& volume = wave[std::size_t(i / nz)];
    const i64 z = i % nz;
    if (!volume.has_no_site)
      call.team.run(chunks, [&](int worker, i64 j) {
        call.level->panels(part_of(memory, volume, z, worker, j * panels / chunks, (j + 1) * panels / chunks),
                           call.whole);
      });
    call.team.run(strips, [&](int worker, i64 j) {
      const i64 first = j * bands / strips, last = (j + 1) * bands / strips, row = z * ny;
      call.level->bands(part_of(memory, volume, z, worker, first, last), call.whole);
      if (weigher) weigher->write(volume, begin + i / nz, row + first * lanes, row + std::min(last * lanes, ny));
    });
  }
}

// Volume i, with that number in its wave or of that worker: what it reads and writes.
Volume volume_of(const Call& call, const Memory& memory, i64 i, i64 in_wave, bool border) {
  Volume v = call.model;
  unsigned char* scan = memory.scans + std::size_t(in_wave) * memory.per_volume;
  const i64 set = memory.bit_sets == call.volumes ? i : in_wave;
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
  } else {
    v.inside = own;
    v.annotated = call.may_miss ? own + step : nullptr;
    v.keep = border ? own + step * (call.may_miss ? 2 : 1) : nullptr;
  }
  if (border) std::memset(v.keep, 255, call.bits_bytes());
  return v;
}

// The volume that a worker is at. Its planes are taken one by one, at the end by workers without a volume, too.
struct alignas(64) AtWork {
  std::atomic<i64> next{std::numeric_limits<i64>::max() / 2};  // plane; beyond the last one where none is left
  std::atomic<i64> left{0};                                    // planes that are not done
  Volume volume;
  i64 number = 0;
};

// Each worker scans and searches volumes of its own, and helps others when there are none left. `all` and `counted` get
// an entry for each volume.
void run_volumes(Call& call, const Memory& memory, std::vector<Volume>& all, std::vector<Counted>& counted,
                 const Weigher* weigher, bool border) {
  all.resize(std::size_t(call.volumes));
  counted.resize(std::size_t(call.volumes));
  std::vector<AtWork> at_work(std::size_t(call.threads));
  Ranges volumes(call.volumes, call.threads);
  std::atomic<i64> scanned{0}, fractions{0};
  call.team.run(call.threads, [&](int worker, i64) {
    const auto search = [&](AtWork& at) {
      while (at.next.load(std::memory_order_relaxed) < call.plan.n[0]) {
        const i64 z = at.next.fetch_add(1, std::memory_order_acquire);
        if (z >= call.plan.n[0]) return;
        run_plane(call, memory.workers, at.volume, at.number, z, worker, weigher);
        at.left.fetch_sub(1, std::memory_order_release);
      }
    };
    AtWork& own = at_work[std::size_t(worker)];
    volumes.take(worker, [&](i64 i) {
      own.volume = volume_of(call, memory, i, worker, border);
      Scanned found;
      for (i64 g = 0; g < call.groups; ++g) found.add(scan_group(call, own.volume, g, memory.workers.scan(worker)));
      found.tell(own.volume);
      own.number = i;
      all[std::size_t(i)] = own.volume;
      counted[std::size_t(i)] = found.counted;
      fractions.fetch_add(found.fractions, std::memory_order_relaxed);
      own.left.store(call.plan.n[0], std::memory_order_relaxed);
      own.next.store(0, std::memory_order_release);
      scanned.fetch_add(1, std::memory_order_release);
      search(own);
      while (own.left.load(std::memory_order_acquire)) std::this_thread::yield();  // others may still read the volume
    });
    for (bool more = true; more;) {
      more = scanned.load(std::memory_order_acquire) < call.volumes;
      for (AtWork& at : at_work) search(at);
      if (more) std::this_thread::yield();
    }
  });
  call.fractions += fractions.load();
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
  std::vector<Volume> all;
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
    all.clear();
  }
  // Whether the counts are complete before the first plane is searched.
  const bool counts_first = classes || (!memory.by_volume && memory.in_wave == call.volumes);
  const Weigher* const at_once = counts_first ? weigher.get() : nullptr;
  if (memory.by_volume) run_volumes(call, memory, all, counted, at_once, border);
  for (i64 first = 0; !memory.by_volume && first < call.volumes; first += memory.in_wave) {
    std::vector<Volume> wave;
    for (i64 i = first; i < std::min(call.volumes, first + memory.in_wave); ++i)
      wave.push_back(volume_of(call, memory, i, i - first, border));
    scan_wave(call, wave, counted, memory.workers);
    all.insert(all.end(), wave.begin(), wave.end());
    if (weigher && !classes && counts_first) weigher->count(all, counted, call.team);
    run_planes(call, wave, first, memory.workers, at_once);
  }
  if (weigher && !counts_first) {
    weigher->count(all, counted, call.team);
    write_weights(call, all, *weigher);
  }
  return {call.fractions, weigher && weigher->mask_above_one};
}

}  // namespace half_grid
