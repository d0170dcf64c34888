# Views for the prediction of pseudo-labels on COCO, as in the Noisy Boundaries paper's released
# code: nine scales, each also flipped.
_base_ = './tta.py'

tta_scales = [
    dict(type='Resize', scale=(round(5 / 3 * side), side), keep_ratio=True)
    for side in range(400, 1201, 100)
]
