# Table 5 of the Noisy Boundaries paper. configs/bdd100k/README.md has the commands for the rows of
# the table, and the settings that are not from the paper.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/semi_bdd100k_instance.py',
    '../_base_/schedules/steps.py',
    '../_base_/tta_bdd100k.py',
    '../_base_/default_runtime.py',
]

max_per_img = 100

# The training draws each labeled image about 68 times, and each pseudo-labeled image about four
# times. Each of 8 GPUs has 2 images per iteration.
iterations = 45_000
batch_size = 2
total_batch_size = 16
optim_wrapper = dict(optimizer=dict(lr=0.02))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=5000))

# The teacher trains for 36 epochs (3x) of the labeled images.
teacher = dict(iterations='{round(36 * labeled_images / total_batch_size)}')

box_regression_loss = dict(type='SmoothL1Loss', beta=1.0)  # as on Cityscapes
