"""Where masks are wrong: by the size they are stored at, and by the distance to the boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nbseg.evaluation.boundary import boundary_width
from nbseg.ops import multires_mask_targets
from nbseg.structures import CroppedMasks

MASK_SIZES = (7, 14, 28, 56, 112)
# Relative distance; inside a box it exceeds 0.5 only where the object is far from filling it.
DISTANCE_BINS = tuple(i / 50 for i in range(26))


@dataclass(frozen=True)
class IoUAtSize:
    """Mean IoU of matched pairs at one mask size, None without pairs.

    ``size`` is the side of the grid, ``boundary_width`` the d of boundary IoU in its cells.
    """

    size: int
    boundary_width: int
    pairs: int
    mask_iou: float | None
    boundary_iou: float | None


@dataclass(frozen=True)
class AccuracyAtDistance:
    """Share of pixels that agree, None without pixels, at low <= relative distance < high.

    The last bin holds what is farther away, too.
    """

    low: float
    high: float
    pixels: int
    accuracy: float | None


class IoUBySize:
    """Mean mask and boundary IoU of matched pairs against the mask size (paper, Fig. 3b).

    Both masks of a pair are cut by the true box and resized to size x size, as the targets of a
    mask head are. The boundary is what lies within ``boundary_width`` cells of the contour,
    inside the mask; where a mask leaves the grid, the grid's edge is its contour. A pair that has
    no foreground at a size does not count there.

    Args:
        sizes: sides of the grids.
    """

    def __init__(self, sizes: Sequence[int] = MASK_SIZES) -> None:
        self.sizes = tuple(sizes)
        self._pairs = np.zeros(len(self.sizes), np.int64)
        self._sums = np.zeros((len(self.sizes), 2))  # mask IoU, boundary IoU

    def add(self, predicted: CroppedMasks, true: CroppedMasks, boxes: Tensor) -> None:
        """Count the pairs of one image.

        Args:
            predicted: R masks.
            true: the R masks that they match, in the same order.
            boxes: true boxes, xyxy in image pixels, shape (R, 4), float32.
        """
        pair = torch.arange(len(boxes))
        grids = zip(
            multires_mask_targets(predicted, boxes, pair, self.sizes),
            multires_mask_targets(true, boxes, pair, self.sizes),
            strict=True,
        )
        for i, (found, wanted) in enumerate(grids):
            seen = (found | wanted).flatten(1).bool().any(1)
            found, wanted = found[seen], wanted[seen]
            width = boundary_width(self.sizes[i], self.sizes[i])
            boundaries = boundary_region(found, width), boundary_region(wanted, width)
            self._pairs[i] += len(found)
            self._sums[i] += [float(_iou(found, wanted).sum()), float(_iou(*boundaries).sum())]

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

    Of matched pairs, the pixels inside the true box count, at image resolution and all alike. The
    distance is that of a pixel's center to the true contour, which runs between pixels (not along
    the image's edge), over the square root of the true box's area.
    """

    def __init__(self) -> None:
        self._pixels = np.zeros(len(DISTANCE_BINS) - 1, np.int64)
        self._agreeing = np.zeros(len(DISTANCE_BINS) - 1, np.int64)

    def add(self, predicted: np.ndarray, true: np.ndarray, box: Sequence[float]) -> None:
        """Count the pixels of one pair.

        Args:
            predicted: mask, uint8 of 0 and 1, shape (H, W).
            true: the mask that it matches, likewise.
            box: true box, xyxy in image pixels.
        """
        height, width = true.shape
        left, top = (max(int(np.floor(v)), 0) for v in box[:2])
        right, bottom = min(int(np.ceil(box[2])), width), min(int(np.ceil(box[3])), height)
        area = (box[2] - box[0]) * (box[3] - box[1])
        if area <= 0 or right <= left or bottom <= top:
            return
        # The contour along the box's edge can only be told from the pixels beyond it.
        x0, y0 = max(left - 1, 0), max(top - 1, 0)
        around = np.ascontiguousarray(true[y0 : bottom + 1, x0 : right + 1])
        distance = sum(
            cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            for side in (around, 1 - around)
        )
        inside = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
        relative = (distance[inside] - 0.5) / np.sqrt(area)
        agree = predicted[top:bottom, left:right] == true[top:bottom, left:right]
        last = len(self._pixels) - 1
        bins = (np.searchsorted(DISTANCE_BINS, relative.ravel(), side="right") - 1).clip(0, last)
        self._pixels += np.bincount(bins, minlength=last + 1)
        self._agreeing += np.bincount(bins[agree.ravel()], minlength=last + 1)

    def points(self) -> tuple[AccuracyAtDistance, ...]:
        """Return the curve so far."""
        return tuple(
            AccuracyAtDistance(low, high, int(n), float(good / n) if n else None)
            for low, high, n, good in zip(
                DISTANCE_BINS[:-1], DISTANCE_BINS[1:], self._pixels, self._agreeing, strict=True
            )
        )


def boundary_region(masks: Tensor, width: int) -> Tensor:
    """Return the pixels of each mask that are within ``width`` of its contour (Cheng et al., 2021).

    Distance is counted in 3 x 3 erosions, and beyond the grid is background, as in their code.

    Args:
        masks: uint8 of 0 and 1, shape (R, S, S).
        width: in pixels.

    Returns:
        uint8, shape (R, S, S).
    """
    padded = F.pad(masks[:, None].float(), (width,) * 4)
    eroded = -F.max_pool2d(-padded, 2 * width + 1, stride=1)
    return masks & ~eroded[:, 0].bool()


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of each pair of masks, uint8 (R, S, S), which must have foreground; shape (R,)."""
    return (a & b).flatten(1).sum(1) / (a | b).flatten(1).sum(1)
