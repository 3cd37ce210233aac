// The lower envelope of kernels/cpu/envelope.hpp behind one C function; see test_cpu_envelope.py.
#include <vector>

#include "volume.hpp"

namespace half_grid {
namespace {
#include "envelope.hpp"
}
}  // namespace half_grid

using namespace half_grid;

extern "C" void envelope(const float* whole, const float* half, long long rows, float half_step_square, float vouched,
                         float* best) {
  std::vector<Parabola> hull(std::size_t(2 * rows + 2));
  search_far(whole, half, rows, 1, half_step_square, vouched, best, 1, hull.data());
}
