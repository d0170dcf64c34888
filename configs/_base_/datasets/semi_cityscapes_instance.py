# Cityscapes as prepared by tools/prepare_data.py cityscapes, with the image sizes and CutOut holes
# of the Noisy Boundaries paper's released code.
_base_ = './repeated_labeled.py'

data_root = 'data/cityscapes'
train_name = 'instancesonly_filtered_gtFine_train'
val_json = '{data_root}/annotations/instancesonly_filtered_gtFine_val.json'
train_images = '{data_root}/leftImg8bit/train/'
val_images = '{data_root}/leftImg8bit/val/'
classes = ['person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle']
num_classes = 8
max_per_img = 100

train_scales = [(2048, 800), (2048, 1024)]
test_resize = dict(_delete_=True, type='Resize', scale=(2048, 1024), keep_ratio=True)
weak_pipeline = [
    '{load_image}',
    '{load_annotations}',
    dict(type='RandomResize', scale='{train_scales}', keep_ratio=True),
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
        cutout_shape=[(0, 0), (60, 30), (120, 60), (200, 100), (300, 150), (400, 200)],
        fill_in=(103.53, 116.28, 123.675)),
    dict(type='PackDetInputs'),
]

# AP by COCO's evaluation and by the evaluation of the Cityscapes benchmark.
val_evaluator = [
    dict(
        type='InstanceMetric',
        ann_file='{val_json}',
        metric=['bbox', 'segm', 'boundary'],
        boundary_dilation_ratio=0.005),
    dict(type='CityscapesInstanceMetric', ann_dir='{data_root}/gtFine/val'),
]
