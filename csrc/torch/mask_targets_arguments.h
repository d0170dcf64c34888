#pragma once

#include <string>
#include <vector>

#include "../mask_targets.h"
#include "checks.h"

namespace nbseg {

// Holds the checked tensors of a call and of its result; params points into their memory.
struct MaskTargetsArguments {
  using ScalarType = torch::headeronly::ScalarType;
  using Tensor = torch::stable::Tensor;

  MaskTargetsArguments(const Tensor& bits_, const Tensor& starts_, const Tensor& crops_,
                       int64_t height, int64_t width, const Tensor& boxes_, const Tensor& gt_inds_,
                       const std::vector<int64_t>& sizes)
      : bits(checked("bits", bits_, boxes_.device(), ScalarType::Byte, {kAnySize})),
        starts(checked("starts", starts_, boxes_.device(), ScalarType::Long, {kAnySize})),
        crops(checked("crops", crops_, boxes_.device(), ScalarType::Int, {starts.size(0), 4})),
        boxes(checked("boxes", boxes_, boxes_.device(), ScalarType::Float, {kAnySize, 4})),
        gt_inds(checked("gt_inds", gt_inds_, boxes_.device(), ScalarType::Long, {boxes.size(0)})) {
    params.bits = static_cast<const uint8_t*>(bits.const_data_ptr());
    params.starts = static_cast<const int64_t*>(starts.const_data_ptr());
    params.crops = static_cast<const int32_t*>(crops.const_data_ptr());
    params.boxes = static_cast<const float*>(boxes.const_data_ptr());
    params.gt_inds = static_cast<const int64_t*>(gt_inds.const_data_ptr());
    params.bytes = bits.size(0);
    params.instances = starts.size(0);
    params.rois = boxes.size(0);
    params.height = height;
    params.width = width;
    params.sizes = sizes;
    for (const int64_t size : sizes) {
      if (size < 1) {
        throw std::invalid_argument("sizes must be at least 1, found " + std::to_string(size));
      }
      const int64_t shape[] = {params.rois, size, size};
      targets.push_back(new_empty(boxes, {shape, 3}, ScalarType::Byte));
      params.targets.push_back(static_cast<uint8_t*>(targets.back().mutable_data_ptr()));
    }
  }

  Tensor bits, starts, crops, boxes, gt_inds;
  std::vector<Tensor> targets;
  MaskTargetsParams params;
};

}  // namespace nbseg
