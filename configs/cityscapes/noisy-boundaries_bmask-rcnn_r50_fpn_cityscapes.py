# Figure 5 of the Noisy Boundaries paper: this model on Cityscapes, as teacher (trained on the
# labeled images alone) and as student.
_base_ = ['../_base_/models/bmask-rcnn_r50_fpn.py', '../_base_/cityscapes.py']

# As in the released code, teacher and student have the smooth L1 loss for boxes.
box_regression_loss = dict(type='SmoothL1Loss', beta=1.0)
