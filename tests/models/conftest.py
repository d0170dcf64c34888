"""Small detectors and batches."""

import copy
import functools
from types import SimpleNamespace

import mmdet.models  # noqa: F401  registers MMDetection's detectors
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData
from scipy import ndimage

import nbseg.models.boundary_preserving_loss
import nbseg.models.mask_tta
import nbseg.models.noise_tolerant_mask_head  # noqa: F401  registers our own

SIDE = 64
NUM_CLASSES = 3

# The parts of a ResNet-18, an eighth as wide, and the heads that fit it.
TINY = """
_base_ = 'mmdet::_base_/models/{base}.py'
extractor = dict(out_channels=16, featmap_strides=[4, 8, 16, 32])
model = dict(
    backbone=dict(
        depth=18, base_channels=8, stem_channels=8, frozen_stages=-1, norm_eval=False,
        init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16, num_outs=4),
    rpn_head=dict(
        in_channels=16, feat_channels=16,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32])),
    roi_head=dict(bbox_roi_extractor=extractor, mask_roi_extractor=extractor),
    test_cfg=dict(rpn=dict(max_per_img=40), rcnn=dict(max_per_img=15)))
"""


@functools.cache
def _tiny_config(base: str):
    return Config.fromstring(TINY.replace("{base}", base), ".py").model


def _build(base: str, mask_head: dict, **parts: dict):
    torch.manual_seed(0)
    config = copy.deepcopy(_tiny_config(base))
    roi_head = config.roi_head
    box_heads = roi_head.bbox_head
    for box_head in box_heads if isinstance(box_heads, list) else [box_heads]:
        box_head.update(in_channels=16, fc_out_channels=32, num_classes=NUM_CLASSES)
    roi_head.mask_head = {
        "in_channels": 16,
        "conv_out_channels": 16,
        "num_classes": NUM_CLASSES,
        "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True},
        **mask_head,
    }
    config = Config({"model": config})
    config.merge_from_dict({"model": parts})
    detector = MODELS.build(config.model)
    detector.init_weights()
    return detector


# By the arguments of _build: its result, and the state of PyTorch's random numbers after it.
_built: dict = {}


def _detector(base: str, mask_head: dict, **parts: dict):
    arguments = str((base, mask_head, parts))
    if arguments not in _built:
        _built[arguments] = _build(base, mask_head, **parts), torch.get_rng_state()
    detector, state = _built[arguments]
    torch.set_rng_state(state)
    return copy.deepcopy(detector)


@pytest.fixture
def make_detector():
    """Build a detector on MMDetection's base config with the given mask head and other parts."""
    return _detector


def _rectangles(count: int, rng: np.random.Generator) -> InstanceData:
    corner = rng.integers(0, SIDE // 2, (count, 2))
    size = rng.integers(12, SIDE // 2, (count, 2))
    boxes = np.concatenate([corner, corner + size], 1)
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = np.tri(y1 - y0, x1 - x0, (x1 - x0) // 2)
    return InstanceData(
        bboxes=torch.from_numpy(boxes).float(),
        labels=torch.from_numpy(rng.integers(0, NUM_CLASSES, count)),
        masks=BitmapMasks(masks, SIDE, SIDE),
    )


@pytest.fixture
def batch():
    """Two images, of three and of two instances, as a data loader gives them."""
    rng = np.random.default_rng(0)
    samples = []
    for index, count in enumerate((3, 2)):
        sample = DetDataSample(
            metainfo={
                "img_id": index,
                "ori_shape": (SIDE, SIDE),
                "img_shape": (SIDE, SIDE),
                "scale_factor": (1.0, 1.0),
                "flip": False,
                "flip_direction": None,
            }
        )
        sample.gt_instances = _rectangles(count, rng)
        samples.append(sample)
    pixels = rng.integers(0, 256, (2, 3, SIDE, SIDE), dtype=np.uint8)
    return {"inputs": [torch.from_numpy(image) for image in pixels], "data_samples": samples}


@pytest.fixture
def sampled_truth():
    """Three positive proposals of an image with a rectangle and a ragged mask, and its truth."""
    rng = np.random.default_rng(0)
    bitmaps = np.zeros((2, 50, 60), np.uint8)
    bitmaps[0, 10:30, 10:35] = 1
    bitmaps[1, ndimage.gaussian_filter(rng.standard_normal((50, 60)), 5) > 0] = 1
    sampling = SimpleNamespace(
        pos_priors=torch.tensor([[8.0, 9, 40, 33], [5.0, 5, 45, 45], [10.0, 0, 50, 41]]),
        pos_assigned_gt_inds=torch.tensor([0, 1, 1]),
        pos_gt_labels=torch.tensor([2, 1, 1]),
    )
    return sampling, InstanceData(masks=BitmapMasks(bitmaps, 50, 60))
