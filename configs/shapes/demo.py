# `make demo` runs this config: all stages in about 13 minutes on two CPU cores.
_base_ = './noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py'

data_root = 'data/shapes'
percent = 2
# Because of the few iterations, the student starts from the teacher's weights and trains with weak
# augmentation; strong augmentation would lower the student's AP (docs/results.md).
load_from = '{teacher_checkpoint}'
train_pipeline = '{weak_pipeline}'
# All trainings use all eight flips and rotations of a square, and average the weights over the
# iterations.
transpose_prob = 0.5
custom_hooks = '{averaged_weights}'
# Half of the student's images are labeled; in the base config, a quarter of them are labeled.
train_dataloader = dict(sampler=dict(source_ratio=[1, 1]))
optim_wrapper = dict(optimizer=dict(lr=4e-3))
iterations = 350
teacher = dict(iterations=700, load_from=None)
# Predicting two views of an image takes half the time of the base config's four views.
tta_flips = [
    dict(type='RandomFlip', prob=0.0),
    dict(type='RandomFlip', prob=1.0, direction='horizontal'),
]
