// Kernel `plane`: one z-plane at a time, in bands of ROWS rows. C and D are searched along y, then the distances along
// x; see half_grid.hpp.
//
//   scans    [inp]  scan distances of type K, see tiles.cuh
//   inside   [inp]  (volumes, nz, ny, words) bits, and annotated
//   C, D     [buf]  (nx) of ROWS floats, in shared memory or, where rows are too long for it, in job.rows
//   target   [out]  (volumes, nz, ny, nx) float32, any steps; weight the same
//
// A thread computes one x for all rows of the band, so that each sample it loads serves ROWS outputs. The search goes
// outward from the band and ends where the cost of the distance alone reaches the worst of the outputs. That is exact,
// since rounding is monotone. It visits at most 2 · min(reach, n) samples per axis, with reach = 9.02 scale / voxel
// size; for world units, which have no scale, at most 2n.
//
// Voxels whose distance is not needed (background, unless `everywhere`) start at 0, which ends every search, and leave
// infinity in C, since the sample of a background voxel is never the best one of a foreground voxel. D starts at
// max(C(x), C(x + 1)): a larger value is never needed, since then one of the two C's is nearer for every voxel. A block
// is a row of threads along x. The grid may have any size: blocks take the bands in turns.
#include "finish.cuh"
#include "tiles.cuh"

namespace half_grid {

struct alignas(16) FloatRows { float row[ROWS]; };

DEVICE_FN float worst_of(const FloatRows& best) {
  return most(most(best.row[0], best.row[1]), most(best.row[2], best.row[3]));
}

DEVICE_FN float cost_of(int half_steps, float square) { return float(half_steps * half_steps) * square; }
DEVICE_FN float cost_of(float half_steps, float square) { return half_steps * half_steps * square; }

// The square of a scan distance: k stands for 2k + odd half voxels.
template <class K> DEVICE_FN float square_of(K k, float odd, float square) {
  if (k == Scan<K>::none) return infinity();
  const float whole = sizeof(K) == 4 ? float(k) : small_to_float(u32(k)), steps = (whole + whole) + odd;
  return steps * steps * square;
}

// Costs from the ROWS outputs to a row outside the band. They are kept and shifted from one row to the next.
struct Ways {
  // Costs of 2(j + i) and of 2(j + i) - 1 half steps, for the row that is j rows away from the band.
  float even[ROWS], odd[ROWS + 1];
  float next;  // the half steps of the next even cost
};

DEVICE_FN Ways first_ways(float square) {
  Ways ways;
  for (int i = 0; i < ROWS; ++i) ways.even[i] = cost_of(2 * (1 + i), square);
  for (int i = 0; i <= ROWS; ++i) ways.odd[i] = cost_of(2 * (1 + i) - 1, square);
  ways.next = float(2 * (1 + ROWS));
  return ways;
}

DEVICE_FN void advance(Ways& ways, float square) {
  for (int i = 0; i + 1 < ROWS; ++i) ways.even[i] = ways.even[i + 1];
  for (int i = 0; i < ROWS; ++i) ways.odd[i] = ways.odd[i + 1];
  ways.even[ROWS - 1] = cost_of(ways.next, square);
  ways.odd[ROWS] = cost_of(ways.next + 1.0f, square);
  ways.next += 2.0f;
}

// Searches one column along y. `whole` points at row 0 of its samples, with `step` elements from row to row: family z
// for C, with family a 32 elements behind it, or family b for D.
template <class K, bool HALF> DEVICE_FN void search_column(const Job& job, FloatRows& best, const K* whole, int y0,
                                                           i64 step) {
  const K* half = whole + 32;
  const int ny = job.n[1];
  const float along_z = job.square[0], along_y = job.square[1], odd = HALF ? 1.0f : 0.0f;
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    if (y0 + r >= ny) break;
    const float w = square_of(whole[(y0 + r) * step], odd, along_z);
#pragma unroll
    for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], w + cost_of(2 * (r - i), along_y));
    if (HALF) {
      const float h = square_of(half[(y0 + r) * step], 0.0f, along_z);
#pragma unroll
      for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], h + cost_of(2 * (r - i) + 1, along_y));
    }
  }
  Ways ways = first_ways(along_y);
  const int last = y0 > ny - y0 - ROWS ? y0 : ny - y0 - ROWS;
  for (int j = 1; j <= last; ++j) {
    if (!(worst_of(best) > (HALF ? ways.odd[0] : ways.even[0]))) return;
    const int before = y0 - j, behind = y0 + ROWS - 1 + j;
    if (before >= 0) {
      const float w = square_of(whole[before * step], odd, along_z);
#pragma unroll
      for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], w + ways.even[i]);
      if (HALF) {
        const float h = square_of(half[before * step], 0.0f, along_z);
#pragma unroll
        for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], h + ways.odd[i]);
      }
    }
    if (behind < ny) {
      const float w = square_of(whole[behind * step], odd, along_z);
#pragma unroll
      for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], w + ways.even[ROWS - 1 - i]);
      if (HALF) {
        const float h = square_of(half[behind * step], 0.0f, along_z);
#pragma unroll
        for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], h + ways.odd[ROWS - i]);
      }
    }
    advance(ways, along_y);
  }
}

// Searches along x for one x of the band. C holds samples at whole steps, D those half a step further on.
DEVICE_FN void search_rows(const Job& job, FloatRows& best, const FloatRows* c, const FloatRows* d, int x) {
  const int nx = job.n[2], last = x > nx - 1 - x ? x : nx - 1 - x;
  const float along_x = job.square[2];
  float way = 1.0f;
  for (int k = 1; k <= last; ++k, way += 2.0f) {
    const float odd = cost_of(way, along_x), even = cost_of(way + 1.0f, along_x);
    if (!(worst_of(best) > odd)) return;
    if (x - k >= 0) {
      const FloatRows w = c[x - k], h = d[x - k];
#pragma unroll
      for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], least(h.row[i] + odd, w.row[i] + even));
    }
    if (x + k < nx) {
      const FloatRows h = d[x + k - 1], w = c[x + k];
#pragma unroll
      for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], least(h.row[i] + odd, w.row[i] + even));
    }
  }
}

// ROWS bits: the rows of the band in which the voxel x is needed or, with `pair`, the pair (x, x + 1).
DEVICE_FN u32 wanted(const Job& job, const u32* inside, int y0, int x, bool everywhere, bool pair) {
  u32 rows = 0;
#pragma unroll
  for (int i = 0; i < ROWS; ++i) {
    if (y0 + i >= job.n[1]) break;
    const u32* words = inside + i64(i) * job.words;
    if (everywhere || bit_at(words, x) || (pair && bit_at(words, x + 1))) rows |= 1u << i;
  }
  return rows;
}

template <class K> DEVICE_FN void fill_c(const Job& job, FloatRows* c, i64 plane, const u32* inside, int y0,
                                         bool everywhere) {
  const int nx = job.n[2];
  for (int x = int(threadIdx.x); x < nx; x += int(blockDim.x)) {
    const u32 rows = wanted(job, inside, y0, x, everywhere, false);
    FloatRows best;
    for (int i = 0; i < ROWS; ++i) best.row[i] = rows >> i & 1 ? job.cap : 0.0f;
    if (rows)
      search_column<K, true>(job, best, static_cast<const K*>(job.scans) + plane + tile_at(x), y0, row_at(job, 1));
    for (int i = 0; i < ROWS; ++i) best.row[i] = rows >> i & 1 ? best.row[i] : infinity();
    c[x] = best;
  }
}

template <class K> DEVICE_FN void fill_d(const Job& job, const FloatRows* c, FloatRows* d, i64 plane, const u32* inside,
                                         int y0, bool everywhere) {
  const int nx = job.n[2];
  for (int x = int(threadIdx.x); x < nx; x += int(blockDim.x)) {
    const u32 rows = x + 1 < nx ? wanted(job, inside, y0, x, everywhere, true) : 0;
    FloatRows best;
    for (int i = 0; i < ROWS; ++i) best.row[i] = 0.0f;
    if (rows) {
      const FloatRows left = c[x], right = c[x + 1];
      for (int i = 0; i < ROWS; ++i)
        best.row[i] = rows >> i & 1 ? least(most(left.row[i], right.row[i]), job.cap) : 0.0f;
      search_column<K, false>(job, best, static_cast<const K*>(job.scans) + plane + tile_at(x) + 64, y0,
                              row_at(job, 1));
    }
    for (int i = 0; i < ROWS; ++i) best.row[i] = rows >> i & 1 ? best.row[i] : infinity();
    d[x] = best;
  }
}

DEVICE_FN void finish_band(const Job& job, const FloatRows* c, const FloatRows* d, const Band& band, bool site) {
  const int nx = job.n[2];
  for (int x = int(threadIdx.x); x < nx; x += int(blockDim.x)) {
    FloatRows best;
    if (site) {
      best = c[x];
      for (int i = 0; i < ROWS; ++i) best.row[i] = best.row[i] < infinity() ? best.row[i] : 0.0f;
      search_rows(job, best, c, d, x);
    }
    Output output(job, band, x);
#pragma unroll
    for (int i = 0; i < ROWS; ++i, output.next_row(job)) {
      if (band.y + i >= job.n[1]) break;
      const bool inside = bit_at(job.inside + band.bits + i64(i) * job.words, x);
      const float square = site ? best.row[i] : job.no_site_square,
                  value = site ? unsigned_value(job, square) : job.no_site_value;
      if (band.by_sign_and_class) output.store_one(job, band, inside, value);
      else store_at(job, band, i, x, inside, value, square);
    }
  }
}

template <class K, bool LONG> __global__ void plane(BY_VALUE Job job) {
  const int nz = job.n[0], ny = job.n[1], nx = job.n[2], bands = (ny + ROWS - 1) / ROWS;
  const i64 tasks = job.volumes * nz * bands;
  FloatRows* c = LONG ? reinterpret_cast<FloatRows*>(job.rows) + i64(blockIdx.x) * 2 * nx
                      : reinterpret_cast<FloatRows*>(dynamic_shared());
  FloatRows* d = c + nx;
  for (i64 task = blockIdx.x; task < tasks; task += gridDim.x) {
    const i64 level = divided(task, bands), volume = divided(level, nz);
    const int y0 = int(task - level * bands) * ROWS;
    const Band band(job, volume, int(level - volume * nz), y0);
    const u32 flags = job.flags[volume];
    const bool site = (flags & HAS_SITE) != 0;
    if (site) {
      const bool everywhere = job.everywhere || (flags & HAS_MISSING);
      fill_c<K>(job, c, row_at(job, level * ny), job.inside + band.bits, y0, everywhere);
      __syncthreads();
      fill_d<K>(job, c, d, row_at(job, level * ny), job.inside + band.bits, y0, everywhere);
      __syncthreads();
    }
    finish_band(job, c, d, band, site);
    __syncthreads();  // the next band overwrites C
  }
}

}  // namespace half_grid
