// How scan distances lie in memory, and what is stored of one.
//
//   scans  (volumes, nz, ny, words, FAMILIES, 32) of a type K: per row and 32 neighbours along x the families z, a, b
//          side by side, so that one pointer serves all three. PackedRows are padded to whole words; what lies there is never
//          part of an answer.
//   chunks (volumes, nz, ny / ROWS_PER_CHUNK rounded up, words, 2, 32) of Square, with squares only: the least of a chunk of rows,
//          of families z and a together, and of family b.
//
// K is u8, u16 or u32, a distance in voxels (k stands for k + 1/2 in family z), or Square: the square itself, for the
// kernel that searches two squares per register.
//
// A square is the sum of one odd and of even numbers of half steps, squared, times whole numbers: 4n + r, where r is 0
// or 1 since squares of whole numbers are. Its second bit is always 0 and is left out: `packed`. Sums of a packed square
// and packed even ones are packed sums, and squares up to 65,529 take 15 bits, so that no sum of two wraps.
#pragma once
#include "job.cuh"

namespace half_grid {

struct Square { u16 packed; };
constexpr u32 NO_SQUARE = 0x7FFF;

// Elements from the first of a row (volume · nz + z) · ny + y to family z of voxel x.
DEVICE_FN i64 row_at(const Job& job, i64 row) { return row * (i64(job.words) * TILE_ELEMENTS); }
DEVICE_FN i64 tile_at(int x) { return i64(x >> 5) * TILE_ELEMENTS + (x & 31); }
// The same for chunks; `row` is (volume · nz + z) · chunks + chunk.
DEVICE_FN int chunks_of(const Job& job) { return (job.n[1] + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK; }
DEVICE_FN i64 chunk_row_at(const Job& job, i64 row) { return row * (i64(job.words) * CHUNK_TILE_ELEMENTS); }
DEVICE_FN i64 chunk_tile_at(int x) { return i64(x >> 5) * CHUNK_TILE_ELEMENTS + (x & 31); }

// Costs of ways along one axis, packed: 2m half steps, and 2m + 1.
DEVICE_FN u32 packed_square(u32 square) { return (square >> 2 << 1) | (square & 1); }
DEVICE_FN u32 packed_even(u32 twice, u32 m) { return twice * m * m; }
DEVICE_FN u32 packed_odd(u32 twice, u32 odd, u32 m) { return twice * m * (m + 1) + odd; }
DEVICE_FN float unpacked(u32 packed) { return small_to_float(2 * packed - (packed & 1)); }

// What the scan stores. `far` stands for "no face": distances begin there where none was seen, and no distance that
// counts reaches it; up to 64 steps more may be added to it.
template <class K> struct Stored {
  static constexpr int BYTES = 0;  // of shared memory
  u32 far;
  DEVICE_MEMBER Stored(const Job&, void*) : far(u32(smaller(i64(Scan<K>::none), 0x7FFFFF00))) {}
  DEVICE_MEMBER void prepare(const Job&, int, int) const {}
  DEVICE_MEMBER K of(u32 k) const { return k < far ? K(k) : Scan<K>::none; }
};

// Squares are looked up: first those of k + 1/2 steps, then those of k.
template <> struct Stored<Square> {
  static constexpr int BYTES = 2 * SQUARES_AT_MOST * int(sizeof(u16));  // `far` is at most 129
  u32 far;
  u16* table;
  DEVICE_MEMBER Stored(const Job& job, void* shared) : far(u32(job.deepest)), table(static_cast<u16*>(shared)) {}
  DEVICE_MEMBER void prepare(const Job& job, int thread, int threads) const {
    const u32 twice = u32(job.twice[0]), odd = packed_square(twice / 2);
    for (int k = thread; k < SQUARES_AT_MOST; k += threads)
      table[k] = clipped(packed_odd(twice, odd, u32(k))),
      table[SQUARES_AT_MOST + k] = clipped(packed_even(twice, u32(k)));
  }
  DEVICE_MEMBER static u16 clipped(u32 square) { return u16(square < NO_SQUARE ? square : NO_SQUARE); }
  // Two squares from twice two numbers of steps, which is where they lie.
  DEVICE_MEMBER u32 squares_of_two(u32 twice_steps, bool half) const {
    const u8* base = reinterpret_cast<const u8*>(table) + (half ? 0 : SQUARES_AT_MOST * int(sizeof(u16)));
    return *reinterpret_cast<const u16*>(base + (twice_steps & 0xFFFF)) |
           u32(*reinterpret_cast<const u16*>(base + (twice_steps >> 16))) << 16;
  }
};

}  // namespace half_grid
