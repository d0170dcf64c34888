# Nuclei, with a teacher that labels each batch while the student trains.
_base_ = ['./noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py', '../_base_/online.py']

# As in offline training, matched thresholds fail with few labeled images, so use a fixed threshold.
online = dict(method=dict(box_threshold=0.5))
