#include "bpm_mask_loss_arguments.h"
#include "ops.h"
#include "parallel.h"

namespace nbseg::cpu {

std::tuple<Tensor, Tensor> bpm_mask_loss(const Tensor& logits, const Tensor& targets,
                                         const Tensor& labels, double gain, std::string border) {
  BpmMaskLossArguments arguments(in_dtype(logits, ScalarType::Float), targets, labels, gain,
                                 border);
  arguments.run<float>([](const auto& params) { bpm_mask_loss_cpu(params, torch_parallel); });
  return {arguments.loss, arguments.channel_grad};
}

Tensor bpm_mask_loss_backward(const Tensor& grad_loss, const Tensor& channel_grad,
                              const Tensor& labels, int64_t num_classes, ScalarType dtype) {
  BpmMaskLossBackwardArguments arguments(grad_loss, channel_grad, labels, num_classes,
                                         ScalarType::Float);
  bpm_mask_loss_backward_cpu(arguments.params<float>(), torch_parallel);
  return in_dtype(arguments.grad_logits, dtype);
}

}  // namespace nbseg::cpu
