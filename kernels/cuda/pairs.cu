// Kernel `pairs`: does what kernel `plane` does, but on packed squares (tiles.cuh), two per register. It is for voxel
// sizes with a common unit and caps that 16 bits hold. Both kernels are exact, so they return the same bits.
//
//   scans    [inp]  Square, see tiles.cuh
//   inside   [inp]  (volumes, nz, ny, words) bits, and annotated
//   values   [inp]  (limit + 1) float32: the target of a packed square, before its sign
//   C, D     [buf]  (2, pairs) of PAIR_ROWS squares in shared memory
//   target   [out]  (volumes, nz, ny, nx) float32, any steps; weight the same
//
// A thread computes two neighbours along x for all PAIR_ROWS rows of a band (pairs_search.cuh). As in plane.cu, idle
// lanes start at 0, and they leave NO_SQUARE in C. A block is a row of threads, one for each pair along x. The grid may
// have any size: blocks take the bands in turns.
#include "finish.cuh"
#include "pairs_search.cuh"

namespace half_grid {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
// Blocks per multiprocessor; before sm_90 the two-lane minimum is emulated and needs more registers.
constexpr int PAIR_BLOCKS = 4;
#else
constexpr int PAIR_BLOCKS = 5;
#endif

// Turns registers that hold two columns into registers that hold two rows, for the left column and for the right one.
DEVICE_FN void columns_to_rows(const u32 (&columns)[PAIR_ROWS], PackedRows& left, PackedRows& right) {
#pragma unroll
  for (int i = 0; i < PAIR_ROWS / 2; ++i) {
    left.word[i] = low_halves(columns[2 * i], columns[2 * i + 1]);
    right.word[i] = high_halves(columns[2 * i], columns[2 * i + 1]);
  }
}

// Bits 2r and 2r + 1 are the bits in `words` of the voxels x and x + 1 in row r of the band.
DEVICE_FN u32 bits_of_pair(const Job& job, const u32* words, int y0, int x) {
  u32 bits = 0;
#pragma unroll
  for (int r = 0; r < PAIR_ROWS; ++r) {
    if (y0 + r < job.n[1]) bits |= (words[i64(r) * job.words + (x >> 5)] >> (x & 31) & 3) << (2 * r);
  }
  return bits;
}

constexpr u32 LEFT = 0x5555, RIGHT = 0xAAAA;  // the bits of the left and of the right voxels of such pairs

// The bits of those voxels of the pair that lie within the volume.
DEVICE_FN u32 real_bits(const Job& job, int y0, int x) {
  const int nx = job.n[2], rows = job.n[1] - y0;
  const u32 all = rows < PAIR_ROWS ? (1u << (2 * rows)) - 1 : 0xFFFF;
  return all & ((x < nx ? LEFT : 0) | (x + 1 < nx ? RIGHT : 0));
}

// What a block keeps in shared memory for a band, and where it reads the band's samples.
struct SharedBand {
  Samples c, d;
  int pairs;
  u32* inside;  // (pairs) bits of `bits_of_pair`
  const u32 *scans, *chunks;
  i64 step, chunk_step;  // words from row to row, and from chunk to chunk
  int y0;
  bool everywhere;
};

DEVICE_FN void fill_pairs_of_c(const Job& job, const SharedBand& shared, const u32* inside, const Cost* costs) {
  for (int t = int(threadIdx.x); t < shared.pairs; t += int(blockDim.x)) {
    const u32 own = bits_of_pair(job, inside, shared.y0, 2 * t),
              wanted = shared.everywhere ? real_bits(job, shared.y0, 2 * t) : own;
    shared.inside[t] = own;
    u32 best[PAIR_ROWS];
#pragma unroll
    for (int r = 0; r < PAIR_ROWS; ++r) best[r] = halves_of(wanted >> (2 * r)) & twice_over(u32(job.limit));
    if (wanted)
      search_columns<true>(best, shared.scans + tile_at(2 * t) / 2, shared.step,
                           shared.chunks + chunk_tile_at(2 * t) / 2, shared.chunk_step, costs, shared.y0, job.n[1]);
#pragma unroll
    for (int r = 0; r < PAIR_ROWS; ++r) best[r] |= ~halves_of(wanted >> (2 * r)) & NONE_TWICE;
    columns_to_rows(best, shared.c.left[t], shared.c.right[t]);
  }
}

DEVICE_FN void fill_pairs_of_d(const Job& job, const SharedBand& shared, const Cost* costs) {
  const int pairs = shared.pairs;
  for (int t = int(threadIdx.x); t < pairs; t += int(blockDim.x)) {
    const int x = 2 * t;
    const u32 own = shared.inside[t], next = t + 1 < pairs ? shared.inside[t + 1] : 0;
    const u32 asked = ((own | own >> 1) & LEFT) | ((own | next << 1) & RIGHT);
    const u32 there = real_bits(job, shared.y0, x + 1);  // there is no pair beyond the last voxel
    const u32 wanted = (shared.everywhere ? ~0u : asked) & there;
    u32 best[PAIR_ROWS];
    if (wanted) {
      const PackedRows a = shared.c.left[t], b = shared.c.right[t], c = shared.c.left[t + 1];
#pragma unroll
      for (int i = 0; i < PAIR_ROWS / 2; ++i) {
        const u32 left = most_of_two(a.word[i], b.word[i]), right = most_of_two(b.word[i], c.word[i]);
        best[2 * i] = low_halves(left, right);
        best[2 * i + 1] = high_halves(left, right);
      }
#pragma unroll
      for (int r = 0; r < PAIR_ROWS; ++r)
        best[r] = add_least(best[r], 0, twice_over(u32(job.limit))) & halves_of(wanted >> (2 * r));
      search_columns<false>(best, shared.scans + tile_at(x) / 2, shared.step, shared.chunks + chunk_tile_at(x) / 2,
                            shared.chunk_step, costs, shared.y0, job.n[1]);
    } else {
#pragma unroll
      for (int r = 0; r < PAIR_ROWS; ++r) best[r] = 0;
    }
#pragma unroll
    for (int r = 0; r < PAIR_ROWS; ++r) best[r] |= ~halves_of(wanted >> (2 * r)) & NONE_TWICE;
    columns_to_rows(best, shared.d.left[t], shared.d.right[t]);
  }
}

// 0xFFFF in the halves of C that are idle. These hold NO_SQUARE; all others hold at most `limit`, which is less.
DEVICE_FN u32 idle_halves(u32 two) { return ((two + 0x00010001u) >> 15 & 0x00010001u) * 0xFFFFu; }

// The square in row r of a column, as `search_along_x` leaves them.
DEVICE_FN u32 square_of(const u32* best, int r) { return (r & 1) ? best[r / 2] >> 16 : best[r / 2] & 0xFFFF; }

DEVICE_FN void store_pairs(const Job& job, const Band& band, int x, u32 inside, const u32 (&best)[PAIR_ROWS]) {
  constexpr int N = PAIR_ROWS / 2;
  const int rows = job.n[1] - band.y;
  if (band.by_sign_and_class) {
    Output output(job, band, x);
#pragma unroll
    for (int r = 0; r < PAIR_ROWS; ++r, output.next_row(job)) {
      if (r >= rows) break;
      const bool first = inside >> (2 * r) & 1, second = inside >> (2 * r) & 2;
      float a = 0.0f, b = 0.0f;
      if (first || second || job.background == SIGNED)
        a = job.values[square_of(best, r)], b = job.values[square_of(best + N, r)];
      output.store_pair(job, band, first, a, second, b);
    }
    return;
  }
  u32 left[N],
      // The current row is always the low half of the first word: an array that is indexed by a variable would leave
      // the registers.
      right[N];
#pragma unroll
  for (int i = 0; i < N; ++i) left[i] = best[i], right[i] = best[N + i];
#pragma unroll 1
  for (int r = 0; r < PAIR_ROWS && r < rows; ++r) {
#pragma unroll 1
    for (int column = 0; column < 2 && x + column < job.n[2]; ++column) {
      const u32 packed = (column ? right[0] : left[0]) & 0xFFFF;
      store_at(job, band, r, x + column, inside >> (2 * r + column) & 1, job.values[packed], unpacked(packed));
    }
    if (r & 1) {
#pragma unroll
      for (int i = 0; i + 1 < N; ++i) left[i] = left[i + 1], right[i] = right[i + 1];
    } else {
      left[0] >>= 16, right[0] >>= 16;
    }
  }
}

DEVICE_FN void store_without_site(const Job& job, const Band& band, int x, u32 inside) {
  Output output(job, band, x);
#pragma unroll 1
  for (int r = 0; r < PAIR_ROWS && r < job.n[1] - band.y; ++r, output.next_row(job), inside >>= 2) {
    if (band.by_sign_and_class) {
      output.store_pair(job, band, inside & 1, job.no_site_value, inside & 2, job.no_site_value);
      continue;
    }
#pragma unroll 1
    for (int i = 0; i < output.voxels; ++i)
      store_at(job, band, r, x + i, inside >> i & 1, job.no_site_value, job.no_site_square);
  }
}

DEVICE_FN void finish_pairs(const Job& job, const SharedBand& shared, const Band& band, const Cost* costs) {
  for (int t = int(threadIdx.x); t < shared.pairs; t += int(blockDim.x)) {
    const int x = 2 * t;
    if (x >= job.n[2]) break;
    const PackedRows left = shared.c.left[t], right = shared.c.right[t];
    u32 best[PAIR_ROWS];
#pragma unroll
    for (int i = 0; i < PAIR_ROWS / 2; ++i) {
      best[i] = left.word[i] & ~idle_halves(left.word[i]);
      best[PAIR_ROWS / 2 + i] = right.word[i] & ~idle_halves(right.word[i]);
    }
    search_along_x(best, shared.c, shared.d, costs, t, shared.pairs);
    store_pairs(job, band, x, shared.inside[t], best);
  }
}

__global__ void __launch_bounds__(PAIR_THREADS, PAIR_BLOCKS) pairs(BY_VALUE Job job) {
  const int nz = job.n[0], ny = job.n[1], bands = (ny + PAIR_ROWS - 1) / PAIR_ROWS, width = job.words * PAIRS;
  const i64 tasks = job.volumes * nz * bands;
  PackedRows* const samples = reinterpret_cast<PackedRows*>(dynamic_shared());
  const int entries = 2 * Samples::entries(width);
  Cost *along_y = reinterpret_cast<Cost*>(samples + 2 * entries), *along_x = along_y + COSTS;
  SharedBand shared = {Samples(samples, width),
                       Samples(samples + entries, width),
                       width,
                       reinterpret_cast<u32*>(along_x + COSTS),
                       nullptr,
                       nullptr,
                       0,
                       0,
                       0,
                       false};
  if (threadIdx.x < 8)
    samples[(threadIdx.x >> 1) * Samples::entries(width) + (threadIdx.x & 1 ? width + 1 : 0)] = no_rows();
  for (int m = int(threadIdx.x); m < COSTS; m += int(blockDim.x))
    along_y[m] = cost_of(job, 1, u32(m)), along_x[m] = cost_of(job, 2, u32(m));
  __syncthreads();
  for (i64 task = blockIdx.x; task < tasks; task += gridDim.x) {
    const i64 level = divided(task, bands), volume = divided(level, nz);
    shared.y0 = int(task - level * bands) * PAIR_ROWS;
    const i64 row = level * ny + shared.y0;
    const u32* inside = job.inside + row * job.words;
    const u32 flags = job.flags[volume];
    const Band band(job, volume, int(level - volume * nz), shared.y0);
    if (flags & HAS_SITE) {
      shared.everywhere = job.everywhere || (flags & HAS_MISSING);
      shared.scans = static_cast<const u32*>(job.scans) + row_at(job, row) / 2;
      shared.chunks = static_cast<const u32*>(job.chunks) +
                      chunk_row_at(job, level * chunks_of(job) + shared.y0 / ROWS_PER_CHUNK) / 2;
      shared.step = row_at(job, 1) / 2, shared.chunk_step = chunk_row_at(job, 1) / 2;
      fill_pairs_of_c(job, shared, inside, along_y);
      __syncthreads();
      fill_pairs_of_d(job, shared, along_y);
      __syncthreads();
      finish_pairs(job, shared, band, along_x);
      __syncthreads();  // the next band overwrites C
    } else {
      for (int t = int(threadIdx.x); 2 * t < job.n[2]; t += int(blockDim.x)) {
        const u32 bits = bits_of_pair(job, inside, shared.y0, 2 * t);
        store_without_site(job, band, 2 * t, bits);
      }
    }
  }
}

}  // namespace half_grid
