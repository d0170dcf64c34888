# Your own images with few labels, on a CPU or one GPU. `tools/prepare_data.py init` measures the
# labeled images and writes a small config that derives from this file (docs/your_data.md).
_base_ = [
    '../_base_/models/mask-rcnn_mobilenet-v2_fpn.py',
    '../_base_/datasets/semi_coco_instance.py',
    '../_base_/schedules/iterations.py',
    '../_base_/tta.py',
    '../_base_/default_runtime.py',
]

data_root = 'data/mine'
labeled_json = '{data_root}/labeled.json'
train_images = '{data_root}/images/'
unlabeled_folder = '{data_root}/unlabeled/'
val_json = '{data_root}/val.json'
val_images = '{data_root}/images/'
classes = ['object']
num_classes = 1

# All images of labeled_json are labeled. To split one json by percent and seed instead, a derived
# config sets
#   split = dict(ann_file='all.json', percent=5, seed='{seed}')
#   labeled_json = '{work_dir}/splits/all.{seed}@5.json'
#   unlabeled_json = '{work_dir}/splits/all.{seed}@5-unlabeled.json'
#   unlabeled_folder = '{train_images}'
# The derived config also sets type and ann_file of predict.test_dataloader.dataset, as for any json
# of unlabeled images (see the next comment).
split = dict(_delete_=True)
unlabeled_json = '{data_root}/unlabeled.json'
# The unlabeled images are all images of the folder unlabeled_folder. To use the images that a json
# lists instead, set type='CocoInstanceDataset' and ann_file='{unlabeled_json}'.
predict = dict(test_dataloader=dict(dataset=dict(type='ImageFolderDataset', ann_file='')))
report = dict(hidden_truth=None)

# Small objects: each image is resized by the factor image_scale, and the model trains on crops.
# Large objects: the long side of each image becomes image_size, and the model trains on whole
# images, with
#   image_resize = '{fit}'
#   train_resize = '{fit_jitter}'
#   crop = '{no_crop}'
#   tta_scales = ['{image_resize}', '{larger_fit}']
image_scale = 1.0
rescale = dict(type='Resize', scale_factor='{image_scale}', keep_ratio=True)
scale_jitter = dict(
    type='RandomChoice',
    transforms=[
        [dict(type='Resize', scale_factor=f'{{{factor} * image_scale}}', keep_ratio=True)]
        for factor in (0.5, 0.7, 1.0, 1.4, 2.0)
    ])
random_crop = dict(
    type='RandomCrop', crop_size=(256, 256), allow_negative_crop=False, recompute_bbox=True)
image_size = 384
fit = dict(type='Resize', scale=('{image_size}', '{image_size}'), keep_ratio=True)
fit_jitter = dict(
    type='RandomResize',
    scale=('{image_size}', '{image_size}'),
    ratio_range=(0.75, 1.25),
    keep_ratio=True)
larger_side = '{round(1.4 * image_size)}'
larger_fit = dict(type='Resize', scale=('{larger_side}', '{larger_side}'), keep_ratio=True)
no_crop = dict(type='Compose', transforms=[])
image_resize = '{rescale}'
train_resize = '{scale_jitter}'
crop = '{random_crop}'
test_resize = '{image_resize}'
tta_scales = ['{image_resize}']

# Photographs have an upright position, so they are only flipped horizontally. Images without an
# upright position (microscopes, views from above) use all eight symmetries of the square, with
#   random_flip = '{any_flip}'
#   transpose_prob = 0.5
#   tta_flips = '{all_flips}'
upright_flip = dict(type='RandomFlip', prob=0.5)
any_flip = dict(
    type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])
random_flip = '{upright_flip}'
all_flips = [
    dict(type='RandomFlip', prob=0.0),
    dict(type='RandomFlip', prob=1.0, direction='horizontal'),
    dict(type='RandomFlip', prob=1.0, direction='vertical'),
    dict(type='RandomFlip', prob=1.0, direction='diagonal'),
]

# A few labeled images rarely show all kinds of image, so vary their colors (docs/configs.md).
bridge_prob = 0.8
student = dict(bridge_prob=0.5)
# A crop can remove nearly all of an object; its remainder must not become a box without width.
filter_annotations = dict(
    type='FilterAnnotations', min_gt_bbox_wh=(2, 2), by_mask=True, keep_empty=False)
load_and_augment = [
    '{load_image}',
    '{load_annotations}',
    '{train_resize}',
    '{crop}',
    '{filter_annotations}',
    '{random_flip}',
    '{random_transpose}',
    '{bridge_kinds}',
]
# Typical side of an object in a resized image, in pixels; holes have 0.4 to 2.4 times this size.
object_size = 32
strong_steps = [
    # The Noisy Boundaries paper blurs with up to 7 pixels, but its images are several times as
    # large.
    dict(type='StrongColorAugmentation', max_blur=3),
    dict(
        type='CutOut',
        n_holes=(1, 5),
        cutout_shape=[
            (0, 0),
            ('{round(0.4 * object_size)}', '{round(0.6 * object_size)}'),
            ('{round(0.8 * object_size)}', '{round(object_size)}'),
            ('{round(1.2 * object_size)}', '{round(1.6 * object_size)}'),
            ('{round(1.8 * object_size)}', '{round(2.4 * object_size)}'),
        ],
        fill_in=(103.53, 116.28, 123.675)),
]
weak_pipeline = [*load_and_augment, dict(type='PackDetInputs')]
strong_pipeline = [*load_and_augment, *strong_steps, dict(type='PackDetInputs')]

anchor_scales = [4, 8]
# The model finds at most this number of objects in an image, and the evaluation counts as many.
# `init` chooses twice the number of objects in the fullest image, rounded up to a multiple of 50,
# but at most 500.
max_per_img = 100
val_evaluator = dict(max_detections='{max_per_img}')
# With no more proposals than detections, the model would miss objects.
model = dict(test_cfg=dict(rpn=dict(max_per_img='{max(200, max_per_img)}')))

# A short training gains most if the weights of all models are averaged over the iterations, if the
# student starts from the teacher's weights, and if half of the student's images are labeled
# (docs/results.md).
custom_hooks = '{averaged_weights}'
load_from = '{teacher_checkpoint}'
train_pipeline = '{weak_pipeline}'
batch_size = 4
train_dataloader = dict(sampler=dict(source_ratio=[1, 1]))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01, fused=True))
iterations = 375
# On nuclei with 5% of the labels, the student's mask AP was below that of the control arm in two of
# three seeds with 375 iterations of the teacher, and in one of five seeds with 750 iterations
# (docs/results.md).
teacher = dict(iterations=750, load_from=None)

# 'match' keeps as many boxes per unlabeled image as labeled images have objects on average. With
# fewer than about 20 labeled images, this average is a poor estimate, and a fixed score such as
# 0.3 is safer (docs/results.md, "Box threshold").
label = dict(box_threshold='match')
