_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['nbseg.register'], allow_failed_imports=False)

# Which channels and planes of an image file are read, and which values become black and white
# (docs/your_data.md), for example image_options.value_range=0,4095 for values of 12 bits.
image_options = dict(value_range=None)
load_image = dict(type='LoadImage', options='{image_options}')

default_hooks = dict(
    logger=dict(interval=20),
    # Keep two checkpoints, so that a killed training can resume even if the last one is damaged.
    checkpoint=dict(
        by_epoch=False,
        interval=100,
        max_keep_ckpts=2,
        backend_args=dict(backend='AtomicBackend')),
    # Random draws depend on the seed and the iteration, so that resuming does not change them.
    sampler_seed=dict(type='ExactResumeHook'),
    resumed_validation=dict(type='ResumedValidationHook'))
log_processor = dict(by_epoch=False)
# The label stage runs in one process. The other processes may wait for it longer than NCCL's
# default of ten minutes.
env_cfg = dict(dist_cfg=dict(timeout=7200))

# custom_hooks='{averaged_weights}' trains a model whose weights are averages (docs/checkpoints.md).
ema_momentum = 0.01  # weight of the latest weights
ema_hook = dict(
    type='EMAHook',
    ema_type='ExponentialMovingAverage',
    momentum='{ema_momentum}',
    update_buffers=True)
averaged_weights = ['{ema_hook}']

seed = 0
randomness = dict(seed='{seed}')
