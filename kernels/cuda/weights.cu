// Class-balanced weights: mask / (classes × clip(numerator / denominator)), with one set of counts per slab.
//
//   count   labels and mask -> per slab and class the voxels counted (integers), per part of a slab the mask's sum
//   settle  counts and sums -> new numerators and denominators, and the weight of each class
//   weigh   labels, mask and the weights of the classes -> weights
//
// Float masks are summed in a fixed order, so that the result does not depend on the device: a slab is cut into parts
// of PART voxels; the threads of one block sum a part, first each for itself and then in a tree; one block adds up the
// parts. Integers are summed exactly, as high and low halves.
#include "job.cuh"

namespace half_grid {

// The voxels counted at one slab and class, over all replicas.
DEVICE_FN u64 counted_of(const Weighing& w, i64 at) {
  u64 voxels = 0;
  for (i64 replica = 0; replica < w.replicas; ++replica) voxels += w.counted[replica * w.slabs * w.classes + at];
  return voxels;
}

DEVICE_FN Sum plus(const Sum& a, const Sum& b) { return {a.real + b.real, a.high + b.high, a.low + b.low}; }

DEVICE_FN double total_of(const Sum& sum) {
  const i64 carry = sum.low >> 32;  // an arithmetic shift
  return sum.real + (double(sum.high + carry) * 4294967296.0 + double(sum.low - carry * 4294967296ll));
}

// The value of the mask as a Sum; `counts` receives whether it is not 0.
DEVICE_FN Sum mask_at(const ElementFormat& m, const u8* p, bool& counts) {
  const u64 bits = any_bits_at(m, p);
  if (m.kind >= FLOATING) {
    const double value = number_of(m.kind, m.width, bits);
    counts = value != 0;
    return {value, 0, 0};
  }
  counts = bits != 0;
  if (m.kind == UNSIGNED_INTEGER) return {0, i64(bits >> 32), i64(bits & 0xFFFFFFFFu)};
  const i64 value = m.width == 1   ? i64((signed char)bits)
                    : m.width == 2 ? i64(short(bits))
                    : m.width == 4 ? i64(int(bits))
                                   : i64(bits);
  return {0, value >> 32, value & 0xFFFFFFFFll};
}

// Returns to every thread of the block the sum of all `own`, added in an order that the number of threads fixes.
DEVICE_FN Sum sum_of_block(Sum own, Sum* buffer) {
  const int thread = int(threadIdx.x);
  buffer[thread] = own;
  __syncthreads();
  for (int apart = int(blockDim.x) / 2; apart; apart /= 2) {
    if (thread < apart) buffer[thread] = plus(buffer[thread], buffer[thread + apart]);
    __syncthreads();
  }
  const Sum sum = buffer[0];
  __syncthreads();
  return sum;
}

// The class of a voxel, or -1 where it is not counted. With classes the voxel's bits say it; `row` numbers the rows of
// all volumes.
DEVICE_FN int class_at(const Weighing& w, i64 label, i64 row, i64 x) {
  if (!w.inside) return class_of(w.label, w.classes, w.foreground != 0, any_label_at(w.label, w.labels + label));
  if (w.annotated && !bit_at(w.annotated + row * w.words, x)) return -1;
  return bit_at(w.inside + row * w.words, x);
}

// The row of a voxel of a slab, among the rows of all volumes; with classes a slab is every volume of one class.
DEVICE_FN i64 row_of(const Weighing& w, i64 slab, i64 voxel) {
  const i64 row = divided(voxel, w.nx), volume = divided(row, w.rows);
  return (volume * w.slabs + slab) * w.rows + row - volume * w.rows;
}

__global__ void count(BY_VALUE Weighing w) {
  __shared__ Sum buffer[THREADS];
  const i64 tasks = w.slabs * w.parts;
  for (i64 task = blockIdx.x; task < tasks; task += gridDim.x) {
    const i64 slab = divided(task, w.parts), part = task - slab * w.parts;
    i64 extent[AXES], voxels = 1, label_start = 0, mask_start = 0, rest = slab;
    for (int a = AXES - 1; a >= 0; --a) {
      const i64 blocks = divided(w.shape[a] + w.slab[a] - 1, w.slab[a]), next = divided(rest, blocks),
                start = (rest - next * blocks) * w.slab[a];
      extent[a] = smaller(w.slab[a], w.shape[a] - start);
      voxels *= extent[a];
      label_start += start * w.label_step[a];
      mask_start += start * w.mask_step[a];
      rest = next;
    }
    Sum sum = {0, 0, 0};
    int run = -1;
    u64 length = 0;
    const i64 end = smaller(voxels, (part + 1) * PART);
    for (i64 voxel = part * PART + threadIdx.x; voxel < end; voxel += blockDim.x) {
      i64 index = voxel, label = label_start, mask = mask_start;
      for (int a = AXES - 1; a >= 0; --a) {
        if (extent[a] == 1) continue;
        const i64 next = divided(index, extent[a]), at = index - next * extent[a];
        label += at * w.label_step[a];
        mask += at * w.mask_step[a];
        index = next;
      }
      const int c = w.inside ? class_at(w, label, row_of(w, slab, voxel), voxel % w.nx) : class_at(w, label, 0, 0);
      if (c < 0) continue;
      bool counts = true;
      sum = plus(sum, w.mask ? mask_at(w.mask_value, w.mask + mask, counts) : Sum{0, 0, 1});
      if (c != run) {
        if (length) atomicAdd(w.counted + slab * w.classes + run, length);
        run = c, length = 0;
      }
      length += counts;
    }
    if (length) atomicAdd(w.counted + slab * w.classes + run, length);
    sum = sum_of_block(sum, buffer);
    if (threadIdx.x == 0) w.sums[task] = sum;
  }
}

__global__ void settle(BY_VALUE Weighing w) {
  __shared__ Sum buffer[THREADS];
  for (i64 slab = blockIdx.x; slab < w.slabs; slab += gridDim.x) {
    Sum sum = {0, 0, 0};
    if (w.sums) {
      for (i64 part = threadIdx.x; part < w.parts; part += blockDim.x) sum = plus(sum, w.sums[slab * w.parts + part]);
    } else {
      for (i64 c = threadIdx.x; c < w.classes; c += blockDim.x) sum.low += i64(counted_of(w, slab * w.classes + c));
    }
    const double total = total_of(sum_of_block(sum, buffer));
    for (i64 c = threadIdx.x; c < w.classes; c += blockDim.x) {
      const i64 at = slab * w.classes + c;
      const double numerator = w.numerators[at] + double(counted_of(w, at));
      const double denominator = w.denominators[at] + total;
      w.numerators[at] = numerator;
      w.denominators[at] = denominator;
      double fraction = numerator / denominator;
      fraction = fraction < w.low ? w.low : fraction > w.high ? w.high : fraction;
      w.class_weight[at] = 1 / (w.classes * fraction);
    }
  }
}

__global__ void weigh(BY_VALUE Weighing w) {
  i64 voxels = 1;
  for (int a = 0; a < AXES; ++a) voxels *= w.shape[a];
  for (i64 voxel = i64(blockIdx.x) * blockDim.x + threadIdx.x; voxel < voxels; voxel += i64(gridDim.x) * blockDim.x) {
    i64 index = voxel, label = 0, mask = 0, slab = 0, step = 1;
    for (int a = AXES - 1; a >= 0; --a) {
      if (w.shape[a] == 1) continue;
      const i64 next = divided(index, w.shape[a]), at = index - next * w.shape[a];
      label += at * w.label_step[a];
      mask += at * w.mask_step[a];
      slab += divided(at, w.slab[a]) * step;
      step *= divided(w.shape[a] + w.slab[a] - 1, w.slab[a]);
      index = next;
    }
    const int c = w.inside ? class_at(w, label, divided(voxel, w.nx), voxel % w.nx) : class_at(w, label, 0, 0);
    double weight = 0;
    if (c >= 0) weight = (w.mask ? number_at(w.mask_value, w.mask + mask) : 1.0) * w.class_weight[slab * w.classes + c];
    w.weights[voxel] = float(weight);
  }
}

}  // namespace half_grid
