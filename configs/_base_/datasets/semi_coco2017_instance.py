# COCO 2017 as prepared by tools/prepare_data.py coco, with the image sizes and CutOut holes of the
# Noisy Boundaries paper's released code. train2017 is split into labeled and unlabeled images by
# percent and seed; configs/coco/README.md shows other labeled sets.
_base_ = './repeated_labeled.py'

data_root = 'data/coco'
train_name = 'instances_train2017'
train_images = '{data_root}/train2017/'
val_json = '{data_root}/annotations/instances_val2017.json'
val_images = '{data_root}/val2017/'
percent = 10
labeled_images = '{int(118287 * percent / 100)}'
unlabeled_images = '{118287 - labeled_images}'
# The labeled images are repeated 19 times at 10%, as in the released code.
labeled_repeats = '{round(2.1 * unlabeled_images / labeled_images)}'
num_classes = 80
classes = [
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat',
    'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog',
    'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella',
    'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite',
    'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange',
    'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant',
    'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone',
    'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase', 'scissors',
    'teddy bear', 'hair drier', 'toothbrush',
]
# As in the released code, training leaves out images without objects and images with a side below
# 32 pixels.
training_images = dict(filter_empty_gt=True, min_size=32)
labeled_dataset = dict(filter_cfg='{training_images}')
pseudo_dataset = dict(filter_cfg='{training_images}')

test_resize = dict(_delete_=True, type='Resize', scale=(1333, 800), keep_ratio=True)
strong_resize = dict(type='RandomResize', scale=[(1333, 400), (1333, 1200)], keep_ratio=True)
weak_pipeline = [
    '{load_image}',
    '{load_annotations}',
    '{test_resize}',
    dict(type='RandomFlip', prob=0.5),
    '{bridge_kinds}',
    dict(type='PackDetInputs'),
]
strong_pipeline = [
    '{load_image}',
    '{load_annotations}',
    '{strong_resize}',
    dict(type='RandomFlip', prob=0.5),
    '{bridge_kinds}',
    dict(type='StrongColorAugmentation'),
    dict(
        type='CutOut',
        n_holes=(1, 5),
        cutout_shape=[(0, 0), (33, 20), (66, 40), (132, 80), (198, 120), (264, 160)],
        fill_in=(103.53, 116.28, 123.675)),
    dict(type='PackDetInputs'),
]

# All images of a batch are landscape, or all are portrait; otherwise padding could fill about half
# of the batch.
aspect_ratio_sampler = dict(type='AspectRatioSampler', batch_size='{batch_size}')
train_dataloader = dict(sampler='{aspect_ratio_sampler}')
teacher = dict(train_dataloader=dict(sampler='{aspect_ratio_sampler}'))
