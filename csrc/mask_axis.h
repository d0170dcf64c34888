// Describes one image axis of a pasted mask: the pixels that a box can touch, and where these
// pixels sample the mask.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "host_device.h"

namespace nbseg {

// Holds the image rows (or columns) that a box can touch. Like MMDetection, it rounds the box
// outwards and adds one pixel on each side.
struct Window {
  int begin, end;
};

NBSEG_INLINE Window window_of(float first, float last, std::int64_t size) {
  const float begin = std::max(std::floor(first) - 1.0f, 0.0f);
  const float end = std::min(std::ceil(last) + 1.0f, static_cast<float>(size));
  if (!(begin < end)) return {0, 0};
  return {static_cast<int>(begin), static_cast<int>(std::min<std::int64_t>(end, size))};
}

// Holds the position of each pixel of a window on the grid of S probabilities. Cell k lies between
// grid points k - 2 and k - 1. Points outside [0, S) are zero, so cells 0 and S + 2 are zero
// throughout and represent all points further out. A box of zero width gives the coordinate 0 / 0
// and so the fraction NaN; values interpolated with NaN are never foreground.
struct MaskAxis {
  Window window;
  std::vector<int> cell;
  std::vector<float> fraction;  // of the way from point k - 2 to k - 1

  NBSEG_INLINE void sample(float first, float last, std::int64_t size, std::int64_t side,
                           bool fused) {
    window = window_of(first, last, size);
    const int begin = window.begin, count = window.end - window.begin;
    cell.resize(count);
    fraction.resize(count);
    int* __restrict cells = cell.data();
    float* __restrict fractions = fraction.data();
    const float extent = last - first;
    const float half = 0.5f * static_cast<float>(side);
    for (int i = 0; i < count; ++i) {
      const float center = static_cast<float>(begin + i) + 0.5f;
      float coordinate = (center - first) / extent * 2.0f - 1.0f;
      if (std::isinf(coordinate)) coordinate = 0.0f;
      const float shifted = coordinate + 1.0f;
      // In double the product and the difference are exact near the grid, so rounding to float
      // gives the fused result.
      const float point = fused ? static_cast<float>(static_cast<double>(shifted) * half - 0.5)
                                : shifted * half - 0.5f;
      // In this order of arguments NaN becomes -2.
      const float bounded = std::min(std::max(-2.0f, point), static_cast<float>(side));
      const int truncated = static_cast<int>(bounded);
      const int floor = truncated - (static_cast<float>(truncated) > bounded);
      cells[i] = floor + 2;
      fractions[i] = std::isfinite(point) ? bounded - static_cast<float>(floor)
                                          : std::numeric_limits<float>::quiet_NaN();
    }
  }
};

}  // namespace nbseg
