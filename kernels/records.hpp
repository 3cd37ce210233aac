// Fills the records of engine `cuda` from layouts and keywords. The addresses come later, see host_launches.cpp.
#pragma once
#include "launch.hpp"

namespace half_grid {

// The greatest cap of packed squares: they have 15 bits, and the cap is one less than NO_SQUARE.
constexpr double LARGEST_PACKED = 65528;

i64 product(const std::vector<i64>& numbers);
inline i64 parts_of(i64 whole, i64 part) { return (whole + part - 1) / part; }

// Both return false where the arrays have more axes than a record holds, after axes were merged.
bool describe_job(Job& job, const Task& task, const Layout& labels, const Layout& target, const Layout* mask,
                  const Layout* weight, const ClassMap* classes, bool bordered, VolumePlan& volume);
bool describe_weighing(Weighing& w, const Layout& labels, const Layout* mask, const WeightTask& task);

// Fills in how the bits of classes lie, which kernels read instead of labels.
void describe_bits(Weighing& w, const Job& job);

// Fills in what kernel `pairs` needs in addition.
void pack_squares(Job& job, const VolumePlan& volume);

}  // namespace half_grid
