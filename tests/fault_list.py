"""The faults that faults.py plants in the kernels; those in columns of bits and in pairs are in `cuda_faults.py`."""
# ruff: noqa: E501 - a table: one fault a line

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One change that the tests must notice: `new` in place of `old`.

    `old` occurs once in the files called `file`, whatever folder they lie in, or else once in all sources. White space
    and the comments of C++ do not count: a line may be reformatted, or move to another file. `tests` are pytest's
    arguments, with the names of test files. `invisible` says why no result can differ, where none can.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    invisible: str = ""


ENGINE = ("test_cpu_engine.py",)
BITS = ("test_cpu_bits.py", "-k", "not more_volumes")
TARGETS = ("test_cpu_engine.py", "test_cpu_bits.py", "-k", "not more_volumes and not weights")
ENVELOPE = ("test_cpu_envelope.py", *TARGETS)
LINES = ("test_cpu_lines.py", *TARGETS)
CODES = ("test_cpu_codes.py",)
WEIGHTS = ("test_cpu_engine.py", "-k", "transform or weights or exact")
BORDER = ("test_border.py",)
THREADS = (
    "test_cpu_threads.py",
    "test_cpu_pool.py",
    "test_cpu_bits.py",
    "-k",
    "test_threads or several or its_volumes or one_wave",
)
POOL = ("test_cpu_pool.py",)
NOTICES = ("test_notices.py",)
BINDING = ("test_cpu_threads.py", "-k", "binding")
DEVICE = ("test_device_kernels.py", "test_device_weights.py")
PACKED = ("test_device_packed.py",)
LAUNCH = ("test_device_launch.py",)
TYPES = ("test_types_and_layouts.py",)
LIMITS = ("test_device_limits.py",)
LAYOUTS = ("test_memory_layouts.py",)
STREAMS = ("test_cupy_order.py",)
SELF_TEST = ("test_self_test.py", "test_self_test_runs.py")
HALO = ("test_blockwise.py",)
LAZY = ("test_lazy_graph.py",)
COUNTS = ("test_counts.py",)
CODEC = ("test_chunk_codec.py",)
GRID = ("test_block_grid.py",)
BAD = ("test_bad_input.py",)
CLASSES = ("test_classes.py", "-k", "cpu and (stack or many or type)")
CLASSES_ON_HOST = ("test_classes.py", "-k", "cuda and (stack or many)")
CLASSES_DOUBLED = ("test_classes.py", "-k", "cucim and (stack or many)")

# fmt: off
KERNELS = [
    # classes: the table, the bits that are made of labels, and who reads them
    Fault("labels.hpp", "return low < table.count && table.ids[low] == u64(code) ? low : table.count;", "return low;", CLASSES),
    Fault("labels.hpp", "if (table.ids[middle] < u64(code)) low = middle + 1;", "if (table.ids[middle] <= u64(code)) low = middle + 1;", CLASSES),
    Fault("classes.cpp", "|= u32(1) << (c % 32);", "= u32(1) << (c % 32);", CLASSES),
    Fault("classify.hpp", "rows[x] = missing[x] ? none : rows[x];", "rows[x] = rows[x];", CLASSES, "no class may hold the ignored label, and NaN is no id: their row is that of zeros already"),
    Fault("classify.hpp", "if (codes[x] != last) {", "if (codes[x] > last) {", CLASSES),
    Fault("classify.hpp", "const int shift = int(first % 32);", "const int shift = 0;", CLASSES),
    Fault("rows.hpp", "if (format.foreign && (floats || format.has_ignored || v.is_class))", "if (format.foreign && (floats || format.has_ignored))", CLASSES),
    Fault("call.hpp", "v.background = classes && task.background == TIMES_LABEL ? int(ZERO) : task.background;", "v.background = task.background;", CLASSES),
    Fault("engine.cpp", "memory.inside + volume * table.classes * of_volume", "memory.inside + volume * of_volume", CLASSES),
    Fault("scan.hpp", "task.missing |= count_bits(v.annotated + bits, v.words) != nx;", "", CLASSES),
    Fault("classify.cu", "const bool seen = x < nx && !label.missing;", "const bool seen = x < nx;", CLASSES_ON_HOST),
    Fault("classify.cu", "const bool seen = x < nx && !label.missing;", "const bool seen = !label.missing;", CLASSES_ON_HOST),
    Fault("classify.cu", "group * 32, transposed(members[group])", "group * 32, transposed(members[0])", CLASSES_ON_HOST),
    Fault("scan.cu", "pairs = more ? ~0u : block.real >> 1,", "pairs = block.real,", CLASSES_ON_HOST),
    Fault("scan.cu", "here >> 1 | (more ? inside[at + 1] << 31 : 0);", "here >> 1;", CLASSES_ON_HOST),
    Fault("scan.cu", "if (!own) z_faces = a_faces = b_faces = 0;", "", CLASSES_ON_HOST, "rows beyond the last step are swept and never stored"),
    Fault("scan.cu", "z_faces &= seen & annotated[behind]", "z_faces &= seen", CLASSES_ON_HOST),
    Fault("weights.cu", "return (volume * w.slabs + slab) * w.rows + row - volume * w.rows;", "return row;", CLASSES_ON_HOST),
    Fault("records.cpp", "if (job.background == TIMES_LABEL) job.background = ZERO;", "", CLASSES_ON_HOST),
    Fault("doubled.cu", "(is_set(job, job.annotated, volume, z, y, x) &&", "(", CLASSES_DOUBLED),
    # scan: sites, unannotated voxels, runs
    Fault("scan.hpp", "if (nx - x < 32) bits &= (1u << (nx - x)) - 1;", "", TARGETS),
    Fault("scan.hpp", "return K(k + (k != Scan<K>::none));", "return K(k + 1);", TARGETS),
    Fault("scan.hpp", "& !(missing_here[x] | missing_there[x]);", "& !missing_here[x];", TARGETS),
    Fault("scan.hpp", "up_z[i] = down ? grown(best) : K(0);", "up_z[i] = down ? grown(best) : K(1);", TARGETS),
    Fault("scan.hpp", "codes[x] = codes[nx - 1];", "codes[x] = 0;", TARGETS),
    Fault("scan.hpp", "level[z ? (z & 1) ^ 1 : 0];", "level[(z & 1) ^ 1];", TARGETS),
    Fault("scan.hpp", "task.missing |= annotated != nx;", "task.missing = annotated != nx;", TARGETS),
    Fault("scan.hpp", "task.y1 < v.ny ? rows + 1 : rows;", "rows;", TARGETS),
    Fault("scan.hpp", "if (format.foreign && (floats || format.has_ignored || v.is_class))", "if (format.foreign && (floats || v.is_class))", TARGETS),
    Fault("scan.hpp", "float_is_nan(code) || (format.has_ignored && code == ignored)", "float_is_nan(code)", TARGETS),
    Fault("scan.hpp", "flags[x] = c[x] && !m[x] ? 255 : 0;", "flags[x] = c[x] ? 255 : 0;", TARGETS),
    Fault("scan.hpp", "up_a[i] = grown(best_a), up_b[i] = grown(best_b);", "up_a[i] = grown(best_a), up_b[i] = best_b;", TARGETS),
    Fault("scan.hpp", "= some[r] | some[below] | some_before[r];", "= some[r] | some[below];", TARGETS),
    Fault("scan.hpp", "= some[r] | some[below] | some_before[r];", "= some[r] | some_before[r];", TARGETS),
    Fault("scan.hpp", "const bool may_rest = !task.may_miss && !v.everywhere;", "const bool may_rest = !task.may_miss;", TARGETS),
    Fault("scan.hpp", "v.inside[bits + w] = 0;", "{}", TARGETS),
    Fault("scan.hpp", "case 2: sweep_up<u16>(task); break;", "case 2: sweep_up<u8>(task); break;", TARGETS),
    # half_grid: what a label is, units, saturation
    Fault("half_grid.hpp", "float_magnitude(bits) ? bits : T(0);", "bits;", TYPES),
    Fault("half_grid.hpp", "float_magnitude(bits) > FloatBits<T>::infinity;", "float_magnitude(bits) >= FloatBits<T>::infinity;", TYPES),
    Fault("half_grid.hpp", "constexpr double SATURATION = 9.02;", "constexpr double SATURATION = 6.5;", TARGETS),
    Fault("half_grid.hpp", "units.square[a] = whole * whole;", "units.square[a] = whole * whole + (whole > 3);", TARGETS),
    Fault("half_grid.hpp", "<= 1e-9 * steps;", "<= 1e-2 * steps;", TARGETS),
    Fault("half_grid.hpp", "SATURATION * scale / units.length * (1 + 1e-5) + 1e-3;", "SATURATION * scale / units.length * 0.9;", TARGETS),
    Fault("half_grid.hpp", "(bits >> (8 * i)) & 0xFF", "(bits >> (8 * i)) & 0x7F", TARGETS),
    Fault("half_grid.hpp", "constexpr double BORDER_SLACK = 2e-6;", "constexpr double BORDER_SLACK = 0;", BORDER),
    # plane: idle lanes, tiles, what is skipped
    Fault("plane.hpp", "(word | word >> 1 | next << 31)", "(word | word >> 1)", TARGETS),
    Fault("plane.hpp", "const u32 real = lanes_below<V>(v.nx - 1 - x);", "const u32 real = lanes_below<V>(v.nx - x);", TARGETS, "behind the last voxel no pair has a sample: it finds the cap at best"),
    Fault("plane.hpp", "(c < 65535 ? u32(c) : 65535u) * 65537u;", "(u32(c) & 65535u) * 65537u;", TARGETS),
    Fault("plane.hpp", "most = WholeLanes::all(u16(last));", "most = WholeLanes::all(u16(last + 1));", TARGETS),
    Fault("plane.hpp", "p.c[y * p.s.gap + N] = p.edge[y];", "p.c[y * p.s.gap + N] = 0;", TARGETS),
    Fault("plane.hpp", "if (!(p.some_voxels[at] | (y1 < v.ny ? p.voxels[y1] : 0))) {", "if (!p.some_voxels[at]) {", TARGETS),
    Fault("plane.hpp", "here |= p.some_voxels[at] | p.some_pairs[at];", "here |= p.some_voxels[at];", TARGETS),
    Fault("plane.hpp", "b[i] = none_to_zero(V::load(whole + (at * ROWS_PER_CHUNK + i) * N), none);", "b[i] = V::load(whole + (at * ROWS_PER_CHUNK + i) * N);", TARGETS, "saves the search for voxels that nobody asks for"),
    Fault("plane.hpp", "b[i] = V::choose(p.pairs[y], min(min(start, V::load(p.whole + y * N)), p.cap), V::all(0));", "b[i] = V::choose(p.pairs[y], min(start, p.cap), V::all(0));", TARGETS),
    Fault("plane.hpp", "no_column_to_the_right();\n  }\n  void", "}\n  void", TARGETS, "only a pair beyond the end of the row reads it, and that is idle"),
    # codes: squares in 16 bits
    Fault("codes.hpp", "if (y % 16 == 0 && x % 16 == 0 && z % 2 == 1)", "if (y % 4 == 0 && x % 4 == 0 && z % 2 == 1)", CODES),
    Fault("codes.hpp", "some && !all ? 2 : 1, all ? 1 : 0};", "1, all ? 1 : 0};", CODES),
    Fault("codes.hpp", "some && !all ? 2 : 1, all ? 1 : 0};", "some && !all ? 2 : 1, 0};", CODES),
    Fault("codes.hpp", "z = square[0] > 0 ? i64(square[0]) : y;", "z = i64(square[0]);", CODES, "two remainders are told apart where there is one: codes that reach less far"),
    Fault("codes.hpp", "all &= 28 * (", "all &= 7 * (", CODES),
    Fault("codes.hpp", "plan.scan_bytes != 1 ||", "", CODES, "codes of 16 bits reach less far than 254 voxels, whatever their sizes"),
    Fault("plane.hpp", "const double c = (double(i) * double(i) - double(i & 1)) * square;", "const double c = double(i) * double(i) * square;", CODES),
    Fault("plane.hpp", "(code_beyond(v.codes, v.plan->cap) + 1));", "(code_beyond(v.codes, v.plan->cap)));", CODES),
    Fault("plane.hpp", "ways[WAYS * j + STEP + i] = (way < most ? way : most) * 65537u;", "ways[WAYS * j + STEP + i] = way * 65537u;", CODES),
    Fault("plane.hpp", "cost[STEP * j - (STEP - 1)] & 65535u;", "cost[STEP * j - (STEP - 2)] & 65535u;", CODES),
    Fault("panel.hpp", "begin = i64(v.plan->square[family])", "begin = i64(v.plan->square[1])", CODES),
    Fault("panel.hpp", "family == 0 ? 0 : code_of(v.codes, square(1)) - at_first - per_step", "0", CODES),
    Fault("panel.hpp", "at_first <= cap ? at_first : cap + 1", "at_first", CODES),
    Fault("search.hpp", "min(b[i], best[i] + base);", "min(b[i], best[i]);", CODES),
    Fault("finish.hpp", "quotient * modulus + rank * rank;", "quotient * modulus + rank;", CODES),
    Fault("lanes_portable.hpp", "return a - Vector16(_mm_subs_epu16(__m128i(a), __m128i(b)));", "return a - Vector16(_mm_subs_epu16(__m128i(b), __m128i(a)));", CODES),
    Fault("lanes_portable.hpp", "Vector16(_mm_adds_epu16(__m128i(a), __m128i(b)));", "a + b;", CODES),
    Fault("lanes_portable.hpp", "_mm_movemask_ps(__m128(v))", "_mm_movemask_ps(__m128(v)) & 7", LINES),
    # search: costs, chunks, when to end
    Fault("search.hpp", "2 * (i - r) - 1))", "2 * (i - r) + 1))", TARGETS),
    Fault("search.hpp", "V::at(cost + SIDE * (2 * (r - i) + 1))", "V::at(cost + SIDE * 2 * (r - i) + 1)", TARGETS),
    Fault("search.hpp", "at > chunks - 1 - at ? at : chunks - 1 - at;", "at < chunks - 1 - at ? at : chunks - 1 - at;", TARGETS),
    Fault("search.hpp", "V::at(way - (STEP - (HALF ? 1 : 2)));", "V::at(way - (STEP - 3));", TARGETS),
    Fault("search.hpp", "V::at(way - (STEP - 2))", "V::at(way)", TARGETS),
    Fault("search.hpp", "floor + V::at(cost + (HALF ? 1 : 2))", "floor + V::at(cost + 2)", TARGETS),
    Fault("search.hpp", "for (int r = 1; r < ROWS_PER_CHUNK; ++r) m = min(m, V::load(whole", "for (int r = 2; r < ROWS_PER_CHUNK; ++r) m = min(m, V::load(whole", TARGETS),
    Fault("search.hpp", "floor = min(floor, m);", "floor = m;", TARGETS),
    # lines: what is far away
    Fault("panels.hpp", "V start = max(left, right);", "V start = min(left, right);", TARGETS),
    Fault("panels.hpp", "skips_equal = p.v.near_only && !p.v.annotated;", "skips_equal = !p.v.annotated;", LINES),
    Fault("panels.hpp", "skips_equal = p.v.near_only && !p.v.annotated;", "skips_equal = p.v.near_only;", LINES),
    Fault("panels.hpp", "if (skips_equal) b[i] = V::where_greater(b[i], V::all(0), b[i], V::load(p.whole + y * N));", "", LINES),
    Fault("panels.hpp", "best = min(best, max(V::load(c), V::load(k + 1 < N ? c + N : t.edge + band * N)));", "best = min(best, V::load(c));", LINES),
    Fault("panels.hpp", "lines.improve_far(lines.outputs, k, p.v.ny, IS_C);", "", LINES),
    Fault("bands.hpp", "lines.improve_far(rows + i * lines.rows, i, nx, true);", "", LINES),
    Fault("bands.hpp", "lines.template improve<true>(open, x);", "", LINES),
    Fault("lines.hpp", "else found(at, greater_bits(greatest(b), s.floor + V::at(s.cost + (HALF ? 1 : 2))));", "else found(at, 0);", LINES),
    Fault("lines.hpp", "i < at + GROUP && i < chunks; ++i) all |= lanes[i];", "i < at + 1 && i < chunks; ++i) all |= lanes[i];", LINES),
    Fault("lines.hpp", "odd[m] = E(cost[m > 0 ? 2 * m - 1 : 1 - 2 * m]);", "odd[m] = E(cost[m > 0 ? 2 * m + 1 : 1 - 2 * m]);", LINES),
    Fault("lines.hpp", "m < Outputs<V>::CHUNKS ? E(0) :", "m < 0 ? E(0) :", LINES),
    Fault("lines.hpp", "E(cost[2 * (m - ROWS_PER_CHUNK) + 1]);", "E(cost[2 * m]);", LINES),
    Fault("lines.hpp", "if (line.least[seeds[k]] < V::NONE) {", "{", LINES),
    Fault("lines.hpp", "* 1.0001f;", "* 0.5f;", LINES),
    Fault("lines.hpp", "if (!is_all) search_beyond", "if (false) search_beyond", LINES),
    Fault("lines.hpp", "may_be_far(line_chunks > FAR_CHUNKS + 1)", "may_be_far(line_chunks > FAR_CHUNKS + 60)", LINES),
    Fault("finish.hpp", "saturated = FloatLanes::all(float(v.plan->cap));", "saturated = FloatLanes::all(float(v.plan->cap) * 0.5f);", LINES),
    # envelope
    Fault("envelope.hpp", "0.5 * double(position + t.position);", "0.5 * double(position + t.position + 1);", ENVELOPE),
    Fault("envelope.hpp", "for (i64 n = k - 1; n <= k + 1; n += 2)", "for (i64 n = k - 1; n <= k - 1; n += 2)", ENVELOPE),
    Fault("envelope.hpp", "for (i64 n = k - 1; n <= k + 1; n += 2)", "for (i64 n = k + 1; n <= k + 1; n += 2)", ENVELOPE),
    Fault("envelope.hpp", "if (n >= 0 && n <= top) {", "if (n >= 0 && n < 0) {", ENVELOPE),
    Fault("envelope.hpp", "if (half) top = put_parabola(hull, top, 2 * r + 1,", "if (half) top = put_parabola(hull, top, 2 * r,", ENVELOPE),
    Fault("envelope.hpp", "if (!(square < 3.4e38f)) return top;", "", ENVELOPE, "a parabola at infinity begins at infinity, or is taken off by the next"),
    Fault("envelope.hpp", "if (from > t.from) break;", "break;", ENVELOPE),
    Fault("envelope.hpp", "while (k < top && hull[k + 1].from <= double(x)) ++k;", "if (k < top && hull[k + 1].from <= double(x)) ++k;", ENVELOPE),
    # finish: root, tanh, sign, background, border
    Fault("tanh.hpp", "p = p * r + V::all(1.0f / 120);", "p = p * r + V::all(1.0f / 121);", TARGETS),
    Fault("tanh.hpp", "V::all(-2.12194440e-4f)", "V::all(-2.12e-4f)", TARGETS),
    Fault("tanh.hpp", "knee = V::all(0.55f);", "knee = V::all(0.0f);", TARGETS),
    Fault("finish.hpp", "&& !v.has_no_site && v.out_stride[2] == 4;", "&& !v.has_no_site;", TARGETS),
    Fault("plan.cpp", "plan.factor > 1e-30 && plan.factor < 1e30;", "true;", TARGETS),
    Fault("finish.hpp", "v.background != SIGNED && !v.annotated && !v.keep &&", "v.background != SIGNED && !v.keep &&", TARGETS, "a row without foreground is 0 whichever way, and filled after that"),
    Fault("finish.hpp", "v.background != SIGNED && !v.annotated && !v.keep &&", "v.background != SIGNED && !v.annotated &&", BORDER),
    Fault("labels.hpp", "width == 1   ? double((signed char)bits)", "width == 1   ? double(bits)", TARGETS),
    Fault("labels.hpp", "(exponent + 1008) << 52", "(exponent + 1009) << 52", TARGETS),
    Fault("labels.hpp", "if (format.foreign) return swapped(bits);", "if (format.foreign && sizeof(T) < 8) return swapped(bits);", TARGETS),
    Fault("finish.hpp", "if (v.ny > 1 && along_y < border) border = along_y;", "", BORDER),
    Fault("finish.hpp", "along_z = double(2 * back_z + 1) * v.plan->half[0]", "along_z = double(2 * back_z) * v.plan->half[0]", BORDER),
    Fault("finish.hpp", "v.background == SIGNED ? zero - t : zero;", "v.background == SIGNED ? t : zero;", TARGETS),
    Fault("plan.cpp", "value = distance * plan.factor;", "value = distance * plan.factor * 1.00001;", TARGETS),
    # lanes: one fault per level
    Fault("lanes.hpp", "_mm512_adds_epu16(a.v, b.v)", "_mm512_add_epi16(a.v, b.v)", TARGETS),
    Fault("lanes.hpp", "_mm256_min_epu16(a.v, b.v)", "_mm256_min_epi16(a.v, b.v)", TARGETS),
    Fault("lanes.hpp", "const __m256i over = _mm256_subs_epu16(a.v, b.v);", "const __m256i over = _mm256_subs_epu16(b.v, a.v);", TARGETS),
    Fault("lanes.hpp", "V::N == 32 ? ~0u : (1u << (V::N & 31)) - 1;", "(1u << (V::N & 31)) - 1;", TARGETS),
    Fault("transpose.hpp", "b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);\n  }\n  for (int i = 0; i < 8; ++i) _mm", "b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i]);\n  }\n  for (int i = 0; i < 8; ++i) _mm", TARGETS),
    # engine: jobs, waves, counts
    Fault("plan.cpp", "shortest = std::min(shortest, double(spatial[std::size_t(a)]) * half);", "shortest = double(spatial[std::size_t(a)]) * half;", TARGETS),
    Fault("plan.cpp", "if (bordered) {", "if (false) {", BORDER),
    Fault("plan.cpp", "plan.border_least = std::min(plan.border_least, half);", "", BORDER),
    Fault("plan.cpp", "deepest <= 254 ?", "deepest <= 300 ?", TARGETS),
    Fault("engine.cpp", "volume.everywhere |= missing;", "", TARGETS),
    Fault("engine.cpp", "if (border) std::memset(v.keep, 255, call.bits_bytes());", "", BORDER),
    Fault("engine.cpp", "may_miss = l.format.has_ignored || l.format.kind >= FLOATING;", "may_miss = l.format.has_ignored;", TARGETS),
    Fault("call.hpp", "bit_sets = call.weighing && !call.classes ? call.volumes : in_wave;", "bit_sets = in_wave;", ("test_cpu_bits.py", "-k", "one_wave")),
    Fault("plan.cpp", "distance = task.saturate ?", "distance = !task.saturate ?", TARGETS),
    Fault("plan.cpp", "if (spatial[std::size_t(a)] == 1) {", "if (spatial[std::size_t(a)] == 1 && a) {", BORDER),
    # weights
    Fault("weights.cpp", "if (here) sum += value;", "sum += value;", WEIGHTS),
    Fault("weights.cpp", "(!keep || keep[w] >> bit & 1) &&", "", ("test_border.py", "test_cpu_engine.py", "-k", "border or definition or transform")),
    Fault("weights.cpp", "__builtin_popcount(there & ~*inside);", "__builtin_popcount(~*inside);", WEIGHTS),
    Fault("weights.cpp", "const i64 slab = i / rows % w.slabs;", "const i64 slab = i % w.slabs;", WEIGHTS),
    Fault("weights.cpp", "const std::size_t at = std::size_t(2 * (i % w.slabs));", "const std::size_t at = 0;", WEIGHTS),
    Fault("level.cpp", "if (annotated) real &= *annotated++;", "", WEIGHTS),
    Fault("masks.hpp", "fraction > high ? high : fraction", "fraction", WEIGHTS),
    Fault("labels.hpp", "* (1.0 / 16777216);", "* (1.0 / 8388608);", WEIGHTS),
    Fault("masks.hpp", "template <> struct SumOf<i64> { typedef Wide type; };", "template <> struct SumOf<i64> { typedef i64 type; };", WEIGHTS),
    Fault("labels.hpp", "if (format.foreign) return swapped(bits);", "", WEIGHTS),
    Fault("labels.hpp", "if (format.has_ignored) label.missing |= label.code == T(format.ignored);", "", WEIGHTS),
    Fault("labels.hpp", "if (format.kind == SIGNED_INTEGER && (label.code >> (8 * format.width - 1)) != 0) return -1;", "", WEIGHTS),
    Fault("labels.hpp", "return double(whole) == value ? whole : -1;", "return whole;", WEIGHTS),
    Fault("class_weights.cpp", "slab_step *= blocks[a];", "slab_step *= labels.view.shape[a];", WEIGHTS),
    Fault("class_weights.cpp", "if (c < 0) continue;\n        counted", "counted", WEIGHTS),
    # what is noticed on the way
    Fault("scan.hpp", "if (v.labels.format.kind >= FLOATING && r < rows) task.fractions", "if (v.labels.format.kind >= FLOATING) task.fractions", NOTICES),
    Fault("scan.hpp", "count += (value < whole) & (rounded != value);\n    }\n  } else", "count += rounded != value;\n    }\n  } else", NOTICES),
    Fault("scan.hpp", "count -= codes[x] == ignored;", "count -= 0;", NOTICES),
    Fault("class_weights.cpp", "return sum > counted;", "return false;", NOTICES),
    Fault("weights.cpp", "mask_above_one |= row.all.whole > row.counted[0] + row.counted[1];", "mask_above_one |= row.all.whole > 2 * (row.counted[0] + row.counted[1]);", NOTICES),
    # threads and memory
    Fault("pool.cpp", "done_.wait(lock, [&] { return busy_.load() == 0; });", "", THREADS),
    Fault("pool.cpp", "if (last) done_.notify_one();", "", THREADS),
    Fault("pool.cpp", "if (!shared) continue;", "", THREADS),
    Fault("threads.hpp", "{ call(work, worker, i); }", "{ call(work, 0, i); }", THREADS),
    Fault("threads.hpp", "(std::size_t(worker) + k) % count", "std::size_t(worker) % count", THREADS),
    Fault("pool.cpp", "worker->number = int(lent_.size()) + 1;", "worker->number = 1;", THREADS),
    Fault("pool.cpp", "if (count == most) {", "if (false) {", POOL),
    Fault("pool.cpp", "sigfillset(&all);", "sigemptyset(&all);", POOL),
    Fault("pool.cpp", "pthread_atfork(before_fork, nullptr, in_child);", "pthread_atfork(nullptr, nullptr, in_child);", POOL),
    Fault("pool.cpp", "pthread_atfork(before_fork, nullptr, in_child);", "pthread_atfork(before_fork, nullptr, nullptr);", POOL, invisible="the mutex must be held, for nanoseconds, while another thread forks"),
    Fault("host.cpp", "for (;;) std::this_thread::sleep_for(std::chrono::hours(1));", "throw;", POOL),
    Fault("engine.cpp", "own.next.store(0, std::memory_order_release);", "own.next.store(1, std::memory_order_release);", POOL),
    Fault("engine.cpp", "counted[std::size_t(i)] = found.counted;", "", POOL),
    Fault("engine.cpp", "memory.bit_sets == call.volumes ? i : in_wave;", "memory.bit_sets > memory.in_wave ? i : in_wave;", POOL),
    Fault("engine.cpp", "volume.background == SIGNED ? -inside : 0.0f;", "0.0f;", TARGETS),
    Fault("engine.cpp", "|| volume.annotated || volume.keep ||", "|| volume.keep ||", TARGETS),
    Fault("engine.cpp", "volume.background == TIMES_LABEL || volume.annotated", "volume.annotated", TARGETS),
    Fault("call.hpp", "if (by_volume) in_wave = call.threads;", "if (by_volume) in_wave = 1;", POOL),
    Fault("threads.hpp", "if ((block_ = spare.exchange(nullptr))) break;", "if ((block_ = spare.load())) break;", THREADS),
    Fault("threads.hpp", "if (block_ && block_->bytes < bytes) {", "if (block_ && block_->bytes * 2 < bytes) {", ("test_cpu_bits.py",)),
    # host: what the binding refuses
    Fault("host.cpp", "if (width == 1 && code >= FLOATING)", "if (false)", BINDING),
    Fault("host.cpp", 'if (result.width != 4) throw std::invalid_argument("out is not float32");\n  const GilReleased', "const GilReleased", BINDING),
    Fault("host.cpp", "if (foreground && classes != 2)", "if (false)", BINDING),
    Fault("host.cpp", "if (slab[a] < 1 || slab[a] > array.view.shape[a])", "if (slab[a] < 1)", BINDING),
    Fault("host.cpp", "if (labels.shape.size() < task.voxel_size.size())", "if (false)", BINDING),
    Fault("plane.cu", "      __syncthreads();\n      fill_d", "      fill_d", DEVICE),
    Fault("plane.cu", "finish_band(job, c, d, band, site);\n    __syncthreads();", "finish_band(job, c, d, band, site);", DEVICE),
    Fault("plane.cu", "ways.odd[BEFORE ? away : away + 1]", "ways.odd[away]", DEVICE),
    Fault("plane.cu", "if (!(worst_of(best) > odd)) return;", "if (!(worst_of(best) > 2 * odd)) return;", DEVICE),
    Fault("plane.cu", "job.everywhere || (flags & HAS_MISSING);", "job.everywhere;", DEVICE),
    Fault("plane.cu", "i64(blockIdx.x) * 2 * nx", "i64(0) * 2 * nx", DEVICE),
    Fault("plane.cu", "least(left.row[i], right.row[i]) < infinity();", "left.row[i] < infinity();", DEVICE),
]
# fmt: on
