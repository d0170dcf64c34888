# The pseudo-label views of the released code for COCO: nine scales, each also flipped.
_base_ = './tta.py'

tta_scales = [
    dict(type='Resize', scale=(round(5 / 3 * side), side), keep_ratio=True)
    for side in range(400, 1201, 100)
]
