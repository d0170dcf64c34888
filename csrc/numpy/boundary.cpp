#include "../boundary.h"

#include <pybind11/stl.h>

#include "module.h"

namespace py = pybind11;

namespace nbseg {
namespace {

// The views point into the strings, which the caller's list keeps alive.
py::list boundaries(const std::vector<std::string_view>& counts, int64_t height, int64_t width,
                    int64_t dilation) {
  check_image_size(height, width);
  if (dilation < 1) throw py::value_error("dilation must be at least 1");
  std::vector<std::string> found;
  {
    py::gil_scoped_release release;
    found = boundary_rle(counts, height, width, dilation);
  }
  py::list result(found.size());
  for (size_t i = 0; i < found.size(); ++i) result[i] = py::bytes(found[i]);
  return result;
}

constexpr const char* boundary_rle_doc =
    R"(Find the boundary regions of masks, without full-size masks.

The boundary of a mask consists of the pixels that ``dilation`` erosions with a 3 x 3 kernel remove
(Cheng et al., CVPR 2021). Everything outside the image is background.

Args:
    counts: the compressed ``counts`` of COCO RLEs, str or bytes.
    height, width: image size in pixels.
    dilation: width of the boundary in pixels, at least 1.

Returns:
    The compressed ``counts`` of each boundary as bytes, in the order of the masks.

Raises:
    ValueError: an entry of counts does not hold the run lengths of height * width pixels, height or
        width is negative, the image has 2**32 pixels or more, or dilation is less than 1. A
        dilation above 16383 is refused, too, unless it removes the whole mask.
)";

}  // namespace

void bind_boundary(py::module_& module) {
  module.def("boundary_rle", &boundaries, py::arg("counts"), py::arg("height"), py::arg("width"),
             py::arg("dilation"), boundary_rle_doc);
}

}  // namespace nbseg
