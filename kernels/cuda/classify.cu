// Kernel `classify`: which voxels are in which class, and which are annotated. It reads every label once, whatever the
// number of classes.
//
//   labels     [inp]  (volumes / classes, nz, ny, nx), any width T and steps
//   table      [inp]  the classes of each label, see labels.hpp
//   inside     [out]  (volumes, nz, ny, words) bits: the voxel is annotated and its label is in the class
//   annotated  [out]  the same shape, where labels can be unannotated: the voxel is annotated
//
// A warp works on 32 neighbours along x. A lane looks its label up, and has the classes of its voxel as bits; transposed,
// it has the voxels of its class. A block has (32, warps) threads. The grid may have any size: warps take their work in
// turns.
#include "columns.cuh"

namespace half_grid {

// Writes the bits of 32 voxels for up to 32 classes from class `first` on: lane i has those of class first + i.
DEVICE_FN void publish_classes(const Job& job, i64 volume, i64 word, int first, u32 inside, u32 annotated) {
  const int lane = int(threadIdx.x);
  if (first + lane >= job.table.classes) return;
  const i64 at = (volume * job.table.classes + first + lane) * job.n[0] * job.n[1] * job.words + word;
  job.inside[at] = inside;
  if (job.annotated) job.annotated[at] = annotated;
}

template <class T> __global__ void __launch_bounds__(256) classify(BY_VALUE Job job) {
  const View& view = job.labels;
  const int lane = int(threadIdx.x), nx = job.n[2];
  const i64 rows = i64(job.n[0]) * job.n[1], tasks = job.volumes / job.table.classes * rows * job.words,
            warps = i64(gridDim.x) * blockDim.y;
  for (i64 task = i64(blockIdx.x) * blockDim.y + threadIdx.y; task < tasks; task += warps) {
    const i64 row = divided(task, job.words), volume = divided(row, rows), in_volume = row - volume * rows,
              z = divided(in_volume, job.n[1]), y = in_volume - z * job.n[1], tile = task - row * job.words;
    const i64 x = tile * 32 + lane;
    const u8* p = view.data + offset_of(view, job.leading, volume * job.table.classes) + z * view.step[0] +
                  y * view.step[1] + smaller(x, nx - 1) * view.step[2];
    const Label<T> label = label_at<T>(job.label, p);
    const bool seen = x < nx && !label.missing;
    const u32 annotated = __ballot_sync(~0u, seen);
    const u32* members = job.table.members +
                         (seen ? class_row_of(job.table, label.code) : job.table.count) * job.table.groups;
    for (int group = 0; group < job.table.groups; ++group)
      publish_classes(job, volume, in_volume * job.words + tile, group * 32, transposed(members[group]), annotated);
  }
}

}  // namespace half_grid
