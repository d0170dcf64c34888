#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

// The implementations of the ops that library.cpp and library_cuda.cpp register. The Python
// wrappers have checked shapes, dtypes and devices; tensors need not be contiguous.

namespace nbseg::cpu {

using torch::stable::Tensor;

std::tuple<Tensor, Tensor> bpm_mask_loss(const Tensor& logits, const Tensor& targets,
                                         const Tensor& labels, double gain, std::string border);

Tensor bpm_mask_loss_backward(const Tensor& grad_loss, const Tensor& channel_grad,
                              const Tensor& labels, int64_t num_classes,
                              torch::headeronly::ScalarType dtype);

std::vector<Tensor> multires_mask_targets(const Tensor& bits, const Tensor& starts,
                                          const Tensor& crops, int64_t height, int64_t width,
                                          const Tensor& boxes, const Tensor& gt_inds,
                                          std::vector<int64_t> sizes);

}  // namespace nbseg::cpu

namespace nbseg::cuda {

using torch::stable::Tensor;

std::tuple<Tensor, Tensor> bpm_mask_loss(const Tensor& logits, const Tensor& targets,
                                         const Tensor& labels, double gain, std::string border);

Tensor bpm_mask_loss_backward(const Tensor& grad_loss, const Tensor& channel_grad,
                              const Tensor& labels, int64_t num_classes,
                              torch::headeronly::ScalarType dtype);

std::vector<Tensor> multires_mask_targets(const Tensor& bits, const Tensor& starts,
                                          const Tensor& crops, int64_t height, int64_t width,
                                          const Tensor& boxes, const Tensor& gt_inds,
                                          std::vector<int64_t> sizes);

}  // namespace nbseg::cuda
