# The pseudo-label views of the released code for Cityscapes: nine scales, each also flipped.
_base_ = './tta.py'

tta_scales = [
    dict(type='Resize', scale=(1248 + 200 * step, 624 + 100 * step), keep_ratio=True)
    for step in range(9)
]
