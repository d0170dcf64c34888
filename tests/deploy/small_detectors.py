"""Make small detectors with a test pipeline, export them, and predict with MMDetection."""

from types import SimpleNamespace

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from nbseg.deploy.export import export_checkpoint

CLASSES = ("disc", "square", "star")
GRAY = np.full((120, 150, 3), 128, np.uint8)

# The first stages of a ResNet-18, an eighth as wide. On small images there are fewer anchors than
# nms_pre asks for. No data set is ever opened.
CONFIG = """
_base_ = ['mmdet::_base_/models/{base}.py', 'mmdet::_base_/default_runtime.py']
custom_imports = dict(imports=['nbseg.models.noise_tolerant_mask_head'])
extractor = dict(out_channels=16, featmap_strides=[4, 8], finest_scale=28)
model = dict(
    backbone=dict(
        depth=18, num_stages=2, out_indices=(0, 1), strides=(1, 2), dilations=(1, 1),
        base_channels=8, stem_channels=8, frozen_stages=-1, norm_eval=False,
        init_cfg=None),
    neck=dict(in_channels=[8, 16], out_channels=16, num_outs=2),
    rpn_head=dict(
        in_channels=16, feat_channels=16,
        anchor_generator=dict(scales=[4], strides=[4, 8])),
    roi_head=dict(bbox_roi_extractor=extractor, mask_roi_extractor=extractor),
    test_cfg=dict(
        rpn=dict(nms_pre=150, max_per_img=60),
        rcnn=dict(score_thr=0.3, max_per_img=12, mask_format='rle')))
test_dataloader = dict(dataset=dict(
    type='CocoDataset',
    metainfo=dict(classes={classes}),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(160, 112), keep_ratio=True),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='PackDetInputs',
             meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]))
"""


def small_config(base: str, mask_head: dict, **test_cfg) -> Config:
    """Return a plain config on MMDetection's base config of this name, with this mask head."""
    text = CONFIG.replace("{base}", base).replace("{classes}", str(CLASSES))
    config = Config.fromstring(text, ".py")
    import_modules_from_strings(**config.custom_imports)
    init_default_scope("mmdet")
    roi_head = config.model.roi_head
    box_heads = roi_head.bbox_head
    for box_head in box_heads if isinstance(box_heads, list) else [box_heads]:
        box_head.update(in_channels=16, fc_out_channels=32, num_classes=len(CLASSES))
    roi_head.mask_head = {
        "in_channels": 16,
        "conv_out_channels": 8,
        "num_convs": 1,
        "num_classes": len(CLASSES),
        "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True},
        **mask_head,
    }
    config.model.test_cfg.rcnn.update(test_cfg)
    return config


def decided_detector(config: Config, images: list[np.ndarray] | None = None):
    """Return a detector with random weights whose scores are well separated, as if trained."""
    torch.manual_seed(1)
    detector = MODELS.build(config.model).eval()
    roi_head = detector.roi_head
    cascade = isinstance(roi_head.bbox_head, torch.nn.ModuleList)
    box_heads = roi_head.bbox_head if cascade else [roi_head.bbox_head]
    mask_heads = roi_head.mask_head if cascade else [roi_head.mask_head]
    for layer in (detector.rpn_head.rpn_conv, detector.rpn_head.rpn_cls):
        torch.nn.init.normal_(layer.weight, std=0.1)
    for head in box_heads:
        torch.nn.init.normal_(head.fc_cls.weight, std=3.0)
        torch.nn.init.normal_(head.fc_reg.weight, std=0.3)
        head.fc_cls.register_forward_pre_hook(_center)
    for head in mask_heads:
        torch.nn.init.normal_(head.conv_logits.weight, std=1.0)
    predict(detector, config, images or pictures((112, 160)))
    for head in box_heads:
        head.fc_cls._forward_pre_hooks.clear()
    return detector


def silence(detector, config: Config, image: np.ndarray) -> None:
    """Raise the background's logit until the detector finds nothing in the image."""
    while len(predict(detector, config, [image])[0].scores):
        detector.roi_head.bbox_head.fc_cls.bias.data[-1] += 0.5


def _center(classifier: torch.nn.Linear, inputs: tuple[torch.Tensor]) -> None:
    """Shift the logits so that every class has the mean 0 for these inputs."""
    classifier.bias.data = -classifier.weight.data @ inputs[0].mean(0)


def predict(detector, config: Config, images: list[np.ndarray]) -> list:
    """Return MMDetection's predictions, image by image, at the original sizes."""
    pipeline = [
        {"type": "LoadImageFromNDArray"} if t["type"] == "LoadImageFromFile" else t
        for t in config.test_dataloader.dataset.pipeline
        if t["type"] != "LoadAnnotations"
    ]
    pipeline[-1] = {**pipeline[-1], "meta_keys": ("ori_shape", "img_shape", "scale_factor")}
    prepare = Compose(pipeline)
    with torch.no_grad():
        return [
            detector.test_step(pseudo_collate([prepare({"img": image})]))[0].pred_instances
            for image in images
        ]


def pictures(*sizes: tuple[int, int], channels: int = 3) -> list[np.ndarray]:
    """Draw images (H, W, C) of these sizes: rectangles, and noise that prevents ties."""
    rng = np.random.default_rng(3)
    images = []
    for height, width in sizes:
        image = np.empty((height, width, channels), np.uint8)
        image[:] = rng.integers(0, 256, channels)
        for _ in range(12):
            y, x = rng.integers(0, height), rng.integers(0, width)
            size = rng.integers(4, max(height, width) // 2, 2)
            image[y : y + size[0], x : x + size[1]] = rng.integers(0, 256, channels)
        images.append(image // 2 + rng.integers(0, 64, image.shape, np.uint8))
    return images


def export(folder, detector, config: Config, **options) -> SimpleNamespace:
    """Save the detector's checkpoint and export it; return all of them."""
    checkpoint, onnx = folder / "model.pth", folder / "model.onnx"
    torch.save({"state_dict": detector.state_dict(), "meta": {}}, checkpoint)
    info = export_checkpoint(config, checkpoint, onnx, **options)
    return SimpleNamespace(
        detector=detector, config=config, checkpoint=checkpoint, onnx=onnx, info=info
    )
