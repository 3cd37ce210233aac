// One z-plane: the search along y in panels of N columns, the search along x in bands of N rows.
//
//   z, a, b  [inp]  (ny, nx) scan distances of the plane
//   c, d     [buf]  (bands, nx padded, N) squares in band order, lanes along y; see half_grid.hpp
//   out      [out]  (ny, nx) targets
//
// Idle lanes (background, where nobody asks for it) start at 0, which ends every search, and leave NONE in C: a
// background voxel's sample is never the best one of a foreground voxel. D between two background voxels is
// idle likewise. D starts at max(C(x), C(x + 1)): above that, one of the two C's is nearer for everybody.
// With `everywhere` (signed, unannotated voxels, border) no lane but those beyond the edge is idle.

template <class V> struct PlaneShape {
  i64 rows, chunks, bands, width, gap;  // rows padded to whole bands; width: nx padded; gap: row of a panel of C
  i64 panels() const { return width / V::N; }
  explicit PlaneShape(const Volume& v)
      : rows((v.ny + V::N - 1) / V::N * V::N), chunks((v.ny + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK),
        bands((v.ny + V::N - 1) / V::N), width((v.nx + V::N - 1) / V::N * V::N),
        gap(V::N + i64(16 / sizeof(typename V::E))) {}
};

static inline void fill_cost(u32* cost, i64 n, double square) {
  for (i64 i = 0; i < n; ++i) {
    const double c = double(i) * double(i) * square;
    cost[i] = (c < 65535 ? u32(c) : 65535u) * 65537u;
  }
}
static inline void fill_cost(float* cost, i64 n, double square) {
  const float q = float(square);
  for (i64 i = 0; i < n; ++i) cost[i] = float(i) * float(i) * q;
}

// Scan distances -> squares: k stands for 2k + odd half voxels.
template <class V, class K> struct Squares;
template <class K> struct Squares<FloatLanes, K> {
  FloatLanes q, odd, most;
  Squares(double square, int is_odd)
      : q(FloatLanes::all(float(square))), odd(FloatLanes::all(float(is_odd))),
        most(FloatLanes::all(sizeof(K) == 4 ? 4.29e9f : float(Scan<K>::none - 1))) {}
  FloatLanes at(const K* p) const {
    const FloatLanes k = FloatLanes::scanned(p), steps = (k + k) + odd;
    return FloatLanes::where_greater(k, most, FloatLanes::all(FloatLanes::NONE), steps * steps * q);
  }
};
template <> struct Squares<WholeLanes, u8> {
  WholeLanes q, odd, most;
  Squares(double square, int is_odd)
      : q(WholeLanes::all(u16(square < 65535 ? square : 65535))), odd(WholeLanes::all(u16(is_odd))), most(q) {
    int last = 0;  // the last distance whose square fits; the very first may not: then none does
    while (last < 253 && (2.0 * (last + 1) + is_odd) * (2.0 * (last + 1) + is_odd) * square < 65535) ++last;
    most = WholeLanes::all(u16(last));
  }
  WholeLanes at(const u8* p) const {
    const WholeLanes k = WholeLanes::scanned(p), steps = (k + k) + odd;
    return WholeLanes::where_greater(k, most, WholeLanes::all(WholeLanes::NONE), steps * steps * q);
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

static inline u32 flagged(FloatLanes a, FloatLanes limit) { return greater_bits(a, limit); }
static inline u32 flagged(WholeLanes, WholeLanes) { return 0; }
static inline void search_flagged(u32 lanes, const float* whole, const float* half, i64 rows, i64 stride, double q,
                                  float* best, i64 best_stride, Parabola* hull) {
  const float square = float(q), vouched = float(8 * FAR_CHUNKS) * float(8 * FAR_CHUNKS) * square;
  for (; lanes; lanes &= lanes - 1) {
    const int lane = __builtin_ctz(lanes);
    search_far(whole + lane, half ? half + lane : half, rows, stride, square, vouched, best + lane, best_stride, hull);
  }
}
static inline void search_flagged(u32, const u16*, const u16*, i64, i64, double, u16*, i64, Parabola*) {}

template <class V> static inline void clear_chunk(V none, typename V::E* whole, typename V::E* half) {
  for (int r = 0; r < ROWS_PER_CHUNK; ++r) {
    none.store(whole + r * V::N);
    none.store(half + r * V::N);
  }
}

static inline i64 up64(i64 bytes) { return (bytes + 63) / 64 * 64; }

template <class V> static i64 plane_scratch_of(const Volume& v) {
  const PlaneShape<V> s(v);
  const i64 E = sizeof(typename V::E), longest = s.rows > s.width ? s.rows : s.width;
  return up64(2 * (2 * longest + 64) * 4) + up64(4 * longest * V::N * E) + up64(s.rows * (s.gap + 1) * E) +
         2 * up64(4 * s.rows) + 2 * up64(4 * (s.rows / ROWS_PER_CHUNK + 1)) + up64(s.width * V::N * E) +
         up64((2 * longest + 2) * i64(sizeof(Parabola))) + 512;
}

// Behind C lie flags, one per band and panel: whether anything was written there.
template <class V> static inline i64 filled_at(const Volume& v) {
  const PlaneShape<V> s(v);
  return up64(s.bands * s.width * V::N * i64(sizeof(typename V::E)));
}

template <class V, class K> static void panels(const PlaneTask& task) {
  typedef typename V::E E;
  typedef typename V::Cost Cost;
  constexpr int N = V::N;
  const Volume& v = *task.volume;
  const PlaneShape<V> s(v);
  u8* next = task.scratch;
  const auto take = [&next](i64 bytes) {
    u8* p = next;
    next += up64(bytes);
    return p;
  };
  Cost* cost = (Cost*)take((2 * s.rows + 64) * i64(sizeof(Cost)));
  E *whole = (E*)take(s.rows * N * i64(sizeof(E))), *half = (E*)take(s.rows * N * i64(sizeof(E)));
  E *d = (E*)take(s.rows * N * i64(sizeof(E))), *least = (E*)take(s.chunks * N * i64(sizeof(E)));
  E *c = (E*)take(s.rows * s.gap * i64(sizeof(E))), *right = (E*)take(s.rows * i64(sizeof(E)));
  u32 *voxels = (u32*)take(4 * s.rows), *pairs = (u32*)take(4 * s.rows);  // active lanes of each row
  u32 *some_voxels = (u32*)take(4 * (s.rows / ROWS_PER_CHUNK + 1)),
      *some_pairs = (u32*)take(4 * (s.rows / ROWS_PER_CHUNK + 1));  // of each chunk
  Parabola* hull = (Parabola*)take(0);
  for (i64 y = v.ny; y < s.rows; ++y) voxels[y] = pairs[y] = 0;
  fill_cost(cost, 2 * s.rows + 64, v.plan->square[1]);
  const i64 reach = v.near_only ? s.chunks : FAR_CHUNKS;
  const bool may_be_far = !v.near_only && s.chunks > FAR_CHUNKS + 1;
  const Squares<V, K> from_z(v.plan->square[0], 1), from_pairs(v.plan->square[0], 0);
  const V cap = V::all(E(v.plan->cap)), none = V::all(V::NONE),
          vouched = V::at(cost + (may_be_far ? 8 * FAR_CHUNKS : 0));
  const i64 plane = task.z * v.ny * v.nx;
  for (i64 y = v.ny; y < s.rows; ++y) {
    none.store(whole + y * N);
    none.store(half + y * N);
    none.store(c + y * s.gap);
    none.store(d + y * N);
  }
  for (i64 y = 0; y < s.rows; ++y) right[y] = V::NONE;
  const u32* bits = v.inside + task.z * v.ny * v.words;
  const u8* swept = v.swept + task.z * v.ny;
  u8* filled = task.c + filled_at<V>(v);
  // The panel to the right of the last one is wanted for its first column of C alone.
  const i64 begin = task.last * N < v.nx ? task.last : task.last - 1;
  for (i64 panel = begin; panel >= task.first; --panel) {
    const i64 x = panel * N;
    u32 some = 0;
    for (i64 at = 0; at < s.rows / ROWS_PER_CHUNK; ++at) {
      u32 own = 0, pair = 0;
      for (i64 y = at * ROWS_PER_CHUNK, end = y + ROWS_PER_CHUNK < v.ny ? y + ROWS_PER_CHUNK : v.ny; y < end; ++y) {
        own |= voxels[y] = swept[y] ? active_voxels<V>(v, bits + y * v.words, x) : 0;
        pair |= pairs[y] = swept[y] ? active_pairs<V>(v, bits + y * v.words, x) : 0;
      }
      some_voxels[at] = own, some_pairs[at] = pair;
      some |= own | pair;
    }
    if (panel < task.last)
      for (i64 band = 0; band < s.bands; ++band) {
        u32 here = 0;
        for (i64 at = band * N / ROWS_PER_CHUNK; at < (band + 1) * N / ROWS_PER_CHUNK; ++at)
          here |= some_voxels[at] | some_pairs[at];
        filled[band * s.panels() + panel] = here != 0;
      }
    if (!some) {
      for (i64 y = 0; y < s.rows; ++y) right[y] = V::NONE;
      continue;
    }

    // A sample where all is idle is never the best: such chunks are not even converted.
    V floor = none;
    for (i64 at = 0; at < s.chunks; ++at) {
      const i64 y0 = at * ROWS_PER_CHUNK, y1 = y0 + ROWS_PER_CHUNK < v.ny ? y0 + ROWS_PER_CHUNK : v.ny;
      if (!(some_voxels[at] | (y1 < v.ny ? voxels[y1] : 0))) {
        none.store(least + at * N);
        if (may_be_far) clear_chunk(none, whole + y0 * N, half + y0 * N);
        continue;
      }
      V low = none;
      for (i64 y = y0; y < y1; ++y) {
        if (!swept[y]) {
          none.store(whole + y * N);
          none.store(half + y * N);
          continue;
        }
        const V z_square = from_z.at((const K*)v.z + plane + y * v.nx + x),
                a_square = from_pairs.at((const K*)v.a + plane + y * v.nx + x);
        z_square.store(whole + y * N);
        a_square.store(half + y * N);
        low = min(low, min(z_square, a_square));
      }
      low.store(least + at * N);
      floor = min(floor, low);
    }
    u32 far_lanes = 0;
    for (i64 at = 0; at < s.chunks; ++at) {
      if (!some_voxels[at]) {
        for (int i = 0; i < ROWS_PER_CHUNK; ++i) none.store(c + (at * ROWS_PER_CHUNK + i) * s.gap);
        continue;
      }
      V b[ROWS_PER_CHUNK];
      for (int i = 0; i < ROWS_PER_CHUNK; ++i)
        b[i] = V::choose(voxels[at * ROWS_PER_CHUNK + i], min(V::load(whole + (at * ROWS_PER_CHUNK + i) * N), cap),
                         V::all(0));
      search_outputs<V, true>(b, whole, half, least, floor, at, s.chunks, reach, cost);
      if (may_be_far) far_lanes |= flagged(greatest(b), floor + vouched);
      for (int i = 0; i < ROWS_PER_CHUNK; ++i)
        V::choose(voxels[at * ROWS_PER_CHUNK + i], b[i], none).store(c + (at * ROWS_PER_CHUNK + i) * s.gap);
    }
    if (far_lanes) search_flagged(far_lanes, whole, half, v.ny, N, v.plan->square[1], c, s.gap, hull);
    for (i64 y = 0; y < v.ny; ++y) {
      c[y * s.gap + N] = right[y];
      right[y] = c[y * s.gap];
    }
    if (panel == task.last) continue;

    floor = none;
    for (i64 at = 0; at < s.chunks; ++at) {
      const i64 y0 = at * ROWS_PER_CHUNK, y1 = y0 + ROWS_PER_CHUNK < v.ny ? y0 + ROWS_PER_CHUNK : v.ny;
      V low = none;
      if (some_pairs[at]) {
        for (i64 y = y0; y < y1; ++y) {
          if (!swept[y]) {
            none.store(whole + y * N);
            continue;
          }
          const V square = from_pairs.at((const K*)v.b + plane + y * v.nx + x);
          square.store(whole + y * N);
          low = min(low, square);
        }
      } else if (may_be_far) {
        clear_chunk(none, whole + y0 * N, whole + y0 * N);
      }
      low.store(least + at * N);
      floor = min(floor, low);
    }
    far_lanes = 0;
    for (i64 at = 0; at < s.chunks; ++at) {
      if (!some_pairs[at]) {
        for (int i = 0; i < ROWS_PER_CHUNK; ++i) none.store(d + (at * ROWS_PER_CHUNK + i) * N);
        continue;
      }
      V b[ROWS_PER_CHUNK];
      for (int i = 0; i < ROWS_PER_CHUNK; ++i) {
        const i64 y = at * ROWS_PER_CHUNK + i;
        const V start = max(V::load(c + y * s.gap), V::load(c + y * s.gap + 1));
        b[i] = V::choose(pairs[y], min(min(start, V::load(whole + y * N)), cap), V::all(0));
      }
      search_outputs<V, false>(b, whole, whole, least, floor, at, s.chunks, reach, cost);
      if (may_be_far) far_lanes |= flagged(greatest(b), floor + vouched);
      for (int i = 0; i < ROWS_PER_CHUNK; ++i)
        V::choose(pairs[at * ROWS_PER_CHUNK + i], b[i], none).store(d + (at * ROWS_PER_CHUNK + i) * N);
    }
    if (far_lanes) search_flagged(far_lanes, whole, (const E*)nullptr, v.ny, N, v.plan->square[1], d, N, hull);

    for (i64 band = 0; band < s.bands; ++band) {
      if (!filled[band * s.panels() + panel]) continue;
      const i64 to = (band * s.width + x) * N;
      transpose<V>(c + band * N * s.gap, s.gap, (E*)task.c + to, N);
      transpose<V>(d + band * N * N, N, (E*)task.d + to, N);
    }
  }
}

template <class V> static void bands(const PlaneTask& task) {
  typedef typename V::E E;
  typedef typename V::Cost Cost;
  constexpr int N = V::N;
  const Volume& v = *task.volume;
  const PlaneShape<V> s(v);
  const i64 chunks = s.width / ROWS_PER_CHUNK;
  u8* next = task.scratch;
  const auto take = [&next](i64 bytes) {
    u8* p = next;
    next += up64(bytes);
    return p;
  };
  Cost* cost = (Cost*)take((2 * s.width + 64) * i64(sizeof(Cost)));
  E *found = (E*)take(s.width * N * i64(sizeof(E))), *least = (E*)take(chunks * N * i64(sizeof(E)));
  E* transposed = (E*)take(s.width * N * i64(sizeof(E)));
  Parabola* hull = (Parabola*)take(0);
  fill_cost(cost, 2 * s.width + 64, v.plan->square[2]);
  const i64 reach = v.near_only ? chunks : FAR_CHUNKS;
  const bool may_be_far = !v.near_only && chunks > FAR_CHUNKS + 1;
  const V vouched = V::at(cost + (may_be_far ? 8 * FAR_CHUNKS : 0));
  const V none = V::all(V::NONE);
  Finish f = finish_of(v);
  for (i64 band = task.first; band < task.last; ++band) {
    const u8* filled = task.c + filled_at<V>(v) + band * s.panels();
    if (!v.has_no_site) {
      E *whole = (E*)task.c + band * s.width * N, *half = (E*)task.d + band * s.width * N;
      constexpr i64 PER_PANEL = N / ROWS_PER_CHUNK;
      V floor = none;
      for (i64 panel = 0; panel < s.panels(); ++panel) {
        const i64 first = panel * PER_PANEL, x = panel * N;
        if (filled[panel]) {
          floor = chunk_minima<V>(whole + x * N, half + x * N, least + first * N, PER_PANEL, floor);
          continue;
        }
        for (i64 at = first; at < first + PER_PANEL; ++at) {
          none.store(least + at * N);
          if (may_be_far) clear_chunk(none, whole + at * ROWS_PER_CHUNK * N, half + at * ROWS_PER_CHUNK * N);
        }
      }
      u32 far_lanes = 0;
      for (i64 at = 0; at < chunks; ++at) {
        if (!filled[at / PER_PANEL]) {
          if (may_be_far) clear_chunk(V::all(0), found + at * ROWS_PER_CHUNK * N, found + at * ROWS_PER_CHUNK * N);
          continue;
        }
        V b[ROWS_PER_CHUNK];
        for (int i = 0; i < ROWS_PER_CHUNK; ++i) b[i] = none_to_zero(V::load(whole + (at * ROWS_PER_CHUNK + i) * N));
        search_outputs<V, true>(b, whole, half, least, floor, at, chunks, reach, cost);
        if (may_be_far) far_lanes |= flagged(greatest(b), floor + vouched);
        for (int i = 0; i < ROWS_PER_CHUNK; ++i) b[i].store(found + (at * ROWS_PER_CHUNK + i) * N);
      }
      if (far_lanes) search_flagged(far_lanes, whole, half, v.nx, N, v.plan->square[2], found, N, hull);
    }
    const i64 end = band * N + N < v.ny ? N : v.ny - band * N;
    if (!v.has_no_site)
      for (i64 panel = 0; panel < s.panels(); ++panel)
        if (filled[panel]) transpose<V>(found + panel * N * N, N, transposed + panel * N, s.width);
    // Row after row, so that memory is written in its own order.
    for (i64 i = 0; i < end; ++i) {
      const i64 y = band * N + i;
      const E* squares = transposed + i * s.width;
      i64 x = f.usual ? finish_usual<V>(v, f, task.z, y, squares) : 0;
      if (v.keep) f.border_y_z = border_square(v, task.z, y);
      for (; x < v.nx; x += N)
        finish_row<V>(v, f, task.z, y, x, v.nx - x < N ? v.nx - x : N, v.has_no_site ? nullptr : squares + x);
    }
  }
}
