// The bounded search along one axis. It handles N independent lines side by side, one per lane.
//
//   whole  [inp]  (rows, N) squares sampled at whole positions; rows padded to a multiple of 4 with NONE
//   half   [inp]  (rows, N) squares sampled half a step further on; null where there are none
//   least  [buf]  (rows / 4, N) chunk minima: the least of the 4 + 4 samples of a chunk
//   cost   [inp]  squared length of i half steps, at costs[i]
//
// An output is the minimum over all samples of (sample + cost of the distance along the axis). The search goes outward
// from four outputs at once, chunk by chunk. It ends where the least of all samples, `floor`, plus the cost of the
// distance reaches the worst of the four outputs. It skips a chunk whose least sample plus the cost to reach it
// improves none of them. Both are exact, because rounding is monotone.

static constexpr int ROWS_PER_CHUNK = 4;

// Squares of 16 bits are for short reaches only.
template <class V> constexpr bool reaches_far = sizeof(typename V::E) == 4;

// Costs of the ways to a chunk, without what they have in common. For the chunk j chunks away that of 8j + i half steps is
// at [16j + 8 + i].
static constexpr i64 WAYS = 4 * ROWS_PER_CHUNK;

template <class V> static inline V greatest(const V (&b)[ROWS_PER_CHUNK]) {
  return max(max(b[0], b[1]), max(b[2], b[3]));
}

// Searches the chunk in which the outputs lie. The whole sample of an output's own row is where its search starts.
template <class V, bool HALF>
static inline void search_own(V (&b)[ROWS_PER_CHUNK], const typename V::E* whole, const typename V::E* half,
                              const typename V::Cost* cost) {
  for (int r = 0; r < ROWS_PER_CHUNK; ++r) {
    const V sample = V::load(whole + r * V::N);
    for (int i = 0; i < ROWS_PER_CHUNK; ++i)
      if (i != r) b[i] = min(b[i], sum(sample, V::at(cost + 2 * (r > i ? r - i : i - r))));
  }
  if (HALF)
    for (int r = 0; r < ROWS_PER_CHUNK; ++r) {
      const V sample = V::load(half + r * V::N);
      for (int i = 0; i < ROWS_PER_CHUNK; ++i)
        b[i] = min(b[i], sum(sample, V::at(cost + (r >= i ? 2 * (r - i) + 1 : 2 * (i - r) - 1))));
    }
}

// Searches a chunk before (SIDE = -1) or behind (+1). `cost` is that of the distance between the first rows of the two
// chunks; of squares in 16 bits all costs are less by `base`.
template <class V, bool HALF, int SIDE>
static inline void search_chunk(V (&b)[ROWS_PER_CHUNK], const typename V::E* whole, const typename V::E* half,
                                const typename V::Cost* cost, V base) {
  V best[ROWS_PER_CHUNK];
  for (int r = 0; r < ROWS_PER_CHUNK; ++r) {
    const V sample = V::load(whole + r * V::N);
    for (int i = 0; i < ROWS_PER_CHUNK; ++i) {
      const V found = sum(sample, V::at(cost + SIDE * 2 * (r - i)));
      best[i] = r > 0 ? min(best[i], found) : reaches_far<V> ? min(b[i], found) : found;
    }
  }
  if (HALF)
    for (int r = 0; r < ROWS_PER_CHUNK; ++r) {
      const V sample = V::load(half + r * V::N);
      for (int i = 0; i < ROWS_PER_CHUNK; ++i)
        best[i] = min(best[i], sum(sample, V::at(cost + SIDE * (2 * (r - i) + 1))));
    }
  for (int i = 0; i < ROWS_PER_CHUNK; ++i) b[i] = reaches_far<V> ? best[i] : min(b[i], best[i] + base);
}

// The samples of N lines, as above.
template <class V> struct Samples {
  const typename V::E *whole, *half, *least;
  V floor;
  i64 chunks;
  bool near_only;  // the reach is short
  const typename V::Cost *cost, *ways;

  // For search_chunk, of the chunk j chunks away.
  const typename V::Cost* ways_to(i64 j) const {
    return reaches_far<V> ? cost + 2 * ROWS_PER_CHUNK * j : ways + WAYS * j + WAYS / 2;
  }
};

// Searches for the outputs of chunk `at`. Unless the reach is short, it gives up when it has searched SEARCHES chunks,
// because the search of lines.hpp is then faster. Returns the lanes that something farther away may still improve.
static constexpr int SEARCHES = 20;

template <class V, bool HALF>
ALWAYS_INLINE u32 search_outputs(V (&b)[ROWS_PER_CHUNK], const Samples<V>& samples, i64 at) {
  const typename V::E *const whole = samples.whole, *const half = samples.half, *const least = samples.least;
  const typename V::Cost* const cost = samples.cost;
  const V floor = samples.floor;
  const i64 chunks = samples.chunks;
  int searches = 0;
  constexpr int N = V::N, STEP = 2 * ROWS_PER_CHUNK;
  V worst = greatest(b);
  if (!any_greater(worst, floor + V::at(cost + (HALF ? 1 : 2)))) return 0;
  search_own<V, HALF>(b, whole + at * ROWS_PER_CHUNK * N, half + at * ROWS_PER_CHUNK * N, samples.ways_to(0));
  worst = greatest(b);
  const i64 last = at > chunks - 1 - at ? at : chunks - 1 - at;
  for (i64 j = 1; j <= last; ++j) {
    const typename V::Cost* way = cost + STEP * j;
    // The last half sample of the chunk before is the nearest sample.
    const V nearest = V::at(way - (STEP - (HALF ? 1 : 2)));
    if (!any_greater(worst, floor + nearest)) return 0;
    if constexpr (reaches_far<V>)
      if (!samples.near_only && searches >= SEARCHES) return greater_bits(worst, floor + nearest);
    const i64 before = at - j, behind = at + j;
    if (before >= 0 && any_greater(worst, V::load(least + before * N) + nearest)) {
      search_chunk<V, HALF, -1>(b, whole + before * ROWS_PER_CHUNK * N, half + before * ROWS_PER_CHUNK * N,
                                samples.ways_to(j), V::at(way - (STEP - 1)));
      worst = greatest(b);
      ++searches;
    }
    if (behind < chunks && any_greater(worst, V::load(least + behind * N) + V::at(way - (STEP - 2)))) {
      search_chunk<V, HALF, 1>(b, whole + behind * ROWS_PER_CHUNK * N, half + behind * ROWS_PER_CHUNK * N,
                               samples.ways_to(j), V::at(way - (STEP - 1)));
      worst = greatest(b);
      ++searches;
    }
  }
  return 0;
}

// Stores the least sample of each chunk, of both kinds; returns the least of them and `floor`.
template <class V>
static inline V chunk_minima(const typename V::E* whole, const typename V::E* half, typename V::E* least, i64 chunks,
                             V floor) {
  constexpr int N = V::N;
  for (i64 c = 0; c < chunks; ++c) {
    V m = V::load(whole + c * ROWS_PER_CHUNK * N);
    for (int r = 1; r < ROWS_PER_CHUNK; ++r) m = min(m, V::load(whole + (c * ROWS_PER_CHUNK + r) * N));
    for (int r = 0; r < ROWS_PER_CHUNK; ++r) m = min(m, V::load(half + (c * ROWS_PER_CHUNK + r) * N));
    m.store(least + c * N);
    floor = min(floor, m);
  }
  return floor;
}
