// The search along x: the squared distances of a plane from C and D, band by band of N rows, and what is stored of them.
//
//   c, d  [inp]  (bands, nx padded, N) squares, lanes along y, where the flags behind C say that they were written
//   out   [out]  (ny, nx) targets

// Improves the outputs of a band that search.hpp could not settle. They lie row by row.
template <class V>
static void improve_rows(Lines<V>& lines, const Samples<V>& samples, const u32* unsettled, const u8* filled,
                         typename V::E* rows, i64 nx) {
  constexpr int N = V::N;
  u32 far = 0;
  for (i64 x = 0; x < nx; x += Outputs<V>::N) {
    const u32 open = OpenLanes::of(unsettled, x / ROWS_PER_CHUNK, samples.chunks);
    if (!open) continue;
    for (i64 at = x; at < x + Outputs<V>::N; at += N)
      for (int i = 0; i < N; ++i) {
        const V best = at < nx && filled[at / N] ? V::load(rows + i * lines.rows + at) : V::all(0);
        best.store(lines.outputs_of(i) + at - x);
      }
    lines.transpose_samples(samples.whole, samples.half, samples.least);
    lines.template improve<true>(open, x);
    for (i64 at = x; at < x + Outputs<V>::N && at < nx; at += N)
      for (u32 left = filled[at / N] ? open : 0; left; left &= left - 1) {
        const int i = __builtin_ctz(left);
        const V best = V::load(lines.outputs_of(i) + at - x);
        if (lines.is_far(best, i)) far |= 1u << i;
        best.store(rows + i * lines.rows + at);
      }
  }
  for (; far; far &= far - 1) {
    const int i = __builtin_ctz(far);
    lines.improve_far(rows + i * lines.rows, i, nx, true);
  }
}

template <class V> static void bands(const PlaneTask& task) {
  typedef typename V::E E;
  typedef typename V::Cost Cost;
  constexpr int N = V::N;
  const Volume& v = *task.volume;
  const PlaneShape<V> s(v);
  const i64 chunks = s.width / ROWS_PER_CHUNK;
  Arena arena{task.scratch};
  Cost* const cost = arena.take<Cost>(2 * s.width + COST_PADDING);
  E *const found = arena.take<E>(s.width * N), *const least = arena.take<E>((chunks + N - 1) / N * N * N);
  E* const transposed = arena.take<E>(s.width * N);
  u32* const unsettled = arena.take<u32>(chunks);
  Cost* const ways = arena.take<Cost>(ways_elements<V>(s.width));
  fill_cost(cost, 2 * s.width + COST_PADDING, v, 2);
  fill_ways(ways, cost, s.width, v);
  Lines<V> lines(cost, s.width, chunks, v.plan->square[2], [&arena](i64 n) { return arena.take<E>(n); });
  lines.hull = arena.take<Parabola>(0);                         // all that is left
  const bool clears = !v.near_only && chunks > FAR_CHUNKS + 1;  // the envelope reads all samples
  const V none = none_of<V>(v);
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
          if (clears) clear_chunk(none, whole + at * ROWS_PER_CHUNK * N, half + at * ROWS_PER_CHUNK * N);
        }
      }
      OpenLanes open(unsettled);
      const Samples<V> samples = {whole, half, least, floor, chunks, v.near_only, cost, ways};
      for (i64 at = 0; at < chunks; ++at) {
        if (!filled[at / PER_PANEL]) {
          open.found(at, 0);
          if (clears) clear_chunk(V::all(0), found + at * ROWS_PER_CHUNK * N, found + at * ROWS_PER_CHUNK * N);
          continue;
        }
        V b[ROWS_PER_CHUNK];
        for (int i = 0; i < ROWS_PER_CHUNK; ++i)
          b[i] = none_to_zero(V::load(whole + (at * ROWS_PER_CHUNK + i) * N), none);
        open.template search<V, true>(b, samples, at);
        for (int i = 0; i < ROWS_PER_CHUNK; ++i) b[i].store(found + (at * ROWS_PER_CHUNK + i) * N);
      }
      for (i64 panel = 0; panel < s.panels(); ++panel)
        if (filled[panel] || clears) transpose<V>(found + panel * N * N, N, transposed + panel * N, s.width);
      if constexpr (reaches_far<V>)
        if (open.any) {
          lines.begin(floor);
          improve_rows(lines, samples, unsettled, filled, transposed, v.nx);
        }
    }
    const i64 end = band * N + N < v.ny ? N : v.ny - band * N;
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
