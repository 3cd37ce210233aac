// The search along y: C and D of a plane, panel by panel of N columns, from right to left.
//
//   z, a, b  [inp]  (ny, nx) scan distances of the plane
//   c, d     [out]  (bands, nx padded, N) squares, transposed; behind C one byte per band and panel: was it written?
//
// D starts at max(C(x), C(x + 1)). A larger value is never needed: then one of the two C's is nearer for every voxel of
// the row. So a panel needs the first column of C of the panel to its right, which is why panels run from right to left.

// C, as far as search.hpp goes. Returns whether there may be something better beyond that.
template <class V, class K> ALWAYS_INLINE bool fill_c(Panels<V, K>& p, V floor) {
  constexpr int N = V::N;
  const Samples<V> samples = {p.whole, p.half, p.least, floor, p.s.chunks, p.v.near_only, p.cost, p.ways};
  OpenLanes open(p.open);
  for (i64 at = 0; at < p.s.chunks; ++at) {
    const i64 y0 = at * ROWS_PER_CHUNK;
    if (!p.some_voxels[at]) {
      open.found(at, 0);
      for (int i = 0; i < ROWS_PER_CHUNK; ++i) p.none.store(p.c + (y0 + i) * p.s.gap);
      continue;
    }
    V b[ROWS_PER_CHUNK];
    for (int i = 0; i < ROWS_PER_CHUNK; ++i)
      b[i] = V::choose(p.voxels[y0 + i], min(V::load(p.whole + (y0 + i) * N), p.cap), V::all(0));
    open.template search<V, true>(b, samples, at);
    for (int i = 0; i < ROWS_PER_CHUNK; ++i) V::choose(p.voxels[y0 + i], b[i], p.none).store(p.c + (y0 + i) * p.s.gap);
  }
  typename V::E* const other = p.edge;
  p.edge = p.right, p.right = other;
  for (i64 y = 0; y < p.v.ny; ++y) {
    p.c[y * p.s.gap + N] = p.edge[y];
    p.right[y] = p.c[y * p.s.gap];
  }
  return open.any;
}

// D, in the same way.
//
// Between two voxels of the same label D is greater than the lesser C: on the way to the face between two labels there is
// another one, in the column of one of the voxels. So there is nothing to search for where both C are equal. With long
// reaches rounding could show that, and unannotated voxels break the argument.
template <class V, class K> ALWAYS_INLINE bool fill_d(const Panels<V, K>& p, V floor) {
  constexpr int N = V::N;
  const bool skips_equal = p.v.near_only && !p.v.annotated;
  const Samples<V> samples = {p.whole, p.whole, p.least, floor, p.s.chunks, p.v.near_only, p.cost, p.ways};
  OpenLanes open(p.open);
  for (i64 at = 0; at < p.s.chunks; ++at) {
    const i64 y0 = at * ROWS_PER_CHUNK;
    if (!p.some_pairs[at]) {
      open.found(at, 0);
      for (int i = 0; i < ROWS_PER_CHUNK; ++i) p.none.store(p.d + (y0 + i) * N);
      continue;
    }
    V b[ROWS_PER_CHUNK];
    for (int i = 0; i < ROWS_PER_CHUNK; ++i) {
      const i64 y = y0 + i;
      const V left = V::load(p.c + y * p.s.gap), right = V::load(p.c + y * p.s.gap + 1);
      V start = max(left, right);
      if (skips_equal) start = V::where_greater(start, min(left, right), start, V::all(0));
      b[i] = V::choose(p.pairs[y], min(min(start, V::load(p.whole + y * N)), p.cap), V::all(0));
    }
    open.template search<V, false>(b, samples, at);
    for (int i = 0; i < ROWS_PER_CHUNK; ++i) {
      const i64 y = y0 + i;
      if (skips_equal) b[i] = V::where_greater(b[i], V::all(0), b[i], V::load(p.whole + y * N));
      V::choose(p.pairs[y], b[i], p.none).store(p.d + y * N);
    }
  }
  return open.any;
}

// The C or D of a panel as bands hold it, and the C beside it on the right.
template <class V> struct Transposed {
  typename V::E* at;              // of the first band; the panel's columns, N elements each
  i64 step;                       // elements from band to band
  const typename V::E *c, *edge;  // for D: C of the same panel, and of the column to the right of it
};

// Improves the outputs of a panel that search.hpp could not settle.
template <class V, class K, bool IS_C>
static void improve(Panels<V, K>& p, Lines<V>& lines, V floor, const u8* filled, const Transposed<V>& t) {
  typedef typename V::E E;
  constexpr int N = V::N, BANDS = Outputs<V>::REGISTERS;
  lines.begin(floor);
  u32 far_lanes = 0;
  for (i64 first = 0; first < p.s.bands; first += BANDS) {
    const u32 open = OpenLanes::of(p.open, first * N / ROWS_PER_CHUNK, p.s.chunks);
    if (!open) continue;
    for (i64 band = first; band < first + BANDS; ++band) {
      E* outputs = lines.outputs + (band - first) * N;
      const bool here = band < p.s.bands && filled[band * p.s.panels()];
      for (int k = 0; k < N; ++k, outputs += Outputs<V>::N) {
        V best = V::all(0);
        if (here) best = none_to_zero(V::load(t.at + band * t.step + k * N), p.none);
        if (here && !IS_C) {
          const E* const c = t.c + band * t.step + k * N;
          best = min(best, max(V::load(c), V::load(k + 1 < N ? c + N : t.edge + band * N)));
        }
        best.store(outputs);
      }
    }
    lines.transpose_samples(p.whole, IS_C ? p.half : nullptr, p.least);
    lines.template improve<IS_C>(open, first * N);
    for (i64 band = first; band < first + BANDS && band < p.s.bands; ++band)
      for (u32 left = filled[band * p.s.panels()] ? open : 0; left; left &= left - 1) {
        const int k = __builtin_ctz(left);
        E* const at = t.at + band * t.step + k * N;
        const V best = V::load(lines.outputs_of(k) + (band - first) * N);
        if (lines.is_far(best, k)) far_lanes |= 1u << k;
        V::where_greater(p.none, V::load(at), best, p.none).store(at);
      }
  }
  for (; far_lanes; far_lanes &= far_lanes - 1) {
    const int k = __builtin_ctz(far_lanes);
    for (i64 y = 0; y < p.s.rows; ++y) lines.outputs[y] = t.at[y / N * t.step + k * N + y % N];
    lines.improve_far(lines.outputs, k, p.v.ny, IS_C);
    for (i64 y = 0; y < p.s.rows; ++y)
      if (filled[y / N * p.s.panels()]) t.at[y / N * t.step + k * N + y % N] = lines.outputs[y];
  }
}

template <class V, class K> static void panels(const PlaneTask& task) {
  typedef typename V::E E;
  constexpr int N = V::N;
  Arena arena{task.scratch};
  Panels<V, K> p(task, arena);
  const PlaneShape<V>& s = p.s;
  Lines<V> lines(p.cost, s.rows, s.chunks, p.v.plan->square[1], [&arena](i64 n) { return arena.take<E>(n); });
  lines.hull = arena.take<Parabola>(0);  // all that is left
  u8* filled = task.c + filled_at<V>(p.v);
  // Of the panel to the right of the last one only the first column of C is needed.
  const i64 begin = task.last * N < p.v.nx ? task.last : task.last - 1;
  for (i64 panel = begin; panel >= task.first; --panel) {
    const i64 x = panel * N;
    const bool some = find_active(p, x);
    if (panel < task.last)
      for (i64 band = 0; band < s.bands; ++band) {
        u32 here = 0;
        for (i64 at = band * N / ROWS_PER_CHUNK; at < (band + 1) * N / ROWS_PER_CHUNK; ++at)
          here |= p.some_voxels[at] | p.some_pairs[at];
        filled[band * s.panels() + panel] = here != 0;
      }
    if (!some) {
      p.no_column_to_the_right();
      continue;
    }
    const V floor_c = load_voxels(p, x);
    const bool far_c = fill_c(p, floor_c);
    if (panel == task.last) continue;
    const u8* filled_here = filled + panel;
    E *const c = (E*)task.c + x * N, *const d = (E*)task.d + x * N;
    const i64 step = s.width * N;
    for (i64 band = 0; band < s.bands; ++band)
      if (filled_here[band * s.panels()]) transpose<V>(p.c + band * N * s.gap, s.gap, c + band * step, N);
    if constexpr (reaches_far<V>) {
      if (far_c) {
        improve<V, K, true>(p, lines, floor_c, filled_here, {c, step, nullptr, nullptr});
        for (i64 band = 0; band < s.bands; ++band)
          if (filled_here[band * s.panels()]) V::load(c + band * step).store(p.right + band * N);
      }
    }
    const V floor_d = load_pairs(p, x);
    const bool far_d = fill_d(p, floor_d);
    for (i64 band = 0; band < s.bands; ++band)
      if (filled_here[band * s.panels()]) transpose<V>(p.d + band * N * N, N, d + band * step, N);
    if constexpr (reaches_far<V>)
      if (far_d) improve<V, K, false>(p, lines, floor_d, filled_here, {d, step, c, p.edge});
  }
}
