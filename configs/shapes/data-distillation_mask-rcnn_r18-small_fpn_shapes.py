# Shapes, with Data Distillation (Radosavovic et al., CVPR 2018): one threshold for all classes
# keeps as many pseudo-labels per unlabeled image as labeled images have labels on average. The
# student has the teacher's mask head, mask loss and augmentation.
_base_ = './noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py'

label = dict(box_threshold='match_total', pixel_threshold=0.5, mask_nms_iou=None)
student = dict(
    mask_head='{plain_mask_head}',
    mask_loss='{plain_mask_loss}',
    train_pipeline='{weak_pipeline}',
    train_dataloader=dict(sampler=dict(source_ratio=[1, 1])))
