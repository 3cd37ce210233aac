// From squared distances to targets: root, tanh, sign, background, unannotated voxels, border.

struct Finish {
  float factor;      // converts units to the argument of tanh, or to world units
  bool usual;        // the common case: tanh, background 0, every voxel annotated, no border, contiguous rows
  float border_y_z;  // the squared distance to the border along z and y
  float slots, modulus, least;  // of codes
};

static inline Finish finish_of(const Volume& v) {
  const bool usual =
      !v.plan->world_units && v.background == ZERO && !v.annotated && !v.keep && !v.has_no_site && v.out_stride[2] == 4;
  return {float(v.plan->factor), usual, 0, float(v.codes.slots), float(v.codes.modulus), float(v.codes.least)};
}

static inline FloatLanes squares_at(const Finish&, const float* p) { return FloatLanes::load(p); }
// The squares of codes.
static inline FloatLanes squares_at(const Finish& f, const u16* p) {
  const FloatLanes code = FloatLanes::scanned(p), modulus = FloatLanes::all(f.modulus),
                   least = FloatLanes::all(f.least);
  if (f.slots == 1) return code * modulus + least;
  const FloatLanes shift = FloatLanes::all(12582912.0f);  // 1.5 · 2²³: adding it rounds to a whole number
  const FloatLanes middle = code - FloatLanes::all((f.slots - 1) / 2);
  const FloatLanes quotient = (middle * FloatLanes::all(1 / f.slots) + shift) - shift;
  const FloatLanes rank = code - quotient * FloatLanes::all(f.slots);
  return quotient * modulus + rank * rank;
}

// Bit i is set where the square in lane i is greater than that of the distance to the border, with BORDER_SLACK.
static inline u32 beyond_border(const Volume& v, const Finish& f, FloatLanes squares, i64 x, i64 n) {
  float border[FloatLanes::N];
  for (int i = 0; i < FloatLanes::N; ++i) {
    const i64 at = x + i, left = at < v.nx - 1 - at ? at : v.nx - 1 - at;
    const float steps = float(2 * left + 1) * float(v.plan->half[2]);
    const float square = v.nx > 1 ? steps * steps : 3.4e38f;
    border[i] = (square < f.border_y_z ? square : f.border_y_z) * float(1 + 2 * BORDER_SLACK);
  }
  const u32 over = greater_bits(squares, FloatLanes::load(border));
  return n < FloatLanes::N ? over & ((1u << n) - 1) : over;
}

// Stores a row of the common case (`usual`) directly from registers, as far as it fills whole panels; returns where it
// stopped. A panel with a voxel inside always holds squares.
template <class V>
static inline i64 finish_usual(const Volume& v, const Finish& f, i64 z, i64 y, const typename V::E* squares) {
  constexpr int W = FloatLanes::N;
  const FloatLanes zero = FloatLanes::all(0.0f), one = FloatLanes::all(1.0f), factor = FloatLanes::all(f.factor);
  const FloatLanes saturated = FloatLanes::all(float(v.plan->cap));
  float* out = (float*)(v.out + z * v.out_stride[0] + y * v.out_stride[1]);
  const u32* inside = v.inside + (z * v.ny + y) * v.words;
  const u32 lanes = lanes_below<V>(V::N);
  i64 x = 0;
  for (; x + V::N <= v.nx; x += V::N) {
    const u32 bits = (inside[x >> 5] >> (x & 31)) & lanes;
    if (!bits) {
      for (int i = 0; i < V::N; i += W) zero.store(out + x + i);
      continue;
    }
    for (int i = 0; i < V::N; i += W) {
      const FloatLanes square = squares_at(f, squares + x + i);
      const FloatLanes t = any_greater(saturated, square) ? saturating_tanh(root(square) * factor) : one;
      FloatLanes::choose(bits >> i, t, zero).store(out + x + i);
    }
  }
  return x;
}

// The squared distance from the voxels of a row to the nearest border along z and y, in squared units.
static inline float border_square(const Volume& v, i64 z, i64 y) {
  const i64 back_z = z < v.nz - 1 - z ? z : v.nz - 1 - z, back_y = y < v.ny - 1 - y ? y : v.ny - 1 - y;
  const double along_z = double(2 * back_z + 1) * v.plan->half[0], along_y = double(2 * back_y + 1) * v.plan->half[1];
  double border = v.plan->border_least;
  if (v.nz > 1 && along_z < border) border = along_z;
  if (v.ny > 1 && along_y < border) border = along_y;
  return float(border < 1.8e19 ? border * border : 3.4e38);
}

// Stores n <= V::N voxels of row y from x on. `squares` is null where the volume has no site.
template <class V>
static inline void finish_row(const Volume& v, const Finish& f, i64 z, i64 y, i64 x, i64 n,
                              const typename V::E* squares) {
  constexpr int W = FloatLanes::N;
  const i64 row = (z * v.ny + y) * v.words + (x >> 5);
  const u32 inside = v.inside[row] >> (x & 31);
  const bool idle = v.background != SIGNED && !v.annotated && !v.keep && (inside & lanes_below<V>(V::N)) == 0;
  u8* out = v.out + z * v.out_stride[0] + y * v.out_stride[1] + x * v.out_stride[2];
  alignas(64) float values[V::N];
  for (int i = 0; i < V::N; i += W) {
    const FloatLanes zero = FloatLanes::all(0.0f);
    if (idle) {
      zero.store(values + i);
      continue;
    }
    FloatLanes t = FloatLanes::all(v.plan->no_site_value);
    FloatLanes s = FloatLanes::all(v.plan->no_site_square);
    if (squares) {
      s = squares_at(f, squares + i);
      t = root(s) * FloatLanes::all(f.factor);
      if (!v.plan->world_units) t = saturating_tanh(t);
      else if (!v.plan->factor_is_normal) {
        float exact[W];
        root(s).store(exact);
        for (int j = 0; j < W; ++j) exact[j] = float(double(exact[j]) * v.plan->unit);
        t = FloatLanes::load(exact);
      }
    }
    const FloatLanes other = v.background == SIGNED ? zero - t : zero;
    FloatLanes::choose(inside >> i, t, other).store(values + i);
    if (v.keep && n > i) {
      const u32 over = beyond_border(v, f, s, x + i, n - i);
      v.keep[row] &= ~(over << ((x & 31) + i));
    }
  }
  if (v.background == TIMES_LABEL && !idle) {
    const u8* p = v.labels.data + z * v.labels.stride[0] + y * v.labels.stride[1];
    for (i64 i = 0; i < n; ++i)
      if (inside >> i & 1)
        values[i] = float(double(values[i]) * number_at(v.labels.format, p + (x + i) * v.labels.stride[2]));
  }
  if (v.annotated) {
    const u32 annotated = v.annotated[row] >> (x & 31);
    for (int i = 0; i < V::N; i += W)
      FloatLanes::choose(annotated >> i, FloatLanes::load(values + i), FloatLanes::all(v.fill)).store(values + i);
  }
  if (v.out_stride[2] == 4) {
    __builtin_memcpy(out, values, size_t(n) * 4);
  } else {
    for (i64 i = 0; i < n; ++i) __builtin_memcpy(out + i * v.out_stride[2], values + i, 4);
  }
}
