_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['nbseg.register'], allow_failed_imports=False)

default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
# The label stage runs in one process; the others wait for longer than NCCL's default ten minutes.
env_cfg = dict(dist_cfg=dict(timeout=7200))

seed = 0
randomness = dict(seed='{seed}')
