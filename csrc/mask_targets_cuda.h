#pragma once

#include <cuda_runtime_api.h>

#include "mask_targets.h"

namespace nbseg {

constexpr int kMaskMaxSizesCuda = 8;  // targets of one call

// Pointers are to device memory. The kernel is queued on the stream and the call does not wait;
// arguments for which the CPU version throws fail an assert on the device. Returns the error of the
// launch, or cudaErrorInvalidValue for more sizes than the limit or more than 2^31 - 1 RoIs.
cudaError_t mask_targets_cuda(const MaskTargetsParams& params, cudaStream_t stream);

}  // namespace nbseg
