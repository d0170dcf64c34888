# PointRend (Kirillov et al., CVPR 2020) with a ResNet-50, as configured by MMDetection.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

# Teacher and student have the same architecture. `mask_loss` applies to the coarse 7 x 7 masks; the
# loss of the points is always cross-entropy.
mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
plain_mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
mask_head = dict(
    type='RLECoarseMaskHead',
    num_fcs=2,
    in_channels=256,
    conv_out_channels=256,
    fc_out_channels=1024,
    num_classes='{num_classes}',
    loss_mask='{mask_loss}')
plain_mask_head = mask_head
box_regression_loss = dict(type='L1Loss', loss_weight=1.0)

model = dict(
    type='PointRend',
    roi_head=dict(
        type='RLEPointRendRoIHead',
        bbox_head=dict(num_classes='{num_classes}', loss_bbox='{box_regression_loss}'),
        mask_roi_extractor=dict(
            _delete_=True,
            type='GenericRoIExtractor',
            aggregation='concat',
            roi_layer=dict(type='SimpleRoIAlign', output_size=14),
            out_channels=256,
            featmap_strides=[4]),
        mask_head='{mask_head}',
        point_head=dict(
            type='CroppedMaskPointHead',
            num_fcs=3,
            in_channels=256,
            fc_channels=256,
            num_classes='{num_classes}',
            coarse_pred_each_layer=True,
            loss_point=dict(type='CrossEntropyLoss', use_mask=True))),
    train_cfg=dict(
        rcnn=dict(
            mask_size=7, num_points=196, oversample_ratio=3, importance_sample_ratio=0.75)),
    test_cfg=dict(
        rcnn=dict(
            subdivision_steps=5,
            subdivision_num_points=784,
            scale_factor=2,
            max_per_img='{max_per_img}',
            mask_format='rle')))
