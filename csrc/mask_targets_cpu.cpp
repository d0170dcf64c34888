#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cpu_capability.h"
#include "mask_crops.h"
#include "mask_targets.h"
#include "mask_targets_math.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace nbseg {
namespace {

void check(const MaskTargetsParams& params) {
  for (int64_t g = 0; g < params.instances; ++g) {
    if (!crop_fits(params.crops + 4 * g, params.starts[g], params.bytes, params.height,
                   params.width)) {
      throw std::invalid_argument("masks: the crop of instance " + std::to_string(g) +
                                  " does not fit its image or its bits");
    }
  }
  for (int64_t r = 0; r < params.rois; ++r) {
    if (params.gt_inds[r] < 0 || params.gt_inds[r] >= params.instances) {
      throw std::out_of_range("gt_inds[" + std::to_string(r) + "] must be in [0, " +
                              std::to_string(params.instances) + "), found " +
                              std::to_string(params.gt_inds[r]));
    }
    const float* box = params.boxes + 4 * r;
    if (!(box[0] <= box[2] && box[1] <= box[3])) {
      throw std::invalid_argument("boxes[" + std::to_string(r) +
                                  "] must have x0 <= x1 and y0 <= y1, found (" +
                                  std::to_string(box[0]) + ", " + std::to_string(box[1]) + ", " +
                                  std::to_string(box[2]) + ", " + std::to_string(box[3]) + ")");
    }
  }
}

// Holds each byte's eight pixels as floats 0 or 1, so that one vector multiply-add handles them.
using BytePixels = std::array<std::array<float, 8>, 256>;

const BytePixels& byte_pixels() {
  static const BytePixels table = [] {
    BytePixels pixels{};
    for (int byte = 0; byte < 256; ++byte) {
      for (int k = 0; k < 8; ++k) pixels[byte][k] = static_cast<float>((byte >> k) & 1);
    }
    return pixels;
  }();
  return table;
}

// Adds the weight to the sums of a row's foreground pixels. All versions add the same numbers in
// the same order, and without contraction into fused multiply-adds they give the same bits.
NBSEG_INLINE void add_row(const uint8_t* __restrict bits, int64_t bytes, float weight,
                          float* __restrict sums) {
  const BytePixels& pixels = byte_pixels();
  for (int64_t b = 0; b < bytes; ++b) {
    const float* pixel = pixels[bits[b]].data();
    for (int k = 0; k < 8; ++k) sums[8 * b + k] += weight * pixel[k];
  }
}

using AddRow = void (*)(const uint8_t* bits, int64_t bytes, float weight, float* sums);

void add_row_baseline(const uint8_t* bits, int64_t bytes, float weight, float* sums) {
  add_row(bits, bytes, weight, sums);
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) void add_row_avx2(const uint8_t* bits, int64_t bytes, float weight,
                                                  float* sums) {
  add_row(bits, bytes, weight, sums);
}

// AVX-512 uses the mask bits directly to select the lanes that add the weight.
__attribute__((target("avx512f,avx512vl"))) void add_row_avx512(const uint8_t* bits, int64_t bytes,
                                                                float weight, float* sums) {
  const __m512 weights = _mm512_set1_ps(weight);
  int64_t b = 0;
  for (; b + 2 <= bytes; b += 2) {
    uint16_t pixels;
    std::memcpy(&pixels, bits + b, sizeof pixels);
    const __m512 sum = _mm512_loadu_ps(sums + 8 * b);
    _mm512_storeu_ps(sums + 8 * b, _mm512_mask_add_ps(sum, pixels, sum, weights));
  }
  if (b < bytes) {
    const __m256 sum = _mm256_loadu_ps(sums + 8 * b);
    const __m256 added = _mm256_mask_add_ps(sum, bits[b], sum, _mm256_set1_ps(weight));
    _mm256_storeu_ps(sums + 8 * b, added);
  }
}

AddRow choose_add_row() {
  switch (cpu_capability()) {
    case CpuCapability::kAvx512:
      return add_row_avx512;
    case CpuCapability::kAvx2:
      return add_row_avx2;
    default:
      return add_row_baseline;
  }
}
#else
AddRow choose_add_row() { return add_row_baseline; }
#endif

// RoIAlign is separable: a bin is a weighted sum over rows of weighted sums over columns. This
// class holds the weights along one axis: per bin, the weight of each pixel of the crop, summed
// over the bin's samples.
class AxisWeights {
 public:
  void assign(float low, float high, int64_t pixels, int64_t bin_count, int64_t crop_start,
              int64_t crop_size) {
    const AxisBins bins = axis_bins(low, high, pixels, bin_count);
    samples_ = bins.samples;
    bins_.assign(bin_count, Bin{0, 0, 0});
    weights_.clear();
    for (int64_t b = 0; b < bin_count && samples_ > 0; ++b) {
      const int64_t first = axis_sample(bins, b, 0, pixels).pixel - crop_start;
      const int64_t last = axis_sample(bins, b, samples_ - 1, pixels).pixel + 1 - crop_start;
      Bin& bin = bins_[b];
      bin.begin = std::clamp<int64_t>(first, 0, crop_size);
      bin.end = std::clamp<int64_t>(last + 1, bin.begin, crop_size);
      bin.offset = static_cast<int64_t>(weights_.size());
      weights_.resize(weights_.size() + bin.end - bin.begin, 0.0f);
      for (int i = 0; i < samples_; ++i) {
        const AxisSample sample = axis_sample(bins, b, i, pixels);
        add(bin, sample.pixel - crop_start, sample.weight);
        add(bin, sample.pixel + 1 - crop_start, sample.next_weight);
      }
    }
  }

  int64_t samples() const { return samples_; }
  int64_t begin(int64_t bin) const { return bins_[bin].begin; }
  int64_t end(int64_t bin) const { return bins_[bin].end; }
  float weight(int64_t bin, int64_t pixel) const {
    return weights_[bins_[bin].offset + pixel - bins_[bin].begin];
  }

 private:
  struct Bin {
    int64_t begin, end;  // pixels of the crop
    int64_t offset;      // index of begin's weight
  };

  void add(const Bin& bin, int64_t pixel, float weight) {
    if (pixel >= bin.begin && pixel < bin.end) weights_[bin.offset + pixel - bin.begin] += weight;
  }

  int64_t samples_ = 0;
  std::vector<Bin> bins_;
  std::vector<float> weights_;
};

// Holds the working memory of one thread.
struct Scratch {
  AxisWeights rows, columns;
  std::vector<float> sums;  // one per column of the crop
};

void roi_targets(const MaskTargetsParams& params, int64_t r, int64_t size, uint8_t* out,
                 Scratch& scratch) {
  const float* box = params.boxes + 4 * r;
  const int64_t instance = params.gt_inds[r];
  const int32_t* crop = params.crops + 4 * instance;
  const uint8_t* bits = params.bits + params.starts[instance];
  const int64_t stride = crop_stride(crop[2]);
  AxisWeights& rows = scratch.rows;
  AxisWeights& columns = scratch.columns;
  rows.assign(box[1], box[3], params.height, size, crop[1], crop[3]);
  columns.assign(box[0], box[2], params.width, size, crop[0], crop[2]);
  const double half =
      0.5 * static_cast<double>(std::max<int64_t>(rows.samples() * columns.samples(), 1));
  const int64_t first_byte = columns.begin(0) / 8;
  const int64_t last_byte = (columns.end(size - 1) + 7) / 8;
  static const AddRow add_weighted_row = choose_add_row();

  for (int64_t i = 0; i < size; ++i) {
    scratch.sums.assign(8 * stride, 0.0f);
    float* sums = scratch.sums.data();
    for (int64_t y = rows.begin(i); y < rows.end(i); ++y) {
      add_weighted_row(bits + y * stride + first_byte, last_byte - first_byte, rows.weight(i, y),
                       sums + 8 * first_byte);
    }
    for (int64_t j = 0; j < size; ++j) {
      double sum = 0;
      for (int64_t x = columns.begin(j); x < columns.end(j); ++x) {
        sum += columns.weight(j, x) * sums[x];
      }
      out[i * size + j] = sum >= half;
    }
  }
}

}  // namespace

void mask_targets_cpu(const MaskTargetsParams& params, const ParallelFor& parallel) {
  check(params);
  parallel(params.rois, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t r = begin; r < end; ++r) {
      for (size_t n = 0; n < params.sizes.size(); ++n) {
        const int64_t size = params.sizes[n];
        roi_targets(params, r, size, params.targets[n] + r * size * size, scratch);
      }
    }
  });
}

}  // namespace nbseg
