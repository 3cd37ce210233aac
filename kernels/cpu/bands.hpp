// The search along x: the squared distances of a plane from C and D, band by band of N rows, and what is stored of them.
//
//   c, d  [inp]  (bands, nx padded, N) squares, lanes along y, where the flags behind C say that they were written
//   out   [out]  (ny, nx) targets

template <class V> static void bands(const PlaneTask& task) {
  typedef typename V::E E;
  typedef typename V::Cost Cost;
  constexpr int N = V::N;
  const Volume& v = *task.volume;
  const PlaneShape<V> s(v);
  const i64 chunks = s.width / ROWS_PER_CHUNK;
  Arena arena{task.scratch};
  Cost* const cost = arena.take<Cost>(2 * s.width + 64);
  E *const found = arena.take<E>(s.width * N), *const least = arena.take<E>(chunks * N);
  E* const transposed = arena.take<E>(s.width * N);
  Parabola* const hull = arena.take<Parabola>(0);  // all that is left
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
