#pragma once

#include <pybind11/pybind11.h>

namespace nbseg {

// One a file of this folder; module.cpp calls them.
void bind_paste_rle(pybind11::module_& module);
void bind_mask_crops(pybind11::module_& module);

}  // namespace nbseg
