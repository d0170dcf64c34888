# Shapes, with a teacher that labels each batch while the student trains.
_base_ = ['./noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py', '../_base_/online.py']
