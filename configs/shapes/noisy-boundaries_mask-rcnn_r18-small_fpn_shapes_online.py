# Shapes, with a teacher that labels each batch while the student trains.
_base_ = ['./noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py', '../_base_/online.py']

labeled_steps = [
    dict(type='LoadImageFromFile'),
    '{load_annotations}',
    '{random_flip}',
    '{random_transpose}',
    '{bridge_kinds}',
    dict(type='Compose', transforms='{strong_steps}'),
]
shared_steps = ['{random_flip}', '{random_transpose}']
