#include <Python.h>
#include <torch/csrc/stable/library.h>

#include "ops.h"

STABLE_TORCH_LIBRARY(nbseg, m) {
  // logits (R, C, S, S), targets (R, S, S), labels (R,)
  //   -> loss (), and its gradient in the labels' channels (R, S, S), both float32
  m.def(
      "bpm_mask_loss(Tensor logits, Tensor targets, Tensor labels, float gain, str border)"
      " -> (Tensor, Tensor)");

  // This is the same op without registered autograd, which would call back into Python.
  m.def(
      "bpm_mask_loss_forward(Tensor logits, Tensor targets, Tensor labels, float gain, str border)"
      " -> (Tensor, Tensor)");

  // channel_grad (R, S, S) -> gradient of the logits (R, C, S, S) in dtype
  m.def(
      "bpm_mask_loss_backward(Tensor grad_loss, Tensor channel_grad, Tensor labels,"
      " int num_classes, ScalarType dtype) -> Tensor");

  // bits (B,), starts (G,), crops (G, 4), boxes (R, 4), gt_inds (R,) -> (R, s, s) for s in sizes
  m.def(
      "multires_mask_targets(Tensor bits, Tensor starts, Tensor crops, int height, int width,"
      " Tensor boxes, Tensor gt_inds, int[] sizes) -> Tensor[]");
}

STABLE_TORCH_LIBRARY_IMPL(nbseg, CPU, m) {
  m.impl("bpm_mask_loss", TORCH_BOX(&nbseg::cpu::bpm_mask_loss));
  m.impl("bpm_mask_loss_forward", TORCH_BOX(&nbseg::cpu::bpm_mask_loss));
  m.impl("bpm_mask_loss_backward", TORCH_BOX(&nbseg::cpu::bpm_mask_loss_backward));
  m.impl("multires_mask_targets", TORCH_BOX(&nbseg::cpu::multires_mask_targets));
}

// An empty Python module: importing the module loads this library, which registers the ops.
PyMODINIT_FUNC PyInit__C() {
  static PyModuleDef module = {
      PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}
