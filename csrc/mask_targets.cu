#include <algorithm>
#include <cstdint>
#include <numeric>

#include "device_assert.h"
#include "mask_targets_cuda.h"
#include "mask_targets_math.h"

// A block computes one row of bins of one target of one RoI: blockIdx.x is the RoI, blockIdx.y
// counts the rows of all its targets. Eight lanes compute one bin, so a warp computes four
// neighboring bins; a thread computes every eighth column of its bin's samples. The sample rows are
// the same for all bins of the block and are kept in shared memory.

namespace nbseg {
namespace {

constexpr int kLanes = 8;         // per bin
constexpr int kMaxThreads = 256;  // per block: 32 bins at a time
constexpr int kChunk = 256;       // rows of samples in shared memory at a time

struct Outputs {
  int sizes[kMaskMaxSizesCuda];
  uint8_t* targets[kMaskMaxSizesCuda];
};

// Describes a sample on one axis of the crop: the two pixels on either side of the sample, and
// their weights. A pixel outside the crop is background: it is replaced by pixel 0 with weight 0.
struct CropSample {
  int pixel, next_pixel;
  float weight, next_weight;
};

__device__ CropSample crop_sample(const AxisSample& sample, int crop_start, int crop_size) {
  const int64_t pixel = sample.pixel - crop_start, next = pixel + 1;
  const bool inside = pixel >= 0 && pixel < crop_size, next_inside = next >= 0 && next < crop_size;
  return {inside ? static_cast<int>(pixel) : 0, next_inside ? static_cast<int>(next) : 0,
          inside ? sample.weight : 0.0f, next_inside ? sample.next_weight : 0.0f};
}

// Returns the weighted sum of two pixels of a row.
__device__ float read(const uint8_t* row, const CropSample& column) {
  const int bit = row[column.pixel / 8] >> column.pixel % 8 & 1;
  const int next_bit = row[column.next_pixel / 8] >> column.next_pixel % 8 & 1;
  return (bit ? column.weight : 0.0f) + (next_bit ? column.next_weight : 0.0f);
}

__global__ void __launch_bounds__(kMaxThreads)
    mask_targets_kernel(const __grid_constant__ MaskTargetsInput input,
                        const __grid_constant__ Outputs outputs) {
  __shared__ CropSample rows[kChunk];
  int target = 0;
  int i = blockIdx.y;  // row of bins
  while (i >= outputs.sizes[target]) i -= outputs.sizes[target++];
  const int size = outputs.sizes[target];

  const int64_t roi = blockIdx.x;
  const float* box = input.boxes + 4 * roi;
  NBSEG_DEVICE_ASSERT(box[0] <= box[2] && box[1] <= box[3]);
  const int64_t instance = input.gt_inds[roi];
  NBSEG_DEVICE_ASSERT(instance >= 0 && instance < input.instances);
  const int32_t* crop = input.crops + 4 * instance;
  const int x = crop[0], y = crop[1], w = crop[2], h = crop[3];
  NBSEG_DEVICE_ASSERT(x >= 0 && y >= 0 && w >= 0 && h >= 0);
  NBSEG_DEVICE_ASSERT(w <= input.width - x && h <= input.height - y);
  const int64_t stride = (int64_t{w} + 7) / 8;
  const int64_t start = input.starts[instance];
  NBSEG_DEVICE_ASSERT(start >= 0 && start <= input.bytes - h * stride);
  const uint8_t* bits = input.bits + start;
  const bool empty = w == 0 || h == 0;

  const AxisBins row_bins = axis_bins(box[1], box[3], input.height, size);
  const AxisBins column_bins = axis_bins(box[0], box[2], input.width, size);
  const double samples = static_cast<double>(row_bins.samples) * column_bins.samples;
  const double half = 0.5 * (samples > 1.0 ? samples : 1.0);

  for (int first = 0; first < size; first += blockDim.x / kLanes) {
    const int bin = first + threadIdx.x / kLanes;
    const int columns = bin < size && !empty ? column_bins.samples : 0;
    double sum = 0;
    for (int begin = 0; begin < row_bins.samples; begin += kChunk) {
      const int count = min(kChunk, row_bins.samples - begin);
      __syncthreads();  // all threads have read the previous chunk
      for (int k = threadIdx.x; k < count; k += blockDim.x) {
        rows[k] = crop_sample(axis_sample(row_bins, i, begin + k, input.height), y, h);
      }
      __syncthreads();
      for (int s = threadIdx.x % kLanes; s < columns; s += kLanes) {
        const CropSample column = crop_sample(axis_sample(column_bins, bin, s, input.width), x, w);
        float column_sum = 0;
#pragma unroll 2  // by 4, registers spill on sm_80
        for (int k = 0; k < count; ++k) {
          const CropSample row = rows[k];
          column_sum += row.weight * read(bits + row.pixel * stride, column);
          column_sum += row.next_weight * read(bits + row.next_pixel * stride, column);
        }
        sum += column_sum;
      }
    }
    for (int n = kLanes / 2; n > 0; n /= 2) sum += __shfl_xor_sync(~0u, sum, n);
    if (bin < size && threadIdx.x % kLanes == 0) {
      outputs.targets[target][(roi * size + i) * size + bin] = sum >= half;
    }
  }
}

}  // namespace

cudaError_t mask_targets_cuda(const MaskTargetsParams& params, cudaStream_t stream) {
  if (params.sizes.size() > kMaskMaxSizesCuda) return cudaErrorInvalidValue;
  if (params.rois > INT32_MAX) return cudaErrorInvalidValue;
  if (params.rois == 0 || params.sizes.empty()) return cudaSuccess;
  Outputs outputs = {};
  std::copy(params.sizes.begin(), params.sizes.end(), outputs.sizes);
  std::copy(params.targets.begin(), params.targets.end(), outputs.targets);
  const int64_t rows = std::accumulate(params.sizes.begin(), params.sizes.end(), int64_t{0});
  const int64_t bins = *std::max_element(params.sizes.begin(), params.sizes.end());
  // Whole warps: four bins each.
  const int64_t threads = std::min<int64_t>((bins + 3) / 4 * 32, kMaxThreads);
  const dim3 grid(params.rois, rows);
  mask_targets_kernel<<<grid, threads, 0, stream>>>(params, outputs);
  return cudaGetLastError();
}

}  // namespace nbseg
