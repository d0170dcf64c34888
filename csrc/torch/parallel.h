#pragma once

#include <torch/csrc/stable/ops.h>

#include "../parallel.h"

namespace nbseg {

// Even a single RoI is enough work for a thread.
inline void torch_parallel(int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  torch::stable::parallel_for(0, count, /*grain_size=*/1, body);
}

}  // namespace nbseg
