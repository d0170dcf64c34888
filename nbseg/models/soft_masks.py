"""Predict one soft mask (a grid of probabilities) per given box with a two-stage detector."""

from typing import Any

import torch
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from torch import Tensor, nn

from nbseg.models.logits import select_masks
from nbseg.models.soft_mask_roi_head import SoftMaskRoIHead


def require_soft_masks(detector: nn.Module, user: str) -> None:
    """Check that ``predict_soft_masks`` supports the RoI head of a detector.

    Args:
        detector: the detector.
        user: name of the class that needs soft masks, for the error message.

    Raises:
        TypeError: ``detector`` is not a two-stage detector, or its RoI head is of an unsupported
            type or has no mask head.
    """
    roi_head: Any = getattr(detector, "roi_head", None)
    supported = isinstance(roi_head, SoftMaskRoIHead) or any(
        getattr(type(roi_head), "_mask_forward", None) is base._mask_forward
        and type(roi_head).predict_mask is base.predict_mask
        for base in (StandardRoIHead, CascadeRoIHead)
    )
    if not supported or not roi_head.with_mask:
        found = "no roi_head" if roi_head is None else type(roi_head).__name__
        found += " without a mask head" if supported else ""
        raise TypeError(
            f"{user} needs a two-stage detector whose RoI head has a mask head and predicts masks "
            "as StandardRoIHead, CascadeRoIHead or nbseg's SoftMaskRoIHead does, found "
            f"{found} in {type(detector).__name__}; use another model, such as Mask R-CNN"
        )


def predict_soft_masks(
    roi_head: StandardRoIHead | CascadeRoIHead,
    features: tuple[Tensor, ...],
    rois: Tensor,
    labels: Tensor,
) -> Tensor:
    """Return the soft mask of each box's class: shape (N, S, S), floating-point, in [0, 1].

    Args:
        roi_head: RoI head that ``require_soft_masks`` accepts.
        features: feature maps of the batch.
        rois: the image's index in the batch and the box, (i, x0, y0, x1, y1), shape (N, 5), sorted
            by image. Boxes are in pixels of the network's input.
        labels: class of each box, shape (N,), int64.
    """
    if isinstance(roi_head, SoftMaskRoIHead):
        return roi_head.predict_soft_masks(features, rois, labels)
    if isinstance(roi_head, CascadeRoIHead):
        logits = [
            roi_head._mask_forward(stage, features, rois)["mask_preds"]
            for stage in range(roi_head.num_stages)
        ]
        probabilities = torch.stack([level.sigmoid() for level in logits]).mean(0)
    else:
        probabilities = roi_head._mask_forward(features, rois)["mask_preds"].sigmoid()
    return select_masks(probabilities, labels)
