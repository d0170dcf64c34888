_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(
    imports=[
        'nbseg.datasets.image_folder',
        'nbseg.datasets.loading',
        'nbseg.datasets.samplers',
        'nbseg.datasets.transforms',
        'nbseg.engine.pseudo_label_loop',
        'nbseg.evaluation.cityscapes_metric',
        'nbseg.evaluation.instance_metric',
        'nbseg.models.boundary_loss',
        'nbseg.models.boundary_mask_head',
        'nbseg.models.boundary_preserving_loss',
        'nbseg.models.distance_to_boundary_loss',
        'nbseg.models.mask_tta',
        'nbseg.models.noise_tolerant_mask_head',
        'nbseg.models.point_rend_roi_head',
        'nbseg.models.refine_mask_head',
        'nbseg.models.refine_mask_roi_head',
        'nbseg.models.rle_mask_head',
        'nbseg.models.softmax_focal_loss',
    ],
    allow_failed_imports=False)

default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
# The labeling step runs on one process while the others wait, longer than NCCL's ten minutes.
env_cfg = dict(dist_cfg=dict(timeout=7200))

seed = 0
randomness = dict(seed='{seed}')
