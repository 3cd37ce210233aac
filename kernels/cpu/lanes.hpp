// Registers of lanes, at three widths: WholeLanes for squares that are whole numbers of 16 bits (sums saturate),
// FloatLanes for floats.
//
//   load, store   N elements at any address        any_greater(a, b)   whether a > b in any lane
//   at(cost)      one cost in all lanes             choose(bits, a, b)  lane i of a where bit i is set, else of b
//   scanned(p, …) squares of N scan distances       none_to_zero(a, …)  the mark of idle lanes, becomes 0
//   greater_bits(a, b)  bit i is set where a > b    greatest_lane(a)    the greatest of a's lanes
//
// Every width does the same operations in the same order, so all return the same bits. This file is included once per
// SIMD level, inside that level's namespace.

#if defined(HALF_GRID_AVX512)

struct WholeLanes {
  typedef u16 E;
  typedef u32 Cost;
  static constexpr int N = 32;
  __m512i v;
  static WholeLanes load(const u16* p) { return {_mm512_loadu_si512(p)}; }
  void store(u16* p) const { _mm512_storeu_si512(p, v); }
  static WholeLanes all(u16 e) { return {_mm512_set1_epi16(short(e))}; }
  static WholeLanes at(const u32* cost) { return {_mm512_set1_epi32(int(*cost))}; }
  static WholeLanes scanned(const u8* p) { return {_mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i*)p))}; }
  friend WholeLanes operator+(WholeLanes a, WholeLanes b) { return {_mm512_adds_epu16(a.v, b.v)}; }
  friend WholeLanes operator*(WholeLanes a, WholeLanes b) { return {_mm512_mullo_epi16(a.v, b.v)}; }
  friend WholeLanes operator&(WholeLanes a, WholeLanes b) { return {_mm512_and_si512(a.v, b.v)}; }
  friend WholeLanes sum(WholeLanes a, WholeLanes b) { return {_mm512_add_epi16(a.v, b.v)}; }
  friend WholeLanes min(WholeLanes a, WholeLanes b) { return {_mm512_min_epu16(a.v, b.v)}; }
  friend WholeLanes max(WholeLanes a, WholeLanes b) { return {_mm512_max_epu16(a.v, b.v)}; }
  friend bool any_greater(WholeLanes a, WholeLanes b) { return _mm512_cmpgt_epu16_mask(a.v, b.v) != 0; }
  static WholeLanes choose(u32 bits, WholeLanes a, WholeLanes b) { return {_mm512_mask_mov_epi16(b.v, bits, a.v)}; }
  static WholeLanes where_greater(WholeLanes a, WholeLanes b, WholeLanes yes, WholeLanes no) {
    return {_mm512_mask_mov_epi16(no.v, _mm512_cmpgt_epu16_mask(a.v, b.v), yes.v)};
  }
};

struct FloatLanes {
  typedef float E;
  typedef float Cost;
  static constexpr int N = 16;
  static constexpr float NONE = __builtin_inff();
  __m512 v;
  static FloatLanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  static FloatLanes all(float e) { return {_mm512_set1_ps(e)}; }
  static FloatLanes at(const float* cost) { return {_mm512_set1_ps(*cost)}; }
  static FloatLanes scanned(const u8* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p)))};
  }
  static FloatLanes scanned(const u16* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)))};
  }
  static FloatLanes scanned(const u32* p) { return {_mm512_cvtepu32_ps(_mm512_loadu_si512(p))}; }
  friend FloatLanes operator+(FloatLanes a, FloatLanes b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend FloatLanes sum(FloatLanes a, FloatLanes b) { return a + b; }
  friend FloatLanes operator-(FloatLanes a, FloatLanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend FloatLanes operator*(FloatLanes a, FloatLanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend FloatLanes operator/(FloatLanes a, FloatLanes b) { return {_mm512_div_ps(a.v, b.v)}; }
  friend FloatLanes min(FloatLanes a, FloatLanes b) { return {_mm512_min_ps(a.v, b.v)}; }
  friend FloatLanes max(FloatLanes a, FloatLanes b) { return {_mm512_max_ps(a.v, b.v)}; }
  friend FloatLanes root(FloatLanes a) { return {_mm512_sqrt_ps(a.v)}; }
  friend bool any_greater(FloatLanes a, FloatLanes b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ) != 0; }
  friend u32 greater_bits(FloatLanes a, FloatLanes b) { return u32(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)); }
  friend float greatest_lane(FloatLanes a) { return _mm512_reduce_max_ps(a.v); }
  static FloatLanes choose(u32 bits, FloatLanes a, FloatLanes b) {
    return {_mm512_mask_mov_ps(b.v, __mmask16(bits), a.v)};
  }
  static FloatLanes where_greater(FloatLanes a, FloatLanes b, FloatLanes yes, FloatLanes no) {
    return {_mm512_mask_mov_ps(no.v, _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ), yes.v)};
  }
  // 2 to the power of the whole number in the low bits of `a`, where the addition of 1.5 · 2²³ has put it.
  static FloatLanes power_of_two(FloatLanes a) {
    return {
        _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_castps_si512(a.v), _mm512_set1_epi32(127)), 23))};
  }
};

#elif defined(HALF_GRID_AVX2)

struct WholeLanes {
  typedef u16 E;
  typedef u32 Cost;
  static constexpr int N = 16;
  __m256i v;
  static WholeLanes load(const u16* p) { return {_mm256_loadu_si256((const __m256i*)p)}; }
  void store(u16* p) const { _mm256_storeu_si256((__m256i*)p, v); }
  static WholeLanes all(u16 e) { return {_mm256_set1_epi16(short(e))}; }
  static WholeLanes at(const u32* cost) { return {_mm256_set1_epi32(int(*cost))}; }
  static WholeLanes scanned(const u8* p) { return {_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)p))}; }
  friend WholeLanes operator+(WholeLanes a, WholeLanes b) { return {_mm256_adds_epu16(a.v, b.v)}; }
  friend WholeLanes operator*(WholeLanes a, WholeLanes b) { return {_mm256_mullo_epi16(a.v, b.v)}; }
  friend WholeLanes operator&(WholeLanes a, WholeLanes b) { return {_mm256_and_si256(a.v, b.v)}; }
  friend WholeLanes sum(WholeLanes a, WholeLanes b) { return {_mm256_add_epi16(a.v, b.v)}; }
  friend WholeLanes min(WholeLanes a, WholeLanes b) { return {_mm256_min_epu16(a.v, b.v)}; }
  friend WholeLanes max(WholeLanes a, WholeLanes b) { return {_mm256_max_epu16(a.v, b.v)}; }
  friend bool any_greater(WholeLanes a, WholeLanes b) {
    const __m256i over = _mm256_subs_epu16(a.v, b.v);
    return !_mm256_testz_si256(over, over);
  }
  static WholeLanes choose(u32 bits, WholeLanes a, WholeLanes b) {
    const __m256i lane =
        _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, short(32768));
    const __m256i set = _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(short(bits)), lane), lane);
    return {_mm256_blendv_epi8(b.v, a.v, set)};
  }
  static WholeLanes where_greater(WholeLanes a, WholeLanes b, WholeLanes yes, WholeLanes no) {
    const __m256i not_over = _mm256_cmpeq_epi16(_mm256_subs_epu16(a.v, b.v), _mm256_setzero_si256());
    return {_mm256_blendv_epi8(yes.v, no.v, not_over)};
  }
};

struct FloatLanes {
  typedef float E;
  typedef float Cost;
  static constexpr int N = 8;
  static constexpr float NONE = __builtin_inff();
  __m256 v;
  static FloatLanes load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  static FloatLanes all(float e) { return {_mm256_set1_ps(e)}; }
  static FloatLanes at(const float* cost) { return {_mm256_broadcast_ss(cost)}; }
  static FloatLanes scanned(const u8* p) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)))};
  }
  static FloatLanes scanned(const u16* p) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)))};
  }
  static FloatLanes scanned(const u32* p) {
    float f[N];
    for (int i = 0; i < N; ++i) f[i] = float(p[i]);
    return load(f);
  }
  friend FloatLanes operator+(FloatLanes a, FloatLanes b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend FloatLanes sum(FloatLanes a, FloatLanes b) { return a + b; }
  friend FloatLanes operator-(FloatLanes a, FloatLanes b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend FloatLanes operator*(FloatLanes a, FloatLanes b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend FloatLanes operator/(FloatLanes a, FloatLanes b) { return {_mm256_div_ps(a.v, b.v)}; }
  friend FloatLanes min(FloatLanes a, FloatLanes b) { return {_mm256_min_ps(a.v, b.v)}; }
  friend FloatLanes max(FloatLanes a, FloatLanes b) { return {_mm256_max_ps(a.v, b.v)}; }
  friend FloatLanes root(FloatLanes a) { return {_mm256_sqrt_ps(a.v)}; }
  friend u32 greater_bits(FloatLanes a, FloatLanes b) {
    return u32(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)));
  }
  friend bool any_greater(FloatLanes a, FloatLanes b) { return greater_bits(a, b) != 0; }
  friend float greatest_lane(FloatLanes a) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1)),
                 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  static FloatLanes choose(u32 bits, FloatLanes a, FloatLanes b) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(int(bits)), lane), lane);
    return {_mm256_blendv_ps(b.v, a.v, _mm256_castsi256_ps(set))};
  }
  static FloatLanes where_greater(FloatLanes a, FloatLanes b, FloatLanes yes, FloatLanes no) {
    return {_mm256_blendv_ps(no.v, yes.v, _mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ))};
  }
  static FloatLanes power_of_two(FloatLanes a) {
    return {
        _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_castps_si256(a.v), _mm256_set1_epi32(127)), 23))};
  }
};

#else
#include "lanes_portable.hpp"
#endif

template <class V> static inline V none_to_zero(V a, V none) { return V::where_greater(none, a, a, V::all(0)); }

template <class V> static inline u32 lanes_below(i64 n) {
  if (n >= V::N) return V::N == 32 ? ~0u : (1u << (V::N & 31)) - 1;
  return n <= 0 ? 0u : (1u << n) - 1;
}
