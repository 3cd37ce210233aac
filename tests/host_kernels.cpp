// Every kernel of kernels/cuda behind one C function, run on the host by launch_shim.hpp; see host_launcher.py.
#include "launch_shim.hpp"

#include "cuda/doubled.cu"
#include "cuda/pairs.cu"
#include "cuda/plane.cu"
#include "cuda/scan.cu"
#include "cuda/weights.cu"

#include <stddef.h>

#include <map>
#include <string>

using namespace half_grid;

#define FIELD(type, field) {#type "." #field, offsetof(type, field)}

namespace {

template <class Record, void (*kernel)(const Record)> void call(const void* record) { kernel(*static_cast<const Record*>(record)); }

const std::map<std::string, void (*)(const void*)> kernels = {
#define SCAN(T, K) {"half_grid::scan<" #T ", " #K ">", call<Job, scan<T, K>>},
#define SCANS(T) SCAN(T, unsigned char) SCAN(T, unsigned short) SCAN(T, unsigned int) SCAN(T, half_grid::Square)
    SCANS(unsigned char) SCANS(unsigned short) SCANS(unsigned int) SCANS(unsigned long long)
#define PLANE(K) {"half_grid::plane<" #K ", false>", call<Job, plane<K, false>>}, {"half_grid::plane<" #K ", true>", call<Job, plane<K, true>>},
    PLANE(unsigned char) PLANE(unsigned short) PLANE(unsigned int)
#define MARK(T) {"half_grid::mark<" #T ">", call<Doubled, mark<T>>},
    MARK(unsigned char) MARK(unsigned short) MARK(unsigned int) MARK(unsigned long long)
    {"half_grid::pairs", call<Job, pairs>},
    {"half_grid::sample", call<Doubled, sample>},
    {"half_grid::count", call<Weighing, count>},
    {"half_grid::settle", call<Weighing, settle>},
    {"half_grid::weigh", call<Weighing, weigh>},
};

const std::map<std::string, size_t> places = {
    {"View", sizeof(View)}, {"Meaning", sizeof(Meaning)}, {"Job", sizeof(Job)}, {"Weighing", sizeof(Weighing)},
    {"Doubled", sizeof(Doubled)}, {"Sum", sizeof(Sum)},
    FIELD(View, lead), FIELD(View, step), FIELD(Meaning, ignored), FIELD(Meaning, infinity),
    FIELD(Job, mask), FIELD(Job, target), FIELD(Job, weight), FIELD(Job, label), FIELD(Job, mask_value), FIELD(Job, volumes),
    FIELD(Job, leading), FIELD(Job, slabs), FIELD(Job, scans), FIELD(Job, chunks), FIELD(Job, inside), FIELD(Job, known),
    FIELD(Job, flags), FIELD(Job, counted), FIELD(Job, class_weight), FIELD(Job, segments), FIELD(Job, values), FIELD(Job, rows), FIELD(Job, n),
    FIELD(Job, words), FIELD(Job, unit), FIELD(Job, square), FIELD(Job, border), FIELD(Job, border_least), FIELD(Job, cap),
    FIELD(Job, factor), FIELD(Job, lonely), FIELD(Job, lonely_square), FIELD(Job, fill), FIELD(Job, background), FIELD(Job, world),
    FIELD(Job, plain), FIELD(Job, everywhere), FIELD(Job, bordered),
    FIELD(Job, replicas), FIELD(Job, twice), FIELD(Job, limit), FIELD(Job, deepest),
    FIELD(Weighing, mask), FIELD(Weighing, shape), FIELD(Weighing, slab), FIELD(Weighing, label_step), FIELD(Weighing, mask_step),
    FIELD(Weighing, label), FIELD(Weighing, mask_value), FIELD(Weighing, slabs), FIELD(Weighing, parts), FIELD(Weighing, classes),
    FIELD(Weighing, foreground), FIELD(Weighing, replicas), FIELD(Weighing, counted), FIELD(Weighing, sums), FIELD(Weighing, numerators_before),
    FIELD(Weighing, denominators_before), FIELD(Weighing, numerators), FIELD(Weighing, denominators), FIELD(Weighing, class_weight),
    FIELD(Weighing, weights), FIELD(Weighing, low), FIELD(Weighing, high),
    FIELD(Doubled, grid), FIELD(Doubled, distances), FIELD(Doubled, volume),
    {"LEADING", LEADING}, {"AXES", AXES}, {"PART", PART}, {"THREADS", THREADS}, {"ROWS", ROWS}, {"PAIR_ROWS", PAIR_ROWS}, {"PAIRS", PAIRS}, {"COSTS", COSTS}, {"TILE", TILE}, {"CHUNK", CHUNK}, {"CHUNK_TILE", CHUNK_TILE}, {"KINDS", KINDS}, {"STEPS", STEPS}, {"FAMILIES", FAMILIES},
    {"PAIR_BYTES", 4 * sizeof(Rows)}, {"PAIR_THREADS", PAIR_THREADS}, {"HAS_SITE", HAS_SITE}, {"HAS_MISSING", HAS_MISSING},
};

}  // namespace

extern "C" {

// 0: done. 1: threads wait for ever. 2: no such kernel.
int run_kernel(const char* name, const void* record, unsigned grid, const unsigned* block, size_t shared_bytes, int order) {
  const auto found = kernels.find(name);
  if (found == kernels.end()) return 2;
  return shim::run(found->second, record, {grid, 1, 1}, {block[0], block[1], block[2]}, shared_bytes, shim::Order(order));
}

// The n-th name and its size, offset or value; null behind the last.
const char* place(int n, size_t* value) {
  if (n >= int(places.size())) return nullptr;
  auto at = places.begin();
  for (int i = 0; i < n; ++i) ++at;
  *value = at->second;
  return at->first.c_str();
}

void units(const double* voxel_size, int axes, double scale, double* numbers) {
  const Units u = units_of(voxel_size, axes);
  numbers[0] = u.length, numbers[1] = u.whole, numbers[2] = saturated_square(u, scale);
  for (int a = 0; a < axes; ++a) numbers[3 + a] = u.square[a];
}
}
