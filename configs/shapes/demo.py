# What `make demo` runs: all stages in about ten minutes on two CPU cores.
_base_ = './noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py'

iterations = 500
teacher = dict(iterations=300)
