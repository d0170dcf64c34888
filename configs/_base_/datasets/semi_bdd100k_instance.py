# BDD100K as prepared by tools/prepare_data.py bdd100k. The labeled images are the training images
# of BDD100K's part 10k, which have masks. The unlabeled images are the training images of its part
# 100k that have only boxes.
_base_ = './repeated_labeled.py'

data_root = 'data/bdd100k'
split = None
labeled_json = '{data_root}/annotations/ins_seg_train.json'
labeled_images = 7000
unlabeled_images = 67_000
train_images = '{data_root}/images/10k/train/'
unlabeled_json = '{data_root}/annotations/det_train_unlabeled.json'
unlabeled_folder = '{data_root}/images/100k/train/'
val_json = '{data_root}/annotations/ins_seg_val.json'
val_images = '{data_root}/images/10k/val/'
num_classes = 8
classes = ['pedestrian', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle']
# The unlabeled images have no true masks to compare pseudo-labels with.
report = dict(hidden_truth=None)

# All images have 1280 x 720 pixels. Training resizes the short side to 0.8 to 1 times its size,
# which is about the range of the paper's released code for Cityscapes. Relative to the image width,
# CutOut's holes have the same sizes as for Cityscapes.
test_resize = dict(_delete_=True, type='Resize', scale=(1280, 720), keep_ratio=True)
weak_pipeline = [
    '{load_image}',
    '{load_annotations}',
    dict(type='RandomResize', scale=[(1280, 576), (1280, 720)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    '{bridge_kinds}',
    dict(type='PackDetInputs'),
]
strong_pipeline = [
    *weak_pipeline[:-1],
    dict(type='StrongColorAugmentation'),
    dict(
        type='CutOut',
        n_holes=(1, 5),
        cutout_shape=[(0, 0), (38, 19), (75, 38), (125, 63), (188, 94), (250, 125)],
        fill_in=(103.53, 116.28, 123.675)),
    dict(type='PackDetInputs'),
]
