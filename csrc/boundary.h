// Finds the boundary regions of masks (Cheng et al., CVPR 2021) without making bitmaps of the
// image.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nbseg {

// Returns the compressed counts of each mask's boundary: the pixels of the mask that have a
// background pixel at most `dilation` rows and columns away. Pixels outside the image are
// background. `counts` are COCO's compressed counts, one string per mask. Throws
// std::invalid_argument with the index of a mask whose counts do not hold the run lengths of
// height x width pixels, and for a dilation above 16383 that would not remove a whole mask.
std::vector<std::string> boundary_rle(const std::vector<std::string_view>& counts, int64_t height,
                                      int64_t width, int64_t dilation);

}  // namespace nbseg
