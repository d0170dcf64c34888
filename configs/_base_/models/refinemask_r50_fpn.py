# RefineMask (Zhang et al., CVPR 2021) with a ResNet-50.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

# Teacher and student have the same architecture. `mask_loss` applies to the mask head's stages of
# size 14 and 28; the stages of size 56 and 112 have the boundary-aware cross-entropy.
mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
plain_mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
mask_head = dict(
    type='RefineMaskHead',
    num_convs=2,
    in_channels=256,
    conv_out_channels=256,
    semantic_channels=256,
    stage_weights=(0.25, 0.5, 0.75, 1.0),
    num_classes='{num_classes}',
    loss_mask='{mask_loss}')
plain_mask_head = mask_head
box_regression_loss = dict(type='L1Loss', loss_weight=1.0)

model = dict(
    roi_head=dict(
        type='RefineMaskRoIHead',
        bbox_head=dict(num_classes='{num_classes}', loss_bbox='{box_regression_loss}'),
        semantic_head=dict(
            type='ForegroundHead', num_convs=4, in_channels=256, conv_out_channels=256),
        mask_head='{mask_head}'),
    test_cfg=dict(
        rcnn=dict(max_per_img='{max_per_img}', mask_format='rle')))
