#pragma once

#include <cuda_runtime.h>

namespace nbseg {

constexpr int kWarp = 32;

// Returns the sum of the values of all threads in a block of whole warps. The order of additions is
// fixed, so every thread and every run gets the same bits. All threads must call block_sum.
template <typename Real>
__device__ Real block_sum(Real value) {
  __shared__ Real warp_sums[kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int n = kWarp / 2; n > 0; n /= 2) value += __shfl_xor_sync(~0u, value, n);
  __syncthreads();  // all threads have read the previous sum
  if (lane == 0) warp_sums[warp] = value;
  __syncthreads();
  value = lane < blockDim.x / kWarp ? warp_sums[lane] : Real(0);
  for (int n = kWarp / 2; n > 0; n /= 2) value += __shfl_xor_sync(~0u, value, n);
  return value;
}

}  // namespace nbseg
