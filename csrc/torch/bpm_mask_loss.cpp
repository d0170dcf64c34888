#include "../bpm_mask_loss.h"

#include "checks.h"
#include "ops.h"
#include "parallel.h"

namespace nbseg::cpu {

using torch::headeronly::ScalarType;
using torch::stable::new_empty;

namespace {

template <typename Target>
void run(const Tensor& logits, const Tensor& targets, const Tensor& labels, Tensor& loss,
         Tensor& channel_grad, double gain, Border border) {
  BpmMaskLossParams<float, Target> params;
  params.logits = static_cast<const float*>(logits.const_data_ptr());
  params.targets = static_cast<const Target*>(targets.const_data_ptr());
  params.labels = static_cast<const int64_t*>(labels.const_data_ptr());
  params.loss = static_cast<float*>(loss.mutable_data_ptr());
  params.channel_grad = static_cast<float*>(channel_grad.mutable_data_ptr());
  params.rois = logits.size(0);
  params.classes = logits.size(1);
  params.size = logits.size(2);
  params.gain = gain;
  params.border = border;
  bpm_mask_loss_cpu(params, torch_parallel);
}

}  // namespace

std::tuple<Tensor, Tensor> bpm_mask_loss(const Tensor& logits, const Tensor& targets,
                                         const Tensor& labels, double gain, std::string border) {
  const bool soft = targets.scalar_type() == ScalarType::Float;
  const bool boolean = targets.scalar_type() == ScalarType::Bool;  // stored as bytes of 0 and 1
  const ScalarType target_dtype = soft      ? ScalarType::Float
                                  : boolean ? ScalarType::Bool
                                            : ScalarType::Byte;
  const Tensor x = checked("logits", torch::stable::to(logits, ScalarType::Float),
                           ScalarType::Float, {kAnySize, kAnySize, kAnySize, logits.size(2)});
  const Tensor t = checked("targets", targets, target_dtype, {x.size(0), x.size(2), x.size(2)});
  const Tensor l = checked("labels", labels, ScalarType::Long, {x.size(0)});
  Tensor loss = new_empty(x, {}, ScalarType::Float);
  Tensor channel_grad = new_empty(x, t.sizes(), ScalarType::Float);
  const Border b = border == "zeros" ? Border::kZeros : Border::kReplicate;
  if (soft) {
    run<float>(x, t, l, loss, channel_grad, gain, b);
  } else {
    run<uint8_t>(x, t, l, loss, channel_grad, gain, b);
  }
  return {loss, channel_grad};
}

Tensor bpm_mask_loss_backward(const Tensor& grad_loss, const Tensor& channel_grad,
                              const Tensor& labels, int64_t num_classes, ScalarType dtype) {
  const Tensor scale = checked("grad_loss", grad_loss, ScalarType::Float, {});
  const Tensor g = checked("channel_grad", channel_grad, ScalarType::Float,
                           {kAnySize, kAnySize, channel_grad.size(1)});
  const Tensor l = checked("labels", labels, ScalarType::Long, {g.size(0)});
  const int64_t shape[] = {g.size(0), num_classes, g.size(1), g.size(2)};
  Tensor grad_logits = new_empty(g, {shape, 4}, ScalarType::Float);
  BpmMaskLossBackwardParams<float> params;
  params.grad_loss = static_cast<const float*>(scale.const_data_ptr());
  params.channel_grad = static_cast<const float*>(g.const_data_ptr());
  params.labels = static_cast<const int64_t*>(l.const_data_ptr());
  params.grad_logits = static_cast<float*>(grad_logits.mutable_data_ptr());
  params.rois = shape[0];
  params.classes = shape[1];
  params.size = shape[2];
  bpm_mask_loss_backward_cpu(params, torch_parallel);
  return torch::stable::to(grad_logits, dtype);
}

}  // namespace nbseg::cpu
