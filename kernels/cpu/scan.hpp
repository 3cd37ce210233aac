// The scan: for a group of rows at a time, one sweep down and one sweep up along z.
//
//   labels  [inp]  (nz, ny, nx), any width, strides and byte order; not for a class, whose bits are there already
//   z, a, b [out]  (nz, ny, nx) distances along z in voxels, saturated at Scan<K>::none; see half_grid.hpp
//   inside  [out]  (nz, ny, words) bits: annotated and label ≠ 0
//   annotated   [out]  (nz, ny, words) bits: annotated, where labels can be unannotated
//   swept   [out]  (nz, ny) whether z, a and b hold anything there; see quiet rows below
//   scratch [buf]  two z-levels of the group's label rows and the running distances; scan_scratch() bytes
//
// Rows are copied and padded with their last label, so that the end of a row is no face. In the same way the first
// plane is its own predecessor, and the last row is its own neighbour.
//
// Quiet rows: a background row whose next row and previous plane are background has no face, and no sample that is the
// best one of a foreground voxel. It is skipped, unless distances of background are needed too. Running distances are
// then too small when sweeping resumes; this is harmless, since the new foreground voxel has a z-face half a voxel
// away.

template <class K> static inline K grown(K k) { return K(k + (k != Scan<K>::none)); }

// One row of the sweep down. A running distance starts again at 0 on a face; `flags` becomes 255 where label ≠ 0.
// Returns whether there was a face.
template <class T, class K>
static inline bool sweep_row(const T* __restrict__ here, const T* __restrict__ before, const T* __restrict__ below,
                             K* __restrict__ run_z, K* __restrict__ run_a, K* __restrict__ run_b, K* __restrict__ z,
                             K* __restrict__ a, K* __restrict__ b, u8* __restrict__ flags, i64 nx) {
  T differ = 0;
  for (i64 x = 0; x < nx; ++x) {
    const T label = here[x];
    const T z_face = T(label ^ before[x]), a_face = T(label ^ below[x]), b_face = T(label ^ here[x + 1]);
    const K kz = z_face ? K(0) : grown(run_z[x]), ka = a_face ? K(0) : grown(run_a[x]),
            kb = b_face ? K(0) : grown(run_b[x]);
    run_z[x] = kz, run_a[x] = ka, run_b[x] = kb;
    z[x] = kz, a[x] = ka, b[x] = kb;
    flags[x] = label ? 255 : 0;
    differ = T(differ | z_face | a_face | b_face);
  }
  return differ != 0;
}

// The same for one family where labels can be unannotated: a face needs two annotated voxels.
template <class T, class K>
static inline bool sweep_faces(const T* __restrict__ here, const T* __restrict__ there, const u8* missing_here,
                               const u8* missing_there, K* __restrict__ run, K* __restrict__ out, i64 nx) {
  u8 any = 0;
  for (i64 x = 0; x < nx; ++x) {
    const u8 face = (here[x] != there[x]) & !(missing_here[x] | missing_there[x]);
    const K k = face ? K(0) : grown(run[x]);
    run[x] = k;
    out[x] = k;
    any |= face;
  }
  return any;
}

template <class T> static i64 scan_scratch_of(const Volume& v, i64 rows) {
  const i64 row = padded(v.nx);
  return 2 * (rows + 1) * row * i64(sizeof(T) + 1) + 4 * rows * row * v.plan->scan_bytes + 4 * row + 2 * (rows + 1) +
         256;
}

template <class T, class K> static void sweep_down(ScanTask& task) {
  const Volume& v = *task.volume;
  const i64 row = padded(v.nx), rows = task.y1 - task.y0, nx = v.nx;
  u8* s = task.scratch;
  const auto take = [&s](i64 bytes) {
    u8* p = s;
    s += bytes;
    return p;
  };
  T* level[2] = {(T*)take((rows + 1) * row * i64(sizeof(T))), (T*)take((rows + 1) * row * i64(sizeof(T)))};
  K* run = (K*)take(3 * rows * row * i64(sizeof(K)));
  u8* missing[2] = {take((rows + 1) * row), take((rows + 1) * row)};
  u8* foreground[2] = {take(rows + 1), take(rows + 1)};
  u8* flags = take(row);
  if (!task.may_miss) missing[0] = missing[1] = nullptr;
  const bool may_rest = !task.may_miss && !v.everywhere;
  for (i64 i = 0; i < 3 * rows * row; ++i) run[i] = Scan<K>::none;
  const i64 read = task.y1 < v.ny ? rows + 1 : rows;
  for (i64 z = 0; z < v.nz; ++z) {
    T* here = level[z & 1];
    const T* before = level[z ? (z & 1) ^ 1 : 0];
    u8 *miss = missing[z & 1], *miss_before = missing[z ? (z & 1) ^ 1 : 0];
    u8 *some = foreground[z & 1], *some_before = foreground[z ? (z & 1) ^ 1 : 0];
    for (i64 r = 0; r < read; ++r) {
      if (v.is_class) {
        read_row_of_bits(v, z * v.ny + task.y0 + r, (u8*)(here + r * row), miss ? miss + r * row : nullptr);
        some[r] = !may_rest || holds_foreground(here + r * row, nx);
        continue;
      }
      if (z + 1 < v.nz) fetch_row<T>(v, z + 1, task.y0 + r);
      read_row<T>(v, z, task.y0 + r, here + r * row, miss ? miss + r * row : nullptr);
      some[r] = !may_rest || holds_foreground(here + r * row, nx);
      if (v.labels.format.kind >= FLOATING && r < rows)
        task.fractions += row_fractions(v.labels.format, here + r * row, nx);
    }
    for (i64 r = 0; r < rows; ++r) {
      const i64 below = r + 1 < read ? r + 1 : r, line = z * v.ny + task.y0 + r, at = line * nx, bits = line * v.words;
      v.swept[line] = some[r] | some[below] | some_before[r];
      if (!v.swept[line]) {
        // The bits of a class are there already, and other threads may read them.
        for (i64 w = 0; w < v.words && !v.is_class; ++w) v.inside[bits + w] = 0;
        task.count_annotated += nx;
        continue;
      }
      const T* c = here + r * row;
      K *dz = run + r * row, *da = run + (rows + r) * row, *db = run + (2 * rows + r) * row;
      K *z_out = (K*)v.z + at, *a_out = (K*)v.a + at, *b_out = (K*)v.b + at;
      if (!miss) {
        task.site |= sweep_row(c, before + r * row, here + below * row, dz, da, db, z_out, a_out, b_out, flags, nx);
        if (!v.is_class) task.count_inside += pack_row(flags, nx, v.inside + bits);
        task.count_annotated += nx;
        continue;
      }
      const u8* m = miss + r * row;
      task.site |= sweep_faces(c, before + r * row, m, miss_before + r * row, dz, z_out, nx);
      task.site |= sweep_faces(c, here + below * row, m, miss + below * row, da, a_out, nx);
      task.site |= sweep_faces(c, c + 1, m, m + 1, db, b_out, nx);
      if (v.is_class) {
        task.missing |= count_bits(v.annotated + bits, v.words) != nx;
        continue;
      }
      for (i64 x = 0; x < nx; ++x) flags[x] = c[x] && !m[x] ? 255 : 0;
      task.count_inside += pack_row(flags, nx, v.inside + bits);
      for (i64 x = 0; x < nx; ++x) flags[x] = u8(~m[x]);
      const i64 annotated = pack_row(flags, nx, v.annotated + bits);
      task.count_annotated += annotated;
      task.missing |= annotated != nx;
    }
  }
}

// The sweep up needs no labels: where a plane's distance z from the sweep down is 0, there is a face between it and the
// plane before. The running distances are those that the plane before will use; that of z is the least of both sweeps.
template <class K>
static inline void sweep_rows_up(K* __restrict__ up_z, K* __restrict__ up_a, K* __restrict__ up_b, K* __restrict__ z,
                                 K* __restrict__ a, K* __restrict__ b, i64 n) {
  for (i64 i = 0; i < n; ++i) {
    const K down = z[i], best = down < up_z[i] ? down : up_z[i];
    z[i] = best;
    up_z[i] = down ? grown(best) : K(0);
    const K best_a = a[i] < up_a[i] ? a[i] : up_a[i], best_b = b[i] < up_b[i] ? b[i] : up_b[i];
    a[i] = best_a, b[i] = best_b;
    up_a[i] = grown(best_a), up_b[i] = grown(best_b);
  }
}

template <class K> static void sweep_up(const ScanTask& task) {
  const Volume& v = *task.volume;
  const i64 rows = task.y1 - task.y0, n = rows * v.nx;
  K *up_z = (K*)task.scratch, *up_a = up_z + n, *up_b = up_a + n;
  for (i64 i = 0; i < 3 * n; ++i) up_z[i] = Scan<K>::none;
  for (i64 z = v.nz - 1; z >= 0; --z) {
    const i64 line = z * v.ny + task.y0;
    for (i64 r = 0; r < rows; ++r) {
      const i64 first = r;  // neighbouring rows that were swept are handled together
      while (r < rows && v.swept[line + r]) ++r;
      const i64 at = (line + first) * v.nx, from = first * v.nx;
      sweep_rows_up(up_z + from, up_a + from, up_b + from, (K*)v.z + at, (K*)v.a + at, (K*)v.b + at,
                    (r - first) * v.nx);
    }
  }
}

template <class T> static void scan_of(ScanTask& task) {
  switch (task.volume->plan->scan_bytes) {
    case 1: sweep_down<T, u8>(task); break;
    case 2: sweep_down<T, u16>(task); break;
    default: sweep_down<T, u32>(task);
  }
}

// Bytes of a code: those of a label, or one for a class.
static i64 code_bytes(const Volume& v) { return v.is_class ? 1 : v.labels.format.width; }

static void scan(ScanTask& task) {
  switch (code_bytes(*task.volume)) {
    case 1: scan_of<u8>(task); break;
    case 2: scan_of<u16>(task); break;
    case 4: scan_of<u32>(task); break;
    default: scan_of<u64>(task);
  }
  if (task.volume->nz == 1 || !task.site) return;
  switch (task.volume->plan->scan_bytes) {
    case 1: sweep_up<u8>(task); break;
    case 2: sweep_up<u16>(task); break;
    default: sweep_up<u32>(task);
  }
}

static i64 scan_scratch(const Volume& v, i64 rows) {
  switch (code_bytes(v)) {
    case 1: return scan_scratch_of<u8>(v, rows);
    case 2: return scan_scratch_of<u16>(v, rows);
    case 4: return scan_scratch_of<u32>(v, rows);
    default: return scan_scratch_of<u64>(v, rows);
  }
}
