#pragma once

#include <cuda_runtime_api.h>

#include "bpm_mask_loss.h"

namespace nbseg {

constexpr int64_t kBpmMaxSizeCuda = 64;  // largest S: a RoI must fit a block's shared memory

// Pointers are to device memory. The call queues the kernels on the stream and does not wait. A
// label outside [0, C) fails an assert on the device. Returns the error of a launch, or
// cudaErrorInvalidValue if S exceeds the limit or there are more than 2^31 - 1 RoIs.

// Logit is float, __half or __nv_bfloat16, Target is uint8_t or float. roi_losses is working memory
// of R elements.
template <typename Logit, typename Target>
cudaError_t bpm_mask_loss_cuda(const BpmMaskLossParams<Logit, Target>& params, double* roi_losses,
                               cudaStream_t stream);

// grad_logits must be aligned to 16 bytes.
template <typename Logit>
cudaError_t bpm_mask_loss_backward_cuda(const BpmMaskLossBackwardParams<Logit>& params,
                                        cudaStream_t stream);

}  // namespace nbseg
