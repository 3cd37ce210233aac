// Lanes as the compiler's own vectors of 16 bytes, for SSE2, NEON and every other processor. See lanes.hpp.

typedef u16 Vector16 __attribute__((vector_size(16)));
typedef short Signed16 __attribute__((vector_size(16)));
typedef float Vector32 __attribute__((vector_size(16)));
typedef int Signed32 __attribute__((vector_size(16)));
typedef u32 Unsigned32 __attribute__((vector_size(16)));
typedef u64 Vector64 __attribute__((vector_size(16)));

typedef u8 Bytes8 __attribute__((vector_size(8)));
typedef u16 Words4 __attribute__((vector_size(8)));

// What SSE2 has an instruction for and compilers do not find one for.
#if defined(__SSE2__)
static inline bool any_set(Vector64 v) { return _mm_movemask_epi8(__m128i(v)) != 0; }
static inline u32 sign_bits(Signed32 v) { return u32(_mm_movemask_ps(__m128(v))); }
static inline Vector16 lesser(Vector16 a, Vector16 b) { return a - Vector16(_mm_subs_epu16(__m128i(a), __m128i(b))); }
static inline Vector16 greater(Vector16 a, Vector16 b) { return b + Vector16(_mm_subs_epu16(__m128i(a), __m128i(b))); }
static inline Vector16 saturated_sum(Vector16 a, Vector16 b) {
  return Vector16(_mm_adds_epu16(__m128i(a), __m128i(b)));
}
#else
static inline bool any_set(Vector64 v) { return (v[0] | v[1]) != 0; }
static inline u32 sign_bits(Signed32 v) {
  return u32(v[0] < 0) | u32(v[1] < 0) << 1 | u32(v[2] < 0) << 2 | u32(v[3] < 0) << 3;
}
static inline Vector16 lesser(Vector16 a, Vector16 b) { return a < b ? a : b; }
static inline Vector16 greater(Vector16 a, Vector16 b) { return a < b ? b : a; }
static inline Vector16 saturated_sum(Vector16 a, Vector16 b) {
  const Vector16 sum = a + b;
  return sum | Vector16(sum < a);  // a sum that overflowed is less than its parts
}
#endif

struct WholeLanes {
  typedef u16 E;
  typedef u32 Cost;
  static constexpr int N = 8;
  Vector16 v;
  static WholeLanes load(const u16* p) {
    WholeLanes a;
    __builtin_memcpy(&a.v, p, 16);
    return a;
  }
  void store(u16* p) const { __builtin_memcpy(p, &v, 16); }
  static WholeLanes all(u16 e) { return {Vector16{e, e, e, e, e, e, e, e}}; }
  static WholeLanes at(const u32* cost) { return all(u16(*cost)); }
  static WholeLanes scanned(const u8* p) {
    Bytes8 bytes;
    __builtin_memcpy(&bytes, p, 8);
    return {__builtin_convertvector(bytes, Vector16)};
  }
  friend WholeLanes operator+(WholeLanes a, WholeLanes b) { return {saturated_sum(a.v, b.v)}; }
  friend WholeLanes operator*(WholeLanes a, WholeLanes b) { return {a.v * b.v}; }
  friend WholeLanes operator&(WholeLanes a, WholeLanes b) { return {a.v & b.v}; }
  friend WholeLanes sum(WholeLanes a, WholeLanes b) { return {a.v + b.v}; }
  static WholeLanes pick(Vector16 set, Vector16 yes, Vector16 no) { return {(yes & set) | (no & ~set)}; }
  friend WholeLanes min(WholeLanes a, WholeLanes b) { return {lesser(a.v, b.v)}; }
  friend WholeLanes max(WholeLanes a, WholeLanes b) { return {greater(a.v, b.v)}; }
  friend bool any_greater(WholeLanes a, WholeLanes b) { return any_set(Vector64(a.v > b.v)); }
  static WholeLanes choose(u32 bits, WholeLanes a, WholeLanes b) {
    const Vector16 lane = {1, 2, 4, 8, 16, 32, 64, 128};
    return pick(Vector16((all(u16(bits)).v & lane) == lane), a.v, b.v);
  }
  static WholeLanes where_greater(WholeLanes a, WholeLanes b, WholeLanes yes, WholeLanes no) {
    return pick(Vector16(a.v > b.v), yes.v, no.v);
  }
};

struct FloatLanes {
  typedef float E;
  typedef float Cost;
  static constexpr int N = 4;
  static constexpr float NONE = __builtin_inff();
  Vector32 v;
  static FloatLanes load(const float* p) {
    FloatLanes a;
    __builtin_memcpy(&a.v, p, 16);
    return a;
  }
  void store(float* p) const { __builtin_memcpy(p, &v, 16); }
  static FloatLanes all(float e) { return {Vector32{e, e, e, e}}; }
  static FloatLanes at(const float* cost) { return all(*cost); }
  static FloatLanes scanned(const u8* p) {
    const Words4 words = {p[0], p[1], p[2], p[3]};
    return scanned((const u16*)&words);
  }
  static FloatLanes scanned(const u16* p) {
    Words4 words;
    __builtin_memcpy(&words, p, 8);
    return {__builtin_convertvector(__builtin_convertvector(words, Signed32), Vector32)};
  }
  static FloatLanes scanned(const u32* p) { return {Vector32{float(p[0]), float(p[1]), float(p[2]), float(p[3])}}; }
  friend FloatLanes operator+(FloatLanes a, FloatLanes b) { return {a.v + b.v}; }
  friend FloatLanes sum(FloatLanes a, FloatLanes b) { return a + b; }
  friend FloatLanes operator-(FloatLanes a, FloatLanes b) { return {a.v - b.v}; }
  friend FloatLanes operator*(FloatLanes a, FloatLanes b) { return {a.v * b.v}; }
  friend FloatLanes operator/(FloatLanes a, FloatLanes b) { return {a.v / b.v}; }
  static FloatLanes pick(Signed32 set, Vector32 yes, Vector32 no) {
    return {Vector32((Signed32(yes) & set) | (Signed32(no) & ~set))};
  }
  friend FloatLanes min(FloatLanes a, FloatLanes b) { return {a.v < b.v ? a.v : b.v}; }
  friend FloatLanes max(FloatLanes a, FloatLanes b) { return {a.v < b.v ? b.v : a.v}; }
  friend FloatLanes root(FloatLanes a) {
    return {
        Vector32{__builtin_sqrtf(a.v[0]), __builtin_sqrtf(a.v[1]), __builtin_sqrtf(a.v[2]), __builtin_sqrtf(a.v[3])}};
  }
  friend u32 greater_bits(FloatLanes a, FloatLanes b) { return sign_bits(a.v > b.v); }
  friend float greatest_lane(FloatLanes a) {
    const float low = a.v[0] > a.v[1] ? a.v[0] : a.v[1], high = a.v[2] > a.v[3] ? a.v[2] : a.v[3];
    return low > high ? low : high;
  }
  friend bool any_greater(FloatLanes a, FloatLanes b) { return any_set(Vector64(a.v > b.v)); }
  static FloatLanes choose(u32 bits, FloatLanes a, FloatLanes b) {
    const Signed32 lane = {1, 2, 4, 8}, all_bits = {int(bits), int(bits), int(bits), int(bits)};
    return pick((all_bits & lane) == lane, a.v, b.v);
  }
  static FloatLanes where_greater(FloatLanes a, FloatLanes b, FloatLanes yes, FloatLanes no) {
    return pick(a.v > b.v, yes.v, no.v);
  }
  static FloatLanes power_of_two(FloatLanes a) { return {Vector32((Unsigned32(a.v) + 127u) << 23)}; }
};
