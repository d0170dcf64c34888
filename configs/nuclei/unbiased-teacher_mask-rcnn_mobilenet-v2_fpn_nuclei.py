# Nuclei, with Unbiased Teacher (Liu et al., ICLR 2021). The teacher's training
# replaces the burn-in.
_base_ = [
    './noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py',
    '../_base_/methods/unbiased-teacher.py',
]
