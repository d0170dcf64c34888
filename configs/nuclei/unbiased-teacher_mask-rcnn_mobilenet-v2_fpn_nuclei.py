# Nuclei, with Unbiased Teacher (Liu et al., ICLR 2021). The student starts from the weights of the
# stage `teacher`, so it needs no burn-in on labeled images.
_base_ = [
    './noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py',
    '../_base_/methods/unbiased-teacher.py',
]
