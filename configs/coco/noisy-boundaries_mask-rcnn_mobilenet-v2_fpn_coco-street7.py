# A small street-scene part of COCO with seven classes and all images in one folder.
#   tools/train.py CONFIG --cfg-options data_root=DIR percent=30 backbone_weights=FILE
_base_ = [
    '../_base_/models/mask-rcnn_mobilenet-v2_fpn.py',
    '../_base_/datasets/semi_coco_instance.py',
    '../_base_/schedules/iterations.py',
    '../_base_/tta.py',
    '../_base_/default_runtime.py',
]

data_root = 'data/coco-street7'
train_name = 'instances_train_street7'
train_images = '{data_root}/images/'
val_json = '{data_root}/annotations/instances_val_street7.json'
val_images = '{data_root}/images/'
classes = ['person', 'bicycle', 'car', 'motorcycle', 'bus', 'train', 'truck']
num_classes = 7
percent = 30
max_per_img = 100
batch_size = 2
anchor_scales = [4, 8]

weak_pipeline = [
    '{load_image}',
    '{load_annotations}',
    '{test_resize}',
    dict(type='FilterAnnotations', min_gt_bbox_wh=(2, 2), by_mask=True, keep_empty=False),
    dict(type='RandomFlip', prob=0.5),
    '{bridge_kinds}',
    dict(type='PackDetInputs'),
]
strong_pipeline = [
    '{load_image}',
    '{load_annotations}',
    dict(type='RandomResize', scale=(320, 320), ratio_range=(0.75, 1.25), keep_ratio=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(2, 2), by_mask=True, keep_empty=False),
    dict(type='RandomFlip', prob=0.5),
    '{bridge_kinds}',
    dict(type='StrongColorAugmentation'),
    dict(
        type='CutOut',
        n_holes=(1, 5),
        cutout_shape=[(0, 0), (10, 6), (20, 12), (40, 24), (60, 36), (80, 48)],
        fill_in=(103.53, 116.28, 123.675)),
    dict(type='PackDetInputs'),
]
test_resize = dict(_delete_=True, type='Resize', scale=(320, 320), keep_ratio=True)
tta_scales = [
    '{test_resize}',
    dict(type='Resize', scale=(448, 448), keep_ratio=True),
]

train_dataloader = dict(sampler=dict(source_ratio=[1, 1]))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=5e-4, weight_decay=0.01, fused=True))
iterations = 600
load_from = '{teacher_checkpoint}'
teacher = dict(iterations=400, load_from=None)
