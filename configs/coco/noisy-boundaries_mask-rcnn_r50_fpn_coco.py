# Table 4 of the Noisy Boundaries paper. configs/coco/README.md has the commands for the rows of the
# table.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/semi_coco2017_instance.py',
    '../_base_/schedules/steps.py',
    '../_base_/tta_coco.py',
    '../_base_/default_runtime.py',
]

max_per_img = 100
mask_gain = 3.0
# As in the paper's released code, the box loss is L1 for the teacher, and smooth L1 for the
# student.
student = dict(box_regression_loss=dict(type='SmoothL1Loss', beta=1.0))

# As in the released code, 90,000 iterations for any labeled set. Each of 8 GPUs has 4 images.
iterations = 90_000
milestones = ['{round(6 / 9 * iterations)}', '{round(8 / 9 * iterations)}']
batch_size = 4
total_batch_size = 32
optim_wrapper = dict(optimizer=dict(lr=0.02))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=5000))

# The teacher trains for 12 epochs (1x) of the labeled images. Each of 8 GPUs has 2 images.
teacher = dict(
    batch_size=2,
    total_batch_size=16,
    iterations='{round(12 * labeled_images / total_batch_size)}',
    milestones=['{round(8 / 12 * iterations)}', '{round(11 / 12 * iterations)}'])
