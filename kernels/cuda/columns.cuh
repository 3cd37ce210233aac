// Reads labels column by column. The faces of 32 steps along z become the bits of a word, one word per family.
#pragma once
#include "job.cuh"

namespace half_grid {

// Where a column is read: its first voxel, the neighbour below (y + 1) and the one beside (x + 1). At the border the
// neighbour is the voxel itself, so that there is no face.
struct Column {
  const u8 *here, *below, *beside;
  i64 step;
  int steps;  // of the segment, along z
  bool last;  // no segment follows
  bool real;  // the column lies within the volume
};

// What a lane holds. z, a, b: bit i is the face at step i of this lane's column. inside, annotated: bit x is voxel x of
// the row at step `lane`.
struct Segment { u32 z, a, b, inside, annotated; };

// The lanes of a warp read 32 neighbours along x.
template <class T, bool MAY_MISS> DEVICE_FN Segment read_columns(const ElementFormat& format, const Column& column) {
  const int lane = int(threadIdx.x), end = column.last ? column.steps - 1 : column.steps;
  const u8 *p = column.here, *q = column.below, *r = column.beside;
  Segment found = {0, 0, 0, 0, 0};
  Label<T> here = label_of<T, MAY_MISS>(format, p);
#pragma unroll 4
  for (int i = 0; i < column.steps; ++i) {
    const Label<T> below = label_of<T, MAY_MISS>(format, q), beside = label_of<T, MAY_MISS>(format, r);
    if (i < end) p += column.step;
    q += column.step;
    r += column.step;
    const Label<T> behind = label_of<T, MAY_MISS>(format, p);
    const u32 bit = here.missing ? 0 : 1u << i;
    if (here.code != behind.code && !behind.missing) found.z |= bit;
    if (here.code != below.code && !below.missing) found.a |= bit;
    if (here.code != beside.code && !beside.missing) found.b |= bit;
    const u32 inside = __ballot_sync(~0u, column.real && !here.missing && here.code != 0);
    if (lane == i) found.inside = inside;
    if (MAY_MISS) {
      const u32 annotated = __ballot_sync(~0u, column.real && !here.missing);
      if (lane == i) found.annotated = annotated;
    }
    here = behind;
  }
  return found;
}

// Sets bit 7 of each byte in which a and b differ.
DEVICE_FN u32 differing(u32 a, u32 b) {
  const u32 off = a ^ b;
  return (((off & 0x7F7F7F7Fu) + 0x7F7F7F7Fu) | off) & 0x80808080u;
}

// Four words of four bytes, transposed: byte i of word j becomes byte j of word i.
DEVICE_FN void transpose_bytes(u32 (&w)[4]) {
  const u32 a = __byte_perm(w[0], w[1], 0x5140), b = __byte_perm(w[2], w[3], 0x5140);
  const u32 c = __byte_perm(w[0], w[1], 0x7362), d = __byte_perm(w[2], w[3], 0x7362);
  w[0] = __byte_perm(a, b, 0x5410), w[1] = __byte_perm(a, b, 0x7632);
  w[2] = __byte_perm(c, d, 0x5410), w[3] = __byte_perm(c, d, 0x7632);
}

// Moves three words down and puts `last` at the end. An array that is indexed by a variable would leave the registers.
DEVICE_FN void put_last(u32 (&w)[4], u32 last) { w[0] = w[1], w[1] = w[2], w[2] = w[3], w[3] = last; }

// As `Segment`, for four neighbours along x that are read at once: labels of one byte, side by side, at an address that
// is a multiple of four. `beside` then points at the neighbour of the last one.
struct FourColumns { u32 z[4], a[4], b[4], inside[4]; };

DEVICE_FN void read_four_columns(const Column& column, FourColumns& found) {
  found = {};
  const u8 *p = column.here, *q = column.below, *r = column.beside;
  u32 here = *reinterpret_cast<const u32*>(p);
#pragma unroll 1
  for (int group = 0; group < 4; ++group) {
    u32 z = 0, a = 0, b = 0, inside = 0;
    if (group * 8 < column.steps) {
#pragma unroll 4
      for (int i = group * 8; i < group * 8 + 8; ++i) {
        // Beyond the segment the last voxel is read again; those bits are cleared below.
        const u32 below = *reinterpret_cast<const u32*>(q), next = *r;
        if (i + 1 < column.steps) q += column.step, r += column.step;
        if (i + 1 < column.steps + (column.last ? 0 : 1)) p += column.step;
        const u32 behind = *reinterpret_cast<const u32*>(p);
        z = z >> 1 | differing(here, behind);
        a = a >> 1 | differing(here, below);
        b = b >> 1 | differing(here, __byte_perm(here, next, 0x4321));
        inside = inside >> 1 | differing(here, 0);
        here = behind;
      }
    }
    put_last(found.z, z), put_last(found.a, a), put_last(found.b, b), put_last(found.inside, inside);
  }
  transpose_bytes(found.z), transpose_bytes(found.a), transpose_bytes(found.b), transpose_bytes(found.inside);
  const u32 there = column.real ? column.steps < STEPS ? (1u << column.steps) - 1 : ~0u : 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) found.z[i] &= there, found.a[i] &= there, found.b[i] &= there, found.inside[i] &= there;
}

// Transposes 32 × 32 bits, one row per lane: bit i of lane j becomes bit j of lane i (Warren 2012, "Hacker's Delight",
// 7-3).
DEVICE_FN u32 transposed(u32 word) {
  u32 mask = 0x0000FFFFu;
#pragma unroll
  for (int apart = 16; apart; apart /= 2, mask ^= mask << apart) {
    const u32 other = __shfl_xor_sync(~0u, word, apart);
    word = (int(threadIdx.x) & apart) ? (word & ~mask) | (other >> apart & mask)
                                      : (word & mask) | (other << apart & ~mask);
  }
  return word;
}

}  // namespace half_grid
