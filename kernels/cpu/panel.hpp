// A panel of N columns of a plane: its memory, and the samples that are loaded for it. See panels.hpp.

// From scan distances to squares. The families are z, a and b: k stands for 2k + 1 half voxels in the first one, and for
// 2k in the others.
template <class V, class K> struct Squares;
template <class K> struct Squares<FloatLanes, K> {
  FloatLanes q, odd, most;
  Squares(const Volume& v, int family)
      : q(FloatLanes::all(float(v.plan->square[0]))), odd(FloatLanes::all(family == 0 ? 1.0f : 0.0f)),
        most(FloatLanes::all(sizeof(K) == 4 ? 4.29e9f : float(Scan<K>::none - 1))) {}
  FloatLanes at(const K* p) const {
    const FloatLanes k = FloatLanes::scanned(p), steps = (k + k) + odd;
    return FloatLanes::where_greater(k, most, FloatLanes::all(FloatLanes::NONE), steps * steps * q);
  }
};
// Codes, which grow by a square of k: z·(2k + 1)² is 4z·k·(k + 1) + z. Samples of the other families begin with the first
// half step along y or x. There an odd k and an even one have remainders of their own.
template <> struct Squares<WholeLanes, u8> {
  WholeLanes step, first, odd, beyond, most, none;  // `beyond` is 1 where k · (k + 1) is meant
  Squares(const Volume& v, int family)
      : step(WholeLanes::all(0)), first(step), odd(step), beyond(WholeLanes::all(family == 0)), most(step),
        none(none_of<WholeLanes>(v)) {
    const i64 cap = code_beyond(v.codes, v.plan->cap), greatest = square_of(v.codes, cap);
    const i64 z = i64(v.plan->square[0]), begin = i64(v.plan->square[family]), at_first = code_of(v.codes, begin);
    const auto square = [=](i64 k) { return 4 * z * k * (family == 0 ? k + 1 : k) + begin; };
    const i64 per_step = 4 * z * v.codes.slots / v.codes.modulus;
    i64 last = 0;  // the last distance within the cap; the very first may not be: then none is
    while (last < 253 && square(last + 1) <= greatest) ++last;
    step = WholeLanes::all(u16(per_step)), most = WholeLanes::all(u16(last));
    first = WholeLanes::all(u16(at_first <= cap ? at_first : cap + 1));
    odd = WholeLanes::all(u16(family == 0 ? 0 : code_of(v.codes, square(1)) - at_first - per_step));
  }
  WholeLanes at(const u8* p) const {
    const WholeLanes k = WholeLanes::scanned(p), square = k * (k + beyond) * step + (first + (k & odd));
    return WholeLanes::where_greater(k, most, none, square);
  }
};

template <class V> static inline u32 active_voxels(const Volume& v, const u32* bits, i64 x) {
  if (v.everywhere) return lanes_below<V>(v.nx - x);
  return (bits[x >> 5] >> (x & 31)) & lanes_below<V>(V::N);
}
template <class V> static inline u32 active_pairs(const Volume& v, const u32* bits, i64 x) {
  const u32 real = lanes_below<V>(v.nx - 1 - x);
  if (v.everywhere) return real;
  const u32 word = bits[x >> 5], next = (x >> 5) + 1 < v.words ? bits[(x >> 5) + 1] & 1 : 0;
  return ((word | word >> 1 | next << 31) >> (x & 31)) & real;
}

// The memory of a worker and what stays the same from panel to panel. Rows beyond ny are padding and hold NONE.
template <class V, class K> struct Panels {
  typedef typename V::E E;
  const Volume& v;
  const PlaneShape<V> s;
  typename V::Cost *cost, *ways;  // of half steps along y
  E *whole, *half, *least;        // samples of the panel and the least of each chunk, as search.hpp reads them
  E *c, *d;             // the results: rows of C are `gap` apart and hold N columns and the next panel's first one
  E *right, *edge;      // that column of C, for every row: for the next panel, and for this one
  u32 *voxels, *pairs;  // per row, one bit for each lane that is not idle in C, in D
  u32 *some_voxels, *some_pairs;  // the same for each chunk: all its rows together
  u32* open;                      // per chunk, the lanes that search.hpp has not settled
  const u32* bits;                // of this plane: foreground
  const u8* swept;                // of this plane: rows that hold scan distances
  i64 plane;                      // elements from the start of a family to this plane
  bool clears;                    // chunks that are not converted are cleared: the envelope reads them
  Squares<V, K> from_z, from_a, from_b;
  V cap, none;

  Panels(const PlaneTask& task, Arena& arena) : v(*task.volume), s(v), from_z(v, 0), from_a(v, 1), from_b(v, 2) {
    constexpr int N = V::N;
    cost = arena.take<typename V::Cost>(2 * s.rows + COST_PADDING);
    ways = arena.take<typename V::Cost>(ways_elements<V>(s.rows));
    whole = arena.take<E>(s.rows * N), half = arena.take<E>(s.rows * N);
    d = arena.take<E>(s.rows * N), least = arena.take<E>((s.chunks + N - 1) / N * N * N);
    c = arena.take<E>(s.rows * s.gap), right = arena.take<E>(s.rows), edge = arena.take<E>(s.rows);
    voxels = arena.take<u32>(s.rows), pairs = arena.take<u32>(s.rows);
    const i64 chunks = s.rows / ROWS_PER_CHUNK + 1;
    some_voxels = arena.take<u32>(chunks), some_pairs = arena.take<u32>(chunks), open = arena.take<u32>(chunks);
    bits = v.inside + task.z * v.ny * v.words, swept = v.swept + task.z * v.ny, plane = task.z * v.ny * v.nx;
    clears = !v.near_only && s.chunks > FAR_CHUNKS + 1;
    fill_cost(cost, 2 * s.rows + COST_PADDING, v, 1);
    cap = cap_of<V>(v), none = none_of<V>(v);
    fill_ways(ways, cost, s.rows, v);
    for (i64 y = v.ny; y < s.rows; ++y) {
      voxels[y] = pairs[y] = 0;
      none.store(whole + y * N);
      none.store(half + y * N);
      none.store(c + y * s.gap);
      none.store(d + y * N);
    }
    no_column_to_the_right();
  }
  void no_column_to_the_right() {
    for (i64 y = 0; y < s.rows; y += V::N) none.store(right + y);
  }
};

// Which lanes are not idle, per row and per chunk; returns whether any is.
template <class V, class K> ALWAYS_INLINE bool find_active(const Panels<V, K>& p, i64 x) {
  u32 some = 0;
  for (i64 at = 0; at < p.s.rows / ROWS_PER_CHUNK; ++at) {
    u32 voxel = 0, pair = 0;
    for (i64 y = at * ROWS_PER_CHUNK, end = y + ROWS_PER_CHUNK < p.v.ny ? y + ROWS_PER_CHUNK : p.v.ny; y < end; ++y) {
      voxel |= p.voxels[y] = p.swept[y] ? active_voxels<V>(p.v, p.bits + y * p.v.words, x) : 0;
      pair |= p.pairs[y] = p.swept[y] ? active_pairs<V>(p.v, p.bits + y * p.v.words, x) : 0;
    }
    p.some_voxels[at] = voxel, p.some_pairs[at] = pair;
    some |= voxel | pair;
  }
  return some != 0;
}

// Samples of C: families z and a. A chunk is not even converted where all is idle in it and in the row behind it: none of
// its samples is the best one of a voxel. Returns the least sample of the panel.
template <class V, class K> ALWAYS_INLINE V load_voxels(const Panels<V, K>& p, i64 x) {
  constexpr int N = V::N;
  const Volume& v = p.v;
  V floor = p.none;
  for (i64 at = 0; at < p.s.chunks; ++at) {
    const i64 y0 = at * ROWS_PER_CHUNK, y1 = y0 + ROWS_PER_CHUNK < v.ny ? y0 + ROWS_PER_CHUNK : v.ny;
    if (!(p.some_voxels[at] | (y1 < v.ny ? p.voxels[y1] : 0))) {
      p.none.store(p.least + at * N);
      if (p.clears) clear_chunk(p.none, p.whole + y0 * N, p.half + y0 * N);
      continue;
    }
    V low = p.none;
    for (i64 y = y0; y < y1; ++y) {
      if (!p.swept[y]) {
        p.none.store(p.whole + y * N);
        p.none.store(p.half + y * N);
        continue;
      }
      const i64 at_row = p.plane + y * v.nx + x;
      const V z_square = p.from_z.at((const K*)v.z + at_row), a_square = p.from_a.at((const K*)v.a + at_row);
      z_square.store(p.whole + y * N);
      a_square.store(p.half + y * N);
      low = min(low, min(z_square, a_square));
    }
    low.store(p.least + at * N);
    floor = min(floor, low);
  }
  return floor;
}

// Samples of D: family b. Returns the least sample of the panel.
template <class V, class K> ALWAYS_INLINE V load_pairs(const Panels<V, K>& p, i64 x) {
  constexpr int N = V::N;
  const Volume& v = p.v;
  V floor = p.none;
  for (i64 at = 0; at < p.s.chunks; ++at) {
    const i64 y0 = at * ROWS_PER_CHUNK, y1 = y0 + ROWS_PER_CHUNK < v.ny ? y0 + ROWS_PER_CHUNK : v.ny;
    V low = p.none;
    if (p.some_pairs[at]) {
      for (i64 y = y0; y < y1; ++y) {
        if (!p.swept[y]) {
          p.none.store(p.whole + y * N);
          continue;
        }
        const V square = p.from_b.at((const K*)v.b + p.plane + y * v.nx + x);
        square.store(p.whole + y * N);
        low = min(low, square);
      }
    } else if (p.clears) {
      clear_chunk(p.none, p.whole + y0 * N, p.whole + y0 * N);
    }
    low.store(p.least + at * N);
    floor = min(floor, low);
  }
  return floor;
}
