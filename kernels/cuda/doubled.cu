// The doubled grid for engine `cucim`: it receives the sites, and distances are read from it.
//
//   mark    labels -> (2nz - 1, 2ny - 1, 2nx - 1) bytes: 0 at the centre of a face that is a site, else 1
//   sample  distances on the doubled grid (float32, in units) -> target, and weight 0 beyond the border
//
// With classes the bits that kernel `classify` wrote are read instead of labels.
//
// `mark` handles all volumes of a job. `sample` handles one, since the distance transform between the two takes one
// volume.
#include "finish.cuh"

namespace half_grid {

// The axis across which a point of the doubled grid is a face between two voxels, or -1.
DEVICE_FN int axis_of_face(const int* at) {
  int odd = -1;
  for (int a = 0; a < 3; ++a) {
    if (!(at[a] & 1)) continue;
    if (odd >= 0) return -1;  // an edge or a corner of voxels
    odd = a;
  }
  return odd;
}

// With classes: whether a voxel is in the class of a volume, and whether it is annotated.
DEVICE_FN bool is_set(const Job& job, const u32* bits, i64 volume, int z, int y, int x) {
  return bit_at(bits + ((volume * job.n[0] + z) * job.n[1] + y) * job.words, x);
}

[[maybe_unused]] DEVICE_FN bool is_site_of_class(const Job& job, i64 volume, const int* at) {
  const int odd = axis_of_face(at);
  if (odd < 0) return false;
  const int z = at[0] >> 1, y = at[1] >> 1, x = at[2] >> 1, dz = odd == 0, dy = odd == 1, dx = odd == 2;
  if (is_set(job, job.inside, volume, z, y, x) == is_set(job, job.inside, volume, z + dz, y + dy, x + dx)) return false;
  return !job.annotated ||
         (is_set(job, job.annotated, volume, z, y, x) && is_set(job, job.annotated, volume, z + dz, y + dy, x + dx));
}

template <class T> DEVICE_FN bool is_site(const Job& job, const u8* p, const int* at) {
  const int odd = axis_of_face(at);
  if (odd < 0) return false;
  const Label<T> here = label_at<T>(job.label, p), there = label_at<T>(job.label, p + job.labels.step[odd]);
  return here.code != there.code && !here.missing && !there.missing;
}

template <class T> __global__ void mark(BY_VALUE Doubled doubled) {
  const Job& job = doubled.job;
  const int n[3] = {2 * job.n[0] - 1, 2 * job.n[1] - 1, 2 * job.n[2] - 1};
  const i64 size = i64(n[0]) * n[1] * n[2], points = job.volumes * size;
  for (i64 point = i64(blockIdx.x) * blockDim.x + threadIdx.x; point < points; point += i64(gridDim.x) * blockDim.x) {
    const i64 row = divided(point, n[2]), level = divided(row, n[1]), volume = divided(level, n[0]);
    const int at[3] = {int(level - volume * n[0]), int(row - level * n[1]), int(point - row * n[2])};
    const View& view = job.labels;
    const u8* p = view.data + offset_of(view, job.leading, volume) + (at[0] >> 1) * view.step[0] +
                  (at[1] >> 1) * view.step[1] + (at[2] >> 1) * view.step[2];
    const bool site = job.table.classes ? is_site_of_class(job, volume, at) : is_site<T>(job, p, at);
    doubled.grid[point] = site ? 0 : 1;
    if (site && !(*static_cast<volatile u32*>(job.flags + volume) & HAS_SITE))
      atomicOr(job.flags + volume, u32(HAS_SITE));
  }
}

__global__ void sample(BY_VALUE Doubled doubled) {
  const Job& job = doubled.job;
  const int nz = job.n[0], ny = job.n[1], nx = job.n[2];
  const i64 voxels = i64(nz) * ny * nx;
  const Offsets at = offsets_of(job, doubled.volume);
  for (i64 voxel = i64(blockIdx.x) * blockDim.x + threadIdx.x; voxel < voxels; voxel += i64(gridDim.x) * blockDim.x) {
    const i64 row = divided(voxel, nx), level = divided(row, ny);
    Voxel v = {doubled.volume, int(level), int(row - level * ny), int(voxel - row * nx), false, false};
    if (job.table.classes) {
      v.annotated = !job.annotated || is_set(job, job.annotated, v.volume, v.z, v.y, v.x);
      v.inside = is_set(job, job.inside, v.volume, v.z, v.y, v.x);
    } else {
      const int side =
          class_of(job.label, 2, true, any_label_at(job.label, job.labels.data + at.label + along(job.labels, v)));
      v.annotated = side >= 0;
      v.inside = side > 0;
    }
    float value = job.no_site_value, square = job.no_site_square;
    if (doubled.distances) {
      const float distance = doubled.distances[(i64(2 * v.z) * (2 * ny - 1) + 2 * v.y) * (2 * nx - 1) + 2 * v.x];
      square = distance * distance;
      value = job.world_units ? float(double(distance) * job.unit) : saturating_tanh(distance * job.factor);
    }
    store(job, at, v, value, square);
  }
}

}  // namespace half_grid
