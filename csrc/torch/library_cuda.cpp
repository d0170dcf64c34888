#include <torch/csrc/stable/library.h>

#include "ops.h"

// This file implements the ops that library.cpp defines, for tensors on a GPU.
STABLE_TORCH_LIBRARY_IMPL(nbseg, CUDA, m) {
  m.impl("bpm_mask_loss", TORCH_BOX(&nbseg::cuda::bpm_mask_loss));
  m.impl("bpm_mask_loss_forward", TORCH_BOX(&nbseg::cuda::bpm_mask_loss));
  m.impl("bpm_mask_loss_backward", TORCH_BOX(&nbseg::cuda::bpm_mask_loss_backward));
  m.impl("multires_mask_targets", TORCH_BOX(&nbseg::cuda::multires_mask_targets));
}
