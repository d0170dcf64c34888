# Views for the prediction of pseudo-labels on BDD100K: nine scales, each also flipped. Relative to
# the image size of 1280 x 720 pixels, the scales are about those of the paper's released code for
# Cityscapes.
_base_ = './tta.py'

tta_scales = [
    dict(type='Resize', scale=(round(16 / 9 * side), side), keep_ratio=True)
    for side in range(440, 1001, 70)
]
