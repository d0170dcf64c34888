# The student learns from a teacher that labels each batch while both train. The stages predict and
# label do not run (docs/online.md). As in offline training, a batch has labeled and unlabeled
# images.
#
# A derived config needs a second base file, which defines data and stages. The second base file or
# the derived config also sets these lists:
#   labeled_steps    transforms of a labeled image, from loading to the strong augmentation
#   shared_steps     transforms of an unlabeled image that both of its views share, such as the crop
#   strong_steps     transforms of the student's view alone

online_branches = ['sup', 'unsup_teacher', 'unsup_student']
pack_view = dict(
    type='PackDetInputs',
    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'homography_matrix'))
online_labeled_pipeline = [
    dict(type='Compose', transforms='{labeled_steps}'),
    dict(type='MultiBranch', branch_field='{online_branches}', sup=dict(type='PackDetInputs')),
]
online_unlabeled_pipeline = [
    # If an image cannot be read, the data set loads another image instead.
    dict(type='LoadImage', options='{image_options}', ignore_empty=True),
    dict(type='Compose', transforms='{shared_steps}'),
    dict(
        type='MultiBranch',
        branch_field='{online_branches}',
        unsup_teacher=['{pack_view}'],
        unsup_student=[
            '{bridge_kinds}',
            dict(type='Compose', transforms='{strong_steps}'),
            '{pack_view}',
        ]),
]
unlabeled_dataset = dict(
    type='CocoInstanceDataset',
    ann_file='{unlabeled_json}',
    data_prefix=dict(img='{unlabeled_folder}'),
    metainfo='{metainfo}',
    pipeline='{online_unlabeled_pipeline}')

online = dict(
    method=dict(type='OnlineTeacher', ignore_score=0.1),
    hook=dict(type='OnlineTeacherHook', momentum=0.01),
    model=dict(
        train_cfg=dict(
            rpn=dict(assigner=dict(type='IgnoringMaxIoUAssigner', ignore_iof_thr=0.5)),
            rcnn=dict(assigner=dict(type='IgnoringMaxIoUAssigner', ignore_iof_thr=0.5)))),
    # The teacher already averages the student's weights.
    averaged_weights=[],
    # Student and online teacher start from the weights of the offline teacher.
    load_from='{teacher_checkpoint}',
    train_pipeline='{online_labeled_pipeline}',
    train_dataloader=dict(
        dataset=dict(datasets=['{labeled_dataset}', '{unlabeled_dataset}'])))
