// Runs engine `cpu` without Python and prints a checksum of every result: the same on every processor and SIMD level.
// tests/arm64.sh compares those of this machine with those of another one, emulated.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cpu/engine.hpp"

using namespace half_grid;

namespace {

unsigned long long checksum(const void* data, std::size_t bytes, unsigned long long sum = 1469598103934665603ull) {
  const auto* at = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < bytes; ++i) sum = (sum ^ at[i]) * 1099511628211ull;
  return sum;
}

StridedArray dense(void* data, const std::vector<i64>& shape, int width) {
  StridedArray array;
  array.data = static_cast<unsigned char*>(data), array.shape = shape, array.width = width;
  array.strides.resize(shape.size());
  i64 step = width;
  for (std::size_t a = shape.size(); a-- > 0; step *= shape[a]) array.strides[a] = step;
  return array;
}

// Boxes of several sizes, so that distances of all lengths occur, with some voxels of value 9 that can be unannotated.
template <class T> std::vector<T> labels_of(const std::vector<i64>& shape, unsigned seed) {
  i64 count = 1;
  for (const i64 n : shape) count *= n;
  std::vector<T> labels(std::size_t(count), T(0));
  for (i64 i = 0; i < count; ++i) {
    i64 rest = i;
    unsigned box = seed;
    for (std::size_t a = shape.size(); a-- > 0; rest /= shape[a])
      box = (box ^ unsigned(rest % shape[a] / i64(9 + 4 * a))) * 2654435761u, box ^= box >> 15;
    labels[std::size_t(i)] = (unsigned(i) * 2654435761u >> 20) == 0 ? T(9) : T(box >> 7 & 3);
  }
  return labels;
}

struct Case {
  std::vector<i64> shape;
  std::vector<double> voxel_size;
  double scale;
  int background;
  bool annotated;  // 9 is a label like others
};

template <class T> void run(const Case& c, int kind, const std::string& level, int threads) {
  std::vector<T> labels = labels_of<T>(c.shape, unsigned(sizeof(T)) + unsigned(c.background));
  std::vector<float> target(labels.size()), weights(labels.size());
  const CpuTask task(Task(c.voxel_size, c.scale, c.background, false, 0), level, false);
  const LabelArray array{dense(labels.data(), c.shape, sizeof(T)), {int(sizeof(T)), kind, !c.annotated, false, 9, 0}};
  double up[2] = {0, 0}, down[2] = {1, 1};
  FusedWeights w;
  w.weights = weights.data(), w.numerators = up, w.denominators = down;
  w.slabs = 1, w.low = 0.05, w.high = 0.95, w.border = c.annotated;
  targets(task, array, dense(target.data(), c.shape, 4), &w, threads, nullptr);
  const auto sum = checksum(weights.data(), weights.size() * 4, checksum(target.data(), target.size() * 4));
  std::printf("%016llx %g %g\n", checksum(up, sizeof up, sum), double(target[target.size() / 2]), up[1]);
}

}  // namespace

int main(int count, char** arguments) {
  const std::string level = count > 1 ? arguments[1] : "auto";
  const std::vector<Case> cases = {
      {{33, 40, 70}, {8, 8, 8}, 20, ZERO, true},        {{33, 40, 70}, {40, 4, 4}, 50, SIGNED, false},
      {{17, 9, 130}, {5.24, 4, 4.1}, 12, SIGNED, true}, {{20, 30, 64}, {8, 8, 8}, 0, SIGNED, false},
      {{61, 67}, {4, 4}, 10, TIMES_LABEL, true},        {{1, 5, 3}, {1, 1, 1}, 0, ZERO, true},
      {{300, 2, 3}, {1, 2, 1}, 0, SIGNED, true},
  };
  for (const Case& c : cases)
    for (const int threads : {1, 2}) {
      run<u8>(c, UNSIGNED_INTEGER, level, threads);
      run<u16>(c, UNSIGNED_INTEGER, level, threads);
      run<std::int32_t>(c, SIGNED_INTEGER, level, threads);
      run<u64>(c, UNSIGNED_INTEGER, level, threads);
    }
  return 0;
}
