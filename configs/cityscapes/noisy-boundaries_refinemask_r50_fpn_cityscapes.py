# Figure 5 of the paper: this model on Cityscapes, teacher (fully supervised) and student alike.
_base_ = ['../_base_/models/refinemask_r50_fpn.py', '../_base_/cityscapes.py']
