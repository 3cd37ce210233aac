// What the two searches of one z-plane share: its shape, costs, the search of distant samples, the memory.
//
//   z, a, b  [inp]  (ny, nx) scan distances of the plane
//   c, d     [buf]  (bands, nx padded, N) squares in the order of the bands, lanes along y; see half_grid.hpp
//   out      [out]  (ny, nx) targets
//
// The search along y runs in panels of N columns (panels.hpp) and writes C and D. The search along x runs in bands of N
// rows (bands.hpp) and reads them.
//
// A lane is idle where nobody asks for its voxel: background, unless `everywhere`. It starts at 0, which ends every
// search, and leaves NONE in C, because the sample of a background voxel is never the best one of a foreground voxel.
// D between two background voxels is idle in the same way. With `everywhere` (signed targets, unannotated voxels, a
// border) only the lanes beyond the edge of the plane are idle.

// Costs beyond twice the length of a line, which the searches may read.
static constexpr i64 COST_PADDING = 128;

template <class V> struct PlaneShape {
  i64 rows;  // ny, padded to whole bands
  i64 chunks, bands;
  i64 width;  // nx, padded to whole panels
  i64 gap;    // elements from row to row of a panel of C, which has one column more than N
  i64 panels() const { return width / V::N; }
  explicit PlaneShape(const Volume& v)
      : rows((v.ny + V::N - 1) / V::N * V::N), chunks((v.ny + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK),
        bands((v.ny + V::N - 1) / V::N), width((v.nx + V::N - 1) / V::N * V::N),
        gap(V::N + i64(16 / sizeof(typename V::E))) {}
};

// The cost of i half steps along an axis, in codes: of odd ones without the first half step, which the sample holds.
static inline void fill_cost(u32* cost, i64 n, const Volume& v, int axis) {
  const double square = code_step(v.codes, *v.plan, axis);
  for (i64 i = 0; i < n; ++i) {
    const double c = (double(i) * double(i) - double(i & 1)) * square;
    cost[i] = (c < 65535 ? u32(c) : 65535u) * 65537u;
  }
}
static inline void fill_cost(float* cost, i64 n, const Volume& v, int axis) {
  const float q = float(v.plan->square[axis]);
  for (i64 i = 0; i < n; ++i) cost[i] = float(i) * float(i) * q;
}

// The mark of a sample that is not there. No sum of it and the differences of ways overflows.
template <class V> static inline V none_of(const Volume& v) {
  if constexpr (reaches_far<V>) return V::all(V::NONE);
  else return V::all(u16(code_beyond(v.codes, v.plan->cap) + 1));
}

// What `ways` of search.hpp holds, for the chunks within the cap. A difference that is cut off reaches the cap.
template <class V> static i64 ways_elements(i64 rows) {
  return reaches_far<V> ? 0 : (rows / ROWS_PER_CHUNK + 1) * WAYS;
}
static inline void fill_ways(u32* ways, const u32* cost, i64 rows, const Volume& v) {
  const u32 cap = u32(code_beyond(v.codes, v.plan->cap)), most = 65535 - (cap + 1);
  constexpr i64 STEP = 2 * ROWS_PER_CHUNK;
  for (i64 i = 1 - STEP; i < STEP; ++i) {
    const u32 way = cost[i < 0 ? -i : i] & 65535u;
    ways[STEP + i] = (way < most ? way : most) * 65537u;
  }
  for (i64 j = 1; j <= rows / ROWS_PER_CHUNK; ++j) {
    const u32 base = cost[STEP * j - (STEP - 1)] & 65535u;
    if (base >= cap) break;
    for (i64 i = 1 - STEP; i < STEP; ++i) {
      const u32 way = (cost[STEP * j + i] & 65535u) - base;
      ways[WAYS * j + STEP + i] = (way < most ? way : most) * 65537u;
    }
  }
}
static inline void fill_ways(float*, const float*, i64, const Volume&) {}

// What no search goes beyond.
template <class V> static inline V cap_of(const Volume& v) {
  return V::all(typename V::E(reaches_far<V> ? v.plan->cap : double(code_beyond(v.codes, v.plan->cap))));
}

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
  return up64(2 * (2 * longest + COST_PADDING) * 4) + up64(4 * longest * V::N * E) + up64(s.rows * (s.gap + 1) * E) +
         2 * up64(4 * s.rows) + 3 * up64(4 * (longest / ROWS_PER_CHUNK + 1)) + up64(s.width * V::N * E) +
         up64(s.rows * E) + up64(4 * ways_elements<V>(longest)) + up64(Lines<V>::elements(longest) * E) +
         up64((2 * longest + 2) * i64(sizeof(Parabola))) + 2048;
}

// Behind C lie flags, one per band and panel: whether anything was written there.
template <class V> static inline i64 filled_at(const Volume& v) {
  const PlaneShape<V> s(v);
  return up64(s.bands * s.width * V::N * i64(sizeof(typename V::E)));
}

// Hands out the parts of a worker's memory one after the other, each at a multiple of 64 bytes.
struct Arena {
  u8* next;
  template <class T> T* take(i64 count) {
    T* const taken = (T*)next;
    next += up64(count * i64(sizeof(T)));
    return taken;
  }
};
