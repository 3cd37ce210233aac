"""The faults that tests/faults.py plants: a text that occurs once in its file, what stands there instead, the tests."""
# ruff: noqa: E501 - a table: one fault a line

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """`tests` are pytest's arguments. `invisible` says why no result can differ, where none can."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    invisible: str = ""


ENGINE = ("tests/test_cpu_engine.py",)
BITS = ("tests/test_cpu_bits.py", "-k", "not more_volumes")
TARGETS = ("tests/test_cpu_engine.py", "tests/test_cpu_bits.py", "-k", "not more_volumes and not weights")
ENVELOPE = ("tests/test_cpu_envelope.py", *TARGETS)
WEIGHTS = ("tests/test_cpu_engine.py", "-k", "transform or weights or exact")
BORDER = ("tests/test_border.py",)
THREADS = ("tests/test_cpu_threads.py", "tests/test_cpu_bits.py", "-k", "test_threads or several or waves or one_wave")
NOTICES = ("tests/test_notices.py",)
BINDING = ("tests/test_cpu_threads.py", "-k", "binding")
DEVICE = ("tests/test_device_kernels.py",)
PACKED = ("tests/test_device_packed.py",)
LAUNCH = ("tests/test_device_launch.py",)
TYPES = ("tests/test_types_and_layouts.py",)
LIMITS = ("tests/test_device_limits.py",)
LAYOUTS = ("tests/test_memory_layouts.py",)
STREAMS = ("tests/test_cupy_order.py",)
SELF_TEST = ("tests/test_self_test.py", "tests/test_self_test_runs.py")
HALO = ("tests/test_blockwise.py",)
LAZY = ("tests/test_lazy_graph.py",)
COUNTS = ("tests/test_counts.py",)
CODEC = ("tests/test_chunk_codec.py",)
GRID = ("tests/test_block_grid.py",)
BAD = ("tests/test_bad_input.py",)

# fmt: off
KERNELS = [
    # scan: sites, unannotated voxels, runs
    ("cpu/scan.hpp", "if (nx - x < 32) bits &= (1u << (nx - x)) - 1;", "", TARGETS),
    ("cpu/scan.hpp", "return K(k + (k != Scan<K>::none));", "return K(k + 1);", TARGETS),
    ("cpu/scan.hpp", "& !(missing_here[x] | missing_there[x]);", "& !missing_here[x];", TARGETS),
    ("cpu/scan.hpp", "up_z[i] = down ? grown(best) : K(0);", "up_z[i] = down ? grown(best) : K(1);", TARGETS),
    ("cpu/scan.hpp", "codes[x] = codes[nx - 1];", "codes[x] = 0;", TARGETS),
    ("cpu/scan.hpp", "level[z ? (z & 1) ^ 1 : 0];", "level[(z & 1) ^ 1];", TARGETS),
    ("cpu/scan.hpp", "task.missing |= annotated != nx;", "task.missing = annotated != nx;", TARGETS),
    ("cpu/scan.hpp", "task.y1 < v.ny ? rows + 1 : rows;", "rows;", TARGETS),
    ("cpu/scan.hpp", "if (format.foreign && (floats || format.has_ignored))", "if (format.foreign && floats)", TARGETS),
    ("cpu/scan.hpp", "float_is_nan(code) || (format.has_ignored && code == ignored)", "float_is_nan(code)", TARGETS),
    ("cpu/scan.hpp", "flags[x] = c[x] && !m[x] ? 255 : 0;", "flags[x] = c[x] ? 255 : 0;", TARGETS),
    ("cpu/scan.hpp", "up_a[i] = grown(best_a), up_b[i] = grown(best_b);", "up_a[i] = grown(best_a), up_b[i] = best_b;", TARGETS),
    ("cpu/scan.hpp", "= some[r] | some[below] | some_before[r];", "= some[r] | some[below];", TARGETS),
    ("cpu/scan.hpp", "= some[r] | some[below] | some_before[r];", "= some[r] | some_before[r];", TARGETS),
    ("cpu/scan.hpp", "const bool may_rest = !task.may_miss && !v.everywhere;", "const bool may_rest = !task.may_miss;", TARGETS),
    ("cpu/scan.hpp", "v.inside[bits + w] = 0;", "{}", TARGETS),
    ("cpu/scan.hpp", "case 2: sweep_up<u16>(task); break;", "case 2: sweep_up<u8>(task); break;", TARGETS),
    # half_grid: what a label is, units, saturation
    ("half_grid.hpp", "float_magnitude(bits) ? bits : T(0);", "bits;", TYPES),
    ("half_grid.hpp", "float_magnitude(bits) > FloatBits<T>::infinity;", "float_magnitude(bits) >= FloatBits<T>::infinity;", TYPES + TARGETS),
    ("half_grid.hpp", "constexpr double SATURATION = 9.02;", "constexpr double SATURATION = 6.5;", TARGETS),
    ("half_grid.hpp", "units.square[a] = whole * whole;", "units.square[a] = whole * whole + (whole > 3);", TARGETS),
    ("half_grid.hpp", "if (steps > 4096) { units.whole = false; break; }", "", (*DEVICE, "-k", "units")),
    ("half_grid.hpp", "<= 1e-9 * steps;", "<= 1e-2 * steps;", TARGETS),
    ("half_grid.hpp", "SATURATION * scale / units.length * (1 + 1e-5) + 1e-3;", "SATURATION * scale / units.length * 0.9;", TARGETS),
    ("half_grid.hpp", "(bits >> (8 * i)) & 0xFF", "(bits >> (8 * i)) & 0x7F", TARGETS),
    ("half_grid.hpp", "constexpr double BORDER_SLACK = 2e-6;", "constexpr double BORDER_SLACK = 0;", BORDER),
    # plane: idle lanes, tiles, what is skipped
    ("cpu/plane.hpp", "(word | word >> 1 | next << 31)", "(word | word >> 1)", TARGETS),
    ("cpu/plane.hpp", "const u32 real = lanes_below<V>(v.nx - 1 - x);", "const u32 real = lanes_below<V>(v.nx - x);", TARGETS, "behind the last voxel no pair has a sample: it finds the cap at best"),
    ("cpu/plane.hpp", "(c < 65535 ? u32(c) : 65535u) * 65537u;", "(u32(c) & 65535u) * 65537u;", TARGETS),
    ("cpu/plane.hpp", "most = WholeLanes::all(u16(last));", "most = WholeLanes::all(u16(last + 1));", TARGETS),
    ("cpu/plane.hpp", "const V start = max(V::load(c + y * s.gap)", "const V start = min(V::load(c + y * s.gap)", TARGETS),
    ("cpu/plane.hpp", "c[y * s.gap + N] = right[y];", "c[y * s.gap + N] = 0;", TARGETS),
    ("cpu/plane.hpp", "if (!(some_voxels[at] | (y1 < v.ny ? voxels[y1] : 0))) {", "if (!some_voxels[at]) {", TARGETS),
    ("cpu/plane.hpp", "here |= some_voxels[at] | some_pairs[at];", "here |= some_voxels[at];", TARGETS),
    ("cpu/plane.hpp", "if (far_lanes) search_flagged(far_lanes, whole, half, v.nx, N, v.plan->square[2], found, N, hull);", "", TARGETS),
    ("cpu/plane.hpp", "if (far_lanes) search_flagged(far_lanes, whole, half, v.ny, N, v.plan->square[1], c, s.gap, hull);", "", TARGETS),
    ("cpu/plane.hpp", "if (far_lanes) search_flagged(far_lanes, whole, (const E*)nullptr, v.ny, N, v.plan->square[1], d, N, hull);", "", TARGETS),
    ("cpu/plane.hpp", "const bool may_be_far = !v.near_only && s.chunks > FAR_CHUNKS + 1;", "const bool may_be_far = !v.near_only && s.chunks > FAR_CHUNKS + 12;", ENVELOPE),
    ("cpu/plane.hpp", "const bool may_be_far = !v.near_only && chunks > FAR_CHUNKS + 1;", "const bool may_be_far = !v.near_only && chunks > FAR_CHUNKS + 12;", ENVELOPE),
    ("cpu/plane.hpp", "b[i] = none_to_zero(V::load(whole + (at * TILE + i) * N));", "b[i] = V::load(whole + (at * TILE + i) * N);", TARGETS, "saves the search for voxels that nobody asks for"),
    ("cpu/plane.hpp", "const i64 reach = v.near_only ? s.chunks : FAR_CHUNKS;", "const i64 reach = FAR_CHUNKS;", TARGETS),
    ("cpu/plane.hpp", "b[i] = V::choose(pairs[y], min(min(start, V::load(whole + y * N)), cap), V::all(0));", "b[i] = V::choose(pairs[y], min(start, cap), V::all(0));", TARGETS),
    ("cpu/plane.hpp", "for (i64 y = 0; y < s.rows; ++y) right[y] = V::NONE;\n  const", "const", TARGETS, "only a pair beyond the end of the row reads it, and that is idle"),
    # search: costs, chunks, when to end
    ("cpu/search.hpp", "2 * (i - r) - 1))", "2 * (i - r) + 1))", TARGETS),
    ("cpu/search.hpp", "V::at(cost + SIDE * (2 * (r - i) + 1))", "V::at(cost + SIDE * 2 * (r - i) + 1)", TARGETS),
    ("cpu/search.hpp", "at > chunks - 1 - at ? at : chunks - 1 - at;", "at < chunks - 1 - at ? at : chunks - 1 - at;", TARGETS),
    ("cpu/search.hpp", "V::at(way - (STEP - (HALF ? 1 : 2)));", "V::at(way - (STEP - 3));", TARGETS),
    ("cpu/search.hpp", "V::at(way - (STEP - 2))", "V::at(way)", TARGETS),
    ("cpu/search.hpp", "floor + V::at(cost + (HALF ? 1 : 2))", "floor + V::at(cost + 2)", TARGETS),
    ("cpu/search.hpp", "for (int r = 1; r < TILE; ++r) m = min(m, V::load(whole", "for (int r = 2; r < TILE; ++r) m = min(m, V::load(whole", TARGETS),
    ("cpu/search.hpp", "floor = min(floor, m);", "floor = m;", TARGETS),
    # envelope
    ("cpu/envelope.hpp", "0.5 * double(position + t.position);", "0.5 * double(position + t.position + 1);", ENVELOPE),
    ("cpu/envelope.hpp", "for (i64 n = k - 1; n <= k + 1; n += 2)", "for (i64 n = k - 1; n <= k - 1; n += 2)", ENVELOPE),
    ("cpu/envelope.hpp", "for (i64 n = k - 1; n <= k + 1; n += 2)", "for (i64 n = k + 1; n <= k + 1; n += 2)", ENVELOPE),
    ("cpu/envelope.hpp", "if (n >= 0 && n <= top) {", "if (n >= 0 && n < 0) {", ENVELOPE),
    ("cpu/envelope.hpp", "if (half) top = put_parabola(hull, top, 2 * r + 1,", "if (half) top = put_parabola(hull, top, 2 * r,", ENVELOPE),
    ("cpu/envelope.hpp", "if (!(square < 3.4e38f)) return top;", "", ENVELOPE, "a parabola at infinity begins at infinity, or is taken off by the next"),
    ("cpu/envelope.hpp", "if (from > t.from) break;", "break;", ENVELOPE),
    ("cpu/envelope.hpp", "while (k < top && hull[k + 1].from <= double(x)) ++k;", "if (k < top && hull[k + 1].from <= double(x)) ++k;", ENVELOPE),
    # finish: root, tanh, sign, background, border
    ("tanh.hpp", "p = p * r + V::all(1.0f / 120);", "p = p * r + V::all(1.0f / 121);", TARGETS),
    ("tanh.hpp", "V::all(-2.12194440e-4f)", "V::all(-2.12e-4f)", TARGETS),
    ("tanh.hpp", "knee = V::all(0.55f);", "knee = V::all(0.0f);", TARGETS),
    ("cpu/finish.hpp", "&& !v.has_no_site && v.out_stride[2] == 4;", "&& !v.has_no_site;", TARGETS),
    ("plan.cpp", "plan.factor > 1e-30 && plan.factor < 1e30;", "true;", TARGETS),
    ("cpu/finish.hpp", "v.background != SIGNED && !v.annotated && !v.keep &&", "v.background != SIGNED && !v.keep &&", TARGETS, "a row without foreground is 0 whichever way, and filled after that"),
    ("cpu/finish.hpp", "v.background != SIGNED && !v.annotated && !v.keep &&", "v.background != SIGNED && !v.annotated &&", BORDER),
    ("labels.hpp", "width == 1   ? double((signed char)bits)", "width == 1   ? double(bits)", TARGETS),
    ("labels.hpp", "(exponent + 1008) << 52", "(exponent + 1009) << 52", TARGETS),
    ("labels.hpp", "if (format.foreign) return swapped(bits);", "if (format.foreign && sizeof(T) < 8) return swapped(bits);", TARGETS),
    ("cpu/finish.hpp", "if (v.ny > 1 && along_y < border) border = along_y;", "", BORDER),
    ("cpu/finish.hpp", "along_z = double(2 * back_z + 1) * v.plan->half[0]", "along_z = double(2 * back_z) * v.plan->half[0]", BORDER),
    ("cpu/finish.hpp", "v.background == SIGNED ? zero - t : zero;", "v.background == SIGNED ? t : zero;", TARGETS),
    ("plan.cpp", "value = distance * plan.factor;", "value = distance * plan.factor * 1.00001;", TARGETS),
    # lanes: one fault per level
    ("cpu/lanes.hpp", "_mm512_adds_epu16(a.v, b.v)", "_mm512_add_epi16(a.v, b.v)", TARGETS),
    ("cpu/lanes.hpp", "_mm256_min_epu16(a.v, b.v)", "_mm256_min_epi16(a.v, b.v)", TARGETS),
    ("cpu/lanes.hpp", "const __m256i over = _mm256_subs_epu16(a.v, b.v);", "const __m256i over = _mm256_subs_epu16(b.v, a.v);", TARGETS),
    ("cpu/lanes.hpp", "V::N == 32 ? ~0u : (1u << (V::N & 31)) - 1;", "(1u << (V::N & 31)) - 1;", TARGETS),
    ("cpu/lanes_portable.hpp", "return {sum | Vector16(sum < a.v)};", "return {sum};", TARGETS),
    ("cpu/lanes_portable.hpp", "u32(over[2] & 4) | u32(over[3] & 8)", "u32(over[2] & 4)", ("tests/test_cpu_bits.py",)),
    ("cpu/transpose.hpp", "b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);\n  }\n  for (int i = 0; i < 8; ++i) _mm", "b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i]);\n  }\n  for (int i = 0; i < 8; ++i) _mm", TARGETS),
    # engine: jobs, waves, counts
    ("plan.cpp", "shortest = std::min(shortest, double(spatial[std::size_t(a)]) * half);", "shortest = double(spatial[std::size_t(a)]) * half;", TARGETS),
    ("plan.cpp", "if (bordered) {  // distances", "if (false) {  // distances", BORDER),
    ("plan.cpp", "plan.border_least = std::min(plan.border_least, half);", "", BORDER),
    ("plan.cpp", "deepest <= 254 ?", "deepest <= 300 ?", TARGETS),
    ("cpu/engine.cpp", "wave[i].everywhere |= missing;", "", TARGETS),
    ("cpu/engine.cpp", "if (border) std::memset(bits, 255, std::size_t(bit_sets) * kept_bits);", "", BORDER),
    ("cpu/engine.cpp", "may_miss = l.format.has_ignored || l.format.kind >= FLOATING;", "may_miss = l.format.has_ignored;", TARGETS),
    ("cpu/engine.cpp", "const i64 bit_sets = weighing ? call.volumes : in_wave;", "const i64 bit_sets = in_wave;", ("tests/test_cpu_bits.py", "-k", "one_wave")),
    ("plan.cpp", "distance = task.saturate ?", "distance = !task.saturate ?", TARGETS),
    ("plan.cpp", "if (spatial[std::size_t(a)] == 1) {", "if (spatial[std::size_t(a)] == 1 && a) {", BORDER),
    # weights
    ("cpu/weights.cpp", "if (here) sum += value;", "sum += value;", WEIGHTS),
    ("cpu/weights.cpp", "(!keep || keep[w] >> bit & 1) &&", "", ("tests/test_border.py", "tests/test_cpu_engine.py", "-k", "border or definition or transform")),
    ("cpu/weights.cpp", "__builtin_popcount(there & ~*inside);", "__builtin_popcount(~*inside);", WEIGHTS),
    ("cpu/weights.cpp", "const i64 slab = i / rows % w.slabs;", "const i64 slab = i % w.slabs;", WEIGHTS),
    ("cpu/weights.cpp", "const std::size_t at = std::size_t(2 * (i % w.slabs));", "const std::size_t at = 0;", WEIGHTS),
    ("cpu/level.cpp", "if (annotated) real &= *annotated++;", "", WEIGHTS),
    ("cpu/masks.hpp", "fraction > high ? high : fraction", "fraction", WEIGHTS),
    ("labels.hpp", "* (1.0 / 16777216);", "* (1.0 / 8388608);", WEIGHTS),
    ("cpu/masks.hpp", "template <> struct SumOf<i64> { typedef Wide type; };", "template <> struct SumOf<i64> { typedef i64 type; };", WEIGHTS),
    ("labels.hpp", "if (format.foreign) return swapped(bits);", "", WEIGHTS),
    ("labels.hpp", "if (format.has_ignored) label.missing |= label.code == T(format.ignored);", "", WEIGHTS),
    ("labels.hpp", "if (format.kind == SIGNED_INTEGER && (label.code >> (8 * format.width - 1)) != 0) return -1;", "", WEIGHTS),
    ("labels.hpp", "return double(whole) == value ? whole : -1;", "return whole;", WEIGHTS),
    ("cpu/class_weights.cpp", "slab_step *= blocks[a];", "slab_step *= labels.view.shape[a];", WEIGHTS),
    ("cpu/class_weights.cpp", "if (c < 0) continue;\n        counted", "counted", WEIGHTS),
    # what is noticed on the way
    ("cpu/scan.hpp", "if (v.labels.format.kind >= FLOATING && r < rows) task.fractions", "if (v.labels.format.kind >= FLOATING) task.fractions", NOTICES),
    ("cpu/scan.hpp", "count += (value < whole) & (rounded != value);\n    }\n  } else", "count += rounded != value;\n    }\n  } else", NOTICES),
    ("cpu/scan.hpp", "count -= codes[x] == ignored;", "count -= 0;", NOTICES),
    ("cpu/class_weights.cpp", "return sum > counted;", "return false;", NOTICES),
    ("cpu/weights.cpp", "mask_above_one |= row.all.whole > row.counted[0] + row.counted[1];", "mask_above_one |= row.all.whole > 2 * (row.counted[0] + row.counted[1]);", NOTICES),
    # threads and memory
    ("cpu/threads.hpp", "done_.wait(lock, [&] { return busy_ == 0; });", "", THREADS),
    ("cpu/threads.hpp", "if (--busy_ == 0) done_.notify_one();", "--busy_;", THREADS),
    ("cpu/threads.hpp", "      ended_ = true;", "", THREADS),
    ("cpu/threads.hpp", "< n;) call(work, worker, i);", "< n;) call(work, 0, i);", THREADS),
    ("cpu/threads.hpp", "if ((block_ = spare.exchange(nullptr))) break;", "if ((block_ = spare.load())) break;", THREADS),
    ("cpu/threads.hpp", "if (block_ && block_->bytes < bytes) {", "if (block_ && block_->bytes * 2 < bytes) {", ("tests/test_cpu_bits.py",)),
    # host: what the binding refuses
    ("host.cpp", "if (width == 1 && code >= FLOATING)", "if (false)", BINDING),
    ("host.cpp", 'if (result.width != 4) throw std::invalid_argument("out is not float32");\n  const nb::gil', "const nb::gil", BINDING),
    ("host.cpp", "if (foreground && classes != 2)", "if (false)", BINDING),
    ("host.cpp", "if (slab[a] < 1 || slab[a] > array.view.shape[a])", "if (slab[a] < 1)", BINDING),
    ("host.cpp", "if (labels.shape.size() < task.voxel_size.size())", "if (false)", BINDING),
    ("cuda/plane.cu", "      __syncthreads();\n      fill_d", "      fill_d", DEVICE),
    ("cuda/plane.cu", "    __syncthreads();  // before the next", "    // before the next", DEVICE),
    ("cuda/plane.cu", "h + ways.odd[ROWS - i]", "h + ways.odd[ROWS - 1 - i]", DEVICE),
    ("cuda/plane.cu", "if (!(worst_of(best) > odd)) return;", "if (!(worst_of(best) > 2 * odd)) return;", DEVICE),
    ("cuda/plane.cu", "job.everywhere || (flags & HAS_MISSING);", "job.everywhere;", DEVICE),
    ("cuda/plane.cu", "i64(blockIdx.x) * 2 * nx", "i64(0) * 2 * nx", DEVICE),
    ("cuda/plane.cu", "(pair && bit_at(words, x + 1))", "false", DEVICE),
    # columns: faces as bits, four labels at a time
    ("cuda/columns.cuh", "if (here.code != below.code && !below.missing) found.a |= bit;", "if (here.code != below.code) found.a |= bit;", DEVICE),
    ("cuda/columns.cuh", "end = column.last ? column.steps - 1 : column.steps;", "end = column.steps - 1;", DEVICE),
    ("cuda/columns.cuh", "(((off & 0x7F7F7F7Fu) + 0x7F7F7F7Fu) | off) & 0x80808080u", "((off & 0x7F7F7F7Fu) + 0x7F7F7F7Fu) & 0x80808080u", PACKED),
    ("cuda/columns.cuh", "__byte_perm(here, next, 0x4321)", "__byte_perm(here, next, 0x3321)", PACKED),
    ("cuda/columns.cuh", "column.steps + (column.last ? 0 : 1)) p +=", "column.steps + 1) p +=", PACKED),
    ("cuda/columns.cuh", "column.steps < STEPS ? (1u << column.steps) - 1 : ~0u : 0;", "~0u : 0;", PACKED, "bits beyond the segment repeat those of its last step, and no distance changes"),
    ("cuda/columns.cuh", "column.real ? column.steps < STEPS", "true ? column.steps < STEPS", PACKED),
    ("cuda/columns.cuh", "(word & ~mask) | (other >> apart & mask)", "(word & ~mask) | (other & mask)", PACKED),
    # scan: sweeps, squares, chunks, counts
    ("cuda/scan.cu", "return later ? u32(__ffs(int(later)) - 1) : behind + u32(STEPS - first);", "return later ? u32(__ffs(int(later)) - 1) : behind + u32(STEPS - 1 - first);", PACKED),
    ("cuda/scan.cu", "    __syncthreads();\n    for (int s = warp; s < segments; s += warps) Writer", "    for (int s = warp; s < segments; s += warps) Writer", PACKED),
    ("cuda/scan.cu", "  __syncwarp();\n", "", PACKED),
    ("cuda/scan.cu", "const u32 lower = family == 0 ? before : down;", "const u32 lower = down;", DEVICE),
    ("cuda/scan.cu", "stored.two(least_of_two(f == 0 ? before : down[f], up[i]), f == 0);", "stored.two(least_of_two(down[f], up[i]), f == 0);", PACKED),
    ("cuda/scan.cu", "u32& chunk = f == FAMILIES - 1 ? least_b[i] : least_za[i];", "u32& chunk = f ? least_b[i] : least_za[i];", PACKED),
    ("cuda/scan.cu", "const u32 both = least_of_two(own, __shfl_xor_sync(~0u, other, 16));", "const u32 both = own;", PACKED),
    ("cuda/scan.cu", "if (start + i < steps) *p = squares;", "*p = squares;", PACKED),
    ("cuda/scan.cu", "if (odd_row + 2 * half < task.rows) {", "{", PACKED),
    ("cuda/scan.cu", "if (job.annotated || job.everywhere) return false;", "if (job.annotated) return false;", PACKED),
    ("cuda/scan.cu", "if (job.annotated || job.everywhere) return false;", "if (job.everywhere) return false;", PACKED),
    ("cuda/scan.cu", "i < rows * KINDS; ++i) any |=", "i < rows * KINDS - 1; ++i) any |=", PACKED),
    ("cuda/scan.cu", "(i64(blockIdx.x) % job.replicas) * job.slabs", "(i64(blockIdx.x) % job.replicas)", PACKED),
    ("cuda/scan.cu", "counts = u32(__popc(inside)) | u32(__popc(annotated)) << 16;", "counts = u32(__popc(inside)) | 32u << 16;", PACKED),
    ("cuda/scan.cu", "sizeof(T) == 1 && !job.annotated && view.step[2] == 1 && (all & 3) == 0;", "sizeof(T) == 1 && !job.annotated && view.step[2] == 1;", PACKED),
    ("cuda/scan.cu", "column.beside = column.here + (x + 4 < nx ? 4 : 3);", "column.beside = column.here + 4;", PACKED),
    # pairs: costs, chunks, two rows or columns per register
    ("cuda/pairs.cu", "costs[away + 1].even, best[r]);", "costs[away].even, best[r]);", PACKED),
    ("cuda/pairs.cu", "BEFORE ? costs[away].odd : costs[away + 1].odd", "costs[away + 1].odd", PACKED),
    ("cuda/pairs.cu", "own[i >= r ? i - r : r - i - 1].odd", "own[i > r ? i - r : r - i].odd", PACKED),
    ("cuda/pairs.cu", "add_least(bound_before, nearest, worst) != worst;", "add_least(bound_before, costs[j + 2].even, worst) != worst;", PACKED),
    ("cuda/pairs.cu", "add_least(bound_behind, costs[j + 1].even, worst) != worst;", "add_least(bound_behind, costs[j + 3].even, worst) != worst;", PACKED),
    ("cuda/pairs.cu", "worst << 16 | worst >> 16) > nearest)) return;", "worst) > nearest)) return;", PACKED),
    ("cuda/pairs.cu", "const u32 odd = costs[2 * q + step - 1].odd, even = costs[2 * q + step].even;", "const u32 odd = costs[2 * q + step].odd, even = costs[2 * q + step].even;", PACKED),
    ("cuda/pairs.cu", "const int low = t - q - 1 > -1 ? t - q - 1 : -1,", "const int low = t - q - 1 > 0 ? t - q - 1 : 0,", PACKED),
    ("cuda/pairs.cu", "right_d = step == 1 ? d.right[here] : d.left[high];", "right_d = step == 1 ? d.right[here] : d.left[here];", PACKED),
    ("cuda/pairs.cu", "((own | own >> 1) & LEFT) | ((own | next << 1) & RIGHT);", "((own | own >> 1) & LEFT) | (own & RIGHT);", PACKED),
    ("cuda/pairs.cu", "best[r] |= ~halves_of(wanted >> (2 * r)) & NONE_TWICE;\n    turn_to_rows(best, band.c", "turn_to_rows(best, band.c", PACKED),
    ("cuda/pairs.cu", "if (threadIdx.x < 8) samples[", "if (false) samples[", PACKED),
    ("cuda/pairs.cu", "      __syncthreads();\n      fill_pairs_of_d", "      fill_pairs_of_d", PACKED),
    ("cuda/pairs.cu", "      __syncthreads();  // before the next band", "      // before the next band", PACKED),
    ("cuda/pairs.cu", "band.everywhere = job.everywhere || (flags & HAS_MISSING);", "band.everywhere = job.everywhere;", PACKED),
    ("cuda/tiles.cuh", "return (square >> 2 << 1) | (square & 1);", "return square >> 2 << 1;", PACKED),
    ("cuda/tiles.cuh", "return twice * m * (m + 1) + odd;", "return twice * m * (m + 1);", PACKED),
    ("cuda/tiles.cuh", "small_to_float(2 * packed - (packed & 1));", "small_to_float(2 * packed);", PACKED),
    ("cuda/finish.cuh", "step == 4 && (u64(p) & 7) == 0", "step == 4", PACKED, "a host stores two floats at any address"),
    ("cuda/finish.cuh", "plain = job.background != TIMES_LABEL && !job.annotated && !job.bordered && !job.mask.data;", "plain = job.background != TIMES_LABEL && !job.annotated && !job.mask.data;", PACKED),
    ("cuda/weights.cu", "replica < w.replicas; ++replica)", "replica < 1; ++replica)", PACKED),
    ("cuda/weights.cu", "const i64 carry = sum.low >> 32;", "const i64 carry = 0;", DEVICE, "float64 holds the sum of low halves exactly up to 2²¹ voxels, carried or not"),
    ("cuda/weights.cu", "    __syncthreads();\n  }\n  const Sum sum", "  }\n  const Sum sum", DEVICE),
    ("cuda/weights.cu", "extent[a] = smaller(w.slab[a], w.shape[a] - start);", "extent[a] = w.slab[a];", DEVICE),
    ("cuda/weights.cu", "if (length) atomicAdd(w.counted + slab * w.classes + run, length);\n        run = c", "run = c", DEVICE),
    ("labels.hpp", "(exponent + 1008) << 52", "(exponent + 1007) << 52", DEVICE),
    ("labels.hpp", "label.missing = float_magnitude(label.code) > T(format.infinity);", "label.missing = float_magnitude(label.code) >= T(format.infinity);", DEVICE),
    ("cuda/finish.cuh", "if (!v.annotated) target = job.fill;", "", DEVICE),
    ("tanh.hpp", "p = p * r + V::all(1.0f / 24);", "p = p * r + V::all(1.0f / 25);", DEVICE),
    ("cuda/doubled.cu", "&& !here.missing && !there.missing;", "&& !here.missing;", DEVICE),
    ("cuda/job.cuh", "offset += (volume - next * leading[a]) * view.lead[a];", "offset += (volume - next * leading[a]) * view.lead[LEADING - 1];", DEVICE),
    ("launch.cpp", "constexpr double LARGEST_PACKED = 65528;", "constexpr double LARGEST_PACKED = 70000;", PACKED),
    ("launch.cpp", "job.limit = int(2 * std::ceil(volume.cap / 4)) + 1;", "job.limit = int(2 * std::floor(volume.cap / 4)) - 1;", PACKED),
    ("launch.cpp", "(job.twice[0] / 2)) / 2) + 1;", "(job.twice[0] / 2)) / 2) - 1;", PACKED),
    ("launch.cpp", "std::min(volume.square[a], LARGEST_PACKED + 1)", "std::min(volume.square[a], 2.0)", PACKED),
    ("launch.cpp", "planner.piece(\"values\", (i64(job.limit) + 1) * 4,", "planner.piece(\"values\", 4,", LAUNCH + PACKED),
    ("launch.cpp", "&& pairs_shared <= limits.shared_bytes;", ";", PACKED),
    ("launch.cpp", "planner.piece(\"segments\", grid * words_bytes,", "planner.piece(\"segments\", words_bytes,", DEVICE + LAUNCH),
    ("launch.cpp", "planner.piece(\"counted\", class_bytes * w.replicas,", "planner.piece(\"counted\", class_bytes,", LAUNCH + PACKED),
    ("plan.cpp", "merged.extents.front() *= shape[axis];", "", LAUNCH + DEVICE),
    ("plan.cpp", "&& merged.blocks.front() == merged.extents.front();", ";", DEVICE),
    ("plan.cpp", "plan.cap = std::max(plan.cap, std::min(BEYOND, furthest * furthest * 1.01 + 2));", "", DEVICE),
    ("launch.cpp", "job.border_least = float(volume.border_least);", "job.border_least = 3e38f;", DEVICE),
    ("launch.cpp", "std::max(BLOCKS_BYTES, others)", "std::max(BLOCKS_BYTES, i64(1) << 62)", LIMITS),
]
PACKAGE = [
    ("engines/cpu.py", "given = None if mask is ones(mask.shape) else", "given = None if not any(mask.strides) else", WEIGHTS),
    ("engines/cpu.py", "    mask = _native(mask)\n", "", WEIGHTS),
    ("engines/native.py", "dtype.type(ignored + dtype.type(0))", "ignored", TYPES + TARGETS),
    ("engines/native.py", "native.itemsize, not dtype.isnative,", "native.itemsize, False,", TARGETS),
    ("engines/cpu.py", 'border == "mask",', "False,", BORDER),
    ("engines/native.py", "parameters.no_boundary == \"saturate\",", "False,", TARGETS),
    ("engines/cpu.py", "element = native.element_format(labels.dtype, parameters.ignore_label)", "element = native.element_format(labels.dtype, None)", TARGETS),
    ("engines/cucim.py", "if has_site else None", "if True else None", DEVICE),
    ("engines/native.py", "None if bits is None or bits & 0xFFFF else bits >> 16", "None if bits is None else bits >> 16", DEVICE),
    ("device/plans.py", "self.destination.copy_(self.target)", "pass", DEVICE),
    ("device/launcher.py", "key = (kernel, index)", "key = (kernel, 0)", LAUNCH),
    ("device/cache.py", "os.unlink(file.name)", "pass", ("tests/test_device_cache.py",)),
    ("device/compiler.py", "and (n in _EMBEDDED) == (wanted in _EMBEDDED)", "", LIMITS),
    ("device/streams.py", "tensor.record_stream(theirs)", "pass", STREAMS),
    ("device/streams.py", "        self.tensor = None\n", "        pass\n", STREAMS),
    ("device/self_test.py", "if len(differ):", "if False:", SELF_TEST),
    ("device/self_test.py", "or torch.cuda.is_current_stream_capturing()", "", SELF_TEST),
    ("arrays.py", "n.is_contiguous() and not n.is_neg()", "True", LAYOUTS),
    ("arrays.py", "and out.on_host and not _is_negated(out):", "and out.on_host:", LAYOUTS),
    ("arrays.py", "streams.cupy_waits(self.device)", "pass", STREAMS),
    ("arrays.py", "streams.torch_waits(device)", "pass", STREAMS),
    ("arrays.py", "if values.data.ptr % size or not _whole_steps(values):", "if not _whole_steps(values):", STREAMS),
    ("blockwise/grid.py", "math.ceil(reach * parameters.scale / size)", "int(reach * parameters.scale / size)", HALO),
    ("blockwise/lazy.py", "min(reach[axis - leading], array.shape[axis] - 1)", "min(reach[axis - leading], 5)", HALO),
    ("blockwise/lazy.py", "if block.labels is None or with_sites.all():", "if True:", HALO),
    ("blockwise/lazy.py", "None if with_sites.all() else _cut(labels, within)", "None", HALO),
    ("blockwise/grid.py", "extent / 2 / parameters.scale < SATURATION", "extent / parameters.scale < SATURATION / 10", HALO),
    ("blockwise/halo_graph.py", "max(starts[chunks.start] - reach, 0)", "max(starts[chunks.start] - reach + 1, 0)", HALO),
    ("blockwise/halo_graph.py", "volume((*index[:leading], *(0,) * self._dims))", "volume((0,) * len(index))", HALO),
    ("blockwise/halo_graph.py", "max(reach, 1):", "1:", LAZY),
    ("blockwise/lazy.py", 'parameters.voxel_size, no_boundary="saturate", **keywords)', 'parameters.voxel_size, no_boundary="extent", **keywords)', HALO),
    ("blockwise/grid.py", "(terms - below) * limit", "0", GRID),
    ("blockwise/grid.py", "(fits - 1, fits, last - 1, last)", "(0, last)", GRID),
    ("chunk_codec.py", 'reshape(self.files.chunk, order=self.order)', "reshape(self.files.chunk)", CODEC),
    ("chunk_codec.py", 'ordered.view(f"u{self.dtype.itemsize}").any()', "ordered.any()", CODEC),
    ("chunk_codec.py", "0 if self.fill_value is None else self.fill_value", "0", CODEC),
    ("chunk_codec.py", "slice(p.start - i * n, p.stop - i * n)", "slice(p.start % n, None)", CODEC),
    ("chunk_codec.py", 'if not isinstance(stored["dtype"], str) or stored.get("filters"):', 'if not isinstance(stored["dtype"], str):', CODEC),
    ("blockwise/task.py", "if stores_zeros_as_nothing() else None", "", CODEC),
    ("counts.py", "counted = before - known", "counted = before", COUNTS),
    ("counts.py", "self._reduced = total.clone()", "self._reduced = known", COUNTS),
    ("counts.py", "loaded._reduced = saved[2:].clone()", "", (*COUNTS, "tests/test_transform.py")),
    ("counts.py", "known.places != places or ", "", ("tests/test_transform.py", "-k", "memory")),
    ("counts.py", "(self.denominators > 0).all()", "(self.denominators >= 0).all()", COUNTS + BAD),
    ("parameters.py", "0 < low <= high <= 1:", "0 <= low <= high <= 1:", BAD),
    ("parameters.py", "return tuple(-(-n // extent)", "return tuple(n // extent", WEIGHTS),
    ("parameters.py", "not -(2**63) <= ignore_label < 2**64", "not -(2**63) <= ignore_label < 2**71", BAD),
    ("parameters.py", "leading = (*leading[:-1], 1)", "leading = leading", ("tests/test_transform.py", "tests/test_cpu_engine.py", "-k", "transform or channel")),
    ("labels.py", "maxsize=256, typed=True", "maxsize=256", ("tests/test_ignored_label.py",)),
    ("labels.py", "and abs(value) > 2**53 and kind.itemsize == 8", "and abs(value) > 2**70", ("tests/test_ignored_label.py",)),
    ("api.py", "return parameters if ignored == given else replace(parameters, ignore_label=ignored)", "return parameters", ("tests/test_ignored_label.py",)),
    ("notices.py", "_said.add(kind)  # not", "pass  # not", NOTICES),
    ("engines/__init__.py", 'notices.slow_engine(_why_not("cpu"))', "pass", NOTICES),
    ("labels.py", "for part in (slice(-1), slice(1, None))", "for part in (slice(1), slice(1, None))", HALO),
    ("arrays.py", "if step < reach:", "if step < 0:", BAD),
    ("arrays.py", "return views[0].copy(), views[1].copy()", "return views", ("tests/test_transform.py", "tests/test_counts.py")),
    ("engines/reference.py", "numerators[...], denominators[...] = grown", "pass", ("tests/test_counts_threads.py",)),
    ("ahead.py", "self._loader.note(state, counts)", "pass", ("tests/test_loader_state.py",)),
    ("ahead.py", " and not counting.is_held()", "", ("tests/test_counts_threads.py", "-k", "garbage")),
    ("counting.py", "with on_device(), on_host:", "if True:", ("tests/test_counts_threads.py", "-k", "whole or reduced")),
    ("counts.py", "now = total + (self._stacked() - before)", "now = total", ("tests/test_counts_threads.py", "-k", "reduced")),
    ("api.py", "if 0 not in labels.shape:", "if True:", ("tests/test_empty_batches.py",)),
    ("api.py", "        if not empty:", "        if True:", ("tests/test_empty_batches.py",)),
    ("parameters.py", "if n else 1 for extent", "for extent", ("tests/test_empty_batches.py",)),
]

# fmt: on
FAULTS = [
    *(Fault(f"kernels/{file}", *rest) for file, *rest in KERNELS),
    *(Fault(f"inner_distance_gpu/{file}", *rest) for file, *rest in PACKAGE),
]
