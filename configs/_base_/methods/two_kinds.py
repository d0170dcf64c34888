# Batches of labeled and pseudo-labeled images, for methods that treat the two kinds differently.
#   student = dict(method=dict(type='PseudoLabelStudent'), train_pipeline='{labeled_branch}',
#                  pseudo_pipeline='{pseudo_branch}')
labeled_branch = [
    dict(type='Compose', transforms='{weak_pipeline}'),
    dict(type='MultiBranch', branch_field=['sup', 'pseudo'], sup=[]),
]
pseudo_branch = [
    dict(type='Compose', transforms='{strong_pipeline}'),
    dict(type='MultiBranch', branch_field=['sup', 'pseudo'], pseudo=[]),
]
# STAC changes the geometry of pseudo-labeled images, too.
geometry = dict(
    type='RandomChoice',
    transforms=[
        [dict(type='Rotate', prob=1.0, max_mag=30.0)],
        [dict(type='ShearX', prob=1.0, max_mag=30.0)],
        [dict(type='ShearY', prob=1.0, max_mag=30.0)],
        # Shift the image by up to a tenth of its size. MMDetection's TranslateX rounds to whole
        # tenths.
        [
            dict(
                type='Expand',
                mean=(128, 128, 128),
                to_rgb=False,
                ratio_range=(1.1, 1.1),
                prob=1.0),
            dict(
                type='RandomCrop',
                crop_size=(1 / 1.1, 1 / 1.1),
                crop_type='relative',
                allow_negative_crop=True),
        ],
    ])
pseudo_geometry_branch = [
    dict(type='Compose', transforms='{labeled_steps}'),
    '{geometry}',
    # After a rotation or shear, a box encloses the moved corners of the old box and is too large.
    # This crop keeps the whole image, but computes the boxes from the masks again.
    dict(
        type='RandomCrop',
        crop_size=(1.0, 1.0),
        crop_type='relative',
        allow_negative_crop=True,
        recompute_bbox=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(2, 2), by_mask=True, keep_empty=False),
    dict(
        type='MultiBranch', branch_field=['sup', 'pseudo'], pseudo=[dict(type='PackDetInputs')]),
]
