// What a label or a mask value is: its bits for comparing, its number for multiplying, its class for counting.
#pragma once
#include "device.cuh"
#include "job.cuh"

namespace half_grid {

template <class T> DEVICE_FN T load(const u8* p) { return *reinterpret_cast<const T*>(p); }

DEVICE_FN u64 load_any(const u8* p, int width) {
  return width == 1 ? load<u8>(p) : width == 2 ? load<u16>(p) : width == 4 ? load<u32>(p) : load<u64>(p);
}

// Codes are equal where labels are; `missing` where the voxel is unannotated.
template <class T> struct Label {
  T code;
  bool missing;
};

template <class T> DEVICE_FN Label<T> label_at(const Meaning& m, const u8* p) {
  Label<T> label = {load<T>(p), false};
  if (m.kind >= FLOATING) {
    label.code = float_code(label.code);
    label.missing = float_magnitude(label.code) > T(m.infinity);
  }
  if (m.has_ignored) label.missing |= label.code == T(m.ignored);
  return label;
}

// The same, where it is known beforehand whether any voxel can be unannotated.
template <class T, bool MAY_MISS> DEVICE_FN Label<T> label_of(const Meaning& m, const u8* p) {
  if (MAY_MISS) return label_at<T>(m, p);
  return {load<T>(p), false};
}

DEVICE_FN Label<u64> any_label_at(const Meaning& m, const u8* p) {
  if (m.width == 1) { const Label<u8> l = label_at<u8>(m, p); return {l.code, l.missing}; }
  if (m.width == 2) { const Label<u16> l = label_at<u16>(m, p); return {l.code, l.missing}; }
  if (m.width == 4) { const Label<u32> l = label_at<u32>(m, p); return {l.code, l.missing}; }
  return label_at<u64>(m, p);
}

DEVICE_FN double half_float(u16 bits) {
  const u64 sign = u64(bits >> 15) << 63, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return same_bits<double>(sign | 0x7FF0000000000000ull | fraction << 42);
  if (exponent == 0) return (sign ? -1.0 : 1.0) * double(fraction) * (1.0 / 16777216);
  return same_bits<double>(sign | (exponent + 1008) << 52 | fraction << 42);
}

DEVICE_FN double number_of(int kind, int width, u64 bits) {
  if (kind == BFLOAT) return double(same_bits<float>(u32(bits) << 16));
  if (kind == FLOATING) {
    if (width == 8) return same_bits<double>(bits);
    return width == 4 ? double(same_bits<float>(u32(bits))) : half_float(u16(bits));
  }
  if (kind == UNSIGNED_INTEGER) return double(bits);
  return width == 1 ? double((signed char)bits) : width == 2 ? double(short(bits)) : width == 4 ? double(int(bits)) : double(i64(bits));
}

DEVICE_FN double number_at(const Meaning& m, const u8* p) { return number_of(m.kind, m.width, load_any(p, m.width)); }

// The class of a label, or -1: unannotated, or none of the classes.
DEVICE_FN int class_of(const Meaning& m, int classes, bool foreground, const u8* p) {
  const Label<u64> label = any_label_at(m, p);
  if (label.missing) return -1;
  if (foreground) return label.code != 0;
  if (m.kind >= FLOATING) {
    const double value = number_of(m.kind, m.width, label.code);
    if (!(value >= 0 && value < double(classes))) return -1;
    const int whole = int(value);
    return double(whole) == value ? whole : -1;
  }
  if (m.kind == SIGNED_INTEGER && (label.code >> (8 * m.width - 1)) != 0) return -1;
  return label.code < u64(classes) ? int(label.code) : -1;
}

}  // namespace half_grid
