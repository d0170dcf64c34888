#include <pybind11/numpy.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../rle.h"
#include "module.h"

namespace py = pybind11;

namespace nbseg {
namespace {

// Tensors in CPU memory become arrays without a copy.
py::array as_array(const py::object& values) {
  return py::module_::import("numpy").attr("asarray")(values);
}

std::string text_of(const py::handle& value) { return py::str(value).cast<std::string>(); }

// Returns the values in C order; copies only arrays in another order.
template <typename T>
py::array_t<T, py::array::c_style> c_ordered(const py::array& array) {
  return py::array_t<T, py::array::c_style | py::array::forcecast>(array);
}

py::list paste(const py::object& probs_object, const py::object& boxes_object, std::int64_t height,
               std::int64_t width, double threshold, int num_threads) {
  const py::array probs = as_array(probs_object), boxes = as_array(boxes_object);
  const bool is_float = py::isinstance<py::array_t<float>>(probs);
  if (!is_float && !py::isinstance<py::array_t<std::uint8_t>>(probs)) {
    throw py::type_error("probs must be float32 or uint8, found " + text_of(probs.dtype()));
  }
  if (!py::isinstance<py::array_t<float>>(boxes)) {
    throw py::type_error("boxes must be float32, found " + text_of(boxes.dtype()));
  }
  if (probs.ndim() != 3 || probs.shape(1) != probs.shape(2) || probs.shape(1) < 1) {
    throw py::value_error("probs must have shape (N, S, S), found " + text_of(probs.attr("shape")));
  }
  if (boxes.ndim() != 2 || boxes.shape(0) != probs.shape(0) || boxes.shape(1) != 4) {
    throw py::value_error(
        "boxes must have shape (N, 4) with N = " + std::to_string(probs.shape(0)) +
        " as in probs, found " + text_of(boxes.attr("shape")));
  }
  check_image_size(height, width);
  if (std::isnan(threshold)) throw py::value_error("threshold must be a number, found NaN");
  if (num_threads < 0) {
    throw py::value_error("num_threads must be at least 1, or 0 to choose automatically, found " +
                          std::to_string(num_threads));
  }

  const auto ordered_boxes = c_ordered<float>(boxes);
  const py::array ordered_probs =
      is_float ? py::array(c_ordered<float>(probs)) : py::array(c_ordered<std::uint8_t>(probs));
  PasteRleParams params{};
  if (is_float) {
    params.probs_float = static_cast<const float*>(ordered_probs.data());
  } else {
    params.probs_uint8 = static_cast<const std::uint8_t*>(ordered_probs.data());
  }
  params.boxes = ordered_boxes.data();
  params.count = probs.shape(0);
  params.side = probs.shape(1);
  params.height = height;
  params.width = width;
  params.threshold = static_cast<float>(threshold);
  params.num_threads = num_threads;
  params.fused = torch_uses_fma();

  std::vector<std::string> counts;
  {
    py::gil_scoped_release release;
    counts = paste_rle(params);
  }
  const py::str size_key("size"), counts_key("counts");
  py::list rles(counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    py::list size(2);
    size[0] = height;
    size[1] = width;
    py::dict rle;
    rle[size_key] = size;
    rle[counts_key] = py::bytes(counts[i]);
    rles[i] = rle;
    std::string().swap(counts[i]);  // otherwise all counts would be in memory twice
  }
  return rles;
}

constexpr const char* paste_rle_doc =
    R"(Paste soft masks into an image and encode them as COCO RLEs.

No full-size mask is created. The result is byte for byte that of three steps:

1. MMDetection's mask paste on a CPU (bilinear, ``align_corners=False``);
2. the comparison ``>= threshold``;
3. ``pycocotools.mask.encode``.

To round like torch, the function uses fused multiply-adds if the CPU has AVX2 and FMA. The
environment variable ``ATEN_CPU_CAPABILITY=default`` turns them off, as in torch. The variable
is read at the first call.

Args:
    probs: probabilities, shape (N, S, S), an array or a CPU tensor. Values are float32 in
        [0, 1], or uint8, where v means v / 255.
    boxes: boxes (x0, y0, x1, y1) in image pixels, shape (N, 4), float32, an array or a CPU
        tensor. A box may extend beyond the image.
    height, width: image size in pixels.
    threshold: lowest interpolated probability of a foreground pixel. The comparison is made in
        float32.
    num_threads: number of threads; 0 chooses a number that suits the CPUs and the boxes.

Returns:
    One ``{"size": [height, width], "counts": bytes}`` per instance. A box outside the image
    gives an empty mask. A box of zero width or height gives a strip that is at most three
    pixels wide, as in MMDetection.

Raises:
    TypeError: probs are not float32 or uint8, or boxes are not float32.
    ValueError: probs or boxes have a wrong shape, height or width is negative, the image has
        2**32 pixels or more, threshold is NaN, num_threads is negative, a box contains NaN or
        is inverted (``x1 < x0`` or ``y1 < y0``), or a probability is outside [0, 1] by more
        than 0.001. A box that is inverted by less than two pixels may be pasted instead, as in
        MMDetection.
)";

}  // namespace

void bind_paste_rle(py::module_& module) {
  module.def("paste_rle", &paste, py::arg("probs"), py::arg("boxes"), py::arg("height"),
             py::arg("width"), py::arg("threshold") = 0.5, py::kw_only(),
             py::arg("num_threads") = 0, paste_rle_doc);
  module.def(
      "torch_uses_fma", &torch_uses_fma,
      "Return whether paste_rle uses fused multiply-adds, as torch's AVX2 and AVX512 kernels do.");
}

}  // namespace nbseg
