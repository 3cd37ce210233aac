// The second half of the scan: from the faces of a block's columns, as bits, to distances or squares along z.
//
// Distances follow from two sweeps over the bits, SWEEP steps at a time: one upwards, which stays in registers, and one
// downwards, which writes. Faces beyond the segment are found by counting leading or trailing zeros in its neighbours.
#pragma once
#include "columns.cuh"
#include "tiles.cuh"

namespace half_grid {

constexpr int SWEEP = 4;

// The face bits and foreground bits of a block's columns.
struct FaceBits {
  u32* at;  // (segments, ROWS_PER_CHUNK, KINDS, 32)
  DEVICE_MEMBER u32* of(int segment, int row, int kind) const {
    return at + ((segment * ROWS_PER_CHUNK + row) * KINDS + kind) * 32;
  }
};

// `steps_before`: from the last step of the previous segment down to the nearest face. `steps_behind`: from the first
// step of the next segment up to the nearest face. Both return `far` where no face is nearer than that.
DEVICE_FN u32 steps_before(const FaceBits& bits, int segment, int row, int family, int column, u32 far) {
  u32 steps = 0;
  for (int s = segment - 1; s >= 0 && steps < far; --s, steps += STEPS) {
    const u32 word = bits.of(s, row, family)[column];
    if (word) return steps + u32(__clz(int(word)));
  }
  return far;
}
DEVICE_FN u32 steps_behind(const FaceBits& bits, int segment, int segments, int row, int family, int column, u32 far) {
  u32 steps = 0;
  for (int s = segment + 1; s < segments && steps < far; ++s, steps += STEPS) {
    const u32 word = bits.of(s, row, family)[column];
    if (word) return steps + u32(__ffs(int(word)) - 1);
  }
  return far;
}
// Steps from step `first` of a segment up to the nearest face; `behind` is what `steps_behind` returned.
DEVICE_FN u32 steps_up(u32 word, int first, u32 behind) {
  const u32 later = word >> first;
  return later ? u32(__ffs(int(later)) - 1) : behind + u32(STEPS - first);
}

// The same for two neighbours along x, one in each half of the word.
DEVICE_FN u32 two_before(const FaceBits& bits, int segment, int row, int family, int column, u32 far) {
  return steps_before(bits, segment, row, family, column, far) |
         steps_before(bits, segment, row, family, column + 1, far) << 16;
}
DEVICE_FN u32 two_behind(const FaceBits& bits, int segment, int segments, int row, int family, int column, u32 far) {
  return steps_behind(bits, segment, segments, row, family, column, far) |
         steps_behind(bits, segment, segments, row, family, column + 1, far) << 16;
}

// What a block works on: ROWS_PER_CHUNK rows from y on, the 32 columns of a tile, all z.
struct Block {
  i64 volume;
  int y, tile;
  int rows;  // those of the rows that lie within the volume
  u32 real;  // a bit for each lane that is not beyond the end of the row
};

struct alignas(16) FourWords { u32 word[4]; };

// Writes the distances of one segment, and the least of each chunk. Face i lies at step i (families a and b), or between
// the steps i and i + 1 (family z, where k stands for k + 1/2).
template <class K> struct Writer {
  DEVICE_MEMBER static void segment(const Job& job, const Block& block, const FaceBits& bits, int segment, int segments,
                                    const Stored<K>& stored);
};

// The least of what this thread has written of a segment: of its column, over the rows of the block.
template <class K> DEVICE_FN void write_least(const Job& job, const Block& block, int first, int steps) {
  const int x = block.tile * 32 + int(threadIdx.x);
  const i64 plane = block.volume * job.n[0] + first, row_step = row_at(job, 1);
  const K* p = static_cast<const K*>(job.scans) + row_at(job, plane * job.n[1] + block.y) + tile_at(x);
  K* out = static_cast<K*>(job.chunks) + chunk_row_at(job, plane * chunks_of(job) + block.y / ROWS_PER_CHUNK) +
           chunk_tile_at(x);
#pragma unroll 1
  for (int i = 0; i < steps; ++i, p += row_at(job, job.n[1]), out += chunk_row_at(job, chunks_of(job))) {
    K za = Scan<K>::none, b = Scan<K>::none;
#pragma unroll
    for (int row = 0; row < ROWS_PER_CHUNK; ++row) {
      if (row >= block.rows) break;
      const K* q = p + row * row_step;
      const K face_z = q[0], face_a = q[32], face_b = q[64];
      const K nearer = face_z < face_a ? face_z : face_a;
      za = nearer < za ? nearer : za;
      b = face_b < b ? face_b : b;
    }
    out[0] = za, out[32] = b;
  }
}

template <class K> DEVICE_MEMBER void Writer<K>::segment(const Job& job, const Block& block, const FaceBits& bits,
                                                         int segment, int segments, const Stored<K>& stored) {
  const int lane = int(threadIdx.x), first = segment * STEPS, steps = int(smaller(STEPS, job.n[0] - first));
  const i64 level = row_at(job, job.n[1]);
#pragma unroll 1
  for (int row = 0; row < block.rows; ++row) {
    K* out = static_cast<K*>(job.scans) + row_at(job, (block.volume * job.n[0] + first) * job.n[1] + block.y + row) +
             tile_at(block.tile * 32 + lane);
#pragma unroll 1
    for (int family = 0; family < FAMILIES; ++family) {
      const u32 word = bits.of(segment, row, family)[lane];
      const u32 behind = steps_behind(bits, segment, segments, row, family, lane, stored.far);
      u32 down = steps_before(bits, segment, row, family, lane, stored.far);
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
  write_least<K>(job, block, first, steps);
}

// Whether a segment is all background without a face, and distances of background are not needed. Then none of its
// samples is the best one of a foreground voxel, wherever the nearest site lies. This does not hold across unannotated
// voxels, so a volume that may have some is swept in full.
DEVICE_FN bool is_idle(const Job& job, const FaceBits& bits, int segment, int rows) {
  if (job.annotated || job.everywhere) return false;
  u32 any = 0;
  for (int i = 0; i < rows * KINDS; ++i) any |= bits.of(segment, 0, 0)[i * 32 + int(threadIdx.x)];
  return __ballot_sync(~0u, any != 0) == 0;
}

DEVICE_FN void write_nothing(const Job& job, const Block& block, int segment) {
  const FourWords none = {{twice_over(NO_SQUARE), twice_over(NO_SQUARE), twice_over(NO_SQUARE), twice_over(NO_SQUARE)}};
  // Words of 16 bytes in a row of a tile, and in a chunk.
  constexpr int ROW = TILE_ELEMENTS * 2 / 16, LEAST = CHUNK_TILE_ELEMENTS * 2 / 16;
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

// For squares sixteen lanes take a row, with two neighbours along x in each word. Numbers of steps are kept doubled,
// because they are byte offsets in the table of squares.
template <> DEVICE_MEMBER void Writer<Square>::segment(const Job& job, const Block& block, const FaceBits& bits,
                                                       int segment, int segments, const Stored<Square>& stored) {
  if (is_idle(job, bits, segment, block.rows)) return write_nothing(job, block, segment);
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
  // The values of the current row and of the other row of this lane, which swap after each row. An array that is
  // indexed by a variable would leave the registers.
  u32 down[FAMILIES], behind[FAMILIES], other_down[FAMILIES], other_behind[FAMILIES];
  // The words of rows beyond the last one were never written. For such a row no segment lies before or behind, so that
  // none of its words is read.
  const int rows = block.rows;
#pragma unroll
  for (int f = 0; f < FAMILIES; ++f) {
    down[f] = 2 * two_before(bits, odd_row < rows ? segment : 0, odd_row, f, 2 * pair, stored.far);
    behind[f] = two_behind(bits, odd_row < rows ? segment : segments, segments, odd_row, f, 2 * pair, stored.far);
    other_down[f] = 2 * two_before(bits, odd_row + 2 < rows ? segment : 0, odd_row + 2, f, 2 * pair, stored.far);
    other_behind[f] =
        two_behind(bits, odd_row + 2 < rows ? segment : segments, segments, odd_row + 2, f, 2 * pair, stored.far);
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
          const u32* two = bits.of(segment, odd_row + 2 * half, f) + 2 * pair;
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

}  // namespace half_grid
