// How a label or a mask value is read: its bits to compare it, its number to multiply with it, its class to count it.
#pragma once
#include "half_grid.hpp"

namespace half_grid {

enum Kind { UNSIGNED_INTEGER = 0, SIGNED_INTEGER = 1, FLOATING = 2, BFLOAT = 3 };

// How the bytes of a label or a mask are read.
struct ElementFormat {
  int width, kind;  // bytes of an element, and its Kind; bool is an unsigned integer
  int has_ignored;  // whether the label `ignored` marks unannotated voxels
  int foreign;      // whether the byte order is not that of the machine; only engine `cpu` is given such arrays
  u64 ignored;      // the bits of that label, in the width of an element; -0.0 is given as 0
  u64 infinity;     // the bits of infinity for a float; a greater magnitude is NaN
};
static_assert(sizeof(ElementFormat) == 32, "the same under both compilers");

template <class T> HALF_GRID_FN T load(const u8* p) {
#if defined(__CUDACC__)
  return *reinterpret_cast<const T*>(p);
#else
  T value;  // the address may have any alignment
  __builtin_memcpy(&value, p, sizeof(T));
  return value;
#endif
}

template <class T> HALF_GRID_FN T bits_at(const ElementFormat& format, const u8* p) {
  const T bits = load<T>(p);
#if !defined(__CUDACC__)
  if (format.foreign) return swapped(bits);
#endif
  return bits;
}

HALF_GRID_FN u64 any_bits_at(const ElementFormat& format, const u8* p) {
  return format.width == 1   ? bits_at<u8>(format, p)
         : format.width == 2 ? bits_at<u16>(format, p)
         : format.width == 4 ? bits_at<u32>(format, p)
                             : bits_at<u64>(format, p);
}

// `code`: bits that are equal exactly where the labels are. `missing`: the voxel is unannotated.
template <class T> struct Label {
  T code;
  bool missing;
};

template <class T> HALF_GRID_FN Label<T> label_at(const ElementFormat& format, const u8* p) {
  Label<T> label = {bits_at<T>(format, p), false};
  if (format.kind >= FLOATING) {
    label.code = float_code(label.code);
    label.missing = float_magnitude(label.code) > T(format.infinity);
  }
  if (format.has_ignored) label.missing |= label.code == T(format.ignored);
  return label;
}

// As `label_at`, for a caller that can rule out unannotated voxels at compile time.
template <class T, bool MAY_MISS> HALF_GRID_FN Label<T> label_of(const ElementFormat& format, const u8* p) {
  if (MAY_MISS) return label_at<T>(format, p);
  return {load<T>(p), false};
}

// Which labels are in which classes. `members` has a row of `groups` words for each id that is in some class, and a row
// of zeros behind them; bit c % 32 of word c / 32 says whether the label is in class c. For labels of one byte there is a
// row for each of the 256 codes instead, so that nothing is searched.
struct ClassTable {
  const u64* ids;      // (count) codes in ascending order; null for labels of one byte
  const u32* members;  // (count + 1, groups)
  i64 count;
  int classes, groups;  // classes: 0 where the labels themselves are the objects
};
static_assert(sizeof(ClassTable) == 32, "the same under both compilers");

// The row of a label in `members`.
template <class T> HALF_GRID_FN i64 class_row_of(const ClassTable& table, T code) {
  if (!table.ids) return i64(code);
  i64 low = 0, high = table.count;  // all ids before `low` are less than the code; none from `high` on is
  while (low < high) {
    const i64 middle = (low + high) / 2;
    if (table.ids[middle] < u64(code)) low = middle + 1;
    else high = middle;
  }
  return low < table.count && table.ids[low] == u64(code) ? low : table.count;
}

HALF_GRID_FN bool is_in_class(const ClassTable& table, i64 row, i64 c) {
  return table.members[row * table.groups + c / 32] >> (c % 32) & 1;
}

HALF_GRID_FN double half_float(u16 bits) {
  const u64 sign = u64(bits >> 15) << 63, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return same_bits<double>(sign | 0x7FF0000000000000ull | fraction << 42);
  if (exponent == 0) return (sign ? -1.0 : 1.0) * double(fraction) * (1.0 / 16777216);
  return same_bits<double>(sign | (exponent + 1008) << 52 | fraction << 42);
}

HALF_GRID_FN double number_of(int kind, int width, u64 bits) {
  if (kind == BFLOAT) return double(same_bits<float>(u32(bits) << 16));
  if (kind == FLOATING) {
    if (width == 8) return same_bits<double>(bits);
    return width == 4 ? double(same_bits<float>(u32(bits))) : half_float(u16(bits));
  }
  if (kind == UNSIGNED_INTEGER) return double(bits);
  return width == 1   ? double((signed char)bits)
         : width == 2 ? double(short(bits))
         : width == 4 ? double(int(bits))
                      : double(i64(bits));
}

HALF_GRID_FN double number_at(const ElementFormat& format, const u8* p) {
  return number_of(format.kind, format.width, any_bits_at(format, p));
}

// The class of a label, or -1 where it is unannotated or none of the classes. With `foreground` class 0 is label = 0
// and class 1 is label ≠ 0.
template <class T> HALF_GRID_FN int class_of(const ElementFormat& format, int classes, bool foreground,
                                             Label<T> label) {
  if (label.missing) return -1;
  if (foreground) return label.code != 0;
  if (format.kind >= FLOATING) {
    const double value = number_of(format.kind, format.width, label.code);
    if (!(value >= 0 && value < double(classes))) return -1;
    const int whole = int(value);
    return double(whole) == value ? whole : -1;
  }
  if (format.kind == SIGNED_INTEGER && (label.code >> (8 * format.width - 1)) != 0) return -1;
  return u64(label.code) < u64(classes) ? int(label.code) : -1;
}

HALF_GRID_FN Label<u64> any_label_at(const ElementFormat& format, const u8* p) {
  if (format.width == 1) {
    const Label<u8> label = label_at<u8>(format, p);
    return {label.code, label.missing};
  }
  if (format.width == 2) {
    const Label<u16> label = label_at<u16>(format, p);
    return {label.code, label.missing};
  }
  if (format.width == 4) {
    const Label<u32> label = label_at<u32>(format, p);
    return {label.code, label.missing};
  }
  return label_at<u64>(format, p);
}

}  // namespace half_grid
