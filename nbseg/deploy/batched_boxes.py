"""Process the boxes of a batch of images in tensors of fixed size.

Each image has the same number of slots in a tensor. A slot holds a box or is empty.
"""

from typing import Any

import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from torch import Tensor

from nbseg.deploy.onnx_ops import nms_mask

# An empty slot has this score. The score of a box is at least 0.
NO_SCORE = -1.0


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return boxes (x0, y0, x1, y1) that are clipped to the borders of the image.

    Args:
        boxes: shape (..., 4), in pixels.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.stack(
        [x0.clamp(0, width), y0.clamp(0, height), x1.clamp(0, width), y1.clamp(0, height)], -1
    )


def as_rois(boxes: Tensor) -> Tensor:
    """Convert N boxes of each of B images, shape (B, N, 4), to RoIs, shape (B * N, 5).

    A RoI consists of the index of its image in the batch, x0, y0, x1 and y1.
    """
    images = torch.arange(boxes.shape[0], device=boxes.device, dtype=boxes.dtype)
    images = images[:, None, None].expand(-1, boxes.shape[1], -1)
    return torch.cat([images, boxes], -1).flatten(0, 1)


def take(values: Tensor, chosen: Tensor) -> Tensor:
    """Return K of the N boxes or box deltas of each image.

    Args:
        values: boxes or box deltas, shape (B, N, 4).
        chosen: indices of the entries to return, shape (B, K), int64 in [0, N).

    Returns:
        Shape (B, K, 4).
    """
    return values.gather(1, chosen[..., None].expand(-1, -1, values.shape[-1]))


def priors_at(generator: AnchorGenerator, level: int, chosen: Tensor, columns: int) -> Tensor:
    """Return the anchors of one pyramid level that have the given indices.

    ``AnchorGenerator.sparse_priors`` returns the same anchors, but ``torch.onnx`` cannot translate
    ``sparse_priors``: the method computes a remainder whose divisor is known only at run time.

    Args:
        generator: generator of the RPN's anchors.
        level: index of the pyramid level.
        chosen: indices of anchors of the level, shape (B, K), int64. The anchors are ordered by
            row, then by column, then by base anchor, as in ``generator.grid_priors``.
        columns: number of columns of the level's feature map.

    Returns:
        Anchors (x0, y0, x1, y1) in pixels, shape (B, K, 4).
    """
    base_anchors = generator.base_anchors[level].to(chosen.device)
    cells = chosen // len(base_anchors)
    rows = cells // columns
    step_x, step_y = generator.strides[level]
    corner = torch.stack([(cells - rows * columns) * step_x, rows * step_y], -1)
    priors: Tensor = base_anchors[chosen - cells * len(base_anchors)] + corner.repeat(1, 1, 2)
    return priors


def deltas_by_class(head: BBoxHead, deltas: Tensor) -> Tensor:
    """Return the box deltas of R RoIs for each of C classes, shape (R, C, 4).

    ``deltas`` has the shape (R, 4) if the head is class-agnostic, otherwise (R, C * 4).
    """
    if head.reg_class_agnostic:
        return deltas[:, None].expand(-1, head.num_classes, -1)
    return deltas.view(-1, head.num_classes, 4)


def suppress(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    nms_cfg: dict[str, Any],
    score_threshold: float,
    max_output: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Apply NMS within each group of boxes, as MMCV's ``batched_nms`` does.

    Args:
        boxes: (B, N, 4) float32, x0, y0, x1, y1.
        scores: (B, N) float32; empty slots have the score ``NO_SCORE`` (-1).
        groups: (N,) int64, the group of each slot, the same in every image. A box suppresses only
            boxes of the same group.
        nms_cfg: MMDetection's NMS config, with ``iou_threshold``. With ``class_agnostic=True``, a
            box also suppresses boxes of other groups.
        score_threshold: boxes whose score is not above this threshold are dropped.
        max_output: largest number of boxes to keep per image.

    Returns:
        Three tensors of shape (B, K) with K = min(``max_output``, N).

        - The scores of the kept boxes in descending order, float32. Empty slots come last and have
          the score ``NO_SCORE``.
        - A bool for each slot: True if the slot holds a box.
        - The index in ``boxes`` of the box in each slot, int64. In an empty slot, this is the index
          of a box that was not kept.
    """
    candidates = scores > score_threshold
    if not nms_cfg.get("class_agnostic", False):
        # Like MMCV, shift each group by a multiple of the candidates' largest coordinate, so that
        # boxes of different groups do not overlap.
        largest = torch.where(candidates[..., None], boxes, 0.0).amax((1, 2))
        apart = boxes + (groups * (largest[:, None] + 1.0))[..., None]
    else:
        apart = boxes
    keep = nms_mask(apart, scores, nms_cfg["iou_threshold"], score_threshold, max_output)
    size = min(max_output, groups.shape[0])
    kept_scores, chosen = torch.where(keep, scores, NO_SCORE).topk(size)
    return kept_scores, kept_scores > NO_SCORE, chosen
