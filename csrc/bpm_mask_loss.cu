#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "bpm_mask_loss_cuda.h"
#include "bpm_mask_loss_math.h"
#include "device_assert.h"

// A block owns a RoI, from its logits to its loss. A thread owns up to four pixels, one block width
// apart, so that a warp reads and writes neighbours; their values stay in its registers. What
// threads need of one another, the probabilities and the sums over the RoI, goes through shared
// memory. A warp owns nothing but its part of a sum.
//
// All sums have a fixed order, so that the same input gives the same bits.

namespace nbseg {
namespace {

constexpr int kWarp = 32;
constexpr int kPixels = 4;  // of a thread
constexpr int kMaxThreads = kBpmMaxSizeCuda * kBpmMaxSizeCuda / kPixels;

// The sum over the block, in every thread. All threads must call it.
__device__ double block_sum(double value) {
  __shared__ double warp_sums[kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int n = kWarp / 2; n > 0; n /= 2) value += __shfl_xor_sync(~0u, value, n);
  __syncthreads();  // the sum before this one has been read
  if (lane == 0) warp_sums[warp] = value;
  __syncthreads();
  value = lane < blockDim.x / kWarp ? warp_sums[lane] : 0.0;
  for (int n = kWarp / 2; n > 0; n /= 2) value += __shfl_xor_sync(~0u, value, n);
  return value;
}

// Writes a probability to pixel (i, j), and to what lies next to it outside of the RoI.
__device__ void write_with_border(double* p, int size, int i, int j, double value, double border) {
#pragma unroll 1  // almost always one turn
  for (int y = i == 0 ? 0 : i + 1; y <= (i == size - 1 ? size + 1 : i + 1); ++y) {
#pragma unroll 1
    for (int x = j == 0 ? 0 : j + 1; x <= (j == size - 1 ? size + 1 : j + 1); ++x) {
      p[y * (size + 2) + x] = y == i + 1 && x == j + 1 ? value : border;
    }
  }
}

template <typename Logit, typename Target>
__global__ void __launch_bounds__(kMaxThreads)
    roi_loss_kernel(const BpmMaskLossParams<Logit, Target> params, double* roi_losses) {
  extern __shared__ double p[];  // (S + 2, S + 2), probability with its border
  const int64_t roi = blockIdx.x;
  const int64_t label = params.labels[roi];
  NBSEG_DEVICE_ASSERT(label >= 0 && label < params.classes);
  const int size = static_cast<int>(params.size);
  const int pixels = size * size;
  const Logit* logits = params.logits + (roi * params.classes + label) * pixels;
  const Target* targets = params.targets + roi * pixels;

  double x[kPixels], t[kPixels];
  double sum = 0;
#pragma unroll
  for (int n = 0; n < kPixels; ++n) {
    const int k = threadIdx.x + n * blockDim.x;
    x[n] = k < pixels ? static_cast<double>(static_cast<float>(logits[k])) : 0.0;
    t[n] = k < pixels ? static_cast<double>(targets[k]) : 0.0;
    sum += x[n];
  }
  const bool flipped = block_sum(sum) > 0;

  double entropy[kPixels], entropy_grad[kPixels];
#pragma unroll
  for (int n = 0; n < kPixels; ++n) {
    const int k = threadIdx.x + n * blockDim.x;
    const double e = exp_minus_abs(x[n]);
    entropy[n] = cross_entropy(x[n], t[n], e);
    entropy_grad[n] = cross_entropy_grad(x[n], t[n], e);
    const double value = sigmoid(flipped ? -x[n] : x[n], e);
    const double border = params.border == Border::kReplicate ? value : flipped ? 1.0 : 0.0;
    if (k < pixels) write_with_border(p, size, k / size, k % size, value, border);
  }
  __syncthreads();

  double q[kPixels];
  sum = 0;
#pragma unroll
  for (int n = 0; n < kPixels; ++n) {
    const int k = threadIdx.x + n * blockDim.x;
    const double* centre = p + (k / size + 1) * (size + 2) + k % size + 1;
    q[n] = k < pixels ? edge_strength(*centre, neighbour_sum(centre, size + 2)) : 0.0;
    sum += q[n];
  }
  const EdgeWeights weights = edge_weights(block_sum(sum) / pixels, params.gain);

  const double scale = 1.0 / static_cast<double>(params.rois * pixels);
  sum = 0;
#pragma unroll
  for (int n = 0; n < kPixels; ++n) {
    const int k = threadIdx.x + n * blockDim.x;
    if (k >= pixels) continue;
    const double weight = weights.factor * q[n] + weights.constant;
    params.channel_grad[roi * pixels + k] = static_cast<float>(scale * weight * entropy_grad[n]);
    sum += weight * entropy[n];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) roi_losses[roi] = sum;
}

// One block, which owns the whole batch; a thread owns every blockDim.x-th RoI.
__global__ void __launch_bounds__(kMaxThreads)
    mean_kernel(const double* roi_losses, int64_t rois, int64_t pixels, float* loss) {
  double sum = 0;
  for (int64_t r = threadIdx.x; r < rois; r += blockDim.x) sum += roi_losses[r];
  sum = block_sum(sum);
  const int64_t count = rois * pixels;
  if (threadIdx.x == 0) *loss = static_cast<float>(sum / static_cast<double>(count ? count : 1));
}

}  // namespace

template <typename Logit, typename Target>
cudaError_t bpm_mask_loss_cuda(const BpmMaskLossParams<Logit, Target>& params, double* roi_losses,
                               cudaStream_t stream) {
  if (params.size > kBpmMaxSizeCuda || params.rois > INT32_MAX) return cudaErrorInvalidValue;
  const int64_t pixels = params.size * params.size;
  const int64_t rois = pixels > 0 ? params.rois : 0;
  if (rois > 0) {
    const int64_t warps = (pixels + kPixels * kWarp - 1) / (kPixels * kWarp);
    const size_t shared = (params.size + 2) * (params.size + 2) * sizeof(double);
    roi_loss_kernel<<<rois, warps * kWarp, shared, stream>>>(params, roi_losses);
    if (const cudaError_t error = cudaGetLastError()) return error;
  }
  mean_kernel<<<1, 256, 0, stream>>>(roi_losses, rois, pixels, params.loss);
  return cudaGetLastError();
}

#define NBSEG_INSTANTIATE(Logit)                                                    \
  template cudaError_t bpm_mask_loss_cuda(const BpmMaskLossParams<Logit, uint8_t>&, \
                                          double* roi_losses, cudaStream_t);        \
  template cudaError_t bpm_mask_loss_cuda(const BpmMaskLossParams<Logit, float>&,   \
                                          double* roi_losses, cudaStream_t);
NBSEG_INSTANTIATE(float)
NBSEG_INSTANTIATE(__half)
NBSEG_INSTANTIATE(__nv_bfloat16)

}  // namespace nbseg
