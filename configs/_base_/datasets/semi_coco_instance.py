# A COCO-format data set whose training images are partly labeled.
#
# A derived config sets data_root, classes, percent, train_pipeline and the other pipelines.
# Names in braces are replaced by the values of the keys of these names, after the command line is
# read (docs/configs.md). So the command line can set each of these keys:
# --cfg-options data_root=data/nuclei percent=5 seed=1

data_root = 'data/coco'
train_name = 'instances_train'
train_json = '{data_root}/annotations/{train_name}.json'
train_images = '{data_root}/train/'
val_json = '{data_root}/annotations/instances_val.json'
val_images = '{data_root}/val/'

# The seed of the run also determines which images are labeled.
split = dict(ann_file='{train_json}', percent='{percent}', seed='{seed}')
split_name = '{train_name}.{seed}@{percent}'
labeled_json = '{work_dir}/splits/{split_name}.json'
unlabeled_json = '{work_dir}/splits/{split_name}-unlabeled.json'
unlabeled_folder = '{train_images}'

load_annotations = dict(type='LoadCroppedAnnotations', with_bbox=True, with_mask=True)
# Augmentations that are off by default (docs/configs.md):
#   bridge_prob=0.8 student.bridge_prob=0.5     BridgeKinds changes color and contrast of 80% of the
#                                               images, and of 50% in the student's training
#   transpose_prob=0.5                          half of the images are transposed, in configs whose
#                                               pipelines contain random_transpose
bridge_prob = 0.0
bridge_kinds = dict(type='BridgeKinds', prob='{bridge_prob}')
transpose_prob = 0.0
random_transpose = dict(type='RandomTranspose', prob='{transpose_prob}')
test_resize = dict(type='Resize', scale_factor=1.0, keep_ratio=True)
test_pipeline = [
    '{load_image}',
    '{test_resize}',
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

metainfo = dict(classes='{classes}')
labeled_dataset = dict(
    type='CocoInstanceDataset',
    ann_file='{labeled_json}',
    data_prefix=dict(img='{train_images}'),
    metainfo='{metainfo}',
    filter_cfg=dict(filter_empty_gt=True),
    pipeline='{train_pipeline}')
pseudo_dataset = dict(
    type='CocoInstanceDataset',
    ann_file='{pseudo_labels}',
    data_prefix=dict(img='{unlabeled_folder}'),
    metainfo='{metainfo}',
    filter_cfg=dict(filter_empty_gt=True),
    pipeline='{pseudo_pipeline}')
# Set True to allow unlabeled images that are also labeled, as the same files or as copies.
allow_overlap = False
# Before a run, up to 200 unlabeled images are compared with the labeled ones (docs/analysis.md).
check_coverage = True
val_dataset = dict(
    type='CocoInstanceDataset',
    ann_file='{val_json}',
    data_prefix=dict(img='{val_images}'),
    metainfo='{metainfo}',
    test_mode=True,
    pipeline='{test_pipeline}')

# Labeled and pseudo-labeled images are drawn about 2 : 1, independent of the sets' sizes.
batch_size = 6
num_workers = 2
persistent_workers = True
train_dataloader = dict(
    batch_size='{batch_size}',
    num_workers='{num_workers}',
    persistent_workers='{persistent_workers}',
    sampler=dict(
        type='ResumableMultiSourceSampler', batch_size='{batch_size}', source_ratio=[2, 1]),
    dataset=dict(
        type='ConcatDataset', datasets=['{labeled_dataset}', '{pseudo_dataset}']))
val_dataloader = dict(
    batch_size=1,
    num_workers='{num_workers}',
    persistent_workers='{persistent_workers}',
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset='{val_dataset}')
val_evaluator = dict(
    type='InstanceMetric', ann_file='{val_json}', metric=['bbox', 'segm', 'boundary'])
test_dataloader = '{val_dataloader}'
test_evaluator = '{val_evaluator}'

# The teacher and the control arm (the teacher's model, trained as long as teacher and student
# together) have plain heads and losses, only labeled images, and weak augmentation.
train_pipeline = '{strong_pipeline}'
pseudo_pipeline = '{train_pipeline}'
teacher = dict(
    mask_head='{plain_mask_head}',
    mask_loss='{plain_mask_loss}',
    box_loss='{plain_box_loss}',  # used by models with a choice of box losses
    train_pipeline='{weak_pipeline}',
    train_dataloader=dict(
        sampler=dict(_delete_=True, type='InfiniteSampler'),
        dataset=dict(_delete_=True, type='RepeatDataset', times=1, dataset='{labeled_dataset}')))
# The oracle is the student trained with the true labels of the unlabeled images: an upper bound.
oracle = dict(ann_file='{unlabeled_json}')

predict = dict(
    test_dataloader=dict(
        _delete_=True,
        batch_size=1,
        num_workers='{num_workers}',
        drop_last=False,
        dataset=dict(
            type='CocoInstanceDataset',
            ann_file='{unlabeled_json}',
            data_prefix=dict(img='{unlabeled_folder}'),
            metainfo='{metainfo}',
            test_mode=True)),
    test_cfg=dict(_delete_=True, type='PseudoLabelLoop'))
label = dict(labeled_json='{labeled_json}', classes='{classes}')
report = dict(hidden_truth='{unlabeled_json}', image_folder='{unlabeled_folder}')
