#include "../mask_crops.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "module.h"

namespace py = pybind11;

namespace nbseg {
namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

template <typename T>
Array<T> as_array(const std::vector<T>& values, const std::vector<py::ssize_t>& shape) {
  return Array<T>(shape, values.data());
}

py::tuple as_arrays(const MaskCrops& masks) {
  const auto instances = static_cast<py::ssize_t>(masks.starts.size());
  return py::make_tuple(as_array(masks.bits, {static_cast<py::ssize_t>(masks.bits.size())}),
                        as_array(masks.starts, {instances}), as_array(masks.crops, {instances, 4}));
}

std::vector<int32_t> indices_of(const Array<int32_t>& array) {
  return {array.data(), array.data() + array.size()};
}

// The views point into the strings, which the caller's list keeps alive.
py::tuple from_rle(const std::vector<std::string_view>& counts, int64_t height, int64_t width) {
  check_image_size(height, width);
  MaskCrops masks;
  {
    py::gil_scoped_release release;
    masks = crops_from_rle(counts, height, width);
  }
  return as_arrays(masks);
}

py::tuple select(const Array<uint8_t>& bits, const Array<int64_t>& starts,
                 const Array<int32_t>& crops, int64_t height, int64_t width,
                 const Array<int32_t>& rows, const Array<int32_t>& columns) {
  if (bits.ndim() != 1 || starts.ndim() != 1 || crops.ndim() != 2 || crops.shape(1) != 4 ||
      crops.shape(0) != starts.shape(0) || rows.ndim() != 1 || columns.ndim() != 1) {
    throw py::value_error(
        "bits, starts, crops, rows and columns must have shapes (B,), (G,), (G, 4), (H,) and (W,)");
  }
  const MaskCropsView view{bits.data(),   starts.data(), crops.data(), bits.size(),
                           starts.size(), height,        width};
  MaskCrops selected;
  {
    py::gil_scoped_release release;
    selected = select_pixels(view, indices_of(rows), indices_of(columns));
  }
  return as_arrays(selected);
}

constexpr const char* crops_from_rle_doc =
    R"(Convert compressed COCO RLEs to bit-packed crops, without full-size masks.

The layout of the crops is that of ``nbseg.structures.CroppedMasks``.

Args:
    counts: the compressed ``counts`` of G RLEs, str or bytes.
    height, width: image size in pixels.

Returns:
    The arrays bits (B,) uint8, starts (G,) int64 and crops (G, 4) int32.

Raises:
    ValueError: an entry of counts does not hold the run lengths of height * width pixels,
        height or width is negative, or the image has 2**32 pixels or more.
)";

constexpr const char* select_pixels_doc =
    R"(Make the masks of a new image from rows and columns of an old image.

Pixel (i, j) of the new image is pixel (rows[i], columns[j]) of the old image. If either index
is -1, the pixel is background. Flips, crops, padding and nearest-neighbor resizing can be
written in this form.

Args:
    bits, starts, crops: (B,) uint8, (G,) int64 and (G, 4) int32, laid out as in
        ``nbseg.structures.CroppedMasks``.
    height, width: size of the old image in pixels.
    rows: row indices, shape (H,), int32 in [-1, height); H is the height of the new image.
    columns: column indices, shape (W,), int32 in [-1, width); W is the width of the new image.

Returns:
    The arrays bits (B',) uint8, starts (G,) int64 and crops (G, 4) int32 of the new masks. The
    new crops are tight.

Raises:
    TypeError: an array has a dtype that does not convert safely to the dtype named above.
    ValueError: an index or a crop lies outside the old image, or an array has a wrong shape.
)";

}  // namespace

void bind_mask_crops(py::module_& module) {
  module.def("crops_from_rle", &from_rle, py::arg("counts"), py::arg("height"), py::arg("width"),
             crops_from_rle_doc);
  module.def("select_pixels", &select, py::arg("bits"), py::arg("starts"), py::arg("crops"),
             py::arg("height"), py::arg("width"), py::arg("rows"), py::arg("columns"),
             select_pixels_doc);
}

}  // namespace nbseg
