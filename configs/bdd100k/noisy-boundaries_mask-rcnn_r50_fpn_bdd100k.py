# Table 5 of the paper; its rows, their commands, and what of the recipe is ours:
# configs/bdd100k/README.md.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/semi_bdd100k_instance.py',
    '../_base_/schedules/steps.py',
    '../_base_/tta_bdd100k.py',
    '../_base_/default_runtime.py',
]

max_per_img = 100

# Labeled images are drawn 69 times, pseudo-labeled ones four. 8 GPUs with 2 images each.
iterations = 45_000
batch_size = 2
total_batch_size = 16
optim_wrapper = dict(optimizer=dict(lr=0.02))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=5000))

# 36 passes (3x) over what is labeled.
teacher = dict(iterations='{round(36 * labeled_images / total_batch_size)}')
