// The loops of one SIMD level. This file is compiled once per level, each time with that level's flags and macro.
//
// Everything is in an unnamed namespace and nothing comes from the standard library. Otherwise the linker might keep a
// copy of an inline function that was compiled here with wide instructions, and use it on every processor.
#include "simd.hpp"
#include "tanh.hpp"
#include "volume.hpp"

namespace half_grid {
namespace {
#include "lanes.hpp"
#include "rows.hpp"
#include "scan.hpp"
#include "classify.hpp"
#include "search.hpp"
#include "envelope.hpp"
#include "transpose.hpp"
#include "lines.hpp"
#include "finish.hpp"
#include "plane.hpp"
#include "panel.hpp"
#include "panels.hpp"
#include "bands.hpp"

void panels_of(const PlaneTask& task, bool whole) {
  if (whole) return panels<WholeLanes, u8>(task);
  switch (task.volume->plan->scan_bytes) {
    case 1: return panels<FloatLanes, u8>(task);
    case 2: return panels<FloatLanes, u16>(task);
    default: return panels<FloatLanes, u32>(task);
  }
}

void bands_of(const PlaneTask& task, bool whole) {
  if (whole) bands<WholeLanes>(task);
  else bands<FloatLanes>(task);
}

i64 plane_scratch(const Volume& v, bool whole) {
  return whole ? plane_scratch_of<WholeLanes>(v) : plane_scratch_of<FloatLanes>(v);
}

template <class V> i64 plane_bytes_of(const Volume& v) {
  const PlaneShape<V> s(v);
  return filled_at<V>(v) + up64(s.bands * s.panels());
}
i64 plane_bytes(const Volume& v, bool whole) {
  return whole ? plane_bytes_of<WholeLanes>(v) : plane_bytes_of<FloatLanes>(v);
}

// Writes n weights from bits, starting at a word: `foreground` where the voxel is inside, otherwise `background`, and 0
// where it is not kept or not annotated. `keep` or `annotated` is null where every voxel is.
void weigh(const u32* inside, const u32* keep, const u32* annotated, float background, float foreground, float* out,
           i64 n) {
  constexpr int W = FloatLanes::N;
  const FloatLanes zero = FloatLanes::all(0.0f), low = FloatLanes::all(background), high = FloatLanes::all(foreground);
  for (i64 x = 0; x < n; x += 32, ++inside) {
    u32 real = ~0u;
    if (keep) real &= *keep++;
    if (annotated) real &= *annotated++;
    for (i64 i = 0; i < 32 && x + i < n; i += W) {
      FloatLanes w = FloatLanes::choose(*inside >> i, high, low);
      if (real != ~0u) w = FloatLanes::choose(real >> i, w, zero);
      if (x + i + W <= n) {
        w.store(out + x + i);
        continue;
      }
      float tail[W];
      w.store(tail);
      __builtin_memcpy(out + x + i, tail, size_t(n - x - i) * 4);
    }
  }
}

const Level level = {scan,          classify,    panels_of,     bands_of,      scan_scratch, class_scratch,
                     plane_scratch, plane_bytes, WholeLanes::N, FloatLanes::N, weigh};
}  // namespace

const Level* HALF_GRID_LEVEL() { return &level; }

}  // namespace half_grid
