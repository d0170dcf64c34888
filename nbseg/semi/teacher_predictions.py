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
    """Predict a batch of views, with as many proposals as in a training iteration.

    Args:
        teacher: two-stage detector, in evaluation mode.
        inputs: images, (N, 3, H, W).
        samples: one per image.
        lowest_score: lowest score of a prediction.

    Returns:
        The feature maps; and one prediction per image, with ``bboxes`` xyxy in pixels of the view,
        ``scores`` and ``labels``.
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
    """Predict the masks of boxes, and return those instances that no better mask overlaps.

    Args:
        teacher: the detector.
        features: the first result of ``predict_boxes``.
        batch: one per image, with the fields of ``predict_boxes``.
        samples: one per image.
        mask_nms_iou: if masks overlap by at least this IoU, only the instance with the highest
            score stays (``nbseg.pseudo.mask_nms``); None keeps all.

    Returns:
        One per image, also with ``soft_masks``, (N, S, S) uint8; value / 255 is the probability.
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
    """Return ``soft_masks`` (N, S, S) and ``bboxes`` (N, 4) as arrays."""
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

    Raises:
        ValueError: ``ignore_iof_thr`` of an assigner is not above 0.
    """
    in_roi_head = detector.roi_head.bbox_assigner
    assigners: dict[str, Sequence[Any]] = {
        "rpn": [detector.rpn_head.assigner],
        "rcnn": in_roi_head if isinstance(in_roi_head, list) else [in_roi_head],
    }
    for name, group in assigners.items():
        if any(getattr(assigner, "ignore_iof_thr", 1) <= 0 for assigner in group):
            raise ValueError(
                "ignore_score needs assigners that ignore, but ignore_iof_thr of train_cfg."
                f"{name}.assigner is not above 0; set it to 0.5 and the assigner's type to "
                "IgnoringMaxIoUAssigner, or set ignore_score=None"
            )
