// The Python module: buffers in, numbers out. Nothing is converted or copied, and the GIL is free while it works.
//
// Arrays come through the buffer protocol, which gives byte strides of any sign, any alignment and read-only
// memory as they are; what the bytes mean (kind, byte order, unannotated) is said in words beside them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "engine.hpp"

namespace nb = nanobind;
using namespace half_grid;

namespace {

// Holds a buffer for as long as a call lasts. Released with the GIL held.
class Buffer {
 public:
  Buffer(nb::handle object, bool writable, const char* name) {
    if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_STRIDED : PyBUF_STRIDED_RO) == 0) return;
    if (!PyErr_ExceptionMatches(PyExc_BufferError) && !PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError))
      throw nb::python_error();
    PyErr_Clear();  // NumPy says ValueError of a read-only array, bytes say BufferError
    const std::string type = nb::type_name(object.type()).c_str();
    throw nb::type_error((std::string(name) + " is a " + type + ": expected an array" + (writable ? " that can be written" : "")).c_str());
  }
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  View view() const {
    View v;
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

Kind kind_of(const std::string& name) {
  if (name == "b" || name == "u") return Kind::unsigned_integer;
  if (name == "i") return Kind::signed_integer;
  if (name == "f") return Kind::floating;
  throw std::invalid_argument("kind " + name);
}

void check_width(const View& v, Kind kind) {
  if (v.width != 1 && v.width != 2 && v.width != 4 && v.width != 8) throw std::invalid_argument("elements of 1, 2, 4 or 8 bytes");
  if (v.width == 1 && kind == Kind::floating) throw std::invalid_argument("floats of 2, 4 or 8 bytes");
}

// What the bytes of an array mean: NumPy's kind letter, whether the byte order is foreign, and the bits (in the
// array's own width, native order) that mark unannotated voxels.
struct Meaning {
  std::string kind;
  bool foreign;
  bool has_ignored;
  u64 ignored;
};

LabelArray labels_of(const Buffer& buffer, const Meaning& meaning) {
  LabelArray labels{buffer.view(), kind_of(meaning.kind), meaning.foreign, meaning.has_ignored, meaning.ignored};
  check_width(labels.view, labels.kind);
  return labels;
}

// A contiguous result or table of `count` elements.
template <class T> T* dense(const Buffer& buffer, i64 count, const char* name) {
  const View v = buffer.view();
  i64 step = v.width, n = 1;
  for (std::size_t a = v.shape.size(); a-- > 0;) {
    if (v.shape[a] > 1 && v.strides[a] != step) throw std::invalid_argument(std::string(name) + " is not contiguous");
    step *= v.shape[a];
    n *= v.shape[a];
  }
  if (v.width != int(sizeof(T)) || n != count) throw std::invalid_argument(std::string(name) + " has the wrong size");
  return reinterpret_cast<T*>(v.data);
}

i64 size_of(const View& v) {
  i64 n = 1;
  for (const i64 extent : v.shape) n *= extent;
  return n;
}

void check_same(const View& a, const View& b, const char* name) {
  if (a.shape != b.shape) throw std::invalid_argument(std::string(name) + " differs in shape from the labels");
}

void check_volumes(const Plan& plan, const View& labels) {
  if (labels.shape.size() < plan.voxel_size.size()) throw std::invalid_argument("fewer axes than voxel sizes");
}

std::int64_t run_targets(const Plan& plan, nb::handle labels, const Meaning& meaning, nb::handle out, int threads) {
  const Buffer in(labels, false, "labels"), to(out, true, "out");
  const LabelArray array = labels_of(in, meaning);
  const View result = to.view();
  check_volumes(plan, array.view);
  check_same(array.view, result, "out");
  if (result.width != 4) throw std::invalid_argument("out is not float32");
  const nb::gil_scoped_release released;
  return targets(plan, array, result, nullptr, threads).fractions;
}

std::pair<std::int64_t, bool> run_targets_and_weights(const Plan& plan, nb::handle labels, const Meaning& meaning, nb::handle out,
                                                      nb::object mask, const std::string& mask_kind, nb::handle weights,
                                                      nb::handle numerators, nb::handle denominators,
                                                      std::pair<double, double> clip, bool border, int threads) {
  const Buffer in(labels, false, "labels"), to(out, true, "out"), weights_to(weights, true, "weights");
  const Buffer up(numerators, true, "numerators"), down(denominators, true, "denominators");
  const LabelArray array = labels_of(in, meaning);
  const View result = to.view();
  check_volumes(plan, array.view);
  check_same(array.view, result, "out");
  if (result.width != 4) throw std::invalid_argument("out is not float32");
  Weighing w;
  w.slabs = size_of(up.view()) / 2;
  w.weights = dense<float>(weights_to, size_of(array.view), "weights");
  w.numerators = dense<double>(up, 2 * w.slabs, "numerators");
  w.denominators = dense<double>(down, 2 * w.slabs, "denominators");
  w.low = clip.first, w.high = clip.second, w.border = border;
  const std::size_t lead = array.view.shape.size() - plan.voxel_size.size();
  if (w.slabs != 1 && (lead == 0 || array.view.shape[lead - 1] != w.slabs)) throw std::invalid_argument("one slab per channel, or one");
  const auto run = [&] {
    const nb::gil_scoped_release released;
    const Noticed noticed = targets(plan, array, result, &w, threads);
    return std::pair<std::int64_t, bool>(noticed.fractions, noticed.mask_above_one);
  };
  if (mask.is_none()) return run();
  const Buffer masked(mask, false, "mask");
  w.mask = masked.view();
  w.mask_kind = kind_of(mask_kind);
  check_width(w.mask, w.mask_kind);
  check_same(array.view, w.mask, "mask");
  return run();
}

bool run_class_weights(nb::handle labels, const Meaning& meaning, nb::handle mask, const std::string& mask_kind, nb::handle weights,
                       nb::handle numerators, nb::handle denominators, int classes, bool foreground, std::vector<i64> slab,
                       std::pair<double, double> clip, int threads) {
  const Buffer in(labels, false, "labels"), masked(mask, false, "mask"), to(weights, true, "weights");
  const Buffer up(numerators, true, "numerators"), down(denominators, true, "denominators");
  const LabelArray array = labels_of(in, meaning);
  const View mask_view = masked.view();
  const Kind kind = kind_of(mask_kind);
  check_width(mask_view, kind);
  check_same(array.view, mask_view, "mask");
  if (foreground && classes != 2) throw std::invalid_argument("label = 0 and label ≠ 0 are 2 classes");
  if (array.view.shape.empty() || slab.size() != array.view.shape.size() || classes < 1) throw std::invalid_argument("slab");
  i64 slabs = 1;
  for (std::size_t a = 0; a < slab.size(); ++a) {
    if (slab[a] < 1 || slab[a] > array.view.shape[a]) throw std::invalid_argument("slab");
    slabs *= (array.view.shape[a] + slab[a] - 1) / slab[a];
  }
  const ClassWeighing w{classes, foreground, std::move(slab), clip.first, clip.second,
                        dense<double>(up, slabs * classes, "numerators"), dense<double>(down, slabs * classes, "denominators")};
  float* result = dense<float>(to, size_of(array.view), "weights");
  const nb::gil_scoped_release released;
  return class_weights(array, mask_view, kind, result, w, threads);
}

}  // namespace

NB_MODULE(_host, m) {
  m.doc() = "The half-grid distance transform on the host; see kernels/. Engine `cpu` is its only caller.";
  nb::class_<Meaning>(m, "Meaning")
      .def(nb::init<std::string, bool, bool, u64>(), nb::arg("kind"), nb::arg("foreign"), nb::arg("has_ignored"), nb::arg("ignored"));
  nb::class_<Plan>(m, "Plan")
      .def(nb::init<std::vector<double>, double, int, bool, double, std::string, bool>(), nb::arg("voxel_size"), nb::arg("scale"),
           nb::arg("background"), nb::arg("saturate"), nb::arg("fill"), nb::arg("level"), nb::arg("always_float"));
  m.def("levels", &levels);
  m.def("targets", &run_targets, nb::arg("plan"), nb::arg("labels"), nb::arg("meaning"), nb::arg("out"), nb::arg("threads"));
  m.def("targets_and_weights", &run_targets_and_weights, nb::arg("plan"), nb::arg("labels"), nb::arg("meaning"), nb::arg("out"),
        nb::arg("mask").none(), nb::arg("mask_kind"), nb::arg("weights"), nb::arg("numerators"), nb::arg("denominators"),
        nb::arg("clip"), nb::arg("border"), nb::arg("threads"));
  m.def("class_weights", &run_class_weights, nb::arg("labels"), nb::arg("meaning"), nb::arg("mask"), nb::arg("mask_kind"),
        nb::arg("weights"), nb::arg("numerators"), nb::arg("denominators"), nb::arg("classes"), nb::arg("foreground"),
        nb::arg("slab"), nb::arg("clip"), nb::arg("threads"));
}
