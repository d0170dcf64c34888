# Nuclei, with CCT (Ouali et al., CVPR 2020): masks from perturbed features must agree.
_base_ = [
    './noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py',
    '../_base_/methods/cct.py',
]
