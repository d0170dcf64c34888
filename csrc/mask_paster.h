// A mask of S x S probabilities is bilinearly interpolated inside its box. The first step goes
// down, from the rows of the grid to those of the image. The second step goes across, one image
// column after another, because COCO orders pixels by columns.
//
// The result must equal torch's float32 arithmetic in every pixel. Plain interpolation decides all
// pixels whose distance from the threshold exceeds the rounding errors. For the few other pixels,
// torch's operations are repeated one by one. Compile without contraction (-ffp-contract=off).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "host_device.h"
#include "mask_axis.h"
#include "rle.h"
#include "rle_writer.h"

namespace nbseg {

// Pastes one mask after another, and reuses its buffers.
class MaskPaster {
 public:
  explicit MaskPaster(const PasteRleParams& params)
      : params_(params),
        // A finite threshold gives finite differences; no probability comes near -1 or 2.
        threshold_(std::min(std::max(params.threshold, -1.0f), 2.0f)),
        points_(params.side + 4),
        grid_(points_ * points_, 0.0f) {}

  NBSEG_INLINE std::string paste(std::int64_t index) {
    const float* box = params_.boxes + 4 * index;
    columns_.sample(box[0], box[2], params_.width, params_.side, params_.fused);
    rows_.sample(box[1], box[3], params_.height, params_.side, params_.fused);
    const std::int64_t columns = columns_.cell.size();
    if (columns > 0 && !rows_.cell.empty()) {
      load_mask(index);
      interpolate_down();
      for (std::int64_t i = 0; i < columns; ++i) {
        const std::int64_t pixel =
            (columns_.window.begin + i) * params_.height + rows_.window.begin;
        writer_.add(pixel, ends_.data(), find_ends(columns_.cell[i], columns_.fraction[i]));
      }
    }
    return writer_.finish(params_.height * params_.width);
  }

 private:
  // Rows are compared in groups of 32: one bit of a word per row, and whole vector registers.
  static constexpr int group = 32;

  static constexpr std::array<std::uint32_t, group> single_bits() {
    std::array<std::uint32_t, group> bits{};
    for (int k = 0; k < group; ++k) bits[k] = 1u << k;
    return bits;
  }

  // For values in [0, 1], the rounding errors of torch and of plain interpolation add up to less
  // than 20 units of 2^-24.
  static constexpr float margin = 64 * 0x1p-24f;

  // Copies a mask into the grid, inside the two rings of zeros.
  NBSEG_INLINE void load_mask(std::int64_t index) {
    const std::int64_t side = params_.side;
    for (std::int64_t y = 0; y < side; ++y) {
      const std::int64_t from = (index * side + y) * side;
      float* __restrict to = grid_.data() + (y + 2) * points_ + 2;
      if (params_.probs_float) {
        std::copy_n(params_.probs_float + from, side, to);
      } else {
        const std::uint8_t* bytes = params_.probs_uint8 + from;
        for (std::int64_t x = 0; x < side; ++x) to[x] = static_cast<float>(bytes[x]) / 255.0f;
      }
    }
  }

  // Interpolates the grid's columns at the window's rows.
  NBSEG_INLINE void interpolate_down() {
    const std::int64_t rows = rows_.cell.size(), points = points_;
    // Round up to whole groups and an odd number of cache lines: with a power of two, all columns
    // would map to the same few cache sets.
    stride_ = (rows + group - 1) / group * group + 16;
    values_.resize(points * stride_);
    ends_.resize(stride_);
    for (std::int64_t row = 0; row < rows; ++row) {
      const float* top = grid_.data() + rows_.cell[row] * points;
      const float* bottom = top + points;
      const float down = rows_.fraction[row], threshold = threshold_;
      float* __restrict values = values_.data() + row;
      for (std::int64_t k = 0; k < points; ++k) {
        values[k * stride_] = top[k] + (bottom[k] - top[k]) * down - threshold;
      }
    }
  }

  // Fills `ends_` with the rows where an image column's runs begin and end; returns their number.
  NBSEG_INLINE int find_ends(int cell, float across) {
    static constexpr std::array<std::uint32_t, group> bit = single_bits();
    const int rows = static_cast<int>(rows_.cell.size());
    const float* left = values_.data() + cell * stride_;
    const float* right = left + stride_;
    int* __restrict ends = ends_.data();
    int found = 0;
    std::uint32_t last = 0;
    for (int begin = 0; begin < rows; begin += group) {
      std::uint32_t foreground = 0;
      int unsure = 0;
      for (int k = 0; k < group; ++k) {
        const float from = left[begin + k];
        const float value = from + (right[begin + k] - from) * across;
        foreground |= value >= 0 ? bit[k] : 0u;
        unsure |= std::abs(value) < margin;
      }
      const int count = std::min(group, rows - begin);
      foreground &= 0xffffffffu >> (group - count);
      if (unsure) foreground = compare_again(foreground, begin, count, cell, across);
      const std::uint32_t changes = foreground ^ (foreground << 1 | last);
      last = foreground >> (group - 1);
      for (std::uint32_t rest = changes; rest; rest &= rest - 1)
        ends[found++] = begin + __builtin_ctz(rest);
    }
    ends[found] = rows;
    return found + static_cast<int>(last);
  }

  // Corrects the bits of rows in [begin, begin + count) whose values are too near the threshold.
  std::uint32_t compare_again(std::uint32_t foreground, int begin, int count, int cell,
                              float across) const {
    for (int k = 0; k < count; ++k) {
      const int row = begin + k;
      const float* left = values_.data() + cell * stride_ + row;
      if (!(std::abs(left[0] + (left[stride_] - left[0]) * across) < margin)) continue;
      const float* top = grid_.data() + rows_.cell[row] * points_ + cell;
      const float value = interpolate(top, top + points_, across, rows_.fraction[row]);
      foreground &= ~(1u << k);
      foreground |= std::uint32_t{value >= params_.threshold} << k;
    }
    return foreground;
  }

  // Interpolates bilinearly with the operations of torch.nn.functional.grid_sample, in their order.
  float interpolate(const float* top, const float* bottom, float across, float down) const {
    const float rest_across = 1.0f - across, rest_down = 1.0f - down;
    const float top_left = rest_across * rest_down, top_right = across * rest_down;
    const float bottom_left = rest_across * down, bottom_right = across * down;
    if (params_.fused) {
      const float upper = std::fma(top[1], top_right, top[0] * top_left);
      return std::fma(bottom[1], bottom_right, std::fma(bottom[0], bottom_left, upper));
    }
    return top[0] * top_left + top[1] * top_right + bottom[0] * bottom_left +
           bottom[1] * bottom_right;
  }

  const PasteRleParams& params_;
  const float threshold_;
  const std::int64_t points_;  // along a side of the grid
  std::vector<float> grid_;    // (points, points)
  MaskAxis columns_, rows_;
  std::int64_t stride_ = 0;
  std::vector<float> values_;  // (points, stride), [x][row], relative to the threshold
  std::vector<int> ends_;
  RleWriter writer_;
};

}  // namespace nbseg
