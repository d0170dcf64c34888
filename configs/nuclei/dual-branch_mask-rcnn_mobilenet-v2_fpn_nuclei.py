# Nuclei, with the dual-branch network (Luo and Yang, ECCV 2020): one mask head learns from the
# labels, and another mask head learns from the pseudo-labels. Only the mask head of the labels
# predicts.
_base_ = [
    './noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py',
    '../_base_/methods/two_kinds.py',
]

student = dict(
    method=dict(type='DualBranchStudent'),
    mask_head='{plain_mask_head}',
    mask_loss='{plain_mask_loss}',
    train_pipeline='{labeled_branch}',
    pseudo_pipeline='{pseudo_branch}')
