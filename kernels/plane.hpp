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
  explicit PlaneShape(const Volume& v)
      : rows((v.ny + V::N - 1) / V::N * V::N), chunks((v.ny + TILE - 1) / TILE), bands((v.ny + V::N - 1) / V::N),
        width((v.nx + V::N - 1) / V::N * V::N), gap(V::N + i64(16 / sizeof(typename V::E))) {}
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
  Squares(double square, int is_odd) : q(WholeLanes::all(u16(square < 65535 ? square : 65535))), odd(WholeLanes::all(u16(is_odd))), most(q) {
    int last = 0;  // the last distance whose square fits; the very first may not: then none does
    while (last < 253 && (2.0 * (last + 1) + is_odd) * (2.0 * (last + 1) + is_odd) * square < 65535) ++last;
    most = WholeLanes::all(u16(last));
  }
  WholeLanes at(const u8* p) const {
    const WholeLanes k = WholeLanes::scanned(p), steps = (k + k) + odd;
    return WholeLanes::where_greater(k, most, WholeLanes::all(WholeLanes::NONE), steps * steps * q);
  }
};

template <class V> static inline u32 lanes_below(i64 n) { return n >= V::N ? (V::N == 32 ? ~0u : (1u << (V::N & 31)) - 1) : n <= 0 ? 0u : (1u << n) - 1; }

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
static inline void search_flagged(u32 lanes, const float* whole, const float* half, i64 rows, i64 stride, double q, float* best,
                                  i64 best_stride, Parabola* hull) {
  const float square = float(q), vouched = float(8 * FAR_CHUNKS) * float(8 * FAR_CHUNKS) * square;
  for (; lanes; lanes &= lanes - 1) {
    const int lane = __builtin_ctz(lanes);
    search_far(whole + lane, half ? half + lane : half, rows, stride, square, vouched, best + lane, best_stride, hull);
  }
}
static inline void search_flagged(u32, const u16*, const u16*, i64, i64, double, u16*, i64, Parabola*) {}

static inline i64 up64(i64 bytes) { return (bytes + 63) / 64 * 64; }

template <class V> static i64 plane_scratch_of(const Volume& v) {
  const PlaneShape<V> s(v);
  const i64 E = sizeof(typename V::E), longest = s.rows > s.width ? s.rows : s.width;
  return up64(2 * (2 * longest + 64) * 4) + up64(4 * longest * V::N * E) + up64(s.rows * (s.gap + 1) * E) +
         up64(V::N * V::N * E) + up64((2 * longest + 2) * i64(sizeof(Parabola))) + 512;
}

template <class V, class K> static void panels(const PlaneTask& task) {
  typedef typename V::E E;
  typedef typename V::Cost Cost;
  constexpr int N = V::N;
  const Volume& v = *task.volume;
  const PlaneShape<V> s(v);
  u8* next = task.scratch;
  const auto take = [&next](i64 bytes) { u8* p = next; next += up64(bytes); return p; };
  Cost* cost = (Cost*)take((2 * s.rows + 64) * i64(sizeof(Cost)));
  E *whole = (E*)take(s.rows * N * i64(sizeof(E))), *half = (E*)take(s.rows * N * i64(sizeof(E)));
  E *d = (E*)take(s.rows * N * i64(sizeof(E))), *least = (E*)take(s.chunks * N * i64(sizeof(E)));
  E *c = (E*)take(s.rows * s.gap * i64(sizeof(E))), *right = (E*)take(s.rows * i64(sizeof(E)));
  Parabola* hull = (Parabola*)take(0);
  fill_cost(cost, 2 * s.rows + 64, v.square[1]);
  const i64 reach = v.near_only ? s.chunks : FAR_CHUNKS;
  const bool may_be_far = !v.near_only && s.chunks > FAR_CHUNKS + 1;
  const Squares<V, K> from_z(v.square[0], 1), from_pairs(v.square[0], 0);
  const V cap = V::all(E(v.cap)), none = V::all(V::NONE), vouched = V::at(cost + (may_be_far ? 8 * FAR_CHUNKS : 0));
  const i64 plane = task.z * v.ny * v.nx;
  for (i64 y = v.ny; y < s.rows; ++y) {
    none.store(whole + y * N);
    none.store(half + y * N);
    none.store(c + y * s.gap);
    none.store(d + y * N);
  }
  for (i64 y = 0; y < s.rows; ++y) right[y] = V::NONE;
  const u32* bits = v.inside + task.z * v.ny * v.words;
  // The panel to the right of the last one is wanted for its first column of C alone.
  const i64 begin = task.last * N < v.nx ? task.last : task.last - 1;
  for (i64 panel = begin; panel >= task.first; --panel) {
    const i64 x = panel * N;
    for (i64 y = 0; y < v.ny; ++y) {
      from_z.at((const K*)v.z + plane + y * v.nx + x).store(whole + y * N);
      from_pairs.at((const K*)v.a + plane + y * v.nx + x).store(half + y * N);
    }
    chunk_minima<V, true>(whole, half, least, s.chunks);
    u32 far_lanes = 0;
    for (i64 at = 0; at < s.chunks; ++at) {
      V b[TILE];
      u32 active[TILE];
      for (int i = 0; i < TILE; ++i) {
        const i64 y = at * TILE + i;
        active[i] = y < v.ny ? active_voxels<V>(v, bits + y * v.words, x) : 0;
        b[i] = V::choose(active[i], min(V::load(whole + y * N), cap), V::all(0));
      }
      search_tile<V, true>(b, whole, half, least, at, s.chunks, reach, cost);
      if (may_be_far) far_lanes |= flagged(greatest(b), vouched);
      for (int i = 0; i < TILE; ++i) V::choose(active[i], b[i], none).store(c + (at * TILE + i) * s.gap);
    }
    if (far_lanes) search_flagged(far_lanes, whole, half, v.ny, N, v.square[1], c, s.gap, hull);
    for (i64 y = 0; y < v.ny; ++y) {
      c[y * s.gap + N] = right[y];
      right[y] = c[y * s.gap];
    }
    if (panel == task.last) continue;

    for (i64 y = 0; y < v.ny; ++y) from_pairs.at((const K*)v.b + plane + y * v.nx + x).store(whole + y * N);
    chunk_minima<V, false>(whole, whole, least, s.chunks);
    far_lanes = 0;
    for (i64 at = 0; at < s.chunks; ++at) {
      V b[TILE];
      u32 active[TILE];
      for (int i = 0; i < TILE; ++i) {
        const i64 y = at * TILE + i;
        active[i] = y < v.ny ? active_pairs<V>(v, bits + y * v.words, x) : 0;
        const V start = max(V::load(c + y * s.gap), V::load(c + y * s.gap + 1));
        b[i] = V::choose(active[i], min(min(start, V::load(whole + y * N)), cap), V::all(0));
      }
      search_tile<V, false>(b, whole, whole, least, at, s.chunks, reach, cost);
      if (may_be_far) far_lanes |= flagged(greatest(b), vouched);
      for (int i = 0; i < TILE; ++i) V::choose(active[i], b[i], none).store(d + (at * TILE + i) * N);
    }
    if (far_lanes) search_flagged(far_lanes, whole, (const E*)nullptr, v.ny, N, v.square[1], d, N, hull);

    for (i64 band = 0; band < s.bands; ++band) {
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
  const i64 chunks = s.width / TILE;
  u8* next = task.scratch;
  const auto take = [&next](i64 bytes) { u8* p = next; next += up64(bytes); return p; };
  Cost* cost = (Cost*)take((2 * s.width + 64) * i64(sizeof(Cost)));
  E *found = (E*)take(s.width * N * i64(sizeof(E))), *least = (E*)take(chunks * N * i64(sizeof(E)));
  E* turned = (E*)take(N * N * i64(sizeof(E)));
  Parabola* hull = (Parabola*)take(0);
  fill_cost(cost, 2 * s.width + 64, v.square[2]);
  const i64 reach = v.near_only ? chunks : FAR_CHUNKS;
  const bool may_be_far = !v.near_only && chunks > FAR_CHUNKS + 1;
  const V vouched = V::at(cost + (may_be_far ? 8 * FAR_CHUNKS : 0));
  Finish f = finish_of(v);
  for (i64 band = task.first; band < task.last; ++band) {
    if (!v.far_beyond) {
      const E *whole = (const E*)task.c + band * s.width * N, *half = (const E*)task.d + band * s.width * N;
      chunk_minima<V, true>(whole, half, least, chunks);
      u32 far_lanes = 0;
      for (i64 at = 0; at < chunks; ++at) {
        V b[TILE];
        for (int i = 0; i < TILE; ++i) b[i] = none_to_zero(V::load(whole + (at * TILE + i) * N));
        search_tile<V, true>(b, whole, half, least, at, chunks, reach, cost);
        if (may_be_far) far_lanes |= flagged(greatest(b), vouched);
        for (int i = 0; i < TILE; ++i) b[i].store(found + (at * TILE + i) * N);
      }
      if (far_lanes) search_flagged(far_lanes, whole, half, v.nx, N, v.square[2], found, N, hull);
    }
    const i64 end = band * N + N < v.ny ? N : v.ny - band * N;
    for (i64 x = 0; x < v.nx; x += N) {
      if (!v.far_beyond) transpose<V>(found + x * N, N, turned, N);
      for (i64 i = 0; i < end; ++i) {
        const i64 y = band * N + i, back = y < v.ny - 1 - y ? y : v.ny - 1 - y;
        if (v.keep) {
          const i64 z = task.z < v.nz - 1 - task.z ? task.z : v.nz - 1 - task.z;
          double border = v.border_least;
          const double along_y = double(2 * back + 1) * v.border_unit[1], along_z = double(2 * z + 1) * v.border_unit[0];
          if (v.ny > 1 && along_y < border) border = along_y;
          if (v.nz > 1 && along_z < border) border = along_z;
          f.border_y_z = float(border < 1.8e19 ? border * border : 3.4e38);
        }
        finish_row<V>(v, f, task.z, y, x, v.nx - x < N ? v.nx - x : N, v.far_beyond ? nullptr : turned + i * N);
      }
    }
  }
}
