"""Curves of mask quality against mask size and against the distance to the boundary."""

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
# Relative distance; inside a box it exceeds 0.5 only where the object is far from filling it.
DISTANCE_BINS = tuple(i / 50 for i in range(26))


@dataclass(frozen=True)
class IoUAtSize:
    """Mean IoU of the matched pairs at one mask size, None without pairs.

    ``size`` is the side of the grid, ``boundary_width`` the width d of boundary IoU in grid cells.
    """

    size: int
    boundary_width: int
    pairs: int
    mask_iou: float | None
    boundary_iou: float | None


@dataclass(frozen=True)
class AccuracyAtDistance:
    """Share of correct pixels at low <= relative distance < high, None without pixels.

    The last bin includes all larger distances.
    """

    low: float
    high: float
    pixels: int
    accuracy: float | None


class IoUBySize:
    """Mean mask and boundary IoU of matched pairs against the mask size (paper, Fig. 3b).

    Both masks of a pair are cropped to the true box and resized to size x size, like the targets of
    a mask head. A boundary consists of the mask's cells within ``boundary_width`` cells of the
    contour; where a mask reaches over the grid, the grid's edge is the contour. A pair without
    foreground at a size does not count at that size.

    Args:
        sizes: side lengths of the grids.
    """

    def __init__(self, sizes: Sequence[int] = MASK_SIZES) -> None:
        self.sizes = tuple(sizes)
        self._pairs = np.zeros(len(self.sizes), np.int64)
        self._sums = np.zeros((len(self.sizes), 2))  # mask IoU, boundary IoU

    def add(self, predicted: CroppedMasks, true: CroppedMasks, boxes: Tensor) -> None:
        """Count the pairs of one image.

        Args:
            predicted: R predicted masks.
            true: the R true masks that they match, in the same order.
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
        """Return the curve so far."""
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
    """Pixel accuracy against the relative distance to the true boundary (paper, Fig. 3a).

    All pixels of the matched pairs that lie inside the true box count with equal weight, at image
    resolution. The relative distance is the distance of a pixel's center to the true contour, which
    runs between pixels (not along the image's edge), over the square root of the true box's area.
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
        """Count the pixels of one pair.

        Args:
            predicted: predicted mask, uint8 of 0 and 1, shape (H, W).
            true: the true mask that it matches, same dtype and shape.
            box: true box, xyxy in image pixels.
        """
        height, width = true.shape
        left, top = (max(int(np.floor(v)), 0) for v in box[:2])
        right, bottom = min(int(np.ceil(box[2])), width), min(int(np.ceil(box[3])), height)
        area = (box[2] - box[0]) * (box[3] - box[1])
        if area <= 0 or right <= left or bottom <= top:
            return
        # A contour along the box's edge only shows with the pixels on both sides of it.
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
        """Return the curve so far."""
        return tuple(
            AccuracyAtDistance(low, high, int(n), float(correct / n) if n else None)
            for low, high, n, correct in zip(
                DISTANCE_BINS[:-1], DISTANCE_BINS[1:], self._pixels, self._correct, strict=True
            )
        )


def inner_boundaries(masks: Tensor, width: int) -> Tensor:
    """Return the pixels of each mask that are within ``width`` of its contour (Cheng et al., 2021).

    The distance is the number of 3 x 3 erosions, and everything outside the grid is background, as
    in the code of Cheng et al.

    Args:
        masks: uint8 of 0 and 1, shape (R, S, S).
        width: width of the boundary in pixels.

    Returns:
        uint8, shape (R, S, S).
    """
    padded = F.pad(masks[:, None].float(), (width,) * 4)
    eroded = -F.max_pool2d(-padded, 2 * width + 1, stride=1)
    return masks & ~eroded[:, 0].bool()


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU (R,) of pairs of masks, uint8 (R, S, S); each pair must have foreground."""
    return (a & b).flatten(1).sum(1) / (a | b).flatten(1).sum(1)
