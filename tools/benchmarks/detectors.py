"""Build Mask R-CNN for training: the student of Noisy Boundaries and MMDetection's plain model."""

from typing import Any

import mmdet.models  # noqa: F401  registers MMDetection's detectors
import numpy as np
import torch
from benchmarks.scenes import boxes_of, outlines, positive_proposals
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData

import nbseg.models.boundary_preserving_loss
import nbseg.models.noise_tolerant_mask_head  # noqa: F401  registers the method's models
from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks

CLASSES, INSTANCES, POSITIVES = 8, 30, 128
PLAIN_HEAD = {"type": "FCNMaskHead", "num_convs": 4}
PLAIN_LOSS = {"type": "CrossEntropyLoss", "use_mask": True}
STUDENT_HEAD = {"type": "NoiseTolerantMaskHead", "num_convs": 3}
STUDENT_LOSS = {"type": "BoundaryPreservingLoss"}


def mask_head_config(head: dict[str, Any], loss: dict[str, Any]) -> dict[str, Any]:
    widths = {"in_channels": 256, "conv_out_channels": 256, "num_classes": CLASSES}
    return {**head, **widths, "loss_mask": loss}


def mask_rcnn_r50(head: dict[str, Any], loss: dict[str, Any]) -> Any:
    """Build MMDetection's Mask R-CNN R50-FPN with random weights and the given mask head."""
    torch.manual_seed(0)
    config = Config.fromstring("_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'", ".py").model
    config.backbone.init_cfg = None
    config.roi_head.bbox_head.num_classes = CLASSES
    config.roi_head.mask_head = mask_head_config(head, loss)
    return MODELS.build(config).train()


def scene(height: int, width: int, cropped: bool) -> tuple[DetDataSample, torch.Tensor]:
    """Return the annotations of an image and 128 positive proposals, shape (128, 4).

    If MMDetection samples 512 RoIs in an image, at most 128 of them are positive.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        cropped: whether each mask is cropped to its object, as in nbseg. If False, the masks are
            MMDetection's ``BitmapMasks``.
    """
    rng = np.random.default_rng(0)
    polygons = outlines(rng, INSTANCES, height, width)
    boxes = boxes_of(polygons)
    masks = CroppedBitmapMasks.from_segmentations(polygons, height, width)
    sample = DetDataSample(
        gt_instances=InstanceData(
            bboxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(rng.integers(CLASSES, size=INSTANCES)),
            masks=masks if cropped else BitmapMasks(masks.to_bitmaps(), height, width),
        ),
        metainfo={
            "img_shape": (height, width),
            "pad_shape": (height, width),
            "batch_input_shape": (height, width),
        },
    )
    proposals, _ = positive_proposals(rng, boxes, POSITIVES, height, width)
    return sample, proposals
