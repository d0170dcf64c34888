#include "../bpm_mask_loss_cuda.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <torch/csrc/stable/macros.h>

#include "bpm_mask_loss_arguments.h"
#include "cuda_stream.h"
#include "ops.h"

namespace nbseg::cuda {
namespace {

// Calls function(Logit()) with the element type that belongs to the dtype.
template <typename Function>
void with_logit_type(ScalarType dtype, const Function& function) {
  if (dtype == ScalarType::Float) return function(float());
  if (dtype == ScalarType::Half) return function(__half());
  if (dtype == ScalarType::BFloat16) return function(__nv_bfloat16());
  throw std::invalid_argument("logits must be float32, float16 or bfloat16");
}

}  // namespace

std::tuple<Tensor, Tensor> bpm_mask_loss(const Tensor& logits, const Tensor& targets,
                                         const Tensor& labels, double gain, std::string border) {
  const DeviceGuard guard(logits.get_device_index());
  BpmMaskLossArguments arguments(logits, targets, labels, gain, border);
  const int64_t rois[] = {logits.size(0)};
  Tensor roi_losses = new_empty(logits, {rois, 1}, ScalarType::Double);
  auto* workspace = static_cast<double*>(roi_losses.mutable_data_ptr());
  with_logit_type(logits.scalar_type(), [&](auto logit) {
    arguments.run<decltype(logit)>([&](const auto& params) {
      STD_CUDA_CHECK(bpm_mask_loss_cuda(params, workspace, current_stream(logits)));
    });
  });
  return {arguments.loss, arguments.channel_grad};
}

Tensor bpm_mask_loss_backward(const Tensor& grad_loss, const Tensor& channel_grad,
                              const Tensor& labels, int64_t num_classes, ScalarType dtype) {
  const DeviceGuard guard(channel_grad.get_device_index());
  BpmMaskLossBackwardArguments arguments(grad_loss, channel_grad, labels, num_classes, dtype);
  with_logit_type(dtype, [&](auto logit) {
    STD_CUDA_CHECK(bpm_mask_loss_backward_cuda(arguments.params<decltype(logit)>(),
                                               current_stream(channel_grad)));
  });
  return arguments.grad_logits;
}

}  // namespace nbseg::cuda
