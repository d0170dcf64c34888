# The pseudo-label views for BDD100K: nine scales, each also flipped. Relative to the images' 1280 x
# 720, the scales are about those of the released code for Cityscapes.
_base_ = './tta.py'

tta_scales = [
    dict(type='Resize', scale=(round(16 / 9 * side), side), keep_ratio=True)
    for side in range(440, 1001, 70)
]
