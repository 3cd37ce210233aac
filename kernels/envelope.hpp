// The lower envelope of parabolas along one line (Felzenszwalb & Huttenlocher 2012), on half-grid samples: work
// in proportion to the length of the line whatever the labels are. It takes over where the search, bounded to
// FAR_CHUNKS chunks on either side, has not found the answer.
//
//   whole, half  [inp]  samples as in search.hpp, `stride` elements apart; half may be null
//   best         [i/o]  (rows) with `best_stride`: replaced where it is above what the search could vouch for
//   hull         [buf]  2 × rows + 2 parabolas

static constexpr i64 FAR_CHUNKS = 16;

struct Parabola {
  double from;   // the half step from which on it is the lowest
  i64 position;  // of its lowest point, in half steps
  float square;  // there
};

// The same formula, and so the same rounding, as a search's sample + cost.
static inline float reached(const Parabola& p, i64 position, float half_step_square) {
  const float way = float(position > p.position ? position - p.position : p.position - position);
  const float cost = way * way * half_step_square;
  return p.square + cost;
}

static void search_far(const float* whole, const float* half, i64 rows, i64 stride, float half_step_square, float vouched,
                       float* best, i64 best_stride, Parabola* hull) {
  const double q = double(half_step_square);
  i64 top = -1;
  for (i64 p = 0; p < 2 * rows; ++p) {
    if ((p & 1) && !half) continue;
    const float square = ((p & 1) ? half : whole)[(p >> 1) * stride];
    if (!(square < 3.4e38f)) continue;
    double from = -1e300;
    for (; top >= 0; --top) {
      const Parabola& t = hull[top];
      // Where the new parabola crosses the one on top; the difference of squares is factored, or it would cancel.
      const double apart = double(p - t.position);
      from = (double(square) - double(t.square)) / (2 * q * apart) + 0.5 * double(p + t.position);
      if (from > t.from) break;
    }
    if (top < 0) from = -1e300;
    hull[++top] = {from, p, square};
  }
  if (top < 0) return;
  i64 k = 0;
  for (i64 r = 0; r < rows; ++r) {
    const i64 x = 2 * r;
    while (k < top && hull[k + 1].from <= double(x)) ++k;
    float& b = best[r * best_stride];
    if (!(b > vouched && b <= 3.4e38f)) continue;  // infinite marks an idle lane
    float found = reached(hull[k], x, half_step_square);
    // A crossing is rounded, a neighbour may be lower by the last bit.
    for (i64 n = k - 1; n <= k + 1; n += 2)
      if (n >= 0 && n <= top) {
        const float other = reached(hull[n], x, half_step_square);
        found = other < found ? other : found;
      }
    b = found < b ? found : b;
  }
}
