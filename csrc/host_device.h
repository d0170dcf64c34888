#pragma once

// Force inlining, so that callees are compiled for the caller's instruction set.
#if defined(__GNUC__)
#define NBSEG_INLINE inline __attribute__((always_inline))
#define NBSEG_INLINE_LAMBDA __attribute__((always_inline))
#else
#define NBSEG_INLINE inline
#define NBSEG_INLINE_LAMBDA
#endif

// Marks functions that CPU and CUDA kernels share.
#if defined(__CUDACC__)
#define NBSEG_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define NBSEG_HOST_DEVICE NBSEG_INLINE
#endif
