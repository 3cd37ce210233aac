// Which SIMD levels run on this processor, and which of them a task gets.
#include <algorithm>
#include <stdexcept>

#include "engine.hpp"

namespace half_grid {

std::vector<std::string> levels() {
  std::vector<std::string> names;
#if defined(HALF_GRID_HAS_AVX512)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx2"))
    names.push_back("avx512");
#endif
#if defined(HALF_GRID_HAS_AVX2)
  if (__builtin_cpu_supports("avx2")) names.push_back("avx2");
#endif
  names.push_back("baseline");
  return names;
}

const Level* level_named(const std::string& name) {
  const std::vector<std::string> runs = levels();
  const std::string& wanted = name == "auto" ? runs.front() : name;
  if (std::find(runs.begin(), runs.end(), wanted) == runs.end())
    throw std::invalid_argument("SIMD level " + name + " does not run on this processor");
#if defined(HALF_GRID_HAS_AVX512)
  if (wanted == "avx512") return level_avx512();
#endif
#if defined(HALF_GRID_HAS_AVX2)
  if (wanted == "avx2") return level_avx2();
#endif
  return level_baseline();
}

CpuTask::CpuTask(const Task& task, const std::string& name, bool in_float)
    : Task(task), level(level_named(name)), always_float(in_float) {
  if (name != "auto" || in_float) return;
  for (const std::string& other : levels())
    if (other != "baseline") narrower.push_back(level_named(other));
}

}  // namespace half_grid
