#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "block_sum.h"
#include "bpm_mask_loss_cuda.h"
#include "bpm_mask_loss_math.h"
#include "device_assert.h"
#include "roi_border.h"

// A block computes one RoI, from its logits to its loss. A thread computes up to four pixels, which
// are blockDim.x apart, so that a warp reads and writes neighboring pixels. The pixels' values stay
// in registers. Threads exchange probabilities and sums over the RoI through shared memory. A warp
// contributes one part to each sum.
//
// A RoI is computed in float, and again in double if float is not accurate enough: consumer GPUs
// compute in double at a 64th of the rate.

namespace nbseg {
namespace {

constexpr int kPixels = 4;  // per thread
constexpr int kMaxThreads = kBpmMaxSizeCuda * kBpmMaxSizeCuda / kPixels;

// Computes the gradient of the block's RoI; loss is the sum of its weighted cross-entropy. Returns
// false in all threads and writes neither if Real is not accurate enough for this RoI.
template <typename Real, typename Logit, typename Target>
__device__ __forceinline__ bool roi_loss(const BpmMaskLossParams<Logit, Target>& params,
                                         int64_t label, Real* p, double& loss) {
  const int64_t roi = blockIdx.x;
  const int size = static_cast<int>(params.size);
  const int pixels = size * size;
  const Logit* logits = params.logits + (roi * params.classes + label) * pixels;
  const Target* targets = params.targets + roi * pixels;

  Real x[kPixels], t[kPixels], x_sum = 0;
#pragma unroll
  for (int n = 0; n < kPixels; ++n) {
    const int k = threadIdx.x + n * blockDim.x;
    x[n] = k < pixels ? static_cast<Real>(static_cast<float>(logits[k])) : Real(0);
    t[n] = k < pixels ? static_cast<Real>(targets[k]) : Real(0);
    x_sum += x[n];
  }
  const bool flipped = block_sum(x_sum) > 0;

  Real entropy[kPixels], entropy_grad[kPixels];
#pragma unroll
  for (int n = 0; n < kPixels; ++n) {
    const int k = threadIdx.x + n * blockDim.x;
    const Real e = exp_minus_abs(x[n]);
    entropy[n] = cross_entropy(x[n], t[n], e);
    entropy_grad[n] = cross_entropy_grad(x[n], t[n], e);
    const Real value = sigmoid(flipped ? -x[n] : x[n], e);
    const Real border = params.border == Border::kReplicate ? value : Real(flipped);
    if (k < pixels) write_with_border(p, size, k / size, k % size, value, border);
  }
  __syncthreads();

  Real q[kPixels], q_sum = 0, entropy_sum = 0;
  FloatAccuracy<Real> accuracy = {};
#pragma unroll
  for (int n = 0; n < kPixels; ++n) {
    const int k = threadIdx.x + n * blockDim.x;
    q[n] = 0;
    if (k >= pixels) continue;
    const Real* center = p + (k / size + 1) * (size + 2) + k % size + 1;
    const Real neighbors = neighbor_sum(center, size + 2);
    q[n] = edge_strength(*center, neighbors);
    q_sum += q[n];
    entropy_sum += entropy[n];
    accuracy.add(q[n], edge_scale(*center, neighbors), entropy[n], entropy_grad[n]);
  }
  accuracy.loss = block_sum(accuracy.loss);
  if (sizeof(Real) == sizeof(float)) {
    accuracy.loss_scale = block_sum(accuracy.loss_scale);
    accuracy.grad = block_sum(accuracy.grad);
    accuracy.grad_scale = block_sum(accuracy.grad_scale);
    if (!accuracy.suffices()) return false;
  }
  const auto weights = edge_weights(block_sum(q_sum) / pixels, static_cast<Real>(params.gain));
  loss = weights.factor * accuracy.loss + weights.constant * block_sum(entropy_sum);

  const Real scale = Real(1) / static_cast<Real>(params.rois * pixels);
  float* grad = params.channel_grad + roi * pixels + threadIdx.x;
#pragma unroll
  for (int n = 0; n < kPixels; ++n) {
    const Real weight = weights.factor * q[n] + weights.constant;
    if (threadIdx.x + n * blockDim.x < pixels)
      grad[n * blockDim.x] = scale * weight * entropy_grad[n];
  }
  return true;
}

template <typename Logit, typename Target>
__global__ void __launch_bounds__(kMaxThreads)
    roi_loss_kernel(const __grid_constant__ BpmMaskLossParams<Logit, Target> params,
                    double* roi_losses) {
  extern __shared__ double p[];  // (S + 2, S + 2), probability with its border
  const int64_t label = params.labels[blockIdx.x];
  NBSEG_DEVICE_ASSERT(label >= 0 && label < params.classes);
  double loss;
  roi_loss(params, label, reinterpret_cast<float*>(p), loss) || roi_loss(params, label, p, loss);
  if (threadIdx.x == 0) roi_losses[blockIdx.x] = loss;
}

// One block sums the whole batch; a thread sums every blockDim.x-th RoI.
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
  if (params.rois * pixels > 0) {
    const int64_t warps = (pixels + kPixels * kWarp - 1) / (kPixels * kWarp);
    const size_t shared = (params.size + 2) * (params.size + 2) * sizeof(double);
    roi_loss_kernel<<<params.rois, warps * kWarp, shared, stream>>>(params, roi_losses);
    if (const cudaError_t error = cudaGetLastError()) return error;
  }
  mean_kernel<<<1, 256, 0, stream>>>(roi_losses, pixels ? params.rois : 0, pixels, params.loss);
  return cudaGetLastError();
}

#define NBSEG_INSTANTIATE(Logit)                                                             \
  template cudaError_t bpm_mask_loss_cuda(const BpmMaskLossParams<Logit, uint8_t>&, double*, \
                                          cudaStream_t);                                     \
  template cudaError_t bpm_mask_loss_cuda(const BpmMaskLossParams<Logit, float>&, double*,   \
                                          cudaStream_t);
NBSEG_INSTANTIATE(float)
NBSEG_INSTANTIATE(__half)
NBSEG_INSTANTIATE(__nv_bfloat16)

}  // namespace nbseg
