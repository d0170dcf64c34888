#pragma once

#include <cstdint>
#include <vector>

#include "parallel.h"

namespace nbseg {

// There are R boxes and G instance masks in one image of H x W pixels. All arrays are contiguous. A
// crop of h x w pixels has h rows of (w + 7) / 8 bytes. Column c is stored in byte c / 8 as bit
// c % 8, lowest first.

struct MaskTargetsInput {
  const uint8_t* bits;     // (B,), all crops
  const int64_t* starts;   // (G,), first byte of each crop
  const int32_t* crops;    // (G, 4), x0, y0, w, h in image pixels
  const float* boxes;      // (R, 4), x0, y0, x1, y1 in image pixels
  const int64_t* gt_inds;  // (R,), in [0, G)
  int64_t bytes;           // B
  int64_t instances;       // G
  int64_t rois;            // R
  int64_t height;          // H
  int64_t width;           // W
};

struct MaskTargetsParams : MaskTargetsInput {
  std::vector<int64_t> sizes;     // s of each output
  std::vector<uint8_t*> targets;  // each (R, s, s), 0 or 1
};

// Throws std::out_of_range if an index is outside [0, G). Throws std::invalid_argument if a box is
// inverted or NaN, or if a crop does not fit the image or the bits.
void mask_targets_cpu(const MaskTargetsParams& params, const ParallelFor& parallel);

}  // namespace nbseg
