# Views for the prediction of pseudo-labels and for tools/test.py --tta: every scale in every flip.
tta_model = dict(
    type='MaskTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img='{max_per_img}'))
tta_meta_keys = (
    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
tta_scales = [dict(type='Resize', scale_factor=1.0, keep_ratio=True)]
tta_flips = [
    dict(type='RandomFlip', prob=0.0),
    dict(type='RandomFlip', prob=1.0, direction='horizontal'),
]
tta_pipeline = [
    '{load_image}',
    dict(
        type='TestTimeAug',
        transforms=[
            '{tta_scales}',
            '{tta_flips}',
            [dict(type='PackDetInputs', meta_keys='{tta_meta_keys}')],
        ]),
]
