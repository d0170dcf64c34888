# A Mask R-CNN of 3 M parameters that learns small images from scratch on a CPU: half the width of a
# ResNet-18, class-agnostic boxes and masks, batch normalisation everywhere but in the RPN.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

norm_cfg = dict(type='BN')
roi_extractor = dict(
    out_channels=48,
    finest_scale=28,
    featmap_strides=[4, 8, 16, 32],
    roi_layer=dict(sampling_ratio=1))

# The method's mask head and loss, and the plain ones they replace; either can be switched alone:
# --cfg-options mask_head='{plain_mask_head}' is without NTM,
# --cfg-options mask_loss='{plain_mask_loss}' without BPM.
mask_loss = dict(type='BoundaryPreservingLoss', gain=1.0)
plain_mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
mask_head_cfg = dict(
    in_channels=48,
    conv_out_channels=32,
    norm_cfg=norm_cfg,
    class_agnostic=True,
    num_classes='{num_classes}',
    loss_mask='{mask_loss}')
mask_head = dict(type='NoiseTolerantMaskHead', num_convs=3, **mask_head_cfg)
plain_mask_head = dict(type='RLEMaskHead', num_convs=4, **mask_head_cfg)

model = dict(
    backbone=dict(
        depth=18,
        base_channels=32,
        stem_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        zero_init_residual=False,
        init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=48, num_outs=4, norm_cfg=norm_cfg),
    rpn_head=dict(
        in_channels=48,
        feat_channels=48,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32])),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(
            type='ConvFCBBoxHead',
            num_shared_convs=2,
            num_shared_fcs=1,
            in_channels=48,
            conv_out_channels=48,
            fc_out_channels=256,
            norm_cfg=norm_cfg,
            reg_class_agnostic=True,
            # From scratch the constant gradient of an L1 loss drowns the classifier's.
            loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
            num_classes='{num_classes}'),
        mask_roi_extractor=roi_extractor,
        mask_head='{mask_head}'),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=200, max_per_img=128),
        rcnn=dict(sampler=dict(num=48, pos_fraction=0.33))),
    test_cfg=dict(
        rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=50, mask_format='rle')))
