#pragma once

#include <string>

#include "../bpm_mask_loss.h"
#include "checks.h"

namespace nbseg {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline Border border_from(const std::string& name) {
  if (name == "replicate") return Border::kReplicate;
  if (name == "zeros") return Border::kZeros;
  throw std::invalid_argument("border must be \"replicate\" or \"zeros\", found \"" + name + "\"");
}

// Holds the checked tensors of a forward call, and the tensors of its result.
struct BpmMaskLossArguments {
  BpmMaskLossArguments(const Tensor& logits_, const Tensor& targets_, const Tensor& labels_,
                       double gain_, const std::string& border_)
      : logits(checked("logits", logits_, logits_.device(), logits_.scalar_type(),
                       {kAnySize, kAnySize, kAnySize, logits_.size(2)})),
        targets(checked("targets", targets_, logits_.device(), target_dtype(targets_),
                        {logits.size(0), logits.size(2), logits.size(2)})),
        labels(checked("labels", labels_, logits_.device(), ScalarType::Long, {logits.size(0)})),
        loss(new_empty(logits, {}, ScalarType::Float)),
        channel_grad(new_empty(logits, targets.sizes(), ScalarType::Float)),
        gain(gain_),
        border(border_from(border_)) {}

  // Calls kernel(params); Logit is the element type of the logits.
  template <typename Logit, typename Kernel>
  void run(const Kernel& kernel) {
    if (targets.scalar_type() == ScalarType::Float) {
      kernel(params<Logit, float>());
    } else {
      kernel(params<Logit, uint8_t>());
    }
  }

  Tensor logits, targets, labels;
  Tensor loss, channel_grad;
  double gain;
  Border border;

 private:
  static ScalarType target_dtype(const Tensor& targets) {
    const ScalarType dtype = targets.scalar_type();
    const bool stored_as_bytes = dtype == ScalarType::Byte || dtype == ScalarType::Bool;
    return stored_as_bytes ? dtype : ScalarType::Float;
  }

  template <typename Logit, typename Target>
  BpmMaskLossParams<Logit, Target> params() {
    BpmMaskLossParams<Logit, Target> params;
    params.logits = static_cast<const Logit*>(logits.const_data_ptr());
    params.targets = static_cast<const Target*>(targets.const_data_ptr());
    params.labels = static_cast<const int64_t*>(labels.const_data_ptr());
    params.loss = static_cast<float*>(loss.mutable_data_ptr());
    params.channel_grad = static_cast<float*>(channel_grad.mutable_data_ptr());
    params.rois = logits.size(0);
    params.classes = logits.size(1);
    params.size = logits.size(2);
    params.gain = gain;
    params.border = border;
    return params;
  }
};

// Holds the checked tensors of a backward call, and its result in the given dtype.
struct BpmMaskLossBackwardArguments {
  BpmMaskLossBackwardArguments(const Tensor& grad_loss_, const Tensor& channel_grad_,
                               const Tensor& labels_, int64_t classes, ScalarType dtype)
      : grad_loss(checked("grad_loss", grad_loss_, channel_grad_.device(), ScalarType::Float, {})),
        channel_grad(checked("channel_grad", channel_grad_, channel_grad_.device(),
                             ScalarType::Float, {kAnySize, kAnySize, channel_grad_.size(1)})),
        labels(checked("labels", labels_, channel_grad_.device(), ScalarType::Long,
                       {channel_grad.size(0)})),
        grad_logits(new_grad_logits(channel_grad, classes, dtype)) {}

  template <typename Logit>
  BpmMaskLossBackwardParams<Logit> params() {
    BpmMaskLossBackwardParams<Logit> params;
    params.grad_loss = static_cast<const float*>(grad_loss.const_data_ptr());
    params.channel_grad = static_cast<const float*>(channel_grad.const_data_ptr());
    params.labels = static_cast<const int64_t*>(labels.const_data_ptr());
    params.grad_logits = static_cast<Logit*>(grad_logits.mutable_data_ptr());
    params.rois = grad_logits.size(0);
    params.classes = grad_logits.size(1);
    params.size = grad_logits.size(2);
    return params;
  }

  Tensor grad_loss, channel_grad, labels;
  Tensor grad_logits;

 private:
  static Tensor new_grad_logits(const Tensor& channel_grad, int64_t classes, ScalarType dtype) {
    const int64_t size = channel_grad.size(1);
    const int64_t shape[] = {channel_grad.size(0), classes, size, size};
    return new_empty(channel_grad, {shape, 4}, dtype);
  }
};

}  // namespace nbseg
