// Transposes blocks of lanes, so that the search along x finds its lines side by side, as the search along y does.
//
//   in   [inp]  (N, N) elements, rows `in_stride` apart
//   out  [out]  (N, N) elements, rows `out_stride` apart: out[j][i] = in[i][j]

#if defined(__SSE2__)

static inline void transpose_block(const u16* in, i64 in_stride, u16* out, i64 out_stride) {  // 8 × 8
  __m128i a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = _mm_loadu_si128((const __m128i*)(in + i * in_stride));
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = _mm_unpacklo_epi16(a[i], a[i + 4]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm_unpacklo_epi16(b[i], b[i + 4]);
    a[2 * i + 1] = _mm_unpackhi_epi16(b[i], b[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = _mm_unpacklo_epi16(a[i], a[i + 4]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);
  }
  for (int i = 0; i < 8; ++i) _mm_storeu_si128((__m128i*)(out + i * out_stride), b[i]);
}
static constexpr int BLOCK_WHOLE = 8;

#if defined(HALF_GRID_AVX2) || defined(HALF_GRID_AVX512)

static inline __m256 two_quarters(const float* low, const float* high) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}
// Four rows out of the four columns from `in` on, of eight rows.
static inline void transpose_half(const float* in, i64 in_stride, float* out, i64 out_stride) {
  const __m256 a = two_quarters(in, in + 4 * in_stride), b = two_quarters(in + in_stride, in + 5 * in_stride),
               c = two_quarters(in + 2 * in_stride, in + 6 * in_stride),
               d = two_quarters(in + 3 * in_stride, in + 7 * in_stride);
  const __m256 ab = _mm256_unpacklo_ps(a, b), ab_high = _mm256_unpackhi_ps(a, b);
  const __m256 cd = _mm256_unpacklo_ps(c, d), cd_high = _mm256_unpackhi_ps(c, d);
  _mm256_storeu_ps(out, _mm256_shuffle_ps(ab, cd, 0x44));
  _mm256_storeu_ps(out + out_stride, _mm256_shuffle_ps(ab, cd, 0xEE));
  _mm256_storeu_ps(out + 2 * out_stride, _mm256_shuffle_ps(ab_high, cd_high, 0x44));
  _mm256_storeu_ps(out + 3 * out_stride, _mm256_shuffle_ps(ab_high, cd_high, 0xEE));
}
static inline void transpose_block(const float* in, i64 in_stride, float* out, i64 out_stride) {  // 8 × 8
  transpose_half(in, in_stride, out, out_stride);
  transpose_half(in + 4, in_stride, out + 4 * out_stride, out_stride);
}
static constexpr int BLOCK_FLOAT = 8;

#else

static inline void transpose_block(const float* in, i64 in_stride, float* out, i64 out_stride) {  // 4 × 4
  __m128 a = _mm_loadu_ps(in), b = _mm_loadu_ps(in + in_stride);
  __m128 c = _mm_loadu_ps(in + 2 * in_stride), d = _mm_loadu_ps(in + 3 * in_stride);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(out, a);
  _mm_storeu_ps(out + out_stride, b);
  _mm_storeu_ps(out + 2 * out_stride, c);
  _mm_storeu_ps(out + 3 * out_stride, d);
}
static constexpr int BLOCK_FLOAT = 4;

#endif

#else

template <class E> static inline void transpose_block(const E* in, i64 in_stride, E* out, i64 out_stride) {
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) out[j * out_stride + i] = in[i * in_stride + j];
}
static constexpr int BLOCK_WHOLE = 4, BLOCK_FLOAT = 4;

#endif

template <class V>
static inline void transpose(const typename V::E* in, i64 in_stride, typename V::E* out, i64 out_stride) {
  constexpr int T = sizeof(typename V::E) == 2 ? BLOCK_WHOLE : BLOCK_FLOAT;
  for (int i = 0; i < V::N; i += T)
    for (int j = 0; j < V::N; j += T)
      transpose_block(in + i * in_stride + j, in_stride, out + j * out_stride + i, out_stride);
}
