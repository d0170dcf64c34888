# Cityscapes with part of its fine labels (tables 1 and 3 of the Noisy Boundaries paper;
# configs/README.md).
#   tools/train.py CONFIG --cfg-options data_root=DIR percent=20 seed=0
_base_ = ['../_base_/models/mask-rcnn_r50_fpn.py', '../_base_/cityscapes.py']

# As in the released code, teacher and student have the smooth L1 loss for boxes.
box_regression_loss = dict(type='SmoothL1Loss', beta=1.0)
