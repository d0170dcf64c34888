"""Compute curves that compare models: error by distance, recall by IoU, reliability.

The paper's Fig. 6 compares models by three curves without giving their definitions. nbseg defines
them here; see ``docs/analysis.md``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from nbseg.ops import multires_mask_targets
from nbseg.structures import CroppedMasks, signed_distance

FARTHEST = 10  # pixels on either side of the true contour
IOU_STEPS = tuple(i / 100 for i in range(50, 101))
PROBABILITY_BINS = 20
LEVELS = 256  # values of a soft mask's cell


@dataclass(frozen=True)
class ErrorAtDistance:
    """Share of wrong pixels at low <= signed distance < high, None without pixels.

    Distances are in pixels, negative inside the object.
    """

    low: int
    high: int
    pixels: int
    error: float | None


@dataclass(frozen=True)
class RecallAtIoU:
    """Share of the true instances that are found with this mask IoU or more, None without any."""

    mask_iou: float
    instances: int
    recall: float | None


@dataclass(frozen=True)
class ReliabilityBin:
    """Soft-mask cells of probability low <= p < high (the last bin includes 1).

    ``probability`` is their mean probability and ``foreground`` the share of them that is true
    foreground; both are None without cells.
    """

    low: float
    high: float
    cells: int
    probability: float | None
    foreground: float | None


@dataclass(frozen=True)
class ForegroundAtThreshold:
    """Predicted and true foreground inside the predicted boxes at a pixel threshold.

    Both are shares of all cells, None without cells.
    """

    threshold: float
    foreground: float | None
    true_foreground: float | None


class ErrorByDistance:
    """Share of wrong pixels against the signed distance to the true contour (Fig. 6a).

    All pixels of the matched pairs up to ``farthest`` pixels from the true contour count with equal
    weight, at image resolution. The distance is that of a pixel's center to the contour, which runs
    between pixels (not along the image's edge): pixels that touch the contour are 0.5 away.

    Args:
        farthest: width of the curve on either side of the contour, in pixels.
    """

    def __init__(self, farthest: int = FARTHEST) -> None:
        self.farthest = farthest
        self._pixels = np.zeros(2 * farthest, np.int64)
        self._wrong = np.zeros(2 * farthest, np.int64)

    def add(self, predicted: npt.NDArray[np.uint8], true: npt.NDArray[np.uint8]) -> None:
        """Count the pixels of one pair.

        Args:
            predicted: predicted mask, uint8 of 0 and 1, shape (H, W).
            true: the true mask that it matches, same dtype and shape.
        """
        x, y, width, height = cv2.boundingRect(true)
        if not width:
            return
        # One more pixel, so that the crop cuts off no part of the contour.
        margin = self.farthest + 1
        crop = np.s_[
            max(y - margin, 0) : y + height + margin, max(x - margin, 0) : x + width + margin
        ]
        true, wrong = np.ascontiguousarray(true[crop]), (predicted != true)[crop]
        # The distance is infinite where an object fills the image.
        signed = signed_distance(true).clip(-margin, margin)
        bins = np.floor(signed).astype(np.int64) + self.farthest
        near = (bins >= 0) & (bins < len(self._pixels))
        self._pixels += np.bincount(bins[near], minlength=len(self._pixels))
        self._wrong += np.bincount(bins[near & wrong], minlength=len(self._pixels))

    def error_within(self, distance: int) -> float | None:
        """Return the share of wrong pixels up to this distance from the contour."""
        near = np.s_[self.farthest - distance : self.farthest + distance]
        pixels = self._pixels[near].sum()
        return float(self._wrong[near].sum() / pixels) if pixels else None

    def points(self) -> tuple[ErrorAtDistance, ...]:
        """Return the curve of the pairs added so far, from the inside to the outside."""
        return tuple(
            ErrorAtDistance(low, low + 1, int(n), float(wrong / n) if n else None)
            for low, n, wrong in zip(
                range(-self.farthest, self.farthest), self._pixels, self._wrong, strict=True
            )
        )


class RecallByIoU:
    """Share of the true instances that are found, against the mask IoU required (Fig. 6b)."""

    def __init__(self) -> None:
        self._instances = 0
        self._ious: list[float] = []

    def add(self, ious: Iterable[float], instances: int) -> None:
        """Count one image: the mask IoU of each pair and the number of true instances."""
        self._ious.extend(ious)
        self._instances += instances

    def points(self) -> tuple[RecallAtIoU, ...]:
        """Return the curve of the images added so far, from mask IoU 0.5 to 1."""
        ious = np.sort(self._ious)
        return tuple(
            RecallAtIoU(
                step,
                self._instances,
                float(len(ious) - np.searchsorted(ious, step)) / self._instances
                if self._instances
                else None,
            )
            for step in IOU_STEPS
        )


class SoftMaskReliability:
    """Reliability of soft masks: predicted probability against true foreground (Fig. 6c).

    The true mask of a matched pair is cropped to the predicted box and resized to the soft mask's
    grid, like the targets of a mask head. All cells of all soft masks count with equal weight.
    """

    def __init__(self) -> None:
        self._cells = np.zeros(LEVELS, np.int64)
        self._true = np.zeros(LEVELS, np.int64)

    def add(
        self,
        soft_masks: npt.NDArray[np.uint8],
        boxes: npt.NDArray[np.float32],
        true: CroppedMasks,
    ) -> None:
        """Count the pairs of one image.

        Args:
            soft_masks: uint8 (R, S, S), value / 255 is the probability.
            boxes: predicted boxes, xyxy in image pixels, float32 (R, 4).
            true: the R true masks that they match, in the same order.
        """
        (truth,) = multires_mask_targets(
            true, torch.from_numpy(boxes), torch.arange(len(boxes)), soft_masks.shape[-1:]
        )
        foreground = truth.numpy().astype(bool)
        self._cells += np.bincount(soft_masks.ravel(), minlength=LEVELS)
        self._true += np.bincount(soft_masks[foreground], minlength=LEVELS)

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """Return the reliability diagram of the pairs added so far."""
        probabilities = np.arange(LEVELS) / (LEVELS - 1)
        bin_of_level = np.minimum(
            (probabilities * PROBABILITY_BINS).astype(int), PROBABILITY_BINS - 1
        )
        cells, sums, true = (
            np.bincount(bin_of_level, weights, PROBABILITY_BINS)
            for weights in (self._cells, self._cells * probabilities, self._true)
        )
        return tuple(
            ReliabilityBin(
                i / PROBABILITY_BINS,
                (i + 1) / PROBABILITY_BINS,
                int(cells[i]),
                float(sums[i] / cells[i]) if cells[i] else None,
                float(true[i] / cells[i]) if cells[i] else None,
            )
            for i in range(PROBABILITY_BINS)
        )

    def foreground(self) -> tuple[ForegroundAtThreshold, ...]:
        """Return predicted and true foreground at each pixel threshold v / 255."""
        total = int(self._cells.sum())
        above = np.cumsum(self._cells[::-1])[::-1]  # cells of each level or a higher one
        return tuple(
            ForegroundAtThreshold(
                level / (LEVELS - 1),
                float(above[level] / total) if total else None,
                float(self._true.sum() / total) if total else None,
            )
            for level in range(LEVELS)
        )
