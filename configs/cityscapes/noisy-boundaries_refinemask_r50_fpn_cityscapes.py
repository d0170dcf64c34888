# Figure 5 of the paper: this model on Cityscapes, as fully supervised teacher and as student.
_base_ = ['../_base_/models/refinemask_r50_fpn.py', '../_base_/cityscapes.py']

# As the Mask R-CNN with which figure 5 compares.
model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1.0, loss_weight=1.0))))
