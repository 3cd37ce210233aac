// How scan distances lie in memory, and in which form they are stored.
//
//   scans  (volumes, nz, ny, words, FAMILIES, 32) of a type K: for each row and 32 neighbours along x the families
//          z, a, b side by side, so that one pointer serves all three. Rows are padded to whole words; the padding is
//          never part of a result.
//   chunks (volumes, nz, ny / ROWS_PER_CHUNK rounded up, words, 2, 32) of K: the least of a chunk of rows, of families
//          z and a together, and of family b. Of distances in voxels it is the least k, though in family z k stands for
//          k + 1/2: a bound may be too low.
//
// K is u8, u16 or u32 for a distance in voxels (in family z, k stands for k + 1/2), or Square for the square of the
// distance. Squares are for kernel `pairs`, which searches two of them per register.
//
// A site is an odd number of half voxels away along one axis and an even number along the others. Even terms are
// multiples of 4; the odd one is 0 or 1 modulo 4. So bit 1 of a square is always 0 and is dropped: the square is
// `packed`. The sum of a packed square and a packed even one is the packed sum. Squares up to 65,529 take 15 bits, so
// the sum of two never overflows 16 bits.
#pragma once
#include "job.cuh"

namespace half_grid {

struct Square { u16 packed; };
constexpr u32 NO_SQUARE = 0x7FFF;

// Offsets in elements: of row number (volume · nz + z) · ny + y, and within a row to family z of voxel x.
DEVICE_FN i64 row_at(const Job& job, i64 row) { return row * (i64(job.words) * TILE_ELEMENTS); }
DEVICE_FN i64 tile_at(int x) { return i64(x >> 5) * TILE_ELEMENTS + (x & 31); }
// The same for chunks, where `row` is (volume · nz + z) · chunks + chunk.
DEVICE_FN int chunks_of(const Job& job) { return (job.n[1] + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK; }
DEVICE_FN i64 chunk_row_at(const Job& job, i64 row) { return row * (i64(job.words) * CHUNK_TILE_ELEMENTS); }
DEVICE_FN i64 chunk_tile_at(int x) { return i64(x >> 5) * CHUNK_TILE_ELEMENTS + (x & 31); }

// Packed costs along one axis: of 2m half steps, and of 2m + 1.
DEVICE_FN u32 packed_square(u32 square) { return (square >> 2 << 1) | (square & 1); }
DEVICE_FN u32 packed_even(u32 twice, u32 m) { return twice * m * m; }
DEVICE_FN u32 packed_odd(u32 twice, u32 odd, u32 m) { return twice * m * (m + 1) + odd; }
DEVICE_FN float unpacked(u32 packed) { return small_to_float(2 * packed - (packed & 1)); }

// What the scan stores of a distance. `far` stands for "no face": a distance starts there where no face was seen yet.
// Every distance that matters is less, and up to 64 steps may be added to `far` without overflow.
template <class K> struct Stored {
  static constexpr int BYTES = 0;  // bytes of shared memory
  u32 far;
  DEVICE_MEMBER Stored(const Job&, void*) : far(u32(smaller(i64(Scan<K>::none), 0x7FFFFF00))) {}
  DEVICE_MEMBER void prepare(const Job&, int, int) const {}
  DEVICE_MEMBER K of(u32 k) const { return k < far ? K(k) : Scan<K>::none; }
};

// Squares come from a table in shared memory: first those of k + 1/2 steps, then those of k.
template <> struct Stored<Square> {
  static constexpr int BYTES = 2 * SQUARES_AT_MOST * int(sizeof(u16));  // enough, since `far` is at most 129
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
  // Two squares for two numbers of steps. Twice a number of steps is the byte offset of its square in the table.
  DEVICE_MEMBER u32 squares_of_two(u32 twice_steps, bool half) const {
    const u8* base = reinterpret_cast<const u8*>(table) + (half ? 0 : SQUARES_AT_MOST * int(sizeof(u16)));
    return *reinterpret_cast<const u16*>(base + (twice_steps & 0xFFFF)) |
           u32(*reinterpret_cast<const u16*>(base + (twice_steps >> 16))) << 16;
  }
};

}  // namespace half_grid
