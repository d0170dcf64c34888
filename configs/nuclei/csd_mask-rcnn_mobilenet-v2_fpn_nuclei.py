# Nuclei, with CSD (Jeong et al., NeurIPS 2019): predictions for mirror images must agree.
_base_ = [
    './noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py',
    '../_base_/methods/csd.py',
]
