// The shadow memory: for every byte that a kernel may touch, which region it belongs to, whether anybody wrote it, and
// which threads wrote and read it since they were last ordered.
//
// A race is two accesses to one byte, at least one of them a write and not both atomic, that no barrier orders. Threads
// of two blocks are never ordered within a launch, those of a block by __syncthreads, those of a warp by __syncwarp too.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace race {

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

enum Content {
  KEPT = 0,
  FILLED = 1,
  // What the host left in a region: its content as before, all of it written, none of it written.
  FRESH = 2
};

struct Region {
  std::string name;
  bool writable;
  u64 bytes_read = 0;
};

// Accesses of one kind to one byte, in 64 bits that compare as a whole; 0 where there was none. What a later access
// must know is kept exactly: those of an earlier round of a barrier are ordered before everything that is still to come.
// From the top: block (20 bits), rounds of the block's barrier (16) and of the warp's (16), thread (10), spread (2).
typedef u64 Accesses;
enum Spread { ONE_THREAD = 0, LANES = 1, WARPS = 2, BLOCKS = 3 };
constexpr u32 MOST_BLOCKS = 1 << 20, MOST_ROUNDS = 1 << 16, MOST_THREADS = 1 << 10;

inline Accesses accesses_of(u32 block, u32 rounds, u32 warp_rounds, u32 thread) {
  return u64(block) << 44 | u64(rounds) << 28 | u64(warp_rounds) << 12 | u64(thread) << 2;
}
inline u32 block_of(Accesses a) { return u32(a >> 44); }
inline u32 rounds_of(Accesses a) { return u32(a >> 28) & 0xFFFF; }
inline u32 warp_rounds_of(Accesses a) { return u32(a >> 12) & 0xFFFF; }
inline u32 thread_of(Accesses a) { return u32(a >> 2) & 1023; }
inline u32 warp_of(Accesses a) { return thread_of(a) / 32; }
inline Spread spread_of(Accesses a) { return Spread(a & 3); }

// Whether any of `earlier` is unordered with `now`, which is one access.
inline bool unordered(Accesses earlier, Accesses now) {
  if (!earlier) return false;
  if (block_of(earlier) != block_of(now) || spread_of(earlier) == BLOCKS) return true;
  if (rounds_of(earlier) < rounds_of(now)) return false;
  if (warp_of(earlier) != warp_of(now) || spread_of(earlier) == WARPS) return true;
  if (warp_rounds_of(earlier) < warp_rounds_of(now)) return false;
  return spread_of(earlier) == LANES || thread_of(earlier) != thread_of(now);
}

// `earlier` and `now` together; `at` is the instruction of the accesses that are kept.
inline void add(Accesses& earlier, u32& at, Accesses now, u32 now_at) {
  if (earlier == now || spread_of(earlier) == BLOCKS) return;
  if (earlier && block_of(earlier) != block_of(now)) earlier |= BLOCKS;
  else if (!earlier || rounds_of(earlier) < rounds_of(now)) earlier = now, at = now_at;
  else if (spread_of(earlier) == WARPS) return;
  else if (warp_of(earlier) != warp_of(now)) earlier = (earlier & ~u64(3)) | WARPS;
  else if (warp_rounds_of(earlier) < warp_rounds_of(now)) earlier = now, at = now_at;
  else if (thread_of(earlier) != thread_of(now)) earlier = (earlier & ~u64(3)) | LANES;
}

struct Cell {
  Accesses written, read;
  u32 written_at, read_at;  // instructions, from the start of the module
  u32 launch;               // in which the byte was last part of a region
  u16 region;
  bool initialised;
  bool has_atomics;
};

struct Atomics {
  Accesses written, read;
  u32 written_at, read_at;
};

class Shadow {
 public:
  u32 launch = 0;
  std::vector<Region> regions;

  void begin_launch() {
    ++launch;
    regions.clear();
    atomics_.clear();
  }

  Cell& cell(u64 address) {
    const u64 page = address / PAGE;
    Recent& recent = recent_[page % RECENT];
    if (recent.page != page || !recent.cells) {
      Cell*& cells = pages_[page];
      if (!cells) cells = static_cast<Cell*>(calloc(PAGE, sizeof(Cell)));
      recent = {page, cells};
    }
    return recent.cells[address % PAGE];
  }

  Atomics& atomics(u64 address) { return atomics_[address]; }

  void mark(u64 begin, u64 end, u16 region, Content content) {
    for (u64 at = begin; at < end; ++at) {
      Cell& c = cell(at);
      c.written = c.read = 0, c.has_atomics = false;
      c.launch = launch, c.region = region;
      if (content != KEPT) c.initialised = content == FILLED;
    }
  }

  void set_initialised(u64 begin, u64 end, bool initialised) {
    for (u64 at = begin; at < end; ++at) cell(at).initialised = initialised;
  }

 private:
  static constexpr u64 PAGE = 4096, RECENT = 256;
  struct Recent {
    u64 page;
    Cell* cells;
  };
  std::unordered_map<u64, Cell*> pages_;
  std::unordered_map<u64, Atomics> atomics_;
  Recent recent_[RECENT] = {};
};

// Each kind of finding at each pair of instructions once, with how often it came up.
struct Finding {
  u64 times;
  std::string text;
};

class Findings {
 public:
  // `at` and `other` are instructions, or 0; `text` says where that is already known.
  void add(const std::string& kind, u64 at, u64 other, const std::string& text) {
    Finding& finding = all_[std::make_tuple(kind, at, other, at ? std::string() : text)];
    if (!finding.times++) finding.text = text;
  }

  // One a line: kind, instructions in hexadecimal, how often, text; between tabs.
  std::string taken() {
    std::string lines;
    for (const auto& [key, finding] : all_) {
      char numbers[80];
      snprintf(numbers, sizeof numbers, "\t%llx\t%llx\t%llu\t", (unsigned long long)std::get<1>(key),
               (unsigned long long)std::get<2>(key), (unsigned long long)finding.times);
      lines += std::get<0>(key) + numbers + finding.text + "\n";
    }
    all_.clear();
    return lines;
  }

 private:
  std::map<std::tuple<std::string, u64, u64, std::string>, Finding> all_;
};

}  // namespace race
