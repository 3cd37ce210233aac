// Rows of labels as codes, and rows of bits: how the loops of a SIMD level read a volume.
//
// Rows are padded with their last label, so that the end of a row is no face.

static inline i64 padded(i64 nx) { return (nx + 1 + 63) / 64 * 64; }

// Rows of different planes lie too far apart for the processor to prefetch them by itself.
template <class T> static inline void fetch_row(const Volume& v, i64 z, i64 y) {
  if (v.labels.stride[2] != i64(sizeof(T))) return;
  const u8* p = v.labels.data + z * v.labels.stride[0] + y * v.labels.stride[1];
  for (i64 i = 0; i < v.nx * i64(sizeof(T)); i += 64) __builtin_prefetch(p + i);
}

// Reads one row of labels as codes, whose bits are equal exactly where the labels are. `missing` becomes 255 where a
// voxel is unannotated, otherwise 0.
template <class T> static void read_row(const Volume& v, i64 z, i64 y, T* __restrict__ codes,
                                        u8* __restrict__ missing) {
  const ElementFormat& format = v.labels.format;
  const u8* p = v.labels.data + z * v.labels.stride[0] + y * v.labels.stride[1];
  const i64 nx = v.nx, step = v.labels.stride[2];
  const bool floats = format.kind >= FLOATING;
  if (step == i64(sizeof(T))) {
    __builtin_memcpy(codes, p, size_t(nx) * sizeof(T));
  } else {
    for (i64 x = 0; x < nx; ++x) codes[x] = load<T>(p + x * step);
  }
  if (format.foreign && (floats || format.has_ignored || v.is_class))  // otherwise it only matters which are equal
    for (i64 x = 0; x < nx; ++x) codes[x] = swapped(codes[x]);
  if (missing) {
    const T ignored = T(format.ignored);
    if (floats) {
      for (i64 x = 0; x < nx; ++x) {
        const T code = float_code(codes[x]);
        codes[x] = code;
        missing[x] = float_is_nan(code) || (format.has_ignored && code == ignored) ? 255 : 0;
      }
    } else {
      for (i64 x = 0; x < nx; ++x) missing[x] = codes[x] == ignored ? 255 : 0;
    }
  }
  for (i64 x = nx, end = padded(nx); x < end; ++x) codes[x] = codes[nx - 1];
  if (missing)
    for (i64 x = nx, end = padded(nx); x < end; ++x) missing[x] = missing[nx - 1];
}

// How many floats, given as codes, are no whole numbers. From 2^23 (float32) or 2^52 (float64) on there are no
// fractions; below, adding and subtracting that number rounds to a whole one. NaN and infinity compare false. The bits
// of a half float are moved to where float32 has them; its infinity and NaN then count as whole numbers.
template <class T> static i64 count_fractions(const T* __restrict__ codes, i64 nx) {
  i64 count = 0;
  if constexpr (sizeof(T) == 8) {
    constexpr double whole = 4503599627370496.0;
    for (i64 x = 0; x < nx; ++x) {
      const T bits = float_magnitude(codes[x]);
      double value;
      __builtin_memcpy(&value, &bits, 8);
      const double rounded = (value + whole) - whole;
      count += (value < whole) & (rounded != value);
    }
  } else if constexpr (sizeof(T) >= 2) {
    constexpr float whole = 8388608.0f;
    constexpr i64 block = i64(1) << 16;  // a counter of 32 bits suffices for a block
    for (i64 first = 0; first < nx; first += block) {
      const i64 last = nx - first < block ? nx : first + block;
      u32 some = 0;
      for (i64 x = first; x < last; ++x) {
        const u32 bits = sizeof(T) == 4 ? u32(float_magnitude(codes[x])) : u32(float_magnitude(codes[x])) << 13;
        float value;
        __builtin_memcpy(&value, &bits, 4);
        if (sizeof(T) == 2)
          // 2^112: the difference between the biases of the two exponents.
          value *= 5192296858534827628530496329220096.0f;
        const float rounded = (value + whole) - whole;
        some += (value < whole) & (rounded != value);
      }
      count += some;
    }
  }
  return count;
}

// The same for one row of labels, without those that are unannotated because they equal `ignored`.
template <class T> static i64 row_fractions(const ElementFormat& format, const T* codes, i64 nx) {
  i64 count = count_fractions(codes, nx);
  const T ignored = T(format.ignored);
  if (count && format.has_ignored && count_fractions(&ignored, 1))
    for (i64 x = 0; x < nx; ++x) count -= codes[x] == ignored;
  return count;
}

template <class T> static inline bool holds_foreground(const T* codes, i64 nx) {
  T any = 0;
  for (i64 x = 0; x < nx; ++x) any = T(any | codes[x]);
  return any != 0;
}

// Packs bytes into bits, 32 at a time; bits beyond nx are 0. Returns how many are set.
static inline i64 pack_row(const u8* bytes, i64 nx, u32* words) {
  i64 count = 0;
  for (i64 x = 0, w = 0; x < nx; x += 32, ++w) {
    u32 bits = 0;
#if defined(HALF_GRID_AVX2) || defined(HALF_GRID_AVX512)
    bits = u32(_mm256_movemask_epi8(_mm256_loadu_si256((const __m256i*)(bytes + x))));
#else
    for (int i = 0; i < 4; ++i) {  // the lowest bits of eight bytes, gathered by one multiplication
      u64 eight = 0;
      for (int j = 0; j < 8; ++j) eight |= u64(bytes[x + 8 * i + j] & 1) << (8 * j);
      bits |= u32((eight * 0x0102040810204080ull) >> 56) << (8 * i);
    }
#endif
    if (nx - x < 32) bits &= (1u << (nx - x)) - 1;
    words[w] = bits;
    count += __builtin_popcount(bits);
  }
  return count;
}

static inline i64 count_bits(const u32* words, i64 n) {
  i64 count = 0;
  for (i64 w = 0; w < n; ++w) count += __builtin_popcount(words[w]);
  return count;
}

// The reverse of `pack_row`: 255 where a bit is set, otherwise 0. Padded with the last of them, as `read_row` pads.
static inline void expand_row(const u32* words, i64 nx, u8* __restrict__ bytes) {
  for (i64 x = 0, w = 0; x < nx; x += 32, ++w) {
#if defined(HALF_GRID_AVX512)
    _mm256_storeu_si256((__m256i*)(bytes + x), _mm256_movm_epi8(words[w]));
#elif defined(HALF_GRID_AVX2)
    const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x(i64(0x8040201008040201ull));
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(int(words[w])), byte);
    _mm256_storeu_si256((__m256i*)(bytes + x), _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit));
#else
    for (int i = 0; i < 32; ++i) bytes[x + i] = u8(0 - (words[w] >> i & 1));
#endif
  }
  for (i64 x = nx, end = padded(nx); x < end; ++x) bytes[x] = bytes[nx - 1];
}

// As `read_row`, for a class: the codes are 255 where the voxel is inside, otherwise 0.
static inline void read_row_of_bits(const Volume& v, i64 line, u8* codes, u8* __restrict__ missing) {
  expand_row(v.inside + line * v.words, v.nx, codes);
  if (!missing) return;
  expand_row(v.annotated + line * v.words, v.nx, missing);
  for (i64 x = 0, end = padded(v.nx); x < end; ++x) missing[x] = u8(~missing[x]);
}
