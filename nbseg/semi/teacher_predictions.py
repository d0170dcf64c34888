"""Predict boxes and masks with the teacher of an online training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor

from nbseg.models.soft_masks import predict_soft_masks
from nbseg.pseudo.mask_nms import mask_nms
from nbseg.pseudo.predictions import ImagePredictions


@torch.no_grad()
def predict_boxes(
    teacher: Any, inputs: Tensor, samples: SampleList, lowest_score: float
) -> tuple[tuple[Tensor, ...], list[InstanceData]]:
    """Predict the boxes in a batch of images, from as many proposals as in training.

    Args:
        teacher: two-stage detector, in evaluation mode.
        inputs: images, (N, 3, H, W).
        samples: the sample of each image.
        lowest_score: lowest score of a prediction.

    Returns:
        The feature maps of the batch, and a list with the predictions on each image. Predictions
        have ``bboxes``, (M, 4) xyxy in pixels of ``inputs``, ``scores`` and ``labels``.
    """
    features = teacher.extract_feat(inputs)
    metas = [sample.metainfo for sample in samples]
    rpn_head, roi_head = teacher.rpn_head, teacher.roi_head
    proposals = rpn_head.predict_by_feat(
        *rpn_head(features),
        batch_img_metas=metas,
        cfg=teacher.train_cfg.get("rpn_proposal", teacher.test_cfg.rpn),
    )
    predicted = roi_head.predict_bbox(features, metas, proposals, roi_head.test_cfg)
    return features, [found[found.scores >= lowest_score] for found in predicted]


@torch.no_grad()
def add_soft_masks(
    teacher: Any,
    features: tuple[Tensor, ...],
    batch: Sequence[InstanceData],
    samples: SampleList,
    mask_nms_iou: float | None,
) -> list[InstanceData]:
    """Predict a mask for each box, and leave out instances whose masks overlap too much.

    Args:
        teacher: the detector.
        features: the feature maps that ``predict_boxes`` returns.
        batch: the predictions on each image, as ``predict_boxes`` returns them.
        samples: the sample of each image.
        mask_nms_iou: of two masks whose IoU is this number or higher, only the instance with the
            higher score is kept (``nbseg.pseudo.mask_nms``). None keeps all instances.

    Returns:
        The kept instances of each image, with the new field ``soft_masks``, (M, S, S) uint8;
        value / 255 is the probability.
    """
    rois = bbox2roi([found.bboxes for found in batch])
    labels = torch.cat([found.labels for found in batch])
    soft_masks = predict_soft_masks(teacher.roi_head, features, rois, labels)
    values = (soft_masks.float() * 255).round().to(torch.uint8)
    parts = torch.split(values, [len(found) for found in batch])
    for found, part in zip(batch, parts, strict=True):
        found.soft_masks = part
    if mask_nms_iou is None:
        return list(batch)
    kept = [
        mask_nms(_as_stored(found, sample.metainfo), mask_nms_iou)
        for found, sample in zip(batch, samples, strict=True)
    ]
    return [
        found[torch.from_numpy(keep).to(values.device)]
        for found, keep in zip(batch, kept, strict=True)
    ]


def soft_masks_and_boxes(
    instances: InstanceData,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return ``soft_masks``, (N, S, S) uint8, and ``bboxes``, (N, 4) float32, as NumPy arrays."""
    return instances.soft_masks.cpu().numpy(), instances.bboxes.float().cpu().numpy()


def _as_stored(instances: InstanceData, meta: dict[str, Any]) -> ImagePredictions:
    height, width = meta["img_shape"][:2]
    soft_masks, boxes = soft_masks_and_boxes(instances)
    scores, labels = instances.scores.cpu().numpy(), instances.labels.cpu().numpy()
    return ImagePredictions(0, "", height, width, boxes, scores, labels, soft_masks)


def class_count(detector: Any) -> int:
    """Return the number of classes of a two-stage detector."""
    heads: Any = detector.roi_head.bbox_head
    last: Any = heads[-1] if isinstance(heads, torch.nn.ModuleList) else heads
    return int(last.num_classes)


def require_ignoring(detector: Any) -> None:
    """Refuse a detector whose assigners would take ignored boxes for background.

    Args:
        detector: two-stage detector, which has assigners in its RPN and in its RoI head.

    Raises:
        ValueError: an assigner's ``ignore_iof_thr`` is 0 or negative.
    """
    in_roi_head = detector.roi_head.bbox_assigner
    assigners: dict[str, Sequence[Any]] = {
        "rpn": [detector.rpn_head.assigner],
        "rcnn": in_roi_head if isinstance(in_roi_head, list) else [in_roi_head],
    }
    for name, group in assigners.items():
        if any(getattr(assigner, "ignore_iof_thr", 1) <= 0 for assigner in group):
            raise ValueError(
                "ignore_score needs assigners that can ignore boxes, but the ignore_iof_thr of "
                f"train_cfg.{name}.assigner is 0 or negative. Set ignore_iof_thr to 0.5 and the "
                "type of the assigner to IgnoringMaxIoUAssigner, or set ignore_score=None"
            )
