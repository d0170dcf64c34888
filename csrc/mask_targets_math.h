#pragma once

#include <cmath>
#include <cstdint>

#include "host_device.h"

// These functions compute RoIAlign (average, aligned, sampling_ratio 0, scale 1) along one axis.
//
// Coordinates are rounded to float after each operation, in the order of MMCV's RoIAlign, so that
// samples have the same positions. Fused multiply-adds would move the samples: compile with
// -ffp-contract=off and -fmad=false.

namespace nbseg {

struct AxisBins {
  float start;  // first coordinate, where pixel k has its center at k
  float bin;    // length of a bin in pixels
  int samples;  // samples per bin; 0 for an empty box
};

// Clips the interval [low, high] to an axis of that many pixels, and returns its bins.
NBSEG_HOST_DEVICE AxisBins axis_bins(float low, float high, int64_t pixels, int64_t bins) {
  const float limit = static_cast<float>(pixels);
  low = std::fmin(std::fmax(low, 0.0f), limit) - 0.5f;
  high = std::fmin(std::fmax(high, 0.0f), limit) - 0.5f;
  const float bin = (high - low) / static_cast<float>(bins);
  return {low, bin, static_cast<int>(std::ceil(bin))};
}

// Describes one sample of a bin: the two pixels on either side of the sample, and their weights.
struct AxisSample {
  int64_t pixel;      // the second one is pixel + 1
  float weight;       // of pixel
  float next_weight;  // of pixel + 1; 0 at the axis's end, where there is no such pixel
};

NBSEG_HOST_DEVICE AxisSample axis_sample(const AxisBins& bins, int64_t bin, int sample,
                                         int64_t pixels) {
  const float step = (static_cast<float>(sample) + 0.5f) * bins.bin;
  const float position =
      bins.start + static_cast<float>(bin) * bins.bin + step / static_cast<float>(bins.samples);
  if (position <= 0.0f) return {0, 1.0f, 0.0f};
  const int64_t pixel = static_cast<int64_t>(position);
  if (pixel >= pixels - 1) return {pixels - 1, 1.0f, 0.0f};
  const float fraction = position - static_cast<float>(pixel);
  return {pixel, 1.0f - fraction, fraction};
}

}  // namespace nbseg
