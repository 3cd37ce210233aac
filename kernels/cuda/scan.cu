// Kernel `scan`: for every voxel the distance along z to the nearest face of each family, see half_grid.hpp.
//
//   labels     [inp]  (volumes, nz, ny, nx), any width T and steps; with classes T is ClassBits, and none are read
//   scans      [out]  distances or squares of type K, and the least of each chunk in `chunks`, see tiles.cuh
//   inside     [out]  (volumes, nz, ny, words) bits: the voxel is annotated and its label is not 0; with classes [inp]
//   annotated  [out]  the same shape, where labels can be unannotated: the voxel is annotated; with classes [inp]
//   flags      [out]  (volumes) whether there is a site, and whether there is an unannotated voxel
//   values     [out]  where squares are packed: the target of each, for kernel `pairs`
//   counted    [out]  (replicas, slabs, 2) voxels; their order does not matter, since they are integers
//
// A block works on ROWS_PER_CHUNK rows of 32 columns, in segments of 32 steps along z. It first reads the labels of all
// segments and keeps the faces as bits, one word per column and family (columns.cuh). Then it turns the bits into
// distances (scan_distances.cuh). A block has (32, warps) threads. The grid may have any size: blocks take
// their work in turns.
#include "columns.cuh"
#include "finish.cuh"
#include "scan_distances.cuh"

namespace half_grid {

// Stands for the type of labels where kernel `classify` has read them.
struct ClassBits {};
template <class T> struct ReadsBits { static constexpr bool value = false; };
template <> struct ReadsBits<ClassBits> { static constexpr bool value = true; };

DEVICE_FN Column column_of(const Job& job, const Block& block, int segment, int row, int x) {
  const View& view = job.labels;
  const int ny = job.n[1], nx = job.n[2], y = block.y + row < ny ? block.y + row : ny - 1,
            segments = (job.n[0] + STEPS - 1) / STEPS;
  Column column;
  column.real = x < nx && block.y + row < ny;
  column.here = view.data + offset_of(view, job.leading, block.volume) + segment * STEPS * view.step[0] +
                y * view.step[1] + smaller(x, nx - 1) * view.step[2];
  column.below = column.here + (y + 1 < ny ? view.step[1] : 0);
  column.beside = column.here + (x + 1 < nx ? view.step[2] : 0);
  column.step = view.step[0];
  column.steps = int(smaller(STEPS, job.n[0] - segment * STEPS));
  column.last = segment + 1 == segments;
  return column;
}

// Writes the bits, flags and counts of a row of a segment. `inside` and `annotated` are words along x; lane i holds
// those of step i. With classes the bits are there already.
DEVICE_FN void publish_row(const Job& job, const Block& block, int segment, int row, u32 inside, u32 annotated,
                           bool face, u64* counted) {
  const int lane = int(threadIdx.x), z = segment * STEPS + lane;
  const bool own = z < job.n[0];
  const i64 at = ((block.volume * job.n[0] + z) * job.n[1] + block.y + row) * job.words + block.tile;
  u32 counts = 0;  // inside in the low half, annotated in the high half: at most 32 · 32 of each
  if (own) {
    if (job.table.classes == 0) {
      job.inside[at] = inside;
      if (job.annotated) job.annotated[at] = annotated;
    }
    counts = u32(__popc(inside)) | u32(__popc(annotated)) << 16;
  }
  u32 news = __ballot_sync(~0u, face) ? HAS_SITE : 0;
  if (__ballot_sync(~0u, own && annotated != block.real)) news |= HAS_MISSING;
  // Test first: nearly every warp would set a bit that is already set.
  u32* flags = job.flags + block.volume;
  if (lane == 0 && (news & ~*static_cast<volatile u32*>(flags))) atomicOr(flags, news);
  if (!counted) return;
#pragma unroll
  for (int apart = 16; apart; apart /= 2) counts += __shfl_xor_sync(~0u, counts, apart);
  if (lane != 0) return;
  const u32 count = counts & 0xFFFF, outside = (counts >> 16) - count;
  if (outside) atomicAdd(counted, u64(outside));
  if (count) atomicAdd(counted + 1, u64(count));
}

template <class T> DEVICE_FN void read_row(const Job& job, const Block& block, const FaceBits& bits, int segment,
                                           int row, u64* counted) {
  const int lane = int(threadIdx.x);
  const Column column = column_of(job, block, segment, row, block.tile * 32 + lane);
  const Segment found =
      job.annotated ? read_columns<T, true>(job.label, column) : read_columns<T, false>(job.label, column);
  bits.of(segment, row, 0)[lane] = found.z;
  bits.of(segment, row, 1)[lane] = found.a;
  bits.of(segment, row, 2)[lane] = found.b;
  // This word runs along x, the other three along z; `is_idle` only asks whether any bit is set.
  bits.of(segment, row, FAMILIES)[lane] = found.inside;
  publish_row(job, block, segment, row, found.inside, job.annotated ? found.annotated : block.real,
              found.z || found.a || found.b, counted);
}

// As `read_row`, from the bits of a class. Lane i reads the row of step i, so faces are words along x; transposed, they
// are words along z.
DEVICE_FN void read_row_of_bits(const Job& job, const Block& block, const FaceBits& bits, int segment, int row,
                                u64* counted) {
  const int lane = int(threadIdx.x), nz = job.n[0], y = block.y + row, z = segment * STEPS + lane;
  const bool own = z < nz, more = block.tile + 1 < job.words;
  // At the border the neighbour is the voxel itself, so that there is no face.
  const i64 at = ((block.volume * nz + (own ? z : nz - 1)) * job.n[1] + y) * job.words + block.tile;
  const i64 behind = at + (z + 1 < nz ? i64(job.n[1]) * job.words : 0), below = at + (y + 1 < job.n[1] ? job.words : 0);
  const u32* const inside = job.inside;
  const u32 here = inside[at], beside = here >> 1 | (more ? inside[at + 1] << 31 : 0);
  u32 seen = block.real, pairs = more ? ~0u : block.real >> 1, z_faces = here ^ inside[behind],
      a_faces = here ^ inside[below], b_faces = (here ^ beside) & pairs;
  if (job.annotated) {
    const u32* const annotated = job.annotated;
    seen = annotated[at];
    z_faces &= seen & annotated[behind], a_faces &= seen & annotated[below];
    b_faces &= seen & (seen >> 1 | (more ? annotated[at + 1] << 31 : 0));
  }
  if (!own) z_faces = a_faces = b_faces = 0;
  bits.of(segment, row, 0)[lane] = transposed(z_faces);
  bits.of(segment, row, 1)[lane] = transposed(a_faces);
  bits.of(segment, row, 2)[lane] = transposed(b_faces);
  bits.of(segment, row, FAMILIES)[lane] = own ? here : 0;
  publish_row(job, block, segment, row, here, seen, (z_faces | a_faces | b_faces) != 0, counted);
}

// Reads all rows of a segment at once, eight lanes for each row and four labels for each lane.
DEVICE_FN void read_four_rows(const Job& job, const Block& block, const FaceBits& bits, int segment, u64* counted) {
  const int lane = int(threadIdx.x), row = lane >> 3, place = (lane & 7) * 4, x = block.tile * 32 + place,
            nx = job.n[2];
  Column column = column_of(job, block, segment, row, x < nx ? x : nx - 4);
  column.real = x < nx && block.y + row < job.n[1];
  column.beside = column.here + (x + 4 < nx ? 4 : 3);
  FourColumns found;
  read_four_columns(column, found);
  const u32* kinds[KINDS] = {found.z, found.a, found.b, found.inside};
  u32 faces = 0;
#pragma unroll
  for (int kind = 0; kind < KINDS; ++kind) {
    const u32* four = kinds[kind];
    *reinterpret_cast<FourWords*>(bits.of(segment, row, kind) + place) = {{four[0], four[1], four[2], four[3]}};
    if (kind < FAMILIES) faces |= four[0] | four[1] | four[2] | four[3];
  }
  __syncwarp();
#pragma unroll
  for (int r = 0; r < ROWS_PER_CHUNK; ++r) {
    if (r >= block.rows) break;
    publish_row(job, block, segment, r, transposed(bits.of(segment, r, FAMILIES)[lane]), block.real,
                r == 0 && faces != 0, counted);
  }
}

// Whether the labels allow four to be read at once: one byte each, side by side, rows that start at multiples of four.
template <class T> DEVICE_FN bool lie_in_fours(const Job& job) {
  const View& view = job.labels;
  i64 all = i64(reinterpret_cast<u64>(view.data)) | view.step[0] | view.step[1] | job.n[2];
  for (int a = 0; a < LEADING; ++a) all |= job.leading[a] == 1 ? 0 : view.lead[a];
  return sizeof(T) == 1 && !job.annotated && view.step[2] == 1 && (all & 3) == 0;
}

template <class T, class K> __global__ void __launch_bounds__(256, 2) scan(BY_VALUE Job job) {
  const int ny = job.n[1], nx = job.n[2], segments = (job.n[0] + STEPS - 1) / STEPS, chunks = chunks_of(job);
  const int warp = int(threadIdx.y), warps = int(blockDim.y);
  const i64 tasks = job.volumes * chunks * job.words;
  u8* const shared = reinterpret_cast<u8*>(dynamic_shared());
  const FaceBits bits = {job.segments ? reinterpret_cast<u32*>(job.segments) +
                                            i64(blockIdx.x) * segments * ROWS_PER_CHUNK * KINDS * 32
                                      : reinterpret_cast<u32*>(shared + Stored<K>::BYTES)};
  const Stored<K> stored(job, shared);
  stored.prepare(job, int(threadIdx.y) * 32 + int(threadIdx.x), warps * 32);
  if (job.values) {
    const u32 thread = threadIdx.y * 32 + threadIdx.x;
    for (i64 packed = i64(blockIdx.x) * warps * 32 + thread; packed <= job.limit; packed += i64(gridDim.x) * warps * 32)
      job.values[packed] = unsigned_value(job, unpacked(u32(packed)));
  }
  bool fours = false;
  if constexpr (!ReadsBits<T>::value) fours = lie_in_fours<T>(job);
  for (i64 number = blockIdx.x; number < tasks; number += gridDim.x) {
    const i64 row = divided(number, job.words), volume = divided(row, chunks);
    Block block;
    block.volume = volume;
    block.y = int(row - volume * chunks) * ROWS_PER_CHUNK;
    block.tile = int(number - row * job.words);
    block.rows = ny - block.y < ROWS_PER_CHUNK ? ny - block.y : ROWS_PER_CHUNK;
    block.real = nx - block.tile * 32 < 32 ? (1u << (nx - block.tile * 32)) - 1 : ~0u;
    u64* counted = job.counted;
    if (counted)
      counted += ((i64(blockIdx.x) % job.replicas) * job.slabs + volume - divided(volume, job.slabs) * job.slabs) * 2;
    if (fours) {
      for (int s = warp; s < segments; s += warps) read_four_rows(job, block, bits, s, counted);
    } else {
      for (int i = warp; i < segments * block.rows; i += warps) {
        if constexpr (ReadsBits<T>::value) read_row_of_bits(job, block, bits, i / block.rows, i % block.rows, counted);
        else read_row<T>(job, block, bits, i / block.rows, i % block.rows, counted);
      }
    }
    __syncthreads();
    for (int s = warp; s < segments; s += warps) Writer<K>::segment(job, block, bits, s, segments, stored);
    __syncthreads();
  }
}

}  // namespace half_grid
