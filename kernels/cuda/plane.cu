// Kernel `plane`: one z-plane at a time, in bands of ROWS rows. C and D are searched along y, then the distances along
// x; see half_grid.hpp.
//
//   scans    [inp]  scan distances of type K, and the least of each chunk in `chunks`, see tiles.cuh
//   inside   [inp]  (volumes, nz, ny, words) bits, and annotated
//   C, D     [buf]  (nx) of ROWS floats, in shared memory or, where rows are too long for it, in job.rows
//   target   [out]  (volumes, nz, ny, nx) float32, any steps; weight the same
//
// A thread computes one x for all rows of the band, so that each sample it loads serves ROWS outputs. The search goes
// outward from the band and ends where the cost of the distance alone reaches the worst of the outputs. Along y it skips
// chunks of rows that improve none of them. Both are exact, since rounding is monotone. It visits at most
// 2 · min(reach, n) samples per axis, with reach = 9.02 scale / voxel size; for world units, which have no scale, at
// most 2n.
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
template <class K> DEVICE_FN float square_of(K k, int odd, float square) {
  const float steps = sizeof(K) == 4 ? (float(k) + float(k)) + float(odd) : small_to_float(2 * u32(k) + u32(odd));
  return k == Scan<K>::none ? infinity() : steps * steps * square;
}

// Costs from the ROWS outputs to a chunk outside the band: of `way + 1 + 2i` and of `way + 2i` half steps, where `way` is
// one less than the half steps from the band to the nearest row of the chunk.
struct Ways { float even[ROWS + ROWS_PER_CHUNK - 1], odd[ROWS + ROWS_PER_CHUNK]; };

DEVICE_FN Ways ways_to(float way, float square) {
  Ways ways;
#pragma unroll
  for (int i = 0; i < ROWS + ROWS_PER_CHUNK; ++i) {
    ways.odd[i] = cost_of(way + float(2 * i), square);
    if (i < ROWS + ROWS_PER_CHUNK - 1) ways.even[i] = cost_of(way + float(2 * i + 1), square);
  }
  return ways;
}

static_assert(ROWS == ROWS_PER_CHUNK, "a band is a chunk");

// Where the samples of a column lie: `whole` points at its sample in the first row of the band, of family z for C, with
// family a 32 elements behind it, or of family b for D. `least` points at the least of the band's chunk.
template <class K> struct ColumnSamples {
  const K *whole, *least;
  i64 step, least_step;  // elements from row to row, and from chunk to chunk

  // Those of family z at x = 0.
  DEVICE_MEMBER ColumnSamples(const Job& job, i64 level, int y0)
      : whole(static_cast<const K*>(job.scans) + row_at(job, level * job.n[1] + y0)),
        least(static_cast<const K*>(job.chunks) + chunk_row_at(job, level * chunks_of(job) + y0 / ROWS_PER_CHUNK)),
        step(row_at(job, 1)), least_step(chunk_row_at(job, 1)) {}
  DEVICE_MEMBER ColumnSamples(const ColumnSamples& first, int x, bool half_step)
      : whole(first.whole + tile_at(x) + (half_step ? 64 : 0)),
        least(first.least + chunk_tile_at(x) + (half_step ? 32 : 0)), step(first.step), least_step(first.least_step) {}
};

// Searches a chunk of samples outside the band, going away from it; `nearest` points at the row nearest to the band.
template <class K, bool HALF, bool BEFORE> DEVICE_FN void search_chunk(FloatRows& best, const K* nearest, i64 step,
                                                                       int rows, const Ways& ways, float along_z) {
#pragma unroll
  for (int i = 0; i < ROWS_PER_CHUNK; ++i) {
    if (!BEFORE && i >= rows) break;  // a chunk in front of the band has all its rows
    const K* p = nearest + (BEFORE ? -i : i) * step;
    const float w = square_of(p[0], HALF, along_z), h = HALF ? square_of(p[32], 0, along_z) : 0.0f;
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      const int away = BEFORE ? i + r : i + ROWS - 1 - r;  // whole steps, less one
      best.row[r] = least(best.row[r], w + ways.even[away]);
      if (HALF) best.row[r] = least(best.row[r], h + ways.odd[BEFORE ? away : away + 1]);
    }
  }
}

// Searches one column along y, outward in chunks of rows. It skips a chunk whose least distance, squared, plus the cost
// to reach it improves no output.
template <class K, bool HALF> DEVICE_FN void search_column(const Job& job, FloatRows& best,
                                                           const ColumnSamples<K>& samples, int y0) {
  const i64 step = samples.step;
  const int ny = job.n[1];
  const float along_z = job.square[0], along_y = job.square[1];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    if (y0 + r >= ny) break;
    const float w = square_of(samples.whole[r * step], HALF, along_z);
#pragma unroll
    for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], w + cost_of(2 * (r - i), along_y));
    if (HALF) {
      const float h = square_of(samples.whole[r * step + 32], 0, along_z);
#pragma unroll
      for (int i = 0; i < ROWS; ++i) best.row[i] = least(best.row[i], h + cost_of(2 * (r - i) + 1, along_y));
    }
  }
  i64 away = ROWS, least_away = samples.least_step;    // rows to the next chunk behind; elements to the least of either
  int rows_before = y0, rows_behind = ny - y0 - ROWS;  // rows that are left on either side
  for (float way = 1.0f; rows_before > 0 || rows_behind > 0; way += float(2 * ROWS_PER_CHUNK)) {
    const float worst = worst_of(best), even = cost_of(way + 1.0f, along_y),
                nearest = HALF ? cost_of(way, along_y) : even;
    if (!(worst > nearest)) return;
    const K before = rows_before > 0 ? samples.least[-least_away] : Scan<K>::none,
            behind = rows_behind > 0 ? samples.least[least_away] : Scan<K>::none;
    // Behind the band the nearest sample is a whole step away, in front of it half a step.
    const bool into_before = square_of(before, 0, along_z) + nearest < worst,
               into_behind = square_of(behind, 0, along_z) + even < worst;
    if (into_before || into_behind) {
      const Ways ways = ways_to(way, along_y);
      if (into_before)
        search_chunk<K, HALF, true>(best, samples.whole - (away - (ROWS - 1)) * step, step, rows_before, ways, along_z);
      if (into_behind)
        search_chunk<K, HALF, false>(best, samples.whole + away * step, step, rows_behind, ways, along_z);
    }
    rows_before -= ROWS_PER_CHUNK, rows_behind -= ROWS_PER_CHUNK;
    away += ROWS_PER_CHUNK, least_away += samples.least_step;
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

// ROWS bits: the rows of the band in which the voxel x is needed.
DEVICE_FN u32 wanted(const Job& job, const u32* inside, int y0, int x, bool everywhere) {
  u32 rows = 0;
#pragma unroll
  for (int i = 0; i < ROWS; ++i) {
    if (y0 + i >= job.n[1]) break;
    if (everywhere || bit_at(inside + i64(i) * job.words, x)) rows |= 1u << i;
  }
  return rows;
}

template <class K> DEVICE_FN void fill_c(const Job& job, FloatRows* c, const ColumnSamples<K>& samples,
                                         const u32* inside, int y0, bool everywhere) {
  const int nx = job.n[2];
  for (int x = int(threadIdx.x); x < nx; x += int(blockDim.x)) {
    const u32 rows = wanted(job, inside, y0, x, everywhere);
    FloatRows best;
    for (int i = 0; i < ROWS; ++i) best.row[i] = rows >> i & 1 ? job.cap : 0.0f;
    if (rows) search_column<K, true>(job, best, ColumnSamples<K>(samples, x, false), y0);
    for (int i = 0; i < ROWS; ++i) best.row[i] = rows >> i & 1 ? best.row[i] : infinity();
    c[x] = best;
  }
}

// A pair (x, x + 1) is needed where one of its voxels is, that is, where one of the two C's is finite.
template <class K>
DEVICE_FN void fill_d(const Job& job, const FloatRows* c, FloatRows* d, const ColumnSamples<K>& samples, int y0) {
  const int nx = job.n[2];
  for (int x = int(threadIdx.x); x < nx; x += int(blockDim.x)) {
    FloatRows best;
    u32 rows = 0;
    if (x + 1 < nx) {
      const FloatRows left = c[x], right = c[x + 1];
#pragma unroll
      for (int i = 0; i < ROWS; ++i) {
        const bool needed = least(left.row[i], right.row[i]) < infinity();
        best.row[i] = needed ? least(most(left.row[i], right.row[i]), job.cap) : 0.0f;
        rows |= u32(needed) << i;
      }
    }
    if (rows) search_column<K, false>(job, best, ColumnSamples<K>(samples, x, true), y0);
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

// Blocks per multiprocessor.
constexpr int PLANE_BLOCKS = 3;

template <class K, bool LONG> __global__ void __launch_bounds__(PLANE_THREADS, PLANE_BLOCKS) plane(BY_VALUE Job job) {
  const int nz = job.n[0], ny = job.n[1], nx = job.n[2], bands = (ny + ROWS - 1) / ROWS;
  const i64 tasks = job.volumes * nz * bands;
  FloatRows* c = LONG ? reinterpret_cast<FloatRows*>(job.rows) + i64(blockIdx.x) * 2 * nx
                      : reinterpret_cast<FloatRows*>(dynamic_shared());
  FloatRows* d = c + nx;
  for (i64 task = blockIdx.x; task < tasks; task += gridDim.x) {
    const i64 level = divided(task, bands), volume = divided(level, nz);
    const int y0 = int(task - level * bands) * ROWS;
    const u32 flags = job.flags[volume];
    const bool site = (flags & HAS_SITE) != 0;
    if (site) {
      const bool everywhere = job.everywhere || (flags & HAS_MISSING);
      const u32* inside = job.inside + (level * ny + y0) * job.words;
      const ColumnSamples<K> samples(job, level, y0);
      fill_c<K>(job, c, samples, inside, y0, everywhere);
      __syncthreads();
      fill_d<K>(job, c, d, samples, y0);
      __syncthreads();
    }
    // Only now, because it takes registers that the searches need.
    const Band band(job, volume, int(level - volume * nz), y0);
    finish_band(job, c, d, band, site);
    __syncthreads();  // the next band overwrites C
  }
}

}  // namespace half_grid
