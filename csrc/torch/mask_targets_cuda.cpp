#include "../mask_targets_cuda.h"

#include <torch/csrc/stable/macros.h>

#include "cuda_stream.h"
#include "mask_targets_arguments.h"
#include "ops.h"

namespace nbseg::cuda {

std::vector<Tensor> multires_mask_targets(const Tensor& bits, const Tensor& starts,
                                          const Tensor& crops, int64_t height, int64_t width,
                                          const Tensor& boxes, const Tensor& gt_inds,
                                          std::vector<int64_t> sizes) {
  const DeviceGuard guard(boxes.get_device_index());
  MaskTargetsArguments arguments(bits, starts, crops, height, width, boxes, gt_inds, sizes);
  STD_CUDA_CHECK(mask_targets_cuda(arguments.params, current_stream(boxes)));
  return arguments.targets;
}

}  // namespace nbseg::cuda
