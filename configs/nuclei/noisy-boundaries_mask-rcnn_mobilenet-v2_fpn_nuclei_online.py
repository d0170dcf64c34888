# Nuclei, with a teacher that labels each batch while the student trains.
_base_ = ['./noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py', '../_base_/online.py']

labeled_steps = [
    dict(type='Compose', transforms='{load_and_augment}'),
    dict(type='Compose', transforms='{strong_steps}'),
]
shared_steps = [
    '{train_resize}',
    dict(type='RandomCrop', crop_size=(256, 256), allow_negative_crop=True),
    '{random_flip}',
    '{random_transpose}',
]
# Matched thresholds fail with few labeled images, as offline.
online = dict(method=dict(box_threshold=0.5))
