# Unbiased Teacher (Liu et al., ICLR 2021): an online teacher with a fixed threshold, the focal
# loss, and no box regression on unlabeled images. The student starts from the weights of the stage
# `teacher`, so it needs no burn-in on labeled images.
_base_ = '../online.py'
online = dict(
    method=dict(
        box_threshold=0.7,
        pixel_threshold=0.5,
        ignore_score=None,
        mask_nms_iou=None,
        unsup_weight=4.0,
        unsup_box_weight=0.0),
    mask_head='{plain_mask_head}',
    mask_loss='{plain_mask_loss}',
    box_loss=dict(_delete_=True, type='SoftmaxFocalLoss', gamma=1.5),
    model=dict(train_cfg=dict(_delete_=True)))
