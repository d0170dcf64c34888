// Stores the instance masks of one image as the bits of their tight crops. Makes crops from run
// lengths, and applies those transforms of a data pipeline that select pixels (resize, flip, crop,
// pad).
//
// A crop of h x w pixels has h rows of (w + 7) / 8 bytes. Column c is stored in byte c / 8 as bit
// c % 8, lowest first; spare bits are 0. A mask without foreground has the crop (0, 0, 0, 0).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace nbseg {

struct MaskCrops {
  std::vector<uint8_t> bits;    // (B,), all crops
  std::vector<int64_t> starts;  // (G,), first byte of each crop
  std::vector<int32_t> crops;   // (G, 4), x0, y0, w, h in image pixels
};

struct MaskCropsView {
  const uint8_t* bits;    // (B,)
  const int64_t* starts;  // (G,)
  const int32_t* crops;   // (G, 4)
  int64_t bytes;          // B
  int64_t instances;      // G
  int64_t height;         // of the image
  int64_t width;
};

inline int64_t crop_stride(int64_t width) { return (width + 7) / 8; }

// Returns whether a crop lies inside an image of height x width, and its bits inside their array.
inline bool crop_fits(const int32_t* crop, int64_t start, int64_t bytes, int64_t height,
                      int64_t width) {
  const int64_t x = crop[0], y = crop[1], w = crop[2], h = crop[3];
  return x >= 0 && y >= 0 && w >= 0 && h >= 0 && x + w <= width && y + h <= height && start >= 0 &&
         start <= bytes - h * crop_stride(w);
}

// Makes crops from COCO's compressed counts, one string per instance. Throws std::invalid_argument
// with the instance's index if a string does not hold the run lengths of height x width pixels.
MaskCrops crops_from_rle(const std::vector<std::string_view>& counts, int64_t height,
                         int64_t width);

// Returns the masks of a new image. Its pixel (i, j) is pixel (rows[i], columns[j]) of the old
// image, or background if one of the two indices is -1. Throws std::invalid_argument if an index
// lies beyond the old image, or if a crop does not fit the image or the bits.
MaskCrops select_pixels(const MaskCropsView& masks, const std::vector<int32_t>& rows,
                        const std::vector<int32_t>& columns);

}  // namespace nbseg
