"""Choose RoIs for methods that compare predictions; check that a detector has suitable heads."""

from typing import Any

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures.bbox import bbox2roi
from torch import Tensor

from nbseg.models.multi_mask_head import MultiMaskHead
from nbseg.semi.joint_student import Branch


def require_standard_roi_head(detector: Any, user: str) -> None:
    """Check that a detector has a ``StandardRoIHead``.

    Args:
        detector: the detector.
        user: name of the class that needs a ``StandardRoIHead``; it appears in the error message.

    Raises:
        TypeError: the detector has no RoI head, or its RoI head has another type.
    """
    roi_head = getattr(detector, "roi_head", None)
    if not isinstance(roi_head, StandardRoIHead):
        raise TypeError(
            f"{user} needs a detector with a StandardRoIHead, found {type(roi_head).__name__} in "
            f"{type(detector).__name__}; use a model with this head, such as Mask R-CNN"
        )


def require_one_mask_size(detector: Any, user: str) -> None:
    """Check that a detector has a ``StandardRoIHead`` whose mask head returns one tensor of logits.

    Args:
        detector: the detector.
        user: name of the class that needs this check; it appears in the error message.

    Raises:
        TypeError: the detector has another RoI head, or a mask head that returns several tensors,
            such as ``NoiseTolerantMaskHead``.
    """
    require_standard_roi_head(detector, user)
    head = detector.roi_head.mask_head
    if isinstance(head, MultiMaskHead):
        raise TypeError(
            f"{user} needs a mask head that returns logits of one size, found "
            f"{type(head).__name__}; set mask_head='{{plain_mask_head}}' and "
            "mask_loss='{plain_mask_loss}' in the config, or use another head of one size"
        )


def likeliest_objects(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return each RoI's likeliest object class, and whether this class is likelier than background.

    Args:
        scores: logits or logarithms of probabilities, (N, C + 1); the last column is background.

    Returns:
        Two tensors of shape (N,): the classes, int64, and whether they are likelier than
        background, bool.
    """
    best, classes = scores[:, :-1].max(dim=1)
    return classes, best > scores[:, -1]


@torch.no_grad()
def propose(detector: Any, branch: Branch, count: int) -> Tensor:
    """Return the proposals with the highest objectness as RoIs.

    Args:
        detector: two-stage detector.
        branch: images and their samples, with this detector's feature maps.
        count: largest number of proposals per image.

    Returns:
        RoIs of shape (N, 5), sorted by image: the image's index in the batch, then the box
        (x0, y0, x1, y1) in pixels of the network's input.
    """
    found = detector.rpn_head.predict_by_feat(
        *detector.rpn_head(branch.features),
        batch_img_metas=[sample.metainfo for sample in branch.samples],
        cfg=detector.train_cfg.get("rpn_proposal", detector.test_cfg.rpn),
    )
    rois: Tensor = bbox2roi([proposals.bboxes[:count] for proposals in found])
    return rois
