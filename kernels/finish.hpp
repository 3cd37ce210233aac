// From squared distances to what is stored: root, tanh, sign, background, unannotated voxels, border.

// tanh(x) for x >= 0, from q = exp(-2x): below 1/2 as (1 - q) / (1 + q), with 1 - q found without cancellation so that
// small x keep their digits, above as 1 - 2q / (1 + q), correctly rounded but for the last bit on the way to 1.
// Multiplications and additions stay apart (no contraction), so every SIMD level rounds alike.
static inline FloatLanes saturating_tanh(FloatLanes x) {
  const auto all = FloatLanes::all;
  const FloatLanes end = all(float(SATURATION)), zero = all(0.0f), one = all(1.0f), shift = all(12582912.0f);  // 1.5 · 2²³ rounds
  const FloatLanes u = min(x, end) * all(-2.0f);
  const FloatLanes shifted = u * all(1.44269504f) + shift, n = shifted - shift;
  const FloatLanes r = (u - n * all(0.693359375f)) - n * all(-2.12194440e-4f);  // ln 2 in two parts
  FloatLanes p = all(1.0f / 5040);
  p = p * r + all(1.0f / 720);
  p = p * r + all(1.0f / 120);
  p = p * r + all(1.0f / 24);
  p = p * r + all(1.0f / 6);
  p = p * r + all(0.5f);
  p = p * (r * r) + r;  // exp(r) - 1
  const FloatLanes power = FloatLanes::power_of_two(shifted), scaled = power * p, q = power + scaled;
  const FloatLanes knee = all(0.55f);
  const FloatLanes base = FloatLanes::where_greater(x, knee, one, zero);
  const FloatLanes part = FloatLanes::where_greater(x, knee, zero - (q + q), (one - power) - scaled);
  return FloatLanes::where_greater(end, x, base + part / (one + q), one);
}

struct Finish {
  float factor;       // squared units -> argument of tanh, or world units
  bool world, plain;  // plain: the factor is an ordinary float
  bool usual;         // tanh, background 0, nothing unannotated, no border, contiguous rows
  float lonely;       // the value of every voxel, before the sign, where there is no site
  float border_y_z;   // squared border distance along z and y
};

static inline Finish finish_of(const Volume& v) {
  Finish f;
  f.lonely = f.border_y_z = 0;
  f.world = v.scale <= 0;
  const double factor = f.world ? v.unit : v.unit / v.scale;
  f.factor = float(factor);
  f.usual = !f.world && v.background == ZERO && !v.known && !v.keep && !v.far_beyond && v.out_stride[2] == 4;
  f.plain = factor > 1e-30 && factor < 1e30;
  if (v.far_beyond) {
    // In double, as device/geometry.py and the reference have it: this value is no result of the vector loops.
    const double value = v.lonely * factor;
    f.lonely = float(f.world ? value : value >= SATURATION ? 1.0 : __builtin_tanh(value));
  }
  return f;
}

static inline double label_value(const Labels& l, const u8* p) {
  u64 bits = 0;
  switch (l.width) {
    case 1: bits = *p; break;
    case 2: bits = load_bits<u16>(p); if (l.foreign) bits = swapped(u16(bits)); break;
    case 4: bits = load_bits<u32>(p); if (l.foreign) bits = swapped(u32(bits)); break;
    default: bits = load_bits<u64>(p); if (l.foreign) bits = swapped(bits);
  }
  if (l.floats) {
    if (l.width == 8) { double d; __builtin_memcpy(&d, &bits, 8); return d; }
    if (l.width == 4) { const u32 b = u32(bits); float f; __builtin_memcpy(&f, &b, 4); return double(f); }
    const int exponent = int(bits >> 10 & 31);
    const double fraction = double(bits & 1023), sign = bits >> 15 ? -1 : 1;
    if (exponent == 31) return fraction ? double(__builtin_nanf("")) : sign * double(__builtin_inff());
    return sign * (exponent ? __builtin_ldexp(1024 + fraction, exponent - 25) : __builtin_ldexp(fraction, -24));
  }
  if (!l.is_signed) return double(bits);
  switch (l.width) {
    case 1: return double((signed char)bits);
    case 2: return double(short(bits));
    case 4: return double(int(bits));
    default: return double(i64(bits));
  }
}

static inline FloatLanes squares_at(const float* p) { return FloatLanes::load(p); }
static inline FloatLanes squares_at(const u16* p) { return FloatLanes::widened(p); }

// Lanes i with (square > border² and some slack), against the nearest border of each voxel.
static inline u32 beyond_border(const Volume& v, const Finish& f, FloatLanes squares, i64 x, i64 n) {
  float border[FloatLanes::N];
  for (int i = 0; i < FloatLanes::N; ++i) {
    const i64 at = x + i, left = at < v.nx - 1 - at ? at : v.nx - 1 - at;
    const float steps = float(2 * left + 1) * float(v.border_unit[2]);
    const float square = v.nx > 1 ? steps * steps : 3.4e38f;
    border[i] = (square < f.border_y_z ? square : f.border_y_z) * float(1 + 2 * BORDER_SLACK);
  }
  const u32 over = greater_bits(squares, FloatLanes::load(border));
  return n < FloatLanes::N ? over & ((1u << n) - 1) : over;
}

// What nearly every row is (`usual`), the whole of it but for lanes beyond the last full ones, straight from registers
// to memory. Where a voxel is inside, its panel holds squares.
template <class V>
static inline i64 finish_usual(const Volume& v, const Finish& f, i64 z, i64 y, const typename V::E* squares) {
  constexpr int W = FloatLanes::N;
  const FloatLanes zero = FloatLanes::all(0.0f), factor = FloatLanes::all(f.factor);
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
      const FloatLanes t = saturating_tanh(root(squares_at(squares + x + i)) * factor);
      FloatLanes::choose(bits >> i, t, zero).store(out + x + i);
    }
  }
  return x;
}

// Squared distance, in units, from the row's voxels to the nearest border along z and y.
static inline float border_square(const Volume& v, i64 z, i64 y) {
  const i64 back_z = z < v.nz - 1 - z ? z : v.nz - 1 - z, back_y = y < v.ny - 1 - y ? y : v.ny - 1 - y;
  const double along_z = double(2 * back_z + 1) * v.border_unit[0], along_y = double(2 * back_y + 1) * v.border_unit[1];
  double border = v.border_least;
  if (v.nz > 1 && along_z < border) border = along_z;
  if (v.ny > 1 && along_y < border) border = along_y;
  return float(border < 1.8e19 ? border * border : 3.4e38);
}

// n <= V::N voxels of row y from x on; `squares` is null where there is no site.
template <class V>
static inline void finish_row(const Volume& v, const Finish& f, i64 z, i64 y, i64 x, i64 n, const typename V::E* squares) {
  constexpr int W = FloatLanes::N;
  const i64 row = (z * v.ny + y) * v.words + (x >> 5);
  const u32 inside = v.inside[row] >> (x & 31);
  const bool idle = v.background != SIGNED && !v.known && !v.keep && (inside & lanes_below<V>(V::N)) == 0;
  u8* out = v.out + z * v.out_stride[0] + y * v.out_stride[1] + x * v.out_stride[2];
  alignas(64) float values[V::N];
  for (int i = 0; i < V::N; i += W) {
    const FloatLanes zero = FloatLanes::all(0.0f);
    if (idle) { zero.store(values + i); continue; }
    FloatLanes t = FloatLanes::all(f.lonely);
    FloatLanes s = FloatLanes::all(float(v.lonely * v.lonely < 3e38 ? v.lonely * v.lonely : 3.4e38));
    if (squares) {
      s = squares_at(squares + i);
      t = root(s) * FloatLanes::all(f.factor);
      if (!f.world) t = saturating_tanh(t);
      else if (!f.plain) {
        float exact[W];
        root(s).store(exact);
        for (int j = 0; j < W; ++j) exact[j] = float(double(exact[j]) * v.unit);
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
      if (inside >> i & 1) values[i] = float(double(values[i]) * label_value(v.labels, p + (x + i) * v.labels.stride[2]));
  }
  if (v.known) {
    const u32 known = v.known[row] >> (x & 31);
    for (int i = 0; i < V::N; i += W)
      FloatLanes::choose(known >> i, FloatLanes::load(values + i), FloatLanes::all(v.fill)).store(values + i);
  }
  if (v.out_stride[2] == 4) {
    __builtin_memcpy(out, values, size_t(n) * 4);
  } else {
    for (i64 i = 0; i < n; ++i) __builtin_memcpy(out + i * v.out_stride[2], values + i, 4);
  }
}
