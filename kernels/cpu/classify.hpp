// Which voxels are in which class: each label is read once, for all classes.
//
//   labels     [inp]  (nz, ny, nx), any width, strides and byte order
//   table      [inp]  the classes of each label; see labels.hpp
//   inside     [out]  (classes, nz, ny, words) bits: annotated, and the label is in the class
//   annotated  [out]  (nz, ny, words) bits: annotated, where labels can be unannotated
//   scratch    [buf]  a row of labels, of rows of the table, and of bytes; class_scratch() bytes
//
// The scan of a class then reads these bits instead of labels.

template <class T> static i64 class_scratch_of(const Volume& v) {
  return padded(v.nx) * i64(sizeof(T) + sizeof(u32) + 2) + 64;
}

// Bit `c` of 32 bytes, gathered into a word for each of `count` <= 8 values of c. Bytes from n on count as 0.
static inline void gather_bits(const u8* bytes, i64 n, i64 count, u32* words) {
  const u32 real = n < 32 ? (1u << n) - 1 : ~0u;
#if defined(HALF_GRID_AVX2) || defined(HALF_GRID_AVX512)
  const __m256i all = _mm256_loadu_si256((const __m256i*)bytes);
  // The sign bit of each byte is what `movemask` takes: shift bit c there.
  for (i64 c = 0; c < count; ++c)
    words[c] = u32(_mm256_movemask_epi8(_mm256_sll_epi16(all, _mm_cvtsi32_si128(int(7 - c))))) & real;
#else
  for (i64 c = 0; c < count; ++c) words[c] = 0;
  for (int i = 0; i < 4; ++i) {
    u64 eight = 0;
    for (int j = 0; j < 8; ++j) eight |= u64(bytes[8 * i + j]) << (8 * j);
    for (i64 c = 0; c < count; ++c)  // the same bit of eight bytes, gathered by one multiplication
      words[c] |= u32(((eight >> c & 0x0101010101010101ull) * 0x0102040810204080ull) >> 56) << (8 * i);
  }
  for (i64 c = 0; c < count; ++c) words[c] &= real;
#endif
}

// The rows of the table of a row of labels; unannotated voxels get the row of zeros.
template <class T> static void look_up_row(const ClassTask& task, const T* codes, const u8* missing, u32* rows) {
  const i64 nx = task.volume->nx;
  const u32 none = u32(task.table.count);
  if (!task.table.ids) {
    for (i64 x = 0; x < nx; ++x) rows[x] = u32(codes[x]);
  } else {
    T last = codes[0];
    u32 row = u32(class_row_of(task.table, last));
    for (i64 x = 0; x < nx; ++x) {
      if (codes[x] != last) {  // labels come in runs
        last = codes[x];
        row = u32(class_row_of(task.table, last));
      }
      rows[x] = row;
    }
  }
  if (missing)
    for (i64 x = 0; x < nx; ++x) rows[x] = missing[x] ? none : rows[x];
}

template <class T> static void classify_of(ClassTask& task) {
  const Volume& v = *task.volume;
  const i64 row = padded(v.nx), nx = v.nx;
  u32* rows = (u32*)task.scratch;
  T* codes = (T*)(rows + row);
  u8 *missing = task.annotated ? (u8*)(codes + row) : nullptr, *bytes = (u8*)(codes + row) + row;
  for (i64 line = task.first; line < task.last; ++line) {
    const i64 z = line / v.ny, y = line % v.ny, at = line * v.words;
    if (line + 1 < task.last) fetch_row<T>(v, (line + 1) / v.ny, (line + 1) % v.ny);
    read_row<T>(v, z, y, codes, missing);
    if (v.labels.format.kind >= FLOATING) task.fractions += row_fractions(v.labels.format, codes, nx);
    look_up_row<T>(task, codes, missing, rows);
    if (missing) {
      for (i64 x = 0; x < nx; ++x) missing[x] = u8(~missing[x]);
      task.count_annotated += pack_row(missing, nx, task.annotated + at);
    } else {
      task.count_annotated += nx;
    }
    for (i64 first = 0; first < task.table.classes; first += 8) {
      const i64 count = task.table.classes - first < 8 ? task.table.classes - first : 8;
      const u32* members = task.table.members + first / 32;
      const int shift = int(first % 32);
      for (i64 x = 0; x < nx; ++x) bytes[x] = u8(members[i64(rows[x]) * task.table.groups] >> shift);
      for (i64 w = 0; w < v.words; ++w) {
        u32 words[8];
        gather_bits(bytes + w * 32, nx - w * 32, count, words);
        for (i64 c = 0; c < count; ++c) {
          task.inside[(first + c) * task.step + at + w] = words[c];
          task.count_inside[first + c] += __builtin_popcount(words[c]);
        }
      }
    }
  }
}

static void classify(ClassTask& task) {
  switch (task.volume->labels.format.width) {
    case 1: classify_of<u8>(task); break;
    case 2: classify_of<u16>(task); break;
    case 4: classify_of<u32>(task); break;
    default: classify_of<u64>(task);
  }
}

static i64 class_scratch(const Volume& v) {
  switch (v.labels.format.width) {
    case 1: return class_scratch_of<u8>(v);
    case 2: return class_scratch_of<u16>(v);
    case 4: return class_scratch_of<u32>(v);
    default: return class_scratch_of<u64>(v);
  }
}
