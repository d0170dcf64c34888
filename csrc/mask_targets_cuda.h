#pragma once

#include <cuda_runtime_api.h>

#include "mask_targets.h"

namespace nbseg {

constexpr int kMaskMaxSizesCuda = 8;  // largest number of target sizes in one call

// Pointers are to device memory. The call queues the kernel on the stream and does not wait. If the
// CPU version would throw, an assert fails on the device. Returns the error of the launch, or
// cudaErrorInvalidValue if there are more sizes than the limit or more than 2^31 - 1 RoIs.
cudaError_t mask_targets_cuda(const MaskTargetsParams& params, cudaStream_t stream);

}  // namespace nbseg
