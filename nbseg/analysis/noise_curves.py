"""Compute curves of mask quality by mask size and by distance to the boundary.

The curves are those of Fig. 3 of the Noisy Boundaries paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nbseg.evaluation.boundary import boundary_width
from nbseg.ops import multires_mask_targets
from nbseg.structures import CroppedMasks, signed_distance

MASK_SIZES = (7, 14, 28, 56, 112)
# Edges of the bins of ``AccuracyByDistance``. A distance is divided by the square root of the box's
# area. Inside a box, distances above 0.5 are rare: they occur only if the object leaves most of the
# box empty.
DISTANCE_BINS = tuple(i / 50 for i in range(26))


@dataclass(frozen=True)
class IoUAtSize:
    """Holds the mean mask IoU and boundary IoU of matched pairs with masks resized to one size.

    Attributes:
        size: side length of the resized masks in cells.
        boundary_width: width of the boundary that the boundary IoU compares, in cells.
        pairs: number of pairs of a prediction and its true instance. A pair does not count if both
            resized masks are empty.
        mask_iou: mean mask IoU of these pairs; None if ``pairs`` is 0.
        boundary_iou: mean boundary IoU of these pairs; None if ``pairs`` is 0.
    """

    size: int
    boundary_width: int
    pairs: int
    mask_iou: float | None
    boundary_iou: float | None


@dataclass(frozen=True)
class AccuracyAtDistance:
    """Holds the accuracy of the pixels at similar relative distances to the true boundary.

    The relative distance is the distance in pixels, divided by the square root of the true box's
    area.

    Attributes:
        low: smallest relative distance that counts.
        high: upper limit of the relative distance. A pixel at exactly this distance does not count,
            except in the last bin, which has no upper limit.
        pixels: number of pixels in the bin from ``low`` to ``high``.
        accuracy: share of these pixels at which the predicted mask equals the true mask; None if
            ``pixels`` is 0.
    """

    low: float
    high: float
    pixels: int
    accuracy: float | None


class IoUBySize:
    """Computes the mean mask IoU and boundary IoU of matched pairs by mask size.

    The result is Fig. 3b of the Noisy Boundaries paper. A pair is a prediction and the true
    instance that it matches. Both masks of a pair are cropped to the true box and resized to a grid
    of size x size cells, like the training targets of a mask head. A pair does not count at a size
    where both resized masks are empty.

    The boundary IoU compares only the foreground cells near the contour. These cells are at most
    2% of the grid's diagonal away from the contour (rounded, at least one cell). Where a mask
    extends beyond the grid, the grid's edge is the contour.

    Args:
        sizes: side lengths of the grids in cells.
    """

    def __init__(self, sizes: Sequence[int] = MASK_SIZES) -> None:
        self.sizes = tuple(sizes)
        self._pairs = np.zeros(len(self.sizes), np.int64)
        self._sums = np.zeros((len(self.sizes), 2))  # mask IoU, boundary IoU

    def add(self, predicted: CroppedMasks, true: CroppedMasks, boxes: Tensor) -> None:
        """Add the matched pairs of one image to the mean IoUs.

        Args:
            predicted: R predicted masks.
            true: the R true masks that match the predictions, in the same order.
            boxes: true boxes, xyxy in image pixels, shape (R, 4), float32.
        """
        pair = torch.arange(len(boxes))
        grids = zip(
            multires_mask_targets(predicted, boxes, pair, self.sizes),
            multires_mask_targets(true, boxes, pair, self.sizes),
            strict=True,
        )
        for i, (predicted_grids, true_grids) in enumerate(grids):
            visible = (predicted_grids | true_grids).flatten(1).bool().any(1)
            masks = predicted_grids[visible], true_grids[visible]
            width = boundary_width(self.sizes[i], self.sizes[i])
            boundaries = [inner_boundaries(grid, width) for grid in masks]
            self._pairs[i] += len(masks[0])
            self._sums[i] += [float(_iou(*masks).sum()), float(_iou(*boundaries).sum())]

    def points(self) -> tuple[IoUAtSize, ...]:
        """Return one point per mask size for the pairs added so far."""
        return tuple(
            IoUAtSize(
                size,
                boundary_width(size, size),
                int(pairs),
                float(sums[0] / pairs) if pairs else None,
                float(sums[1] / pairs) if pairs else None,
            )
            for size, pairs, sums in zip(self.sizes, self._pairs, self._sums, strict=True)
        )


class AccuracyByDistance:
    """Computes pixel accuracy by relative distance to the true boundary.

    The result is Fig. 3a of the Noisy Boundaries paper. Pixel accuracy is the share of pixels at
    which the predicted mask equals the true mask. Masks are compared at image resolution. All
    pixels inside the true boxes of the matched pairs count with equal weight. A pair does not count
    if its true box contains no pixel of the image.

    The relative distance is the distance from a pixel's center to the true contour, divided by the
    square root of the true box's area. The contour runs between pixels. The image's edge is not
    part of the contour.
    """

    def __init__(self) -> None:
        self._pixels = np.zeros(len(DISTANCE_BINS) - 1, np.int64)
        self._correct = np.zeros(len(DISTANCE_BINS) - 1, np.int64)

    def add(
        self,
        predicted: npt.NDArray[np.uint8],
        true: npt.NDArray[np.uint8],
        box: Sequence[float],
    ) -> None:
        """Add the pixels of one matched pair to the curve.

        Args:
            predicted: predicted mask, uint8 of 0 and 1, shape (H, W).
            true: true mask that matches the prediction, same dtype and shape.
            box: true box, xyxy in image pixels.
        """
        height, width = true.shape
        left, top = (max(int(np.floor(v)), 0) for v in box[:2])
        right, bottom = min(int(np.ceil(box[2])), width), min(int(np.ceil(box[3])), height)
        area = (box[2] - box[0]) * (box[3] - box[1])
        if area <= 0 or right <= left or bottom <= top:
            return
        # Include one pixel on each side of the box, so that a contour along its edge is found.
        x0, y0 = max(left - 1, 0), max(top - 1, 0)
        around = np.ascontiguousarray(true[y0 : bottom + 1, x0 : right + 1])
        inside = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
        relative = np.abs(signed_distance(around)[inside]) / np.sqrt(area)
        correct = predicted[top:bottom, left:right] == true[top:bottom, left:right]
        last = len(self._pixels) - 1
        bins = (np.searchsorted(DISTANCE_BINS, relative.ravel(), side="right") - 1).clip(0, last)
        self._pixels += np.bincount(bins, minlength=last + 1)
        self._correct += np.bincount(bins[correct.ravel()], minlength=last + 1)

    def points(self) -> tuple[AccuracyAtDistance, ...]:
        """Return the curve of the pairs added so far, in bins of relative distance 0.02 wide."""
        return tuple(
            AccuracyAtDistance(low, high, int(n), float(correct / n) if n else None)
            for low, high, n, correct in zip(
                DISTANCE_BINS[:-1], DISTANCE_BINS[1:], self._pixels, self._correct, strict=True
            )
        )


def inner_boundaries(masks: Tensor, width: int) -> Tensor:
    """Return the pixels that each mask loses if it is eroded ``width`` times by a 3 x 3 kernel.

    Everything outside the array is background. The boundary IoU of Cheng et al. (2021) compares
    these boundaries.

    Args:
        masks: uint8 of 0 and 1, shape (R, S, S).
        width: width of the boundary in pixels.

    Returns:
        The boundary of each mask, uint8 of 0 and 1, shape (R, S, S).
    """
    padded = F.pad(masks[:, None].float(), (width,) * 4)
    eroded = -F.max_pool2d(-padded, 2 * width + 1, stride=1)
    return masks & ~eroded[:, 0].bool()


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of each pair of masks, shape (R,).

    ``a`` and ``b`` are uint8 masks of 0 and 1, shape (R, S, S). In each pair, at least one mask
    must have a foreground pixel.
    """
    return (a & b).flatten(1).sum(1) / (a | b).flatten(1).sum(1)
