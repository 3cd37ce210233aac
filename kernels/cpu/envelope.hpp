// The lower envelope of parabolas along one line (Felzenszwalb & Huttenlocher 2012), on half-grid samples. Its work
// grows with the length of the line, whatever the labels are. It takes over where the search, which is bounded to
// FAR_CHUNKS chunks on either side, may not have found the nearest site.
//
//   whole, half  [inp]  samples as in search.hpp, `stride` elements apart; half may be null
//   best         [i/o]  (rows) with `best_stride`: replaced where it is above what the search could vouch for
//   hull         [buf]  2 × rows + 2 parabolas

static constexpr i64 FAR_CHUNKS = 64;

struct Parabola {
  double from;   // the half step from which on this parabola is the lowest
  i64 position;  // the position of its lowest point, in half steps
  float square;  // its value at that point
};

// The same formula as `sample + cost` in the search, so that both round alike.
static inline float reached(const Parabola& p, i64 position, float half_step_square) {
  const float way = float(position > p.position ? position - p.position : p.position - position);
  const float cost = way * way * half_step_square;
  return p.square + cost;
}

// Adds a parabola after removing those that it hides; returns the new top.
static inline i64 put_parabola(Parabola* hull, i64 top, i64 position, float square, double half_step_square) {
  if (!(square < 3.4e38f)) return top;
  double from = -1e300;
  for (; top >= 0; --top) {
    const Parabola& t = hull[top];
    // The position where the two cross. The difference of the squared positions is factored, so that no digits cancel.
    from = (double(square) - double(t.square)) / (2 * half_step_square * double(position - t.position)) +
           0.5 * double(position + t.position);
    if (from > t.from) break;
  }
  if (top < 0) from = -1e300;
  hull[top + 1] = {from, position, square};
  return top + 1;
}

static void search_far(const float* whole, const float* half, i64 rows, i64 stride, float half_step_square,
                       float vouched, float* best, i64 best_stride, Parabola* hull) {
  i64 top = -1;
  for (i64 r = 0; r < rows; ++r) {
    top = put_parabola(hull, top, 2 * r, whole[r * stride], double(half_step_square));
    if (half) top = put_parabola(hull, top, 2 * r + 1, half[r * stride], double(half_step_square));
  }
  if (top < 0) return;
  i64 k = 0;
  for (i64 r = 0; r < rows; ++r) {
    const i64 x = 2 * r;
    while (k < top && hull[k + 1].from <= double(x)) ++k;
    float& b = best[r * best_stride];
    if (!(b > vouched && b <= 3.4e38f)) continue;  // infinity marks an idle lane
    float found = reached(hull[k], x, half_step_square);
    // A crossing is rounded, so a neighbour may be lower by the last bit.
    for (i64 n = k - 1; n <= k + 1; n += 2)
      if (n >= 0 && n <= top) {
        const float other = reached(hull[n], x, half_step_square);
        found = other < found ? other : found;
      }
    b = found < b ? found : b;
  }
}
