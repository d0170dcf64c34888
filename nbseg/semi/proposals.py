"""Find RoIs of unlabeled images for methods that compare predictions for them."""

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
        user: name of the class that needs this head, for the message.

    Raises:
        TypeError: the detector has no RoI head, or one of another type.
    """
    roi_head = getattr(detector, "roi_head", None)
    if not isinstance(roi_head, StandardRoIHead):
        raise TypeError(
            f"{user} needs a detector with a StandardRoIHead, found {type(roi_head).__name__} in "
            f"{type(detector).__name__}; use another model"
        )


def require_one_mask_size(detector: Any, user: str) -> None:
    """Check for a ``StandardRoIHead`` whose mask head returns one tensor of logits.

    Args:
        detector: the detector.
        user: name of the class that needs this head, for the message.

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
            "mask_loss='{plain_mask_loss}'"
        )


def likeliest_objects(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the likeliest class of each RoI, and whether it is likelier than background.

    Args:
        scores: logits or logarithms of probabilities, (N, C + 1); the last column is background.

    Returns:
        The classes, int64, and bool; shape (N,) each.
    """
    best, classes = scores[:, :-1].max(dim=1)
    return classes, best > scores[:, -1]


@torch.no_grad()
def propose(detector: Any, branch: Branch, count: int) -> Tensor:
    """Return the proposals with the highest objectness as RoIs.

    Args:
        detector: two-stage detector.
        branch: images, with this detector's feature maps.
        count: largest number of proposals per image.

    Returns:
        The image's index in the batch and the box, (i, x0, y0, x1, y1), shape (N, 5), sorted by
        image. Boxes are in pixels of the network's input.
    """
    found = detector.rpn_head.predict_by_feat(
        *detector.rpn_head(branch.features),
        batch_img_metas=[sample.metainfo for sample in branch.samples],
        cfg=detector.train_cfg.get("rpn_proposal", detector.test_cfg.rpn),
    )
    rois: Tensor = bbox2roi([proposals.bboxes[:count] for proposals in found])
    return rois
