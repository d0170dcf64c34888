# A Mask R-CNN with a MobileNetV2 pretrained on ImageNet, for fine-tuning on small sets on a CPU.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

anchor_scales = [4]
# A MobileNetV2 of MMPretrain or MMDetection, as a file or as a name in MMEngine's lists.
backbone_weights = 'open-mmlab://mmdet/mobilenet_v2'
roi_extractor = dict(
    out_channels=64, featmap_strides=[4, 8, 16, 32], roi_layer=dict(sampling_ratio=2))

# The mask head and losses of the Noisy Boundaries paper, and the plain ones. NTM is the
# noise-tolerant mask head, BPM the boundary-preserving map. Values for --cfg-options:
#   mask_head='{plain_mask_head}'               without NTM
#   mask_loss='{plain_mask_loss}'               without BPM
#   box_loss='{softmax_focal_loss}'             the loss of the rows marked § in the paper's tables
mask_loss = dict(type='BoundaryPreservingLoss', gain=1.0)
plain_mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
mask_head_cfg = dict(
    in_channels=64,
    conv_out_channels=64,
    num_classes='{num_classes}',
    loss_mask='{mask_loss}')
mask_head = dict(type='NoiseTolerantMaskHead', num_convs=3, **mask_head_cfg)
plain_mask_head = dict(type='RLEMaskHead', num_convs=4, **mask_head_cfg)
box_loss = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)
plain_box_loss = box_loss
softmax_focal_loss = dict(type='SoftmaxFocalLoss', gamma=2.0)

model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 7),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='{backbone_weights}')),
    neck=dict(in_channels=[24, 32, 96, 1280], out_channels=64, num_outs=4),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales='{anchor_scales}', strides=[4, 8, 16, 32])),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(
            in_channels=64,
            fc_out_channels=256,
            num_classes='{num_classes}',
            loss_cls='{box_loss}'),
        mask_roi_extractor=roi_extractor,
        mask_head='{mask_head}'),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(sampler=dict(num=96))),
    test_cfg=dict(
        rpn=dict(nms_pre=500, max_per_img='{max_per_img}'),
        rcnn=dict(max_per_img='{max_per_img}', mask_format='rle')))
