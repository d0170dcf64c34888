// nbseg._native: the functions that need neither torch nor CUDA, for NumPy arrays.
#include "module.h"

#include <limits>
#include <string>

namespace nbseg {

void check_image_size(std::int64_t height, std::int64_t width) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (height < 0 || width < 0 || height > most || width > most || height * width > 0xffffffff) {
    throw pybind11::value_error(
        "height and width must be at least 0 and give fewer than 2**32 pixels, "
        "found " +
        std::to_string(height) + " and " + std::to_string(width));
  }
}

}  // namespace nbseg

PYBIND11_MODULE(_native, module) {
  module.doc() = "Functions of nbseg that need NumPy only.";
  nbseg::bind_paste_rle(module);
  nbseg::bind_mask_crops(module);
  nbseg::bind_boundary(module);
}
