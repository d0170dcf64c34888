# `make demo` runs this config: all stages in about ten minutes on two CPU cores.
_base_ = './noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py'

data_root = 'data/shapes'
percent = 5
train_dataloader = dict(sampler=dict(source_ratio=[1, 1]))
# With so few iterations, the student starts from the teacher's weights, at half its learning rate.
load_from = '{teacher_checkpoint}'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
iterations = 500
teacher = dict(iterations=300, load_from=None, optim_wrapper=dict(optimizer=dict(lr=2e-3)))
