# Training by iterations: a linear warm-up of the learning rate, then a cosine decay to 2% of it. A
# derived config sets `iterations` for the student and, in the section `teacher`, for the teacher.
# The control arm (the teacher's model on labeled images alone) trains for the sum of both.
iterations = 1000
warmup_iterations = 50
val_interval = 1_000_000_000  # no validation: the test after training evaluates the model

train_cfg = dict(
    type='IterBasedTrainLoop', max_iters='{iterations}', val_interval='{val_interval}')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end='{warmup_iterations}'),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=0,
        end='{iterations}',
        T_max='{iterations}',
        eta_min_ratio=0.02),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=10.0))
