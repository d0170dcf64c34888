# A Mask R-CNN of 3 M parameters that learns small images from scratch on a CPU: half the width of a
# ResNet-18, class-agnostic boxes and masks, batch normalization everywhere except in the RPN.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

norm_cfg = dict(type='BN')
roi_extractor = dict(
    out_channels=48,
    finest_scale=28,
    featmap_strides=[4, 8, 16, 32],
    roi_layer=dict(sampling_ratio=1))

# The mask head and losses of the Noisy Boundaries paper, and the plain ones. NTM is the
# noise-tolerant mask head, BPM the boundary-preserving map. Values for --cfg-options:
#   mask_head='{plain_mask_head}'               without NTM
#   mask_loss='{plain_mask_loss}'               without BPM
#   mask_loss.border=zeros                      BPM with the released code's border
#   mask_loss.type=DistanceToBoundaryLoss       the more expensive map instead of BPM
#   mask_loss='{released_mask_loss}'            equivalent to the released code's BPM
#   box_loss='{softmax_focal_loss}'             the loss of the rows marked § in the paper's tables
mask_gain = 1.0
mask_loss = dict(type='BoundaryPreservingLoss', gain='{mask_gain}')
plain_mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
released_mask_loss = dict(type='CrossEntropyLoss', use_mask=True, loss_weight='{mask_gain}')
mask_head_cfg = dict(
    in_channels=48,
    conv_out_channels=32,
    norm_cfg=norm_cfg,
    class_agnostic=True,
    num_classes='{num_classes}',
    loss_mask='{mask_loss}')
mask_head = dict(type='NoiseTolerantMaskHead', num_convs=3, **mask_head_cfg)
plain_mask_head = dict(type='RLEMaskHead', num_convs=4, **mask_head_cfg)
box_loss = dict(type='CrossEntropyLoss', use_sigmoid=False)
plain_box_loss = box_loss
softmax_focal_loss = dict(type='SoftmaxFocalLoss', gamma=2.0)

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
            # When training from scratch, the constant gradient of an L1 loss would outweigh the
            # classifier's gradient.
            loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
            loss_cls='{box_loss}',
            num_classes='{num_classes}'),
        mask_roi_extractor=roi_extractor,
        mask_head='{mask_head}'),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=200, max_per_img=128),
        rcnn=dict(sampler=dict(num=48, pos_fraction=0.33))),
    test_cfg=dict(
        rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=50, mask_format='rle')))
