# The Noisy Boundaries paper's schedule: SGD, a warm-up of 500 iterations, and a tenth of the
# learning rate after each milestone. A derived config sets `iterations`, `total_batch_size` (of all
# GPUs together), the learning rate for this batch size and, in the section `teacher`, the teacher's
# iterations.
_base_ = './iterations.py'

warmup_iterations = 500
milestones = ['{round(7 / 8 * iterations)}']
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end='{warmup_iterations}'),
    dict(type='MultiStepLR', by_epoch=False, milestones='{milestones}', gamma=0.1),
]
optim_wrapper = dict(clip_grad=None)
auto_scale_lr = dict(base_batch_size='{total_batch_size}')
