// Paste soft masks into an image, and return COCO run lengths without making bitmaps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nbseg {

struct PasteRleParams {
  const float* probs_float;         // (count, side, side), or null if the probabilities are bytes
  const std::uint8_t* probs_uint8;  // (count, side, side), value / 255, or null
  const float* boxes;               // (count, 4) x0, y0, x1, y1 in image pixels
  std::int64_t count;
  std::int64_t side;
  std::int64_t height;
  std::int64_t width;
  float threshold;  // a pixel is foreground where its interpolated probability >= threshold
  int num_threads;  // 0 chooses the number of threads
  bool fused;       // fused multiply-adds, as in torch's vectorized kernels
};

// Returns the compressed `counts` of one COCO RLE per instance. Throws std::invalid_argument with
// the instance's index if a box or a probability is invalid.
std::vector<std::string> paste_rle(const PasteRleParams& params);

// Returns whether torch's CPU kernels use fused multiply-adds in this process. This depends on the
// CPU and on the environment variable ATEN_CPU_CAPABILITY (default, avx2 or avx512).
bool torch_uses_fma();

}  // namespace nbseg
