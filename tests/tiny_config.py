"""Write the config of a run whose stages take seconds."""

# A detector with few channels and few proposals, and with the first two stages of its backbone: the
# other levels of its pyramid are subsampled.
NETWORK = """
extractor = dict(out_channels=16)
mask_head = dict(in_channels=16, conv_out_channels=8, num_convs=1)
plain_mask_head = dict(in_channels=16, conv_out_channels=8, num_convs=1)
model = dict(
    backbone=dict(
        base_channels=8, stem_channels=8, num_stages=2, out_indices=(0, 1), strides=(1, 2),
        dilations=(1, 1)),
    neck=dict(in_channels=[8, 16], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=extractor,
        bbox_head=dict(in_channels=16, conv_out_channels=16, fc_out_channels=32),
        mask_roi_extractor=extractor),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=50, max_per_img=30), rcnn=dict(sampler=dict(num=16))),
    test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=30), rcnn=dict(max_per_img=10)))
"""
# The config of the generated set with everything that takes time made small. What a network says
# after three steps hardly differs from chance, so boxes of low scores become pseudo-labels.
CONFIG = """
_base_ = '{repository}/configs/shapes/demo.py'
data_root = '{data}'
percent = 50
batch_size = 2
train_dataloader = dict(sampler=dict(source_ratio=[1, 1]))
train_pipeline = '{strong_pipeline}'
custom_hooks = []
num_workers = 0
persistent_workers = False
iterations = 3
warmup_iterations = 1
teacher = dict(iterations=2)
label = dict(floor=0.05)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1), logger=dict(interval=1))
vis_backends = [dict(type='LocalVisBackend')]
"""


def write_tiny_config(path, repository, data):
    """Write the config for the generated set in the folder ``data``."""
    text = CONFIG.replace("{repository}", str(repository)).replace("{data}", str(data))
    path.write_text(text + NETWORK)
