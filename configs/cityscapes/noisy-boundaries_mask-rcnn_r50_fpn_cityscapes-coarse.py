# All fine labels of Cityscapes, and the coarsely labelled images as unlabelled ones (table 2 of the
# paper; configs/README.md).
#   tools/train.py CONFIG --cfg-options data_root=DIR
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/semi_cityscapes_instance.py',
    '../_base_/schedules/steps.py',
    '../_base_/tta_cityscapes.py',
    '../_base_/default_runtime.py',
]

split = None
coarse_json = '{data_root}/annotations/instancesonly_filtered_gtCoarse_train_extra.json'
coarse_images = '{data_root}/leftImg8bit/train_extra/'
labelled_json = '{train_json}'
unlabelled_json = '{coarse_json}'
unlabelled_folder = '{coarse_images}'
labelled_images = 2975
unlabelled_images = 19998
# Coarse polygons leave out much of an object: no truth to measure pseudo-labels with.
report = dict(hidden_truth=None)

# An iteration's images: batch_size of each GPU. Eight GPUs take batch_size=1.
batch_size = 8
total_batch_size = 8
num_workers = 4
optim_wrapper = dict(optimizer=dict(lr=0.01))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000))

# A third of the epochs of the other config: each is eight times as long as there at 20%.
epochs = 8
iterations = '{round(epochs * images_per_epoch / total_batch_size)}'
teacher = dict(iterations='{round(64 * labelled_images / total_batch_size)}')
