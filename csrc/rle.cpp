#include "rle.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <stdexcept>
#include <thread>

#include "cpu_capability.h"
#include "host_device.h"
#include "mask_axis.h"
#include "mask_paster.h"

namespace nbseg {
namespace {

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
      // Like MMDetection, paste a box that is inverted by a pixel or two as a mirrored strip;
      // MMDetection has no result for boxes that are inverted further.
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

// Pastes one instance after another until none is left. All threads share `next`, the index of the
// next instance to paste.
NBSEG_INLINE void paste_some(const PasteRleParams& params, std::atomic<std::int64_t>& next,
                             std::string* counts) {
  MaskPaster paster(params);
  for (std::int64_t i; (i = next++) < params.count;) counts[i] = paster.paste(i);
}

}  // namespace

std::vector<std::string> paste_rle(const PasteRleParams& params) {
  check_values(params);
  std::vector<std::string> counts(params.count);
  std::atomic<std::int64_t> next{0};
  // Without contraction into fused multiply-adds all instruction sets give the same bits.
  const auto work = [&] {
    run_at_cpu_capability([&]() NBSEG_INLINE_LAMBDA { paste_some(params, next, counts.data()); });
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
#if defined(__x86_64__) || defined(__i386__)
  return cpu_capability() != CpuCapability::kDefault;
#elif defined(__FP_FAST_FMAF)
  return true;  // the base instruction set has them, so compilers contract a * b + c
#else
  return false;
#endif
}

}  // namespace nbseg
