#include "../mask_targets.h"

#include "checks.h"
#include "ops.h"
#include "parallel.h"

namespace nbseg::cpu {

using torch::headeronly::ScalarType;
using torch::stable::new_empty;

std::vector<Tensor> multires_mask_targets(const Tensor& bits, const Tensor& starts,
                                          const Tensor& crops, int64_t height, int64_t width,
                                          const Tensor& boxes, const Tensor& gt_inds,
                                          std::vector<int64_t> sizes) {
  const Tensor packed = checked("bits", bits, ScalarType::Byte, {kAnySize});
  const Tensor first = checked("starts", starts, ScalarType::Long, {kAnySize});
  const Tensor rectangles = checked("crops", crops, ScalarType::Int, {first.size(0), 4});
  const Tensor corners = checked("boxes", boxes, ScalarType::Float, {kAnySize, 4});
  const Tensor instances = checked("gt_inds", gt_inds, ScalarType::Long, {corners.size(0)});
  MaskTargetsParams params;
  params.bits = static_cast<const uint8_t*>(packed.const_data_ptr());
  params.starts = static_cast<const int64_t*>(first.const_data_ptr());
  params.crops = static_cast<const int32_t*>(rectangles.const_data_ptr());
  params.boxes = static_cast<const float*>(corners.const_data_ptr());
  params.gt_inds = static_cast<const int64_t*>(instances.const_data_ptr());
  params.bytes = packed.size(0);
  params.instances = rectangles.size(0);
  params.rois = corners.size(0);
  params.height = height;
  params.width = width;
  params.sizes = sizes;
  std::vector<Tensor> targets;
  for (const int64_t size : sizes) {
    if (size < 1) throw std::invalid_argument("sizes must be positive");
    const int64_t shape[] = {params.rois, size, size};
    targets.push_back(new_empty(corners, {shape, 3}, ScalarType::Byte));
    params.targets.push_back(static_cast<uint8_t*>(targets.back().mutable_data_ptr()));
  }
  mask_targets_cpu(params, torch_parallel);
  return targets;
}

}  // namespace nbseg::cpu
