# Views for the prediction of pseudo-labels on Cityscapes, as in the Noisy Boundaries paper's
# released code: nine scales, each also flipped.
_base_ = './tta.py'

tta_scales = [
    dict(type='Resize', scale=(1248 + 200 * step, 624 + 100 * step), keep_ratio=True)
    for step in range(9)
]
