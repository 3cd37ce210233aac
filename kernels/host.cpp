// The Python module. It receives arrays as buffers and writes into arrays of the caller. Nothing is converted or
// copied, and the GIL is released while it works.
//
// Arrays come through the buffer protocol, which passes on byte strides of any sign, any alignment and read-only
// memory. How their bytes are read (kind, byte order, unannotated label) is passed beside them as an ElementFormat.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "binding.hpp"
#include "cpu/engine.hpp"
#include "cpu/weights.hpp"

namespace nb = nanobind;
using namespace half_grid;

namespace {

// Lets other Python threads run for as long as it lives. Where the interpreter has ended meanwhile, Python before 3.14
// ends a thread that comes back by unwinding its stack, which is an abort where a destructor must not throw. So this
// thread stays here, and ends with the process.
class GilReleased {
 public:
  GilReleased() : state_(PyEval_SaveThread()) {}
  ~GilReleased() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }
  GilReleased(const GilReleased&) = delete;
  GilReleased& operator=(const GilReleased&) = delete;

 private:
  PyThreadState* state_;
};

// Holds a buffer for as long as a call lasts. It is released with the GIL held.
class Buffer {
 public:
  Buffer(nb::handle object, bool writable, const char* name) {
    if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_STRIDED : PyBUF_STRIDED_RO) == 0) return;
    if (!PyErr_ExceptionMatches(PyExc_BufferError) && !PyErr_ExceptionMatches(PyExc_TypeError) &&
        !PyErr_ExceptionMatches(PyExc_ValueError))
      throw nb::python_error();
    PyErr_Clear();  // NumPy raises ValueError for a read-only array, bytes raise BufferError
    const std::string type = nb::type_name(object.type()).c_str();
    throw nb::type_error(
        (std::string(name) + " is a " + type + ": expected an array" + (writable ? " that can be written" : ""))
            .c_str());
  }
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  StridedArray view() const {
    StridedArray v;
    v.data = static_cast<unsigned char*>(view_.buf);
    v.width = int(view_.itemsize);
    v.shape.assign(view_.shape, view_.shape + view_.ndim);
    v.strides.assign(view_.strides, view_.strides + view_.ndim);
    for (const i64 n : v.shape)
      if (n < 1) throw std::invalid_argument("empty array");
    return v;
  }

 private:
  Py_buffer view_;
};

int kind_of(const std::string& letter) {
  if (letter == "b" || letter == "u") return UNSIGNED_INTEGER;
  if (letter == "i") return SIGNED_INTEGER;
  if (letter == "f") return FLOATING;
  if (letter == "bfloat16") return BFLOAT;
  throw std::invalid_argument("kind " + letter);
}

// Makes a format from NumPy's kind letter and the bytes of an element. `ignored` holds bits in the width of an element
// and the machine's byte order.
ElementFormat format_of(const std::string& kind, int width, bool foreign, bool has_ignored, u64 ignored) {
  if (width != 1 && width != 2 && width != 4 && width != 8)
    throw std::invalid_argument("elements of 1, 2, 4 or 8 bytes");
  const int code = kind_of(kind);
  if (width == 1 && code >= FLOATING) throw std::invalid_argument("floats of 2, 4 or 8 bytes");
  const u64 infinity = code == BFLOAT     ? 0x7F80
                       : code != FLOATING ? 0
                       : width == 2       ? FloatBits<u16>::infinity
                       : width == 4       ? FloatBits<u32>::infinity
                                          : FloatBits<u64>::infinity;
  return {width, code, has_ignored, foreign, ignored, infinity};
}

StridedArray view_of(const Buffer& buffer, const ElementFormat& format, const char* name) {
  StridedArray view = buffer.view();
  if (format.kind == BFLOAT) throw std::invalid_argument("bfloat16 is for engine cuda; here float32 takes its place");
  if (view.width != format.width)
    throw std::invalid_argument(std::string(name) + " has elements of another width than its format");
  return view;
}

// The memory of a contiguous result or table of `count` elements.
template <class T> T* dense(const Buffer& buffer, i64 count, const char* name) {
  const StridedArray v = buffer.view();
  i64 step = v.width, n = 1;
  for (std::size_t a = v.shape.size(); a-- > 0;) {
    if (v.shape[a] > 1 && v.strides[a] != step) throw std::invalid_argument(std::string(name) + " is not contiguous");
    step *= v.shape[a];
    n *= v.shape[a];
  }
  if (v.width != int(sizeof(T)) || n != count) throw std::invalid_argument(std::string(name) + " has the wrong size");
  return reinterpret_cast<T*>(v.data);
}

i64 size_of(const StridedArray& v) {
  i64 n = 1;
  for (const i64 extent : v.shape) n *= extent;
  return n;
}

void check_same(const StridedArray& a, const StridedArray& b, const char* name) {
  if (a.shape != b.shape) throw std::invalid_argument(std::string(name) + " differs in shape from the labels");
}

void check_volumes(const CpuTask& task, const StridedArray& labels) {
  if (labels.shape.size() < task.voxel_size.size()) throw std::invalid_argument("fewer axes than voxel sizes");
}

std::int64_t run_targets(const CpuTask& task, nb::handle labels, const ElementFormat& format, nb::handle out,
                         int threads, const ClassMap* classes) {
  const Buffer in(labels, false, "labels"), to(out, true, "out");
  const LabelArray array{view_of(in, format, "labels"), format};
  const StridedArray result = to.view();
  check_volumes(task, array.view);
  check_same(array.view, result, "out");
  if (result.width != 4) throw std::invalid_argument("out is not float32");
  const GilReleased released;
  return targets(task, array, result, nullptr, threads, classes).fractions;
}

std::pair<std::int64_t, bool> run_targets_and_weights(const CpuTask& task, nb::handle labels,
                                                      const ElementFormat& format, nb::handle out, nb::object mask,
                                                      const ElementFormat& mask_format, nb::handle weights,
                                                      nb::handle numerators, nb::handle denominators,
                                                      std::pair<double, double> clip, bool border, int threads,
                                                      const ClassMap* classes) {
  const Buffer in(labels, false, "labels"), to(out, true, "out"), weights_to(weights, true, "weights");
  const Buffer up(numerators, true, "numerators"), down(denominators, true, "denominators");
  const LabelArray array{view_of(in, format, "labels"), format};
  const StridedArray result = to.view();
  check_volumes(task, array.view);
  check_same(array.view, result, "out");
  if (result.width != 4) throw std::invalid_argument("out is not float32");
  FusedWeights w;
  w.slabs = size_of(up.view()) / 2;
  w.weights = dense<float>(weights_to, size_of(array.view), "weights");
  w.numerators = dense<double>(up, 2 * w.slabs, "numerators");
  w.denominators = dense<double>(down, 2 * w.slabs, "denominators");
  w.low = clip.first, w.high = clip.second, w.border = border;
  const std::size_t lead = array.view.shape.size() - task.voxel_size.size();
  if (w.slabs != 1 && (lead == 0 || array.view.shape[lead - 1] != w.slabs))
    throw std::invalid_argument("one slab per channel, or one");
  const auto run = [&] {
    const GilReleased released;
    const Noticed noticed = targets(task, array, result, &w, threads, classes);
    return std::pair<std::int64_t, bool>(noticed.fractions, noticed.mask_above_one);
  };
  if (mask.is_none()) return run();
  const Buffer masked(mask, false, "mask");
  w.mask = view_of(masked, mask_format, "mask");
  w.mask_format = mask_format;
  check_same(array.view, w.mask, "mask");
  return run();
}

bool run_class_weights(nb::handle labels, const ElementFormat& format, nb::handle mask,
                       const ElementFormat& mask_format, nb::handle weights, nb::handle numerators,
                       nb::handle denominators, int classes, bool foreground, std::vector<i64> slab,
                       std::pair<double, double> clip, int threads, const ClassMap* of_labels) {
  const Buffer in(labels, false, "labels"), masked(mask, false, "mask"), to(weights, true, "weights");
  const Buffer up(numerators, true, "numerators"), down(denominators, true, "denominators");
  const LabelArray array{view_of(in, format, "labels"), format};
  const StridedArray mask_view = view_of(masked, mask_format, "mask");
  check_same(array.view, mask_view, "mask");
  if (of_labels && (!foreground || of_labels->table().classes != size_of(up.view()) / 2))
    throw std::invalid_argument("expected a slab for each class of the labels");
  if (foreground && classes != 2) throw std::invalid_argument("label = 0 and label ≠ 0 are 2 classes");
  if (array.view.shape.empty() || slab.size() != array.view.shape.size() || classes < 1)
    throw std::invalid_argument("slab");
  i64 slabs = 1;
  for (std::size_t a = 0; a < slab.size(); ++a) {
    if (slab[a] < 1 || slab[a] > array.view.shape[a]) throw std::invalid_argument("slab");
    slabs *= (array.view.shape[a] + slab[a] - 1) / slab[a];
  }
  const SlabWeights w{classes,
                      foreground,
                      std::move(slab),
                      clip.first,
                      clip.second,
                      dense<double>(up, slabs * classes, "numerators"),
                      dense<double>(down, slabs * classes, "denominators"),
                      of_labels};
  float* result = dense<float>(to, size_of(array.view), "weights");
  const GilReleased released;
  return class_weights(array, mask_view, mask_format, result, w, threads);
}

// The mutex of the counts as a Python context manager. A thread releases the GIL while it waits, because the holder of
// the mutex may need it.
struct CountsLock {
  void enter() {
    if (counts_mutex().try_lock()) return;
    const GilReleased released;
    counts_mutex().lock();
  }
  void exit(nb::args) { counts_mutex().unlock(); }
};

}  // namespace

NB_MODULE(_host, m) {
  nb::set_leak_warnings(false);  // plans are cached until the process ends
  m.doc() = "The half-grid distance transform on the host; see kernels/. Engine `cpu` is its only caller.";
  nb::class_<CountsLock>(m, "CountsLock")
      .def(nb::init<>())
      .def("__enter__", &CountsLock::enter)
      .def("__exit__", &CountsLock::exit);
  m.def("renew_counts_lock", &renew_counts_mutex);
  nb::class_<ElementFormat>(m, "ElementFormat")
      .def(
          "__init__",
          [](ElementFormat* self, const std::string& kind, int width, bool foreign, bool has_ignored, u64 ignored) {
            new (self) ElementFormat(format_of(kind, width, foreign, has_ignored, ignored));
          },
          nb::arg("kind"), nb::arg("width"), nb::arg("foreign"), nb::arg("has_ignored"), nb::arg("ignored"));
  nb::class_<Task>(m, "Task").def(nb::init<std::vector<double>, double, int, bool, double>(), nb::arg("voxel_size"),
                                  nb::arg("scale"), nb::arg("background"), nb::arg("saturate"), nb::arg("fill"));
  nb::class_<CpuTask, Task>(m, "CpuTask")
      .def(nb::init<const Task&, const std::string&, bool>(), nb::arg("task"), nb::arg("level"),
           nb::arg("always_float"));
  bind_launches(m);
  m.def("levels", &levels);
  m.def("targets", &run_targets, nb::arg("task"), nb::arg("labels"), nb::arg("format"), nb::arg("out"),
        nb::arg("threads"), nb::arg("classes").none() = nb::none());
  m.def("targets_and_weights", &run_targets_and_weights, nb::arg("task"), nb::arg("labels"), nb::arg("format"),
        nb::arg("out"), nb::arg("mask").none(), nb::arg("mask_format"), nb::arg("weights"), nb::arg("numerators"),
        nb::arg("denominators"), nb::arg("clip"), nb::arg("border"), nb::arg("threads"),
        nb::arg("classes").none() = nb::none());
  m.def("class_weights", &run_class_weights, nb::arg("labels"), nb::arg("format"), nb::arg("mask"),
        nb::arg("mask_format"), nb::arg("weights"), nb::arg("numerators"), nb::arg("denominators"), nb::arg("classes"),
        nb::arg("foreground"), nb::arg("slab"), nb::arg("clip"), nb::arg("threads"),
        nb::arg("of_labels").none() = nb::none());
}
