# Training from scratch on generated images on two CPU cores: 20 labeled, 3980 unlabeled images.
#   tools/prepare_data.py shapes --out data/shapes-large --train 4000
_base_ = [
    '../_base_/models/mask-rcnn_r18-small_fpn.py',
    '../_base_/datasets/semi_coco_instance.py',
    '../_base_/schedules/iterations.py',
    '../_base_/tta.py',
    '../_base_/default_runtime.py',
]

data_root = 'data/shapes-large'
classes = ['star', 'gear', 'crescent', 'cross', 'leaf']
num_classes = 5
percent = 0.5
max_per_img = 50
batch_size = 4
num_workers = 1

# The shapes have no upright position.
random_flip = dict(
    type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])
tta_flips = [
    dict(type='RandomFlip', prob=0.0),
    dict(type='RandomFlip', prob=1.0, direction='horizontal'),
    dict(type='RandomFlip', prob=1.0, direction='vertical'),
    dict(type='RandomFlip', prob=1.0, direction='diagonal'),
]
weak_pipeline = [
    '{load_image}',
    '{load_annotations}',
    '{random_flip}',
    '{random_transpose}',
    '{bridge_kinds}',
    dict(type='PackDetInputs'),
]
strong_steps = [
    # Blur would hide the outlines that distinguish the classes.
    dict(type='StrongColorAugmentation', max_blur=0),
    # As in the Noisy Boundaries paper, the sides of a hole have at most a fifth of the length of
    # the image's sides.
    dict(
        type='CutOut',
        n_holes=(1, 5),
        cutout_shape=[(0, 0), (4, 6), (8, 10), (12, 16), (18, 24)],
        fill_in=(103.53, 116.28, 123.675)),
]
strong_pipeline = [
    '{load_image}',
    '{load_annotations}',
    '{random_flip}',
    '{random_transpose}',
    '{bridge_kinds}',
    *strong_steps,
    dict(type='PackDetInputs'),
]
# For online training: labeled_steps transform a labeled image. shared_steps transform an unlabeled
# image before it becomes the teacher's view and the student's view.
labeled_steps = [
    '{load_image}',
    '{load_annotations}',
    '{random_flip}',
    '{random_transpose}',
    '{bridge_kinds}',
    dict(type='Compose', transforms='{strong_steps}'),
]
shared_steps = ['{random_flip}', '{random_transpose}']
val_dataloader = dict(batch_size=4)

# The model soon overfits the few labeled images, so most images of a batch are pseudo-labeled. The
# student starts from scratch, so it averages the errors of its teacher instead of inheriting them.
train_dataloader = dict(sampler=dict(source_ratio=[1, 3]))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.01, fused=True))
iterations = 2800
teacher = dict(iterations=1400)
predict = dict(test_dataloader=dict(batch_size=4))
