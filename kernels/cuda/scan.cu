// The scan: for every voxel the distance along z to the nearest face of each family, see half_grid.hpp.
//
//   labels   [inp]  (volumes, nz, ny, nx), any width T and steps
//   z, a, b  [out]  (volumes, nz, ny, nx) of K: voxels along z, saturated at Scan<K>::none
//   inside   [out]  (volumes, nz, ny, words) bits: annotated and label ≠ 0
//   known    [out]  the same: annotated; where labels can be unannotated
//   flags    [out]  (volumes) whether there is a site, and an unannotated voxel
//   counted  [out]  (slabs, 2) voxels; integers, so that their order does not matter
//
// A thread owns one column and segments of 32 steps: the faces of a segment are the bits of a word, and the
// nearest one is found by counting leading or trailing zeros in it, or in the words of the other segments. A warp
// reads 32 neighbours along x. Block (32, segments at once, columns of warps); any grid, tasks go round.
#include "values.cuh"

namespace half_grid {

constexpr int STEPS = 32;
constexpr int FAMILIES = 3;

// All families of one column; row f, lane x.
struct Faces {
  u32* words;  // (segments, FAMILIES, 32)
  DEVICE_MEMBER u32& at(int segment, int family) const { return words[(segment * FAMILIES + family) * 32 + int(threadIdx.x)]; }
};

template <class K> DEVICE_FN K scan_distance(i64 steps) {
  return steps < i64(Scan<K>::none) ? K(steps) : Scan<K>::none;
}

// Steps from the first of `segment` down to the last face before it, less one; and up to the first face behind it.
template <class K> DEVICE_FN i64 steps_before(const Faces& faces, int segment, int family) {
  i64 steps = 0;
  for (int s = segment - 1; s >= 0 && steps < i64(Scan<K>::none); --s, steps += STEPS) {
    const u32 word = faces.at(s, family);
    if (word) return steps + __clz(int(word));
  }
  return i64(Scan<K>::none);
}
template <class K> DEVICE_FN i64 steps_behind(const Faces& faces, int segment, int segments, int family) {
  i64 steps = 0;
  for (int s = segment + 1; s < segments && steps < i64(Scan<K>::none); ++s, steps += STEPS) {
    const u32 word = faces.at(s, family);
    if (word) return steps + __ffs(int(word)) - 1;
  }
  return i64(Scan<K>::none);
}

// Face i lies at step i (families a, b) or between the steps i and i + 1 (z: k stands for k + 1/2).
template <class K> DEVICE_FN void write_distances(const Faces& faces, int segment, int segments, int family, K* out, i64 plane, int steps) {
  const u32 word = faces.at(segment, family);
  const i64 before = steps_before<K>(faces, segment, family), behind = steps_behind<K>(faces, segment, segments, family);
  const int own = family == 0 ? 0 : 1;  // whether the face at a voxel's own step also lies before it
  for (int i = 0; i < steps; ++i, out += plane) {
    const u32 lower = word & (own ? (2u << i) - 1 : (1u << i) - 1), upper = word >> i;
    i64 down = lower ? i - 1 + own - (31 - __clz(int(lower))) : before + i + own;
    const i64 up = upper ? __ffs(int(upper)) - 1 : behind + STEPS - i;
    down = down < up ? down : up;
    *out = scan_distance<K>(down);
  }
}

// Reads one segment: its faces as bits, the bits of its voxels. Returns how many are inside (low) and known (high).
template <class T> DEVICE_FN u64 read_segment(const Job& job, i64 volume, int y, int x, int segment, const Faces& faces) {
  const int nz = job.n[0], ny = job.n[1], nx = job.n[2], lane = int(threadIdx.x);
  const bool real = x < nx;
  const int column = real ? x : nx - 1, first = segment * STEPS, last = int(smaller(first + STEPS, nz));
  const View& view = job.labels;
  const u8* p = view.data + offset_of(view, job.leading, volume) + first * view.step[0] + y * view.step[1] + column * view.step[2];
  const i64 step = view.step[0], down = y + 1 < ny ? view.step[1] : 0, right = column + 1 < nx ? view.step[2] : 0;
  const i64 bits = ((volume * nz + first) * ny + y) * job.words + (x >> 5), bits_step = i64(ny) * job.words;
  u32 z_faces = 0, a_faces = 0, b_faces = 0, missing_words = 0;
  u64 counts = 0;
  Label<T> here = label_at<T>(job.label, p);
  for (int i = 0; i < last - first; ++i, p += step) {
    const Label<T> below = label_at<T>(job.label, p + down), beside = label_at<T>(job.label, p + right);
    const Label<T> behind = first + i + 1 < nz ? label_at<T>(job.label, p + step) : here;
    const u32 bit = here.missing ? 0 : 1u << i;
    z_faces |= here.code != behind.code && !behind.missing ? bit : 0;
    a_faces |= here.code != below.code && !below.missing ? bit : 0;
    b_faces |= here.code != beside.code && !beside.missing ? bit : 0;
    const u32 inside = __ballot_sync(~0u, real && !here.missing && here.code != 0);
    if (lane == 0) job.inside[bits + i * bits_step] = inside;
    counts += u64(__popc(inside));
    if (job.known) {
      const u32 known = __ballot_sync(~0u, real && !here.missing);
      missing_words |= known ^ __ballot_sync(~0u, real);
      if (lane == 0) job.known[bits + i * bits_step] = known;
      counts += u64(__popc(known)) << 32;
    } else {
      counts += u64(smaller(nx - (x - lane), 32)) << 32;
    }
    here = behind;
  }
  faces.at(segment, 0) = z_faces;
  faces.at(segment, 1) = a_faces;
  faces.at(segment, 2) = b_faces;
  u32 flags = __ballot_sync(~0u, (z_faces | a_faces | b_faces) != 0) ? HAS_SITE : 0;
  if (missing_words) flags |= HAS_MISSING;
  // Read first: thousands of warps have the same to say.
  if (lane == 0 && (flags & ~*static_cast<volatile u32*>(job.flags + volume))) atomicOr(job.flags + volume, flags);
  return counts;
}

template <class T, class K> __global__ void scan(BY_VALUE Job job) {
  const int nz = job.n[0], ny = job.n[1], nx = job.n[2], segments = (nz + STEPS - 1) / STEPS;
  const i64 columns = job.volumes * ny * job.words, words = i64(segments) * FAMILIES * 32;
  const i64 place = job.segments ? i64(blockIdx.x) * blockDim.z + threadIdx.z : threadIdx.z;
  u32* buffer = job.segments ? reinterpret_cast<u32*>(job.segments) : reinterpret_cast<u32*>(dynamic_shared());
  const Faces faces = {buffer + place * words};
  const i64 rounds = (columns + i64(gridDim.x) * blockDim.z - 1) / (i64(gridDim.x) * blockDim.z);
  for (i64 round = 0; round < rounds; ++round) {
    const i64 column = (round * gridDim.x + blockIdx.x) * blockDim.z + threadIdx.z;
    const bool real = column < columns;
    const i64 row = real ? divided(column, job.words) : 0, volume = divided(row, ny);
    const int y = int(row - volume * ny), x = int(column - row * job.words) * 32 + int(threadIdx.x);
    if (real) {
      u64 counts = 0;
      for (int s = int(threadIdx.y); s < segments; s += int(blockDim.y)) counts += read_segment<T>(job, volume, y, x, s, faces);
      if (job.counted && threadIdx.x == 0 && counts) {
        u64* counted = job.counted + (volume - divided(volume, job.slabs) * job.slabs) * 2;
        const u64 inside = counts & 0xFFFFFFFFu, known = counts >> 32;
        if (known != inside) atomicAdd(counted, known - inside);
        if (inside) atomicAdd(counted + 1, inside);
      }
    }
    __syncthreads();
    if (real && x < nx) {
      for (int s = int(threadIdx.y); s < segments; s += int(blockDim.y)) {
        const int first = s * STEPS, steps = int(smaller(STEPS, nz - first));
        const i64 plane = i64(ny) * nx, at = ((volume * nz + first) * ny + y) * nx + x;
        write_distances<K>(faces, s, segments, 0, static_cast<K*>(job.z) + at, plane, steps);
        write_distances<K>(faces, s, segments, 1, static_cast<K*>(job.a) + at, plane, steps);
        write_distances<K>(faces, s, segments, 2, static_cast<K*>(job.b) + at, plane, steps);
      }
    }
    __syncthreads();
  }
}

}  // namespace half_grid
