# BMask R-CNN (Cheng et al., ECCV 2020) with a ResNet-50.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

# Teacher and student have the same architecture; `mask_loss` can be changed as in Mask R-CNN.
mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
plain_mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
mask_head = dict(
    type='BoundaryMaskHead',
    num_convs=4,
    in_channels=256,
    conv_out_channels=256,
    num_classes='{num_classes}',
    loss_mask='{mask_loss}',
    loss_boundary=dict(type='BoundaryLoss'))
plain_mask_head = mask_head
box_regression_loss = dict(type='L1Loss', loss_weight=1.0)

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes='{num_classes}', loss_bbox='{box_regression_loss}'),
        mask_roi_extractor=dict(type='MaskAndBoundaryRoIExtractor', boundary_size=28),
        mask_head='{mask_head}'),
    test_cfg=dict(
        rcnn=dict(max_per_img='{max_per_img}', mask_format='rle')))
