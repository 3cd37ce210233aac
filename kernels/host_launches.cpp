// The second part of the Python module: plans what engine `cuda` launches, from shapes, strides and keywords.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <tuple>

#include "binding.hpp"
#include "launch.hpp"

namespace nb = nanobind;
using namespace half_grid;

namespace {

// The records of one call, with its addresses filled in. A launch passes a pointer to the pointer to the record.
struct LaunchCall {
  Records records;
  void *job, *weighing;

  explicit LaunchCall(const Records& model) : records(model), job(&records.doubled), weighing(&records.weighing) {}
  LaunchCall(const LaunchCall&) = delete;
};

u8* address(u64 pointer) { return reinterpret_cast<u8*>(pointer); }

LaunchCall* call_of(const LaunchPlan& plan, u64 labels, u64 mask, u64 target, u64 weight, u64 scratch, u64 numerators,
                    u64 denominators, u64 classes) {
  LaunchCall* const call = new LaunchCall(plan.records);
  Job& job = call->records.doubled.job;
  Weighing& w = call->records.weighing;
  job.labels.data = w.labels = address(labels);
  job.mask.data = w.mask = address(mask);
  job.target.data = address(target);
  job.weight.data = address(weight);
  w.weights = reinterpret_cast<float*>(weight);
  w.numerators = reinterpret_cast<double*>(numerators);
  w.denominators = reinterpret_cast<double*>(denominators);
  if (job.table.classes) {
    job.table.ids = plan.class_ids_bytes ? reinterpret_cast<const u64*>(classes) : nullptr;
    job.table.members = reinterpret_cast<const u32*>(classes + u64(plan.class_ids_bytes));
  }
  for (const LaunchPlan::Piece& piece : plan.pieces) {
    const u64 at = scratch + u64(piece.at);
    for (const i64 field : piece.fields) std::memcpy(reinterpret_cast<u8*>(&call->records) + field, &at, sizeof(at));
  }
  return call;
}

void sample(LaunchCall& call, u64 grid, u64 distances, i64 volume) {
  call.records.doubled.grid = address(grid);
  call.records.doubled.distances = reinterpret_cast<const float*>(distances);
  call.records.doubled.volume = volume;
}

}  // namespace

void bind_launches(nb::module_& m) {
  nb::class_<Layout>(m, "Layout")
      .def(nb::init<std::vector<i64>, std::vector<i64>, ElementFormat>(), nb::arg("shape"), nb::arg("strides"),
           nb::arg("format"));
  nb::class_<ClassMap>(m, "ClassMap")
      .def(nb::init<int, const std::vector<std::vector<u64>>&>(), nb::arg("width"), nb::arg("codes"))
      .def("bytes", [](const ClassMap& classes) {
        const std::vector<u8> all = classes.bytes();
        return nb::bytes(reinterpret_cast<const char*>(all.data()), all.size());
      });
  nb::class_<WeightTask>(m, "WeightTask")
      .def(nb::init<int, bool, std::vector<i64>, double, double>(), nb::arg("classes"), nb::arg("foreground"),
           nb::arg("slab"), nb::arg("low"), nb::arg("high"));
  nb::class_<Limits>(m, "Limits")
      .def(nb::init<i64, i64, int, bool>(), nb::arg("multiprocessors"), nb::arg("shared_bytes"), nb::arg("scan_bytes"),
           nb::arg("packs"));
  nb::class_<Launch>(m, "Launch")
      .def_ro("file", &Launch::file)
      .def_ro("kernel", &Launch::kernel)
      .def_ro("grid", &Launch::grid)
      .def_prop_ro("block", [](const Launch& l) { return std::make_tuple(l.block[0], l.block[1], l.block[2]); })
      .def_ro("shared_bytes", &Launch::shared_bytes)
      .def_ro("weighs", &Launch::weighs);
  nb::class_<LaunchCall>(m, "LaunchCall")
      .def_prop_ro("job", [](const LaunchCall& c) { return u64(c.job); })
      .def_prop_ro("weighing", [](const LaunchCall& c) { return u64(c.weighing); })
      .def_prop_ro("job_arguments", [](const LaunchCall& c) { return u64(&c.job); })
      .def_prop_ro("weighing_arguments", [](const LaunchCall& c) { return u64(&c.weighing); })
      .def_prop_ro("class_weight", [](const LaunchCall& c) { return u64(c.records.weighing.class_weight); })
      .def("sample", &sample, nb::arg("grid"), nb::arg("distances"), nb::arg("volume"))
      .def(
          "weigh_with",
          [](LaunchCall& c, u64 class_weight) {
            c.records.doubled.job.class_weight = reinterpret_cast<double*>(class_weight);
          },
          nb::arg("class_weight"));
  nb::class_<LaunchPlan>(m, "LaunchPlan")
      .def_ro("launches", &LaunchPlan::launches)
      .def_ro("scratch_bytes", &LaunchPlan::scratch_bytes)
      .def_ro("cleared_bytes", &LaunchPlan::cleared_bytes)
      .def_ro("grid_shape", &LaunchPlan::grid_shape)
      .def_ro("spacing", &LaunchPlan::spacing)
      .def_prop_ro("pieces",
                   [](const LaunchPlan& plan) {
                     std::vector<std::tuple<std::string, i64, i64>> pieces;
                     for (const LaunchPlan::Piece& piece : plan.pieces)
                       pieces.emplace_back(piece.name, piece.at, piece.bytes);
                     return pieces;
                   })
      .def_prop_ro("slabs", [](const LaunchPlan& plan) { return plan.records.weighing.slabs; })
      .def_prop_ro("volumes", [](const LaunchPlan& plan) { return plan.records.doubled.job.volumes; })
      .def("call", &call_of, nb::arg("labels"), nb::arg("mask"), nb::arg("target"), nb::arg("weight"),
           nb::arg("scratch"), nb::arg("numerators"), nb::arg("denominators"), nb::arg("classes") = 0,
           nb::rv_policy::take_ownership);
  m.def("plan_targets", &plan_targets, nb::arg("task"), nb::arg("labels"), nb::arg("target"), nb::arg("mask").none(),
        nb::arg("weight").none(), nb::arg("weighing").none(), nb::arg("bordered"), nb::arg("limits"),
        nb::arg("classes").none() = nb::none());
  m.def("plan_weights", &plan_weights, nb::arg("labels"), nb::arg("mask").none(), nb::arg("weighing"),
        nb::arg("dims") = 0, nb::arg("classes").none() = nb::none());
  m.def("plan_doubled", &plan_doubled, nb::arg("task"), nb::arg("labels"), nb::arg("target"), nb::arg("mask").none(),
        nb::arg("weight").none(), nb::arg("slabs"), nb::arg("bordered"), nb::arg("classes").none() = nb::none());
  m.def("kernel_names", &kernel_names);
}
