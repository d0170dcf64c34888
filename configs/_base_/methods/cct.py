# CCT (Ouali et al., CVPR 2020): masks from perturbed features must agree with the model's masks.
_base_ = './consistency.py'
online = dict(
    method=dict(type='CrossConsistency', unsup_weight=30.0, ramp='{round(iterations / 10)}'))
