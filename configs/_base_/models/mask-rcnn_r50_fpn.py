# Mask R-CNN with a ResNet-50 pretrained on ImageNet, the model of the Noisy Boundaries paper. A
# derived config sets num_classes and max_per_img.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

backbone_weights = 'torchvision://resnet50'

# The paper compares these heads and losses. NTM is the noise-tolerant mask head, BPM the
# boundary-preserving map. The student has the settings without `plain_`; the section `teacher` sets
# the plain ones. Values for --cfg-options:
#   mask_head='{plain_mask_head}'               without NTM
#   mask_loss='{plain_mask_loss}'               without BPM
#   mask_loss.border=zeros                      BPM with the released code's border
#   mask_loss.type=DistanceToBoundaryLoss       the more expensive map instead of BPM
#   mask_loss='{released_mask_loss}'            equivalent to the released code's BPM
#   box_loss='{softmax_focal_loss}'             the loss of the rows marked § in the paper's tables

# Mean weight of a pixel in the mask loss. In the released code, the map has the mean 3, and a loss
# weight multiplies the map: 3 on Cityscapes, 1 on COCO.
mask_gain = 9.0
mask_loss = dict(type='BoundaryPreservingLoss', gain='{mask_gain}')
plain_mask_loss = dict(type='CrossEntropyLoss', use_mask=True)
released_mask_loss = dict(type='CrossEntropyLoss', use_mask=True, loss_weight='{mask_gain}')
mask_head_cfg = dict(
    in_channels=256,
    conv_out_channels=256,
    num_classes='{num_classes}',
    loss_mask='{mask_loss}')
mask_head = dict(type='NoiseTolerantMaskHead', num_convs=3, **mask_head_cfg)
plain_mask_head = dict(type='RLEMaskHead', num_convs=4, **mask_head_cfg)
box_loss = dict(type='CrossEntropyLoss', use_sigmoid=False)
plain_box_loss = box_loss
box_regression_loss = dict(type='L1Loss', loss_weight=1.0)
softmax_focal_loss = dict(type='SoftmaxFocalLoss', gamma=2.0)

model = dict(
    backbone=dict(init_cfg=dict(checkpoint='{backbone_weights}')),
    roi_head=dict(
        bbox_head=dict(
            num_classes='{num_classes}',
            loss_cls='{box_loss}',
            loss_bbox='{box_regression_loss}'),
        mask_head='{mask_head}'),
    test_cfg=dict(rcnn=dict(max_per_img='{max_per_img}', mask_format='rle')))
