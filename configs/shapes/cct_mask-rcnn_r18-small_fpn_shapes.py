# Shapes, with CCT (Ouali et al., CVPR 2020): masks from perturbed features must agree.
_base_ = [
    './noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py',
    '../_base_/methods/cct.py',
]
