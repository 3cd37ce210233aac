// What the two parts of the Python module share.
#pragma once
#include <nanobind/nanobind.h>

void bind_launches(nanobind::module_& m);
