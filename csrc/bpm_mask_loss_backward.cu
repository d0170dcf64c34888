#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstdint>

#include "bpm_mask_loss_cuda.h"
#include "device_assert.h"

// The dense gradient is almost all zeros, so writing it takes nearly all of the time: each element
// is written once, in stores of 16 bytes per thread.
//
// blockIdx.x is the RoI. A block writes one slice of the RoI's C * S * S elements, or several
// slices if the grid is too small. A warp writes runs of 32 neighboring vectors of a slice, a
// thread every kThreads-th vector of the slice.

namespace nbseg {
namespace {

constexpr int kThreads = 256;
constexpr int kVectors = 4;  // per thread and slice
constexpr int64_t kMaxSlices = 65535;

template <typename Logit, int kWidth>
struct alignas(kWidth * sizeof(Logit)) Vector {
  Logit values[kWidth];
};

template <typename Logit, int kWidth>
__global__ void __launch_bounds__(kThreads)
    scatter_kernel(const BpmMaskLossBackwardParams<Logit> params) {
  const int64_t roi = blockIdx.x;
  const int64_t label = params.labels[roi];
  NBSEG_DEVICE_ASSERT(label >= 0 && label < params.classes);
  const int64_t pixels = params.size * params.size;
  const int64_t vectors = params.classes * pixels / kWidth;  // of this RoI
  const float scale = *params.grad_loss;
  const float* from = params.channel_grad + roi * pixels;
  auto* to = reinterpret_cast<Vector<Logit, kWidth>*>(params.grad_logits) + roi * vectors;

  for (int64_t slice = blockIdx.y; slice * kThreads * kVectors < vectors; slice += gridDim.y) {
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      const int64_t v = (slice * kVectors + n) * kThreads + threadIdx.x;
      if (v >= vectors) break;
      Vector<Logit, kWidth> vector;
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const int64_t pixel = v * kWidth + k - label * pixels;
        const bool selected = pixel >= 0 && pixel < pixels;
        vector.values[k] = static_cast<Logit>(selected ? scale * from[pixel] : 0.0f);
      }
      to[v] = vector;
    }
  }
}

// Uses the widest vectors, of at most kWidth elements, whose width divides a RoI's elements.
template <typename Logit, int kWidth>
cudaError_t scatter(const BpmMaskLossBackwardParams<Logit>& params, cudaStream_t stream) {
  const int64_t elements = params.classes * params.size * params.size;
  if constexpr (kWidth > 1) {
    if (elements % kWidth != 0) return scatter<Logit, kWidth / 2>(params, stream);
  }
  if (params.rois > INT32_MAX) return cudaErrorInvalidValue;
  if (params.rois * elements == 0) return cudaSuccess;
  const int64_t slice = int64_t{kThreads} * kVectors * kWidth;
  const int64_t slices = std::min((elements + slice - 1) / slice, kMaxSlices);
  const dim3 grid(params.rois, slices);
  scatter_kernel<Logit, kWidth><<<grid, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace

template <typename Logit>
cudaError_t bpm_mask_loss_backward_cuda(const BpmMaskLossBackwardParams<Logit>& params,
                                        cudaStream_t stream) {
  return scatter<Logit, 16 / sizeof(Logit)>(params, stream);
}

template cudaError_t bpm_mask_loss_backward_cuda(const BpmMaskLossBackwardParams<float>&,
                                                 cudaStream_t);
template cudaError_t bpm_mask_loss_backward_cuda(const BpmMaskLossBackwardParams<__half>&,
                                                 cudaStream_t);
template cudaError_t bpm_mask_loss_backward_cuda(const BpmMaskLossBackwardParams<__nv_bfloat16>&,
                                                 cudaStream_t);

}  // namespace nbseg
