#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace nbseg {

// Throws pybind11::value_error if a side is negative or above 2^31 - 1, or if the image has 2^32
// pixels or more, because COCO counts pixels in 32 bits.
void check_image_size(std::int64_t height, std::int64_t width);

// Each file of this folder defines one of these functions; module.cpp calls them.
void bind_paste_rle(pybind11::module_& module);
void bind_mask_crops(pybind11::module_& module);
void bind_boundary(pybind11::module_& module);

}  // namespace nbseg
