# Shapes, with CSD (Jeong et al., NeurIPS 2019): predictions for mirror images must agree.
_base_ = [
    './noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py',
    '../_base_/methods/csd.py',
]
