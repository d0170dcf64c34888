# Nuclei, with STAC (Sohn et al., 2020). The teacher predicts one view of each image. Pseudo-labels
# need a score of 0.9; an image without such a prediction keeps its best prediction. The losses of
# pseudo-labels count double. STAC's geometric transforms of single boxes are not part of this
# config.
_base_ = [
    './noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py',
    '../_base_/methods/two_kinds.py',
]

tta_flips = [dict(type='RandomFlip', prob=0.0)]
label = dict(box_threshold=0.9, pixel_threshold=0.5, mask_nms_iou=None, keep_best=True)
student = dict(
    method=dict(type='PseudoLabelStudent', unsup_weight=2.0),
    mask_head='{plain_mask_head}',
    mask_loss='{plain_mask_loss}',
    train_pipeline='{labeled_branch}',
    pseudo_pipeline='{pseudo_geometry_branch}')
