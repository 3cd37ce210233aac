// The search for what is far away, with lanes along the axis: neighbouring outputs of one line at a time.
//
// search.hpp handles N lines side by side, and looks at whatever any of them needs. Far from the samples neighbouring
// lines need different ones, but neighbouring outputs of one line need the same few. So where the reach is long,
// search.hpp gives up after SEARCHES chunks, and the lines that are still open are searched here, in transposed samples.
//
//   whole, half  [inp]  (N, rows) samples as in search.hpp, one line after the other; half only where HALF
//   least        [inp]  (N, chunk_stride) the least sample of each chunk
//   outputs      [i/o]  (N, OUTPUTS) outputs of each line
//
// The chunk that was best for the outputs before is searched first. Then N chunks at a time are looked at with one
// comparison: can the least sample improve the worst output? Those that can are looked at again for each output, and
// searched if they still can. All of this is exact, because rounding is monotone.

static constexpr int OUTPUTS = 32;  // of a line that are searched together

// The lanes that search.hpp has not settled, per chunk of outputs.
struct OpenLanes {
  static constexpr i64 GROUP = OUTPUTS / ROWS_PER_CHUNK;
  u32* lanes;
  bool any;
  i64 given_up;  // the last group of chunks with an open lane
  explicit OpenLanes(u32* per_chunk) : lanes(per_chunk), any(false), given_up(-1) {}
  void found(i64 at, u32 bits) {
    lanes[at] = bits;
    if (bits) any = true, given_up = at / GROUP;
  }
  // Searches for the outputs of chunk `at`, unless that was given up for another chunk of the group.
  template <class V, bool HALF> ALWAYS_INLINE_MEMBER void search(V (&b)[ROWS_PER_CHUNK], const Samples<V>& s, i64 at) {
    if constexpr (reaches_far<V>)
      if (!s.near_only) {
        if (at / GROUP != given_up) found(at, search_outputs<V, HALF>(b, s, at));
        else found(at, greater_bits(greatest(b), s.floor + V::at(s.cost + (HALF ? 1 : 2))));
        return;
      }
    search_outputs<V, HALF>(b, s, at);
  }
  // The lanes that are open in the group from `at` on.
  static u32 of(const u32* lanes, i64 at, i64 chunks) {
    u32 all = 0;
    for (i64 i = at; i < at + GROUP && i < chunks; ++i) all |= lanes[i];
    return all;
  }
};

// Outputs of one line, in registers.
template <class V> struct Outputs {
  static constexpr int REGISTERS = OUTPUTS / V::N, N = OUTPUTS;
  static constexpr i64 CHUNKS = N / ROWS_PER_CHUNK;
  V of[REGISTERS];
  static Outputs load(const typename V::E* p) {
    Outputs a;
    for (int j = 0; j < REGISTERS; ++j) a.of[j] = V::load(p + j * V::N);
    return a;
  }
  void store(typename V::E* p) const {
    for (int j = 0; j < REGISTERS; ++j) of[j].store(p + j * V::N);
  }
  typename V::E worst() const {
    V a = of[0];
    for (int j = 1; j < REGISTERS; ++j) a = max(a, of[j]);
    return greatest_lane(a);
  }
  // Takes the lesser of each output and a sample plus the cost of its way.
  ALWAYS_INLINE_MEMBER void improve(V sample, const typename V::E* cost) {
    for (int j = 0; j < REGISTERS; ++j) of[j] = min(of[j], sample + V::load(cost + j * V::N));
  }
  // Whether that would change any of them.
  ALWAYS_INLINE_MEMBER bool improves(V sample, const typename V::E* cost) const {
    u32 any = 0;
    for (int j = 0; j < REGISTERS; ++j) any |= greater_bits(of[j], sample + V::load(cost + j * V::N));
    return any != 0;
  }
};

// Costs between an output and a sample or a chunk m rows before it, at [m]; m may be negative.
template <class V> struct LineCosts {
  typedef typename V::E E;
  static constexpr i64 N = Outputs<V>::N;
  E *even, *odd;  // to the whole sample of that row, and to the half sample behind it
  E* chunk;       // to the nearest sample of the chunk that begins there
  E* chunks;      // from the nearest of N outputs to the chunk that lies m chunks behind their first one
  static i64 elements(i64 rows) { return 2 * (rows + 2 * N); }

  template <class Take> LineCosts(i64 rows, const Take& take) {
    even = take(elements(rows)) + rows + 2 * N, odd = take(elements(rows)) + rows + 2 * N;
    chunk = take(elements(rows)) + rows + 2 * N, chunks = take(elements(rows)) + rows + 2 * N;
  }
  // `cost` is that of i half steps, at [i]; for i < 2 * (rows + N).
  void fill(const typename V::Cost* cost, i64 rows) {
    for (i64 m = 4 - rows - N; m < rows + N; ++m) {
      even[m] = E(cost[m < 0 ? -2 * m : 2 * m]), odd[m] = E(cost[m > 0 ? 2 * m - 1 : 1 - 2 * m]);
      chunk[m] = m < 0 ? even[m] : m < ROWS_PER_CHUNK ? E(0) : E(cost[2 * (m - ROWS_PER_CHUNK) + 1]);
    }
    const i64 last = rows / ROWS_PER_CHUNK;
    for (i64 m = -last; m < last + V::N; ++m)
      chunks[m] = m >= last                ? V::NONE
                  : m < 0                  ? chunk[-ROWS_PER_CHUNK * m]
                  : m < Outputs<V>::CHUNKS ? E(0)
                                           : chunk[N - 1 - ROWS_PER_CHUNK * m];
  }
};

// One line of samples.
template <class V> struct Line {
  const typename V::E *whole, *half, *least;
  typename V::E floor;  // the least sample
  i64 chunks;
};

// Searches chunk c for the outputs from `row` on.
template <class V, bool HALF>
ALWAYS_INLINE void search_line_chunk(Outputs<V>& best, const Line<V>& line, const LineCosts<V>& costs, i64 row, i64 c) {
  const i64 m = row - ROWS_PER_CHUNK * c;
  for (i64 r = 0; r < ROWS_PER_CHUNK; ++r) best.improve(V::all(line.whole[ROWS_PER_CHUNK * c + r]), costs.even + m - r);
  if (HALF)
    for (i64 r = 0; r < ROWS_PER_CHUNK; ++r) best.improve(V::all(line.half[ROWS_PER_CHUNK * c + r]), costs.odd + m - r);
}

// Which of at most 64 chunks from `first` on may improve one of the outputs; bit i is chunk first + i.
template <class V>
ALWAYS_INLINE u64 chunks_to_search(typename V::E worst_output, const Line<V>& line, const LineCosts<V>& costs, i64 at,
                                   i64 first, i64 end) {
  const V worst = V::all(worst_output);
  u64 found = 0;
  for (i64 c = first; c < end; c += V::N)
    found |= u64(greater_bits(worst, V::load(line.least + c) + V::load(costs.chunks + c - at))) << (c - first);
  return end - first < 64 ? found & ((u64(1) << (end - first)) - 1) : found;
}

// Searches those chunks. One that was best for the last of the outputs becomes the `seed`.
template <class V, bool HALF>
ALWAYS_INLINE void search_chunks(Outputs<V>& best, const Line<V>& line, const LineCosts<V>& costs, i64 row, i64 first,
                                 u64 bits, i64& seed) {
  for (; bits; bits &= bits - 1) {
    const i64 c = first + __builtin_ctzll(bits);
    if (!best.improves(V::all(line.least[c]), costs.chunk + row - ROWS_PER_CHUNK * c)) continue;
    const V before = best.of[Outputs<V>::REGISTERS - 1];
    search_line_chunk<V, HALF>(best, line, costs, row, c);
    seed = any_greater(before, best.of[Outputs<V>::REGISTERS - 1]) ? c : seed;
  }
}

// How many chunks beyond the outputs the nearest sample that improves one of them can be. Rounded up generously.
static inline i64 chunks_within(float worst, float floor, float half_step_square) {
  const float room = worst - floor + worst * 3e-7f;
  if (!(room > 0)) return 0;
  const float steps = __builtin_sqrtf(room / half_step_square) * 1.0001f;
  return i64(steps < 1e9f ? steps : 1e9f) / (2 * ROWS_PER_CHUNK) + 1;
}

// The chunks that are looked at first: some on either side of the outputs, no more than 64.
struct Window {
  static constexpr i64 SIDE = 24;
  i64 at, low, high;  // the first chunk of the outputs, the first one of the window, the one behind it
  Window(i64 row, i64 own, i64 chunks) : at(row / ROWS_PER_CHUNK) {
    low = at > SIDE ? at - SIDE : 0, high = at + own + SIDE < chunks ? at + own + SIDE : chunks;
  }
};

// Goes on outside of the window, no further than FAR_CHUNKS chunks.
template <class V, bool HALF>
static void search_beyond(Outputs<V>& best, const Line<V>& line, const LineCosts<V>& costs, i64 row, const Window& w,
                          float half_step_square, i64& seed) {
  static_assert(FAR_CHUNKS - Window::SIDE <= 64, "what lies on one side of the window is looked at together");
  const i64 within = chunks_within(best.worst(), line.floor, half_step_square);
  const i64 far = within < FAR_CHUNKS ? within : FAR_CHUNKS, end = w.at + Outputs<V>::CHUNKS + far;
  const i64 lowest = w.at - far > 0 ? w.at - far : 0, highest = end < line.chunks ? end : line.chunks;
  if (w.high < highest)
    search_chunks<V, HALF>(best, line, costs, row, w.high,
                           chunks_to_search<V>(best.worst(), line, costs, w.at, w.high, highest), seed);
  if (w.low > lowest)
    search_chunks<V, HALF>(best, line, costs, row, lowest,
                           chunks_to_search<V>(best.worst(), line, costs, w.at, lowest, w.low), seed);
}

// The samples of N lines, transposed when they are first needed.
template <class V> struct Lines {
  typedef typename V::E E;
  E *whole, *half, *least;  // as above
  E* floors;                // (N) the least sample of each line
  E* outputs;               // of one line, for the envelope; of N lines, while they are searched
  i64 seeds[V::N];          // the chunk that was best for the last outputs of each line: it is searched first
  Parabola* hull;
  LineCosts<V> costs;
  const typename V::Cost* cost;
  i64 rows, chunks, chunk_stride;  // rows are padded to whole registers
  bool may_be_far;                 // beyond the reach: then the envelope takes over
  float square;                    // of half a step
  E far_cost;                      // of what improve() covers
  bool has_costs, is_transposed;

  static i64 chunk_elements(i64 rows) { return (rows / ROWS_PER_CHUNK + V::N - 1) / V::N * V::N + V::N; }
  static i64 output_elements(i64 rows) { return rows > V::N * Outputs<V>::N ? rows : V::N * Outputs<V>::N; }
  static i64 elements(i64 rows) {
    return 2 * rows * V::N + chunk_elements(rows) * V::N + 4 * LineCosts<V>::elements(rows) + output_elements(rows) +
           V::N;
  }
  template <class Take>
  Lines(const typename V::Cost* c, i64 padded_rows, i64 line_chunks, double q, const Take& take)
      : whole(take(padded_rows * V::N)), half(take(padded_rows * V::N)),
        least(take(chunk_elements(padded_rows) * V::N)), floors(take(V::N)),
        outputs(take(output_elements(padded_rows))), hull(nullptr), costs(padded_rows, take), cost(c),
        rows(padded_rows), chunks(line_chunks), chunk_stride(chunk_elements(padded_rows)),
        may_be_far(line_chunks > FAR_CHUNKS + 1), square(float(q)),
        far_cost(E(may_be_far ? c[2 * ROWS_PER_CHUNK * FAR_CHUNKS] : 0)), has_costs(false), is_transposed(false) {}

  // `floor` holds the least sample of each line.
  void begin(V floor) {
    floor.store(floors);
    for (i64& seed : seeds) seed = 0;
    is_transposed = false;
  }
  bool is_far(V best, i64 line) const { return may_be_far && any_greater(best, V::all(floors[line] + far_cost)); }
  E* outputs_of(i64 line) const { return outputs + line * Outputs<V>::N; }

  // Samples in the order of search.hpp; `half_rows` is null where there are none.
  void transpose_samples(const E* whole_rows, const E* half_rows, const E* least_rows) {
    constexpr i64 N = V::N;
    if (!has_costs) costs.fill(cost, rows);
    if (!is_transposed) {
      for (i64 r = 0; r < rows; r += N) {
        transpose<V>(whole_rows + r * N, N, whole + r, rows);
        if (half_rows) transpose<V>(half_rows + r * N, N, half + r, rows);
      }
      for (i64 c = 0; c < chunks; c += N) transpose<V>(least_rows + c * N, N, least + c, chunk_stride);
    }
    has_costs = is_transposed = true;
  }
  // Improves the outputs from `row` on of the lines in `open`.
  template <bool HALF> void improve(u32 open, i64 row) {
    const Window w(row, Outputs<V>::CHUNKS, chunks);
    u64 bits[V::N];
    for (u32 left = open; left; left &= left - 1) {
      const int k = __builtin_ctz(left);
      const Line<V> line = line_of(k);
      Outputs<V> best = Outputs<V>::load(outputs_of(k));
      if (line.least[seeds[k]] < V::NONE) {  // otherwise its samples may not even be there
        search_line_chunk<V, HALF>(best, line, costs, row, seeds[k]);
        best.store(outputs_of(k));
      }
      bits[k] = chunks_to_search<V>(best.worst(), line, costs, w.at, w.low, w.high);
    }
    const bool is_all = w.low == 0 && w.high == chunks;
    for (u32 left = open; left; left &= left - 1) {
      const int k = __builtin_ctz(left);
      if (is_all && !bits[k]) continue;
      const Line<V> line = line_of(k);
      Outputs<V> best = Outputs<V>::load(outputs_of(k));
      search_chunks<V, HALF>(best, line, costs, row, w.low, bits[k], seeds[k]);
      if (!is_all) search_beyond<V, HALF>(best, line, costs, row, w, square, seeds[k]);
      best.store(outputs_of(k));
    }
  }
  Line<V> line_of(i64 k) const {
    return {whole + k * rows, half + k * rows, least + k * chunk_stride, floors[k], chunks};
  }
  // The same for all outputs of a line that lie beyond the reach of improve().
  void improve_far(E* best, i64 line, i64 n, bool has_half) const {
    search_far(whole + line * rows, has_half ? half + line * rows : nullptr, n, 1, square, far_cost, best, 1, hull);
  }
};

// Squares of 16 bits do not reach far enough for this to save anything.
template <> struct Lines<WholeLanes> {
  Parabola* hull;
  static i64 elements(i64) { return 0; }
  template <class Take> Lines(const u32*, i64, i64, double, const Take&) : hull(nullptr) {}
};
