# Each batch has labeled images, and unlabeled images without pseudo-labels. All images get weak
# augmentation. The student starts from the teacher's weights.
consistency_branches = ['sup', 'unsup']
consistency_labeled_pipeline = [
    dict(type='Compose', transforms='{weak_pipeline}'),
    dict(type='MultiBranch', branch_field='{consistency_branches}', sup=[]),
]
consistency_unlabeled_pipeline = [
    # If an image cannot be read, the data set loads another image instead.
    dict(type='LoadImage', options='{image_options}', ignore_empty=True),
    dict(type='Compose', transforms='{shared_steps}'),
    '{bridge_kinds}',
    dict(
        type='MultiBranch',
        branch_field='{consistency_branches}',
        unsup=[
            dict(
                type='PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape'))
        ]),
]
unlabeled_dataset = dict(
    type='CocoInstanceDataset',
    ann_file='{unlabeled_json}',
    data_prefix=dict(img='{unlabeled_folder}'),
    metainfo='{metainfo}',
    pipeline='{consistency_unlabeled_pipeline}')
online = dict(
    mask_head='{plain_mask_head}',
    mask_loss='{plain_mask_loss}',
    load_from='{teacher_checkpoint}',
    train_pipeline='{consistency_labeled_pipeline}',
    train_dataloader=dict(dataset=dict(datasets=['{labeled_dataset}', '{unlabeled_dataset}'])))
