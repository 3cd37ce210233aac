// The scan: for every voxel the distance along z to the nearest face of each family, see half_grid.hpp.
//
//   labels   [inp]  (volumes, nz, ny, nx), any width T and steps
//   scans    [out]  distances or squares of type K, see tiles.cuh; and chunks, with squares
//   inside   [out]  (volumes, nz, ny, words) bits: annotated and label ≠ 0
//   annotated    [out]  the same: annotated; where labels can be unannotated
//   flags    [out]  (volumes) whether there is a site, and an unannotated voxel
//   values   [out]  where squares are packed: the target of each, for kernel `pairs`
//   counted  [out]  (replicas, slabs, 2) voxels; integers, so that their order does not matter
//
// A block owns ROWS_PER_CHUNK rows of 32 columns and goes through them in segments of 32 steps: the faces of a segment are the
// bits of a word per column (columns.cuh). Distances follow from two sweeps over the bits, upwards into registers and
// downwards to memory, SWEEP steps at a time; what lies beyond is found by counting leading or trailing zeros in the
// words of the column. Block (32, warps); any grid, tasks go round.
#include "columns.cuh"
#include "finish.cuh"
#include "tiles.cuh"

namespace half_grid {

constexpr int SWEEP = 4;

// The words of a block's columns.
struct FaceBits {
  u32* at;  // (segments, ROWS_PER_CHUNK, KINDS, 32)
  DEVICE_MEMBER u32* of(int segment, int row, int kind) const {
    return at + ((segment * ROWS_PER_CHUNK + row) * KINDS + kind) * 32;
  }
};

// Steps from the last of the segment before down to its last face, and from the first of the segment behind up to its
// first face; `far` where there is none nearer than that.
DEVICE_FN u32 steps_before(const FaceBits& words, int segment, int row, int family, int column, u32 far) {
  u32 steps = 0;
  for (int s = segment - 1; s >= 0 && steps < far; --s, steps += STEPS) {
    const u32 word = words.of(s, row, family)[column];
    if (word) return steps + u32(__clz(int(word)));
  }
  return far;
}
DEVICE_FN u32 steps_behind(const FaceBits& words, int segment, int segments, int row, int family, int column, u32 far) {
  u32 steps = 0;
  for (int s = segment + 1; s < segments && steps < far; ++s, steps += STEPS) {
    const u32 word = words.of(s, row, family)[column];
    if (word) return steps + u32(__ffs(int(word)) - 1);
  }
  return far;
}
// Steps to the first face at or behind step `first` of a segment, from there.
DEVICE_FN u32 steps_up(u32 word, int first, u32 behind) {
  const u32 later = word >> first;
  return later ? u32(__ffs(int(later)) - 1) : behind + u32(STEPS - first);
}

// The same for two neighbours, one per half.
DEVICE_FN u32 two_before(const FaceBits& words, int segment, int row, int family, int column, u32 far) {
  return steps_before(words, segment, row, family, column, far) |
         steps_before(words, segment, row, family, column + 1, far) << 16;
}
DEVICE_FN u32 two_behind(const FaceBits& words, int segment, int segments, int row, int family, int column, u32 far) {
  return steps_behind(words, segment, segments, row, family, column, far) |
         steps_behind(words, segment, segments, row, family, column + 1, far) << 16;
}

// What a block works on: ROWS_PER_CHUNK rows from y on, columns from x on, all z.
struct Block {
  i64 volume;
  int y, tile;
  int rows;  // that there are
  u32 real;  // lanes that are not beyond the end of the row
};

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

// Bits, flags and counts of a row of a segment. `inside` and `annotated` are words along x, step by step in the lanes.
DEVICE_FN void publish_row(const Job& job, const Block& block, int segment, int row, u32 inside, u32 annotated,
                           bool face, u64* counted) {
  const int lane = int(threadIdx.x), z = segment * STEPS + lane;
  const bool own = z < job.n[0];
  const i64 at = ((block.volume * job.n[0] + z) * job.n[1] + block.y + row) * job.words + block.tile;
  u32 counts = 0;  // inside, and annotated · 2¹⁶: at most 32 · 32 of each
  if (own) {
    job.inside[at] = inside;
    if (job.annotated) job.annotated[at] = annotated;
    counts = u32(__popc(inside)) | u32(__popc(annotated)) << 16;
  }
  u32 news = __ballot_sync(~0u, face) ? HAS_SITE : 0;
  if (__ballot_sync(~0u, own && annotated != block.real)) news |= HAS_MISSING;
  // Read first: thousands of warps have the same to say.
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

template <class T> DEVICE_FN void read_row(const Job& job, const Block& block, const FaceBits& words, int segment,
                                           int row, u64* counted) {
  const int lane = int(threadIdx.x);
  const Column column = column_of(job, block, segment, row, block.tile * 32 + lane);
  const Segment found =
      job.annotated ? read_columns<T, true>(job.label, column) : read_columns<T, false>(job.label, column);
  words.of(segment, row, 0)[lane] = found.z;
  words.of(segment, row, 1)[lane] = found.a;
  words.of(segment, row, 2)[lane] = found.b;
  words.of(segment, row, FAMILIES)[lane] = found.inside;  // along x: for `is_idle` that does not matter
  publish_row(job, block, segment, row, found.inside, job.annotated ? found.annotated : block.real,
              found.z || found.a || found.b, counted);
}

struct alignas(16) FourWords { u32 word[4]; };

// All rows at once: eight lanes for each.
DEVICE_FN void read_four_rows(const Job& job, const Block& block, const FaceBits& words, int segment, u64* counted) {
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
    *reinterpret_cast<FourWords*>(words.of(segment, row, kind) + place) = {{four[0], four[1], four[2], four[3]}};
    if (kind < FAMILIES) faces |= four[0] | four[1] | four[2] | four[3];
  }
  __syncwarp();
#pragma unroll
  for (int r = 0; r < ROWS_PER_CHUNK; ++r) {
    if (r >= block.rows) break;
    publish_row(job, block, segment, r, transposed(words.of(segment, r, FAMILIES)[lane]), block.real,
                r == 0 && faces != 0, counted);
  }
}

// The distances of one segment. Face i lies at step i (families a and b), or between the steps i and i + 1 (family z,
// where k stands for k + 1/2).
template <class K> struct Writer {
  DEVICE_MEMBER static void segment(const Job& job, const Block& block, const FaceBits& words, int segment,
                                    int segments, const Stored<K>& stored);
};

template <class K> DEVICE_MEMBER void Writer<K>::segment(const Job& job, const Block& block, const FaceBits& words,
                                                         int segment, int segments, const Stored<K>& stored) {
  const int lane = int(threadIdx.x), first = segment * STEPS, steps = int(smaller(STEPS, job.n[0] - first));
  const i64 level = row_at(job, job.n[1]);
#pragma unroll 1
  for (int row = 0; row < block.rows; ++row) {
    K* out = static_cast<K*>(job.scans) + row_at(job, (block.volume * job.n[0] + first) * job.n[1] + block.y + row) +
             tile_at(block.tile * 32 + lane);
#pragma unroll 1
    for (int family = 0; family < FAMILIES; ++family) {
      const u32 word = words.of(segment, row, family)[lane];
      const u32 behind = steps_behind(words, segment, segments, row, family, lane, stored.far);
      u32 down = steps_before(words, segment, row, family, lane, stored.far);
      K* p = out + family * 32;
      for (int start = 0; start < steps; start += SWEEP) {
        u32 up[SWEEP], next = steps_up(word, start + SWEEP - 1, behind);
        up[SWEEP - 1] = next;
#pragma unroll
        for (int i = SWEEP - 2; i >= 0; --i) up[i] = next = word >> (start + i) & 1 ? 0 : next + 1;
#pragma unroll
        for (int i = 0; i < SWEEP; ++i, p += level) {
          if (start + i >= steps) break;
          const u32 before = down;
          down = word >> (start + i) & 1 ? 0 : down + 1;
          const u32 lower = family == 0 ? before : down;
          *p = stored.of(lower < up[i] ? lower : up[i]);
        }
      }
    }
  }
}

// A chunk of background without a face, where nobody asks for background: its samples are never the best (half_grid.hpp),
// whatever is nearest beyond. Sites across unannotated voxels could be, so there all is swept.
DEVICE_FN bool is_idle(const Job& job, const FaceBits& words, int segment, int rows) {
  if (job.annotated || job.everywhere) return false;
  u32 any = 0;
  for (int i = 0; i < rows * KINDS; ++i) any |= words.of(segment, 0, 0)[i * 32 + int(threadIdx.x)];
  return __ballot_sync(~0u, any != 0) == 0;
}

DEVICE_FN void write_nothing(const Job& job, const Block& block, int segment) {
  const FourWords none = {{twice_over(NO_SQUARE), twice_over(NO_SQUARE), twice_over(NO_SQUARE), twice_over(NO_SQUARE)}};
  constexpr int ROW = TILE_ELEMENTS * 2 / 16,
                LEAST = CHUNK_TILE_ELEMENTS * 2 / 16;  // wide words of a row of a tile, and of a chunk's
  const int lane = int(threadIdx.x), first = segment * STEPS, steps = int(smaller(STEPS, job.n[0] - first)),
            wide = block.rows * ROW;
  for (int i = lane; i < steps * (wide + LEAST); i += 32) {
    const int z = i / (wide + LEAST), at = i - z * (wide + LEAST), row = at / ROW;
    const i64 plane = block.volume * job.n[0] + first + z;
    Square* p = at < wide ? static_cast<Square*>(job.scans) + row_at(job, plane * job.n[1] + block.y + row) +
                                i64(block.tile) * TILE_ELEMENTS + (at - row * ROW) * 8
                          : static_cast<Square*>(job.chunks) +
                                chunk_row_at(job, plane * chunks_of(job) + block.y / ROWS_PER_CHUNK) +
                                i64(block.tile) * CHUNK_TILE_ELEMENTS + (at - wide) * 8;
    *reinterpret_cast<FourWords*>(p) = none;
  }
}

// Squares: sixteen lanes take a row, two neighbours along x in each word. Steps are counted twice: as bytes of a table.
template <> DEVICE_MEMBER void Writer<Square>::segment(const Job& job, const Block& block, const FaceBits& words,
                                                       int segment, int segments, const Stored<Square>& stored) {
  if (is_idle(job, words, segment, block.rows)) return write_nothing(job, block, segment);
  const int lane = int(threadIdx.x), pair = lane & 15, x = block.tile * 32 + 2 * pair, first = segment * STEPS;
  const int steps = int(smaller(STEPS, job.n[0] - first)), odd_row = lane >> 4;
  const i64 level = row_at(job, job.n[1]) / 2, row_step = row_at(job, 1),
            chunk_level = chunk_row_at(job, chunks_of(job)) / 2;
  u32* out = static_cast<u32*>(job.scans) +
             (row_at(job, (block.volume * job.n[0] + first) * job.n[1] + block.y + odd_row) + tile_at(x)) / 2;
  u32* least = static_cast<u32*>(job.chunks) +
               (chunk_row_at(job, (block.volume * job.n[0] + first) * chunks_of(job) + block.y / ROWS_PER_CHUNK) +
                chunk_tile_at(x)) /
                   2;
  // Of the row in hand and of the other one, which change places: a variable index would take them out of registers.
  u32 down[FAMILIES], behind[FAMILIES], other_down[FAMILIES], other_behind[FAMILIES];
  // Nobody wrote words of rows beyond the last one. Such a row begins at the first segment and ends at the last, so
  // that nothing of it is read.
  const int rows = block.rows;
#pragma unroll
  for (int f = 0; f < FAMILIES; ++f) {
    down[f] = 2 * two_before(words, odd_row < rows ? segment : 0, odd_row, f, 2 * pair, stored.far);
    behind[f] = two_behind(words, odd_row < rows ? segment : segments, segments, odd_row, f, 2 * pair, stored.far);
    other_down[f] = 2 * two_before(words, odd_row + 2 < rows ? segment : 0, odd_row + 2, f, 2 * pair, stored.far);
    other_behind[f] =
        two_behind(words, odd_row + 2 < rows ? segment : segments, segments, odd_row + 2, f, 2 * pair, stored.far);
  }
#pragma unroll 1
  for (int start = 0; start < steps; start += SWEEP, out += SWEEP * level, least += SWEEP * chunk_level) {
    u32 least_za[SWEEP], least_b[SWEEP];
#pragma unroll
    for (int i = 0; i < SWEEP; ++i) least_za[i] = least_b[i] = twice_over(NO_SQUARE);
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
      if (odd_row + 2 * half < block.rows) {
#pragma unroll
        for (int f = 0; f < FAMILIES; ++f) {
          const u32* two = words.of(segment, odd_row + 2 * half, f) + 2 * pair;
          const u32 left = two[0], right = two[1], faces = (left >> start & 0xFF) | (right >> start & 0xFF) << 16;
          u32 up[SWEEP], now = 2 * (steps_up(left, start + SWEEP - 1, behind[f] & 0xFFFF) |
                                    steps_up(right, start + SWEEP - 1, behind[f] >> 16) << 16);
          up[SWEEP - 1] = now;
#pragma unroll
          for (int i = SWEEP - 2; i >= 0; --i)
            up[i] = now = (now + 0x00020002u) & ~((faces >> i & 0x00010001u) * 0xFFFFu);
          u32* p = out + half * row_step + f * 16;
#pragma unroll
          for (int i = 0; i < SWEEP; ++i, p += level) {
            const u32 before = down[f];
            down[f] = (before + 0x00020002u) & ~((faces >> i & 0x00010001u) * 0xFFFFu);
            const u32 squares = stored.squares_of_two(least_of_two(f == 0 ? before : down[f], up[i]), f == 0);
            u32& chunk = f == FAMILIES - 1 ? least_b[i] : least_za[i];
            chunk = least_of_two(chunk, squares);
            if (start + i < steps) *p = squares;
          }
        }
      }
#pragma unroll
      for (int f = 0; f < FAMILIES; ++f) {
        const u32 d = down[f], b = behind[f];
        down[f] = other_down[f], behind[f] = other_behind[f], other_down[f] = d, other_behind[f] = b;
      }
    }
#pragma unroll
    for (int i = 0; i < SWEEP; ++i) {
      const u32 own = odd_row ? least_b[i] : least_za[i], other = odd_row ? least_za[i] : least_b[i];
      const u32 both = least_of_two(own, __shfl_xor_sync(~0u, other, 16));
      if (start + i < steps) least[i * chunk_level + odd_row * 16] = both;
    }
  }
}

// Whether labels can be read four at a time.
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
  const FaceBits words = {job.segments ? reinterpret_cast<u32*>(job.segments) +
                                             i64(blockIdx.x) * segments * ROWS_PER_CHUNK * KINDS * 32
                                       : reinterpret_cast<u32*>(shared + Stored<K>::BYTES)};
  const Stored<K> stored(job, shared);
  stored.prepare(job, int(threadIdx.y) * 32 + int(threadIdx.x), warps * 32);
  if (job.values) {
    const u32 thread = threadIdx.y * 32 + threadIdx.x;
    for (i64 packed = i64(blockIdx.x) * warps * 32 + thread; packed <= job.limit; packed += i64(gridDim.x) * warps * 32)
      job.values[packed] = unsigned_value(job, unpacked(u32(packed)));
  }
  const bool fours = lie_in_fours<T>(job);
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
      for (int s = warp; s < segments; s += warps) read_four_rows(job, block, words, s, counted);
    } else {
      for (int i = warp; i < segments * block.rows; i += warps)
        read_row<T>(job, block, words, i / block.rows, i % block.rows, counted);
    }
    __syncthreads();
    for (int s = warp; s < segments; s += warps) Writer<K>::segment(job, block, words, s, segments, stored);
    __syncthreads();
  }
}

}  // namespace half_grid
