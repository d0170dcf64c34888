#pragma once

#include <torch/csrc/stable/ops.h>

#include <initializer_list>
#include <stdexcept>
#include <string>

namespace nbseg {

constexpr int64_t kAnySize = -1;

// Returns the tensor in contiguous memory. The Python wrappers report wrong arguments in detail;
// this check keeps direct calls of torch.ops.nbseg from reading out of bounds.
inline torch::stable::Tensor checked(const char* name, const torch::stable::Tensor& tensor,
                                     const torch::stable::Device& device,
                                     torch::headeronly::ScalarType dtype,
                                     std::initializer_list<int64_t> shape) {
  bool fits = tensor.device() == device && tensor.scalar_type() == dtype &&
              tensor.dim() == static_cast<int64_t>(shape.size());
  int64_t dim = 0;
  for (const int64_t size : shape) {
    fits = fits && (size == kAnySize || tensor.size(dim) == size);
    ++dim;
  }
  if (!fits) {
    throw std::invalid_argument(std::string(name) + " has the wrong shape, dtype or device");
  }
  // A dispatcher call takes as long as computing a RoI, so skip it for contiguous tensors.
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

inline torch::stable::Tensor in_dtype(const torch::stable::Tensor& tensor,
                                      torch::headeronly::ScalarType dtype) {
  return tensor.scalar_type() == dtype ? tensor : torch::stable::to(tensor, dtype);
}

}  // namespace nbseg
