# Table 2 of the Noisy Boundaries paper (configs/README.md): all fine labels of Cityscapes, and the
# coarsely labeled images as unlabeled images.
#   tools/train.py CONFIG --cfg-options data_root=DIR
_base_ = ['../_base_/models/mask-rcnn_r50_fpn.py', '../_base_/cityscapes.py']

split = None
coarse_json = '{data_root}/annotations/instancesonly_filtered_gtCoarse_train_extra.json'
coarse_images = '{data_root}/leftImg8bit/train_extra/'
labeled_json = '{train_json}'
unlabeled_json = '{coarse_json}'
unlabeled_folder = '{coarse_images}'
labeled_images = 2975
unlabeled_images = 19998
# Coarse polygons omit large parts of an object, so the quality of pseudo-labels cannot be measured
# with them.
report = dict(hidden_truth=None)

# An epoch has about eight times as many images as an epoch of the config for 20% of the fine
# labels. Therefore the number of epochs is a third of the number in that config.
epochs = 8

# As in the released code, teacher and student have the smooth L1 loss for boxes.
box_regression_loss = dict(type='SmoothL1Loss', beta=1.0)
