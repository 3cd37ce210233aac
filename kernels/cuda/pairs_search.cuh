// The searches of kernel `pairs`: packed squares (tiles.cuh), two in each register.
//
// Along y a register holds two neighbours along x, as the scan stored them. Along x it holds two rows, since samples that
// are one step apart lie in different registers then. Both searches go outward from the outputs and end where the cost of
// the distance alone reaches the worst of them. Costs come from a table in shared memory.
#pragma once
#include "tiles.cuh"

namespace half_grid {

constexpr u32 NONE_TWICE = NO_SQUARE | NO_SQUARE << 16;

// C or D of a band: the left voxels of all pairs, then the right ones, so that neighbouring threads read neighbouring
// memory. In front of the first entry and behind the last one lies one more entry that holds NO_SQUARE.
struct Samples {
  PackedRows *left, *right;
  DEVICE_MEMBER static int entries(int pairs) { return pairs + 2; }
  DEVICE_MEMBER Samples(PackedRows* at, int pairs) : left(at + 1), right(at + 1 + entries(pairs)) {}
};

DEVICE_FN PackedRows no_rows() {
  PackedRows none;
#pragma unroll
  for (int i = 0; i < PAIR_ROWS / 2; ++i) none.word[i] = NONE_TWICE;
  return none;
}

DEVICE_FN Cost cost_of(const Job& job, int axis, u32 m) {
  const u32 twice = u32(job.twice[axis]), even = packed_even(twice, m),
            odd = packed_odd(twice, packed_square(twice / 2), m);
  return {twice_over(even < NO_SQUARE ? even : NO_SQUARE), twice_over(odd < NO_SQUARE ? odd : NO_SQUARE)};
}

// The greatest of all halves, in both halves of a word, so that it compares with a cost.
template <int N> DEVICE_FN u32 worst_of(const u32 (&best)[N]) {
  u32 worst = best[0];
#pragma unroll
  for (int i = 1; i < N; ++i) worst = most_of_two(worst, best[i]);
  return most_of_two(worst, worst << 16 | worst >> 16);
}

// The greatest of the low halves and the greatest of the high halves.
DEVICE_FN u32 worst_by_column(const u32 (&best)[PAIR_ROWS]) {
  u32 worst = best[0];
#pragma unroll
  for (int i = 1; i < PAIR_ROWS; ++i) worst = most_of_two(worst, best[i]);
  return worst;
}

// Searches a chunk of samples outside the band, going away from it; `samples` points at the row nearest to the band.
// With `BEFORE` the chunk lies in front of the band, and the cost from row r of the band to its i-th row is costs[i + r
// + 1]. Behind the band it is costs[i + PAIR_ROWS - r].
template <bool HALF, bool BEFORE> DEVICE_FN void search_chunk(u32 (&best)[PAIR_ROWS], const u32* samples, i64 step,
                                                              const Cost (&costs)[PAIR_ROWS + ROWS_PER_CHUNK],
                                                              int rows) {
  constexpr int N = PAIR_ROWS;
  u32 whole[ROWS_PER_CHUNK], half[ROWS_PER_CHUNK];
#pragma unroll
  for (int i = 0; i < ROWS_PER_CHUNK; ++i) {
    const u32* p = samples + (BEFORE ? -i : i) * step;
    whole[i] = half[i] = NONE_TWICE;
    if (i < rows) {
      whole[i] = p[HALF ? 0 : 32];
      if (HALF) half[i] = p[16];
    }
  }
#pragma unroll
  for (int i = 0; i < ROWS_PER_CHUNK; ++i) {
#pragma unroll
    for (int r = 0; r < N; ++r) {
      const int away = BEFORE ? i + r : i + N - 1 - r;  // whole steps, less one
      best[r] = add_least(whole[i], costs[away + 1].even, best[r]);
      if (HALF) best[r] = add_least(half[i], BEFORE ? costs[away].odd : costs[away + 1].odd, best[r]);
    }
  }
}

// Searches two columns along y. `first` points at their squares in row y0, `least` at the least squares of its chunk;
// the next row and the next chunk are `step` and `least_step` words away. C uses the families z and a, D uses family b.
// The search goes outward in chunks of rows. It skips a chunk whose least square plus the cost to reach it improves no
// output.
template <bool HALF>
DEVICE_FN void search_columns(u32 (&best)[PAIR_ROWS], const u32* first, i64 step, const u32* least, i64 least_step,
                              const Cost* costs, int y0, int ny) {
  constexpr int N = PAIR_ROWS;
  {
    Cost own[N];
#pragma unroll
    for (int m = 0; m < N; ++m) own[m] = costs[m];
    // All loads are issued before the first sample is used.
    u32 whole[N], half[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const u32* p = first + i * step;
      whole[i] = half[i] = NONE_TWICE;
      if (y0 + i < ny) {
        whole[i] = p[HALF ? 0 : 32];
        if (HALF) half[i] = p[16];
      }
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
#pragma unroll
      for (int r = 0; r < N; ++r) {
        best[r] = add_least(whole[i], own[i > r ? i - r : r - i].even, best[r]);
        if (HALF) best[r] = add_least(half[i], own[i >= r ? i - r : r - i - 1].odd, best[r]);
      }
    }
  }
  const u32 *before = first - step, *behind = first + N * step;
  const u32 *least_before = least - least_step, *least_behind = least + N / ROWS_PER_CHUNK * least_step;
  const i64 far = ROWS_PER_CHUNK * step;
  for (int j = 0;;
       j += ROWS_PER_CHUNK, before -= far, behind += far, least_before -= least_step, least_behind += least_step) {
    const int rows_before = y0 - j, rows_behind = ny - (y0 + N + j);  // rows that are left on either side
    if (rows_before <= 0 && rows_behind <= 0) return;
    const u32 worst = worst_by_column(best), nearest = HALF ? costs[j].odd : costs[j + 1].even;
    if (!(most_of_two(worst, worst << 16 | worst >> 16) > nearest)) return;
    const u32 bound_before = rows_before > 0 ? least_before[HALF ? 0 : 16] : NONE_TWICE;
    const u32 bound_behind = rows_behind > 0 ? least_behind[HALF ? 0 : 16] : NONE_TWICE;
    // Behind the band the nearest sample is a whole step away, in front of it half a step.
    const bool into_before = add_least(bound_before, nearest, worst) != worst;
    const bool into_behind = add_least(bound_behind, costs[j + 1].even, worst) != worst;
    if (!into_before && !into_behind) continue;
    Cost own[N + ROWS_PER_CHUNK];
#pragma unroll
    for (int m = 0; m < N + ROWS_PER_CHUNK; ++m) own[m] = costs[j + m];
    if (into_before) search_chunk<HALF, true>(best, before, step, own, rows_before);
    if (into_behind) search_chunk<HALF, false>(best, behind, step, own, rows_behind);
  }
}

DEVICE_FN void add_sample(u32* best, const PackedRows& sample, u32 cost) {
#pragma unroll
  for (int i = 0; i < PAIR_ROWS / 2; ++i) best[i] = add_least(sample.word[i], cost, best[i]);
}

// Searches along x for the voxels x = 2t and x + 1. C holds samples at whole steps, D those half a step further on.
// `best` holds the rows of x, then those of x + 1. The voxel x + 1 uses the same samples as x: those to the left one
// step later, those to the right one step earlier.
DEVICE_FN void search_along_x(u32 (&best)[PAIR_ROWS], const Samples& c, const Samples& d, const Cost* costs, int t,
                              int pairs) {
  constexpr int N = PAIR_ROWS / 2;
  PackedRows left_c = c.left[t], left_d = d.left[t], right_c = c.right[t], right_d = left_d;
  const int last = t > pairs - 1 - t ? t : pairs - 1 - t;
  for (int q = 0; q <= last; ++q) {
#pragma unroll
    for (int step = 1; step <= 2; ++step) {  // k = 2q + step: samples x - k, x + k and x + k + 1
      const u32 odd = costs[2 * q + step - 1].odd, even = costs[2 * q + step].even;
      if (!(worst_of(best) > odd)) return;
      add_sample(best + N, left_d, odd);
      add_sample(best + N, left_c, even);
      add_sample(best, right_d, odd);
      add_sample(best, right_c, even);
      const int low = t - q - 1 > -1 ? t - q - 1 : -1, here = t + q < pairs ? t + q : pairs,
                high = t + q + 1 < pairs ? t + q + 1 : pairs;
      left_d = step == 1 ? d.right[low] : d.left[low];
      left_c = step == 1 ? c.right[low] : c.left[low];
      right_d = step == 1 ? d.right[here] : d.left[high];
      right_c = step == 1 ? c.left[high] : c.right[high];
      add_sample(best, left_d, odd);
      add_sample(best, left_c, even);
      add_sample(best + N, right_d, odd);
      add_sample(best + N, right_c, even);
    }
  }
}

}  // namespace half_grid
