// A mask of S x S probabilities is bilinearly interpolated inside its box, one image column after
// another, as COCO orders pixels. Cells between four neighbouring probabilities that all lie on one
// side of the threshold need no arithmetic; the others' rows are compared one by one, and where the
// comparison changes, a run ends.
//
// The result must equal torch's float32 arithmetic in every pixel. Plain interpolation decides
// whatever is further from the threshold than rounding errors can reach; the few pixels nearer than
// that repeat torch's operations one by one. Compile without contraction (-ffp-contract=off).
#include "rle.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <future>
#include <stdexcept>
#include <thread>

#include "mask_axis.h"
#include "rle_writer.h"

namespace nbseg {
namespace {

// The roundings of torch's operations and of plain interpolation together stay below 17 units of
// 2^-24 for values in [0, 1].
constexpr float margin = 64 * 0x1p-24f;

// Pastes one mask after another; keeps its buffers.
class Paster {
 public:
  explicit Paster(const PasteRleParams& params)
      : params_(params),
        stride_(params.side + 4),
        probs_(stride_ * stride_, 0.0f),
        sides_(stride_ * stride_),
        cells_(stride_ * (stride_ - 1) - 1),
        surely_foreground_(params.threshold + margin),
        surely_background_(params.threshold - margin) {}

  std::string paste(std::int64_t index) {
    std::string bytes;
    RleWriter writer(bytes);
    const float* box = params_.boxes + 4 * index;
    columns_.sample(box[0], box[2], params_.width, params_.side, params_.fused);
    rows_.sample(box[1], box[3], params_.height, params_.side, params_.fused);
    if (!columns_.cell.empty() && !rows_.cell.empty()) {
      load_mask(index);
      split_rows();
      paste_columns(writer);
    }
    writer.finish(params_.height * params_.width);
    return bytes;
  }

 private:
  // Rows [begin, end) of the window that lie in one cell.
  struct Segment {
    int begin, end, cell;
  };

  // Adjoining segments that, in one column of cells, are surely foreground or need a closer look.
  struct Stretch {
    int begin, end;
    bool sure;
  };

  int side_of(float value) const {
    return (value >= surely_foreground_) - (value < surely_background_);
  }

  // Fills the grid, with two rings of zeros around it, and the state of its cells.
  void load_mask(std::int64_t index) {
    const std::int64_t side = params_.side, offset = index * side * side;
    for (std::int64_t y = 0; y < side; ++y) {
      float* row = probs_.data() + (y + 2) * stride_ + 2;
      if (params_.probs_float) {
        std::copy_n(params_.probs_float + offset + y * side, side, row);
      } else {
        const std::uint8_t* bytes = params_.probs_uint8 + offset + y * side;
        for (std::int64_t x = 0; x < side; ++x) row[x] = static_cast<float>(bytes[x]) / 255.0f;
      }
    }
    for (std::size_t i = 0; i < probs_.size(); ++i) sides_[i] = side_of(probs_[i]);
    const int *top = sides_.data(), *bottom = top + stride_;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      cells_[i] = top[i] + top[i + 1] + bottom[i] + bottom[i + 1];
    }
  }

  void split_rows() {
    segments_.clear();
    const int count = static_cast<int>(rows_.cell.size());
    for (int begin = 0, end; begin < count; begin = end) {
      const int cell = rows_.cell[begin];
      for (end = begin + 1; end < count && rows_.cell[end] == cell;) ++end;
      if (cell != undefined) segments_.push_back({begin, end, cell});
    }
  }

  // What is left to do in a column of cells, without its sure background. The rows that need a
  // closer look are interpolated down the cells' two sides.
  void select_rows(int column_cell) {
    stretches_.clear();
    Stretch open{0, 0, false};
    const auto close = [&] {
      if (open.begin < open.end) stretches_.push_back(open);
    };
    for (const Segment& segment : segments_) {
      const int sum = cells_[segment.cell * stride_ + column_cell];
      if (sum == -4) continue;
      if (segment.begin == open.end && (sum == 4) == open.sure) {
        open.end = segment.end;
      } else {
        close();
        open = {segment.begin, segment.end, sum == 4};
      }
    }
    close();
    float *left = left_.data(), *rise = rise_.data();
    for (const Stretch& stretch : stretches_) {
      if (stretch.sure) continue;
      for (int row = stretch.begin; row < stretch.end; ++row) {
        const float* top = probs_.data() + rows_.cell[row] * stride_ + column_cell;
        const float* bottom = top + stride_;
        const float down = rows_.fraction[row];
        left[row] = top[0] + (bottom[0] - top[0]) * down;
        rise[row] = top[1] + (bottom[1] - top[1]) * down - left[row];
      }
    }
  }

  void paste_columns(RleWriter& writer) {
    left_.resize(rows_.cell.size());
    rise_.resize(rows_.cell.size());
    foreground_.resize(rows_.cell.size() + RleWriter::padding);
    int cell = undefined;
    for (std::size_t i = 0; i < columns_.cell.size(); ++i) {
      if (columns_.cell[i] == undefined) continue;
      if (columns_.cell[i] != cell) {
        cell = columns_.cell[i];
        select_rows(cell);
      }
      const std::int64_t origin =
          (columns_.window.begin + static_cast<std::int64_t>(i)) * params_.height +
          rows_.window.begin;
      for (const Stretch& stretch : stretches_) {
        if (stretch.sure) {
          writer.foreground(origin + stretch.begin, origin + stretch.end);
        } else {
          classify(stretch, cell, columns_.fraction[i]);
          writer.foreground_where(foreground_.data(), origin + stretch.begin, origin + stretch.end);
        }
      }
    }
  }

  // Sets foreground_ for a stretch of one image column.
  void classify(const Stretch& stretch, int column_cell, float across) {
    const int count = stretch.end - stretch.begin;
    const float *left = left_.data() + stretch.begin, *rise = rise_.data() + stretch.begin;
    const float above = surely_foreground_, below = surely_background_;
    std::uint8_t* foreground = foreground_.data();
    int unsure = 0;
    for (int i = 0; i < count; ++i) {
      const float value = left[i] + rise[i] * across;
      unsure |= (value < above) & (value >= below);
    }
    for (int i = 0; i < count; ++i) foreground[i] = left[i] + rise[i] * across >= above;
    if (!unsure) return;
    for (int i = 0; i < count; ++i) {
      if (side_of(left[i] + rise[i] * across) != 0) continue;
      const int row = stretch.begin + i;
      const float* top = probs_.data() + rows_.cell[row] * stride_ + column_cell;
      foreground[i] =
          interpolate(top, top + stride_, across, rows_.fraction[row]) >= params_.threshold;
    }
  }

  // Bilinear interpolation with torch.nn.functional.grid_sample's operations, in its order.
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
  const std::int64_t stride_;
  std::vector<float> probs_;  // (stride, stride)
  std::vector<int> sides_;    // of each of them: 1 foreground, -1 background, 0 not sure
  std::vector<int> cells_;    // the sum of a cell's four sides, [cell of y][cell of x]
  const float surely_foreground_, surely_background_;
  MaskAxis columns_, rows_;
  std::vector<Segment> segments_;
  std::vector<Stretch> stretches_;
  std::vector<float> left_, rise_;  // of each row between the sides of the current column of cells
  std::vector<std::uint8_t> foreground_;  // of the rows of a stretch
};

// Probabilities a little outside [0, 1] come from averaging in float32.
int is_probability(float value) { return (value >= -1e-3f) & (value <= 1.0f + 1e-3f); }

[[noreturn]] void refuse(const char* name, std::int64_t index, const std::string& found,
                         const char* wanted) {
  throw std::invalid_argument(std::string(name) + "[" + std::to_string(index) + "]: found " +
                              found + ", wanted " + wanted);
}

void check_values(const PasteRleParams& params) {
  for (std::int64_t i = 0; i < params.count; ++i) {
    const float* box = params.boxes + 4 * i;
    bool meaningful = true;
    for (int axis = 0; axis < 2; ++axis) {
      const float first = box[axis], last = box[axis + 2];
      const Window window = window_of(first, last, axis == 0 ? params.width : params.height);
      // MMDetection pastes a box that is inverted by a pixel or two as a mirrored strip, and so do
      // we; beyond that it has no result.
      if (std::isnan(first) || std::isnan(last)) meaningful = false;
      if (last < first && window.begin == window.end) meaningful = false;
    }
    if (!meaningful) {
      std::string found = "(";
      for (int k = 0; k < 4; ++k) found += (k ? ", " : "") + std::to_string(box[k]);
      refuse("boxes", i, found + ")", "x0 <= x1 and y0 <= y1, without NaN");
    }
    if (!params.probs_float) continue;
    const std::int64_t size = params.side * params.side;
    const float* begin = params.probs_float + i * size;
    int valid = 1;
    for (std::int64_t k = 0; k < size; ++k) valid &= is_probability(begin[k]);
    if (!valid) {
      const float* value = std::find_if_not(begin, begin + size, is_probability);
      refuse("probs", i, std::to_string(*value), "values in [0, 1]: apply the sigmoid first");
    }
  }
}

// Starting a thread costs about as much as pasting a few hundred image columns.
int threads_that_pay_off(const PasteRleParams& params) {
  std::int64_t columns = 0;
  for (std::int64_t i = 0; i < params.count; ++i) {
    const Window window = window_of(params.boxes[4 * i], params.boxes[4 * i + 2], params.width);
    columns += window.end - window.begin;
  }
  const std::int64_t hardware = std::max(1u, std::thread::hardware_concurrency());
  return static_cast<int>(std::min(hardware, 1 + columns / 1000));
}

}  // namespace

std::vector<std::string> paste_rle(const PasteRleParams& params) {
  check_values(params);
  std::vector<std::string> counts(params.count);
  std::atomic<std::int64_t> next{0};
  const auto work = [&] {
    Paster paster(params);
    for (std::int64_t i; (i = next++) < params.count;) counts[i] = paster.paste(i);
  };
  const int threads = params.num_threads > 0 ? params.num_threads : threads_that_pay_off(params);
  std::vector<std::future<void>> others;
  for (int i = 1; i < std::min<std::int64_t>(threads, params.count); ++i) {
    others.push_back(std::async(std::launch::async, work));
  }
  work();
  for (std::future<void>& other : others) other.get();
  return counts;
}

bool torch_uses_fma() {
  static const bool answer = [] {
#if defined(__x86_64__) || defined(__i386__)
    if (const char* capability = std::getenv("ATEN_CPU_CAPABILITY")) {
      if (!std::strcmp(capability, "avx512") || !std::strcmp(capability, "avx2")) return true;
      if (!std::strcmp(capability, "default")) return false;
    }
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__FP_FAST_FMAF)
    return true;  // part of the base instruction set: compilers then contract a * b + c
#else
    return false;
#endif
  }();
  return answer;
}

}  // namespace nbseg
