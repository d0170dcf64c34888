# CSD (Jeong et al., NeurIPS 2019): predictions for an image and its mirror image must agree.
_base_ = './consistency.py'
online = dict(method=dict(type='MirrorConsistency'))
