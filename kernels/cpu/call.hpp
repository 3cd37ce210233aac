// What all volumes of a call of engine `cpu` share: their plan, the threads, and scratch memory.
#pragma once
#include <algorithm>
#include <optional>
#include <stdexcept>

#include "engine.hpp"
#include "threads.hpp"

namespace half_grid {

constexpr i64 PER_THREAD = 1 << 14;  // voxels from which on one more thread saves more than it costs to start it
// Scratch memory of the volumes that are searched together. With classes it is no more than 7 B for each label, so that
// the scratch memory of a call does not grow with the classes, but for a bit each.
constexpr i64 WAVE_BYTES = i64(48) << 20, CLASS_WAVE_BYTES = i64(4) << 20, CLASS_WAVE_BYTES_PER_LABEL = 7;
// Bytes of running distances of a group of rows, so that they stay in the first-level cache.
constexpr i64 GROUP_BYTES = 2048;

inline i64 offset_of(i64 volume, const std::vector<i64>& shape, const std::vector<i64>& strides, int lead) {
  i64 offset = 0;
  for (int a = lead - 1; a >= 0; --a) {
    offset += volume % shape[a] * strides[a];
    volume /= shape[a];
  }
  return offset;
}

inline std::vector<i64> spatial_shape(const CpuTask& task, const LabelArray& labels) {
  return {labels.view.shape.end() - std::ptrdiff_t(task.voxel_size.size()), labels.view.shape.end()};
}

// The number of threads that is worth starting.
inline int useful_threads(const StridedArray& labels, int threads) {
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
  const Level* level;  // of the planes; the rest is that of the task
  bool whole, may_miss;
  i64 volumes, voxels, words, group, groups;  // of one volume
  i64 fractions = 0;
  int lead;
  const ClassMap* classes;
  i64 per_label;  // volumes that share their labels: one for each class

  Call(const CpuTask& t, const LabelArray& l, const StridedArray& o, const FusedWeights* w, int asked,
       const ClassMap* c)
      : task(t), labels(l), out(o), weighing(w), threads(useful_threads(l.view, asked)), team(threads),
        plan(plan_volume(t, spatial_shape(t, l), w && w->border)), model(), level(t.level), classes(c),
        per_label(c ? c->table().classes : 1) {
    lead = int(l.view.shape.size() - t.voxel_size.size());
    if (c && (lead == 0 || l.view.shape[std::size_t(lead - 1)] != per_label))
      throw std::invalid_argument("expected an axis of classes in front of the spatial ones");
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
    // The label of a voxel in a class is 1.
    v.background = classes && task.background == TIMES_LABEL ? int(ZERO) : task.background;
    v.fill = task.fill, v.is_class = classes != nullptr;
    v.everywhere = plan.everywhere;
    v.codes = task.units.whole ? codes_of(plan) : Codes{1, 1, 0};
    whole = task.units.whole && !task.always_float && fit(v.codes, plan);
    // Decided without the shape, so that blocks of a volume get the same bits as the whole.
    v.near_only = std::max({reach_of(plan, 0), reach_of(plan, 1), reach_of(plan, 2)}) <= 255;
    choose_lanes();
  }

  int lanes() const { return whole ? level->lanes_whole : level->lanes_float; }

  // A row or column that is shorter than a register leaves lanes idle: the narrowest register that holds both takes
  // less time. Every level returns the same bits, and so do whole squares and floats.
  void choose_lanes() {
    const i64 longest = std::max(plan.n[1], plan.n[2]);
    const bool can_be_whole = whole;
    for (const bool as_whole : {true, false})
      for (const Level* other : task.narrower) {
        const int fewer = as_whole ? other->lanes_whole : other->lanes_float;
        if ((as_whole && !can_be_whole) || fewer < longest || fewer >= lanes()) continue;
        level = other, whole = as_whole;
      }
  }

  unsigned char* labels_of(i64 volume) const {
    return labels.view.data + offset_of(volume, labels.view.shape, labels.view.strides, lead);
  }
  std::size_t bits_bytes() const { return std::size_t((plan.n[0] * plan.n[1] * words * 4 + 63) / 64 * 64); }
  std::size_t line_bytes() const { return std::size_t((plan.n[0] * plan.n[1] + 63) / 64 * 64); }
  std::size_t family_bytes() const { return std::size_t((voxels * plan.scan_bytes + 128 + 63) / 64 * 64); }
};

// Memory of the workers. Where there are many planes, each worker searches planes of its own, with C and D in its cache.
// Where there are few, all workers share one plane at a time.
struct WorkerMemory {
  unsigned char* base;
  std::size_t bytes, of_scan, scratch;  // bytes of C and of D each; of a worker's scratch memory for scan and plane
  std::size_t whole;                    // bytes of all that a worker has, where planes are not shared
  bool shared;
  unsigned char* c(int worker) const { return base + (shared ? 0 : std::size_t(worker) * whole); }
  unsigned char* own(int worker) const { return base + 2 * bytes + std::size_t(worker) * (shared ? scratch : whole); }
  unsigned char* scan(int worker) const { return base + std::size_t(worker) * (shared ? of_scan : whole); }
};

// Scratch memory of a call. Where there are as many volumes as workers, each worker scans and searches volumes of its
// own, one after the other in the same memory. Otherwise all work together on a wave of volumes: first they scan it, then
// they search its planes.
struct Memory {
  std::size_t per_volume;  // bytes of the scan of a volume
  std::size_t kept_bits;   // bytes of the bits of a volume; those of classes lie apart
  bool by_volume;
  i64 in_wave, bit_sets;   // volumes of a wave, or workers that have one
  std::size_t of_classes;  // scratch memory of a worker
  WorkerMemory workers;
  u32 *inside, *annotated;  // the bits of all classes; see classify.hpp
  unsigned char *scans, *bits;

  Memory(const Call& call, bool border) {
    const Level& level = *call.level;
    const std::size_t count = std::size_t(call.threads), bits_bytes = call.bits_bytes();
    kept_bits = bits_bytes * ((call.classes ? 0 : 1 + std::size_t(call.may_miss)) + std::size_t(border));
    per_volume = 3 * call.family_bytes() + call.line_bytes();
    const i64 class_wave_bytes = std::max(CLASS_WAVE_BYTES, CLASS_WAVE_BYTES_PER_LABEL * call.voxels),
              wave_bytes = call.classes ? std::min(WAVE_BYTES, class_wave_bytes) : WAVE_BYTES;
    in_wave = std::max<i64>(1, std::min(call.volumes, wave_bytes / i64(per_volume + kept_bits)));
    by_volume = call.volumes > 1 && call.threads <= in_wave;
    if (by_volume) in_wave = call.threads;
    bit_sets = call.weighing && !call.classes ? call.volumes : in_wave;
    workers.bytes = std::size_t(level.plane_bytes(call.model, call.whole));
    workers.scratch = std::size_t(level.plane_scratch(call.model, call.whole));
    workers.shared = !by_volume && call.threads > 1 && in_wave * call.plan.n[0] < 4 * call.threads;
    workers.of_scan = std::size_t((call.task.level->scan_scratch(call.model, call.group) + 63) / 64 * 64);
    workers.whole = std::max((2 * workers.bytes + workers.scratch + 63) / 64 * 64, workers.of_scan);
    of_classes = call.classes ? std::size_t((call.task.level->class_scratch(call.model) + 63) / 64 * 64) : 0;
    const std::size_t planes = workers.shared
                                   ? std::max(2 * workers.bytes + count * workers.scratch, count * workers.of_scan)
                                   : count * workers.whole,
                      working = std::max(planes, count * of_classes),
                      labels = call.classes ? std::size_t(call.volumes / call.per_label) * bits_bytes : 0,
                      of_inside = labels * std::size_t(call.per_label), of_annotated = call.may_miss ? labels : 0;
    scratch_.emplace(std::size_t(in_wave) * per_volume + std::size_t(bit_sets) * kept_bits + of_inside + of_annotated +
                     working + 256);
    scans = scratch_->take(std::size_t(in_wave) * per_volume);
    bits = scratch_->take(std::size_t(bit_sets) * kept_bits);
    inside = reinterpret_cast<u32*>(scratch_->take(of_inside));
    annotated = reinterpret_cast<u32*>(scratch_->take(of_annotated));
    workers.base = scratch_->take(working);
  }

 private:
  std::optional<Scratch> scratch_;
};

}  // namespace half_grid
