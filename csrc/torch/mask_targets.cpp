#include "mask_targets_arguments.h"
#include "ops.h"
#include "parallel.h"

namespace nbseg::cpu {

std::vector<Tensor> multires_mask_targets(const Tensor& bits, const Tensor& starts,
                                          const Tensor& crops, int64_t height, int64_t width,
                                          const Tensor& boxes, const Tensor& gt_inds,
                                          std::vector<int64_t> sizes) {
  MaskTargetsArguments arguments(bits, starts, crops, height, width, boxes, gt_inds, sizes);
  mask_targets_cpu(arguments.params, torch_parallel);
  return arguments.targets;
}

}  // namespace nbseg::cpu
