// The runtime of kernels that were compiled with -fsanitize=thread. The compiler reports every access to memory, and
// the runtime checks it against the shadow memory. Threads of a block are fibers (fibers.hpp); launch_shim.hpp is what
// kernels see.
//
// __ballot_sync and __shfl_xor_sync make lanes wait for each other, but order no memory: only __syncwarp does. Volatile
// accesses count as atomic.
#include "launch_shim.hpp"
#include "fibers.hpp"

using namespace race;

namespace {

Shadow shadow;
u64 accesses;
std::string by_whom() { return "by block " + std::to_string(block_index.x) + ", thread " + std::to_string(current); }

void report(const char* kind, u64 at, u64 other, u64 address, u32 size) {
  const Cell& c = shadow.cell(address);
  std::string region = "nothing that was given to it";
  if (c.launch == shadow.launch) region = shadow.regions[c.region].name;
  findings.add(kind, at, other, std::to_string(size) + " bytes of " + region + " " + by_whom());
}

void look(u64 address, u32 size, bool writes, bool reads, bool atomic, u64 at) {
  ++accesses;
  Cell& first = shadow.cell(address);
  if (first.launch != shadow.launch) {
    const bool constant = address >= module.begin && address + size <= module.end;
    if (!constant || writes) report(writes ? "write out of bounds" : "read out of bounds", at, 0, address, size);
    return;
  }
  if (!(size & (size - 1)) && address % size) report("misaligned access", at, 0, address, size);
  Region& region = shadow.regions[first.region];
  if (reads) region.bytes_read += size;
  if (writes && !region.writable) report("write to an input", at, 0, address, size);
  const Fiber& fiber = fibers[current];
  const Accesses now = accesses_of(block_index.x, fiber.rounds, fiber.warp_rounds, current);
  const u32 here = u32(at - module.begin);
  for (u64 byte = address; byte < address + size; ++byte) {
    Cell& c = shadow.cell(byte);
    if (c.launch != shadow.launch || c.region != first.region)
      return report("access across an end", at, 0, address, size);
    if (reads && !c.initialised) report("uninitialised read", at, 0, address, size);
    if (unordered(c.written, now)) report("race", at, module.begin + c.written_at, address, size);
    if (writes && unordered(c.read, now)) report("race", at, module.begin + c.read_at, address, size);
    if (atomic) {
      Atomics& others = shadow.atomics(byte);
      c.has_atomics = true;
      if (writes) add(others.written, others.written_at, now, here);
      else add(others.read, others.read_at, now, here);
    } else {
      if (c.has_atomics) {
        Atomics& others = shadow.atomics(byte);
        if (unordered(others.written, now)) report("race", at, module.begin + others.written_at, address, size);
        if (writes && unordered(others.read, now)) report("race", at, module.begin + others.read_at, address, size);
        if (writes) others = Atomics(), c.has_atomics = false;
      }
      if (writes) c.written = now, c.written_at = here, c.read = 0;
      else add(c.read, c.read_at, now, here);
    }
    if (writes) c.initialised = true;
  }
}

// A thread's own variables lie on its stack, where nobody else accesses them.
inline void access(const volatile void* p, size_t size, bool writes, bool reads, bool atomic, void* at) {
  const char* address = const_cast<const char*>(static_cast<const volatile char*>(p));
  if (address < stacks || address >= stacks + MOST_THREADS * STACK)
    look(u64(address), u32(size), writes, reads, atomic, u64(at));
}

void count_round(u32& rounds) {
  if (++rounds == MOST_ROUNDS)
    fprintf(stderr, "a block waits %u times: too often for the shadow memory\n", rounds), abort();
}

void wait_for_warp(u32 lanes, const char* file, int line) {
  if (lanes != ~0u || threads % 32) findings.add("part of a warp", 0, 0, base_name(file) + ":" + std::to_string(line));
  wait(warps[current / 32], threads - current / 32 * 32 < 32 ? threads % 32 : 32, file, line);
}

template <class T> u64 exchange(void* at, T value) {
  const T before = *static_cast<T*>(at);
  *static_cast<T*>(at) = value;
  return before;
}

}  // namespace

#define HERE __builtin_return_address(0)
// clang-format off
#define ACCESSES(n)                                                                                   \
  void __tsan_read##n(void* p) { access(p, n, false, true, false, HERE); }                            \
  void __tsan_write##n(void* p) { access(p, n, true, false, false, HERE); }                           \
  void __tsan_unaligned_read##n(void* p) { access(p, n, false, true, false, HERE); }                  \
  void __tsan_unaligned_write##n(void* p) { access(p, n, true, false, false, HERE); }                 \
  void __tsan_volatile_read##n(void* p) { access(p, n, false, true, true, HERE); }                    \
  void __tsan_volatile_write##n(void* p) { access(p, n, true, false, true, HERE); }                   \
  void __tsan_unaligned_volatile_read##n(void* p) { access(p, n, false, true, true, HERE); }          \
  void __tsan_unaligned_volatile_write##n(void* p) { access(p, n, true, false, true, HERE); }
// clang-format on

// As in gcc's libubsan.
struct SourceLocation {
  const char* file;
  u32 line, column;
};
static void report_undefined(const char* kind, const void* data) {
  const SourceLocation& place = *static_cast<const SourceLocation*>(data);
  findings.add(kind, 0, 0, base_name(place.file) + ":" + std::to_string(place.line));
}

extern "C" {
// clang-format off
ACCESSES(1) ACCESSES(2) ACCESSES(4) ACCESSES(8) ACCESSES(16)
    // clang-format on
    void __tsan_read_range(void* p, size_t size) {
  access(p, size, false, true, false, HERE);
}
void __tsan_write_range(void* p, size_t size) { access(p, size, true, false, false, HERE); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __ubsan_handle_shift_out_of_bounds(void* data, u64, u64) { report_undefined("shift out of range", data); }
void __ubsan_handle_out_of_bounds(void* data, u64) { report_undefined("index out of range", data); }
void __ubsan_handle_type_mismatch_v1(void* data, u64) { report_undefined("misaligned access", data); }

Dim3 race_thread() { return fibers[current].index; }
Dim3 race_block() { return block_index; }
Dim3 race_block_size() { return block_size; }
Dim3 race_grid_size() { return grid_size; }
void* race_dynamic_shared() { return dynamic; }

void race_syncthreads(const char* file, int line) {
  wait(all, threads, file, line);
  count_round(fibers[current].rounds);
  count_round(fibers[current].warp_rounds);
}
void race_syncwarp(const char* file, int line) {
  wait_for_warp(~0u, file, line);
  count_round(fibers[current].warp_rounds);
}
unsigned race_ballot(unsigned lanes, bool predicate, const char* file, int line) {
  u32& ballot = ballots[current / 32];
  const u32 bit = 1u << current % 32;
  ballot = predicate ? ballot | bit : ballot & ~bit;
  wait_for_warp(lanes, file, line);
  const u32 result = ballot;
  wait_for_warp(lanes, file, line);
  return result;
}
unsigned race_shuffle_xor(unsigned lanes, unsigned value, unsigned apart, const char* file, int line) {
  exchanged[current] = value;
  wait_for_warp(lanes, file, line);
  const u32 result = exchanged[current ^ apart];
  wait_for_warp(lanes, file, line);
  return result;
}
unsigned long long race_atomic_add(void* at, size_t size, unsigned long long value) {
  access(at, size, true, true, true, HERE);
  return size == 4 ? exchange<u32>(at, *static_cast<u32*>(at) + u32(value))
                   : exchange<u64>(at, *static_cast<u64*>(at) + value);
}
unsigned long long race_atomic_or(void* at, size_t size, unsigned long long value) {
  access(at, size, true, true, true, HERE);
  return size == 4 ? exchange<u32>(at, *static_cast<u32*>(at) | u32(value))
                   : exchange<u64>(at, *static_cast<u64*>(at) | value);
}

// The host first names all memory of the next launch, region by region, and then launches.
void race_begin() { shadow.begin_launch(); }
void race_region(const char* name, bool writable) { shadow.regions.push_back({name, writable, 0}); }
// Adds an array to the region named last: its elements, but no byte between them. Steps are in bytes.
void race_array(u64 data, int axes, const int64_t* extents, const int64_t* steps, int64_t width, int content) {
  if (axes == 0) return shadow.mark(data, data + u64(width), u16(shadow.regions.size() - 1), Content(content));
  for (int64_t i = 0; i < *extents; ++i) {
    race_array(data + u64(i * *steps), axes - 1, extents + 1, steps + 1, width, content);
    if (*steps == 0) break;
  }
}
void race_initialised(u64 begin, u64 end, bool initialised) { shadow.set_initialised(begin, end, initialised); }

bool race_run(void (*kernel)(const void*), const void* argument, const Module* of, u32 blocks, const u32* block,
              size_t shared_bytes, int order) {
  module = *of, body = kernel, record = argument, grid_size = {blocks, 1, 1},
  block_size = {block[0], block[1], block[2]};
  threads = block_size.x * block_size.y * block_size.z;
  if (threads > MOST_THREADS || blocks > MOST_BLOCKS || shared_bytes + 4096 > SHARED)
    fprintf(stderr, "the launch is too large for the shadow memory\n"), abort();
  if (!fibers) make_fibers();
  race_region("shared memory", true);
  const u16 shared = u16(shadow.regions.size() - 1);
  for (block_index = {0, 0, 0}; block_index.x < blocks; ++block_index.x) {
    memset(dynamic, 0xA5, shared_bytes);
    shadow.mark(u64(dynamic), u64(dynamic) + shared_bytes, shared, FRESH);
    shadow.mark(module.shared_begin, module.shared_end, shared, FRESH);
    if (!run_block(order)) {
      make_fibers();  // fibers that still wait are made anew
      return false;
    }
  }
  return true;
}

u64 race_accesses() { return accesses; }
// Bytes that the last launch has read from regions of that name.
u64 race_bytes_read(const char* name) {
  u64 bytes = 0;
  for (const Region& region : shadow.regions) bytes += region.name == name ? region.bytes_read : 0;
  return bytes;
}
const char* race_findings() {
  static std::string lines;
  lines = findings.taken();
  return lines.c_str();
}
}
