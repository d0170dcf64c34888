"""What distinguishes the masks of models: errors by signed distance, recall, soft masks.

The paper's Fig. 6 compares models on three curves whose definitions are not known here; these are
nbseg's own, and ``docs/analysis.md`` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from nbseg.ops import multires_mask_targets
from nbseg.structures import CroppedMasks

FARTHEST = 10  # pixels from the true contour
IOU_STEPS = tuple(i / 100 for i in range(50, 101))
PROBABILITY_BINS = 20
LEVELS = 256  # of a soft mask's cell


@dataclass(frozen=True)
class ErrorAtDistance:
    """Share of wrong pixels, None without pixels, at low <= signed distance < high.

    Distances are in pixels, negative inside the object.
    """

    low: int
    high: int
    pixels: int
    error: float | None


@dataclass(frozen=True)
class RecallAtIoU:
    """Share of the true instances that are found with this mask IoU or more; None of none."""

    mask_iou: float
    instances: int
    recall: float | None


@dataclass(frozen=True)
class ReliabilityBin:
    """Soft-mask cells whose probability p has low <= p < high (the last bin holds 1, too).

    ``probability`` is their mean, ``foreground`` the share that the truth covers; None without
    cells.
    """

    low: float
    high: float
    cells: int
    probability: float | None
    foreground: float | None


@dataclass(frozen=True)
class ForegroundAtThreshold:
    """Foreground inside the predicted boxes at a pixel threshold, and the truth's there.

    Shares of all cells, None without cells.
    """

    threshold: float
    foreground: float | None
    true_foreground: float | None


class ErrorByDistance:
    """Share of wrong pixels against the signed distance to the true contour (Fig. 6a).

    Of matched pairs, all pixels up to ``farthest`` pixels from the true contour count, at image
    resolution and all alike. The distance is that of a pixel's center to the contour, which runs
    between pixels (not along the image's edge): pixels that touch it are 0.5 away.

    Args:
        farthest: width of the curve to either side, in pixels.
    """

    def __init__(self, farthest: int = FARTHEST) -> None:
        self.farthest = farthest
        self._pixels = np.zeros(2 * farthest, np.int64)
        self._wrong = np.zeros(2 * farthest, np.int64)

    def add(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Count the pixels of one pair.

        Args:
            predicted: mask, uint8 of 0 and 1, shape (H, W).
            true: the mask that it matches, likewise.
        """
        x, y, width, height = cv2.boundingRect(true)
        if not width:
            return
        # One pixel more, so that the object's outline is in the crop where the image has it.
        margin = self.farthest + 1
        crop = np.s_[
            max(y - margin, 0) : y + height + margin, max(x - margin, 0) : x + width + margin
        ]
        true, wrong = np.ascontiguousarray(true[crop]), (predicted != true)[crop]
        inside, outside = (
            cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            for side in (true, 1 - true)
        )
        # Where there is no contour the distance is infinite.
        signed = np.where(true, 0.5 - inside, outside - 0.5).clip(-margin, margin)
        bins = np.floor(signed).astype(np.int64) + self.farthest
        near = (bins >= 0) & (bins < len(self._pixels))
        self._pixels += np.bincount(bins[near], minlength=len(self._pixels))
        self._wrong += np.bincount(bins[near & wrong], minlength=len(self._pixels))

    def error_within(self, distance: int) -> float | None:
        """Return the share of wrong pixels up to so many pixels from the contour, None of none."""
        near = np.s_[self.farthest - distance : self.farthest + distance]
        pixels = self._pixels[near].sum()
        return float(self._wrong[near].sum() / pixels) if pixels else None

    def points(self) -> tuple[ErrorAtDistance, ...]:
        """Return the curve so far, from the inside to the outside."""
        return tuple(
            ErrorAtDistance(low, low + 1, int(n), float(wrong / n) if n else None)
            for low, n, wrong in zip(
                range(-self.farthest, self.farthest), self._pixels, self._wrong, strict=True
            )
        )


class RecallByIoU:
    """Share of the true instances that are found at least so well (Fig. 6b)."""

    def __init__(self) -> None:
        self._instances = 0
        self._ious: list[float] = []

    def add(self, ious: Iterable[float], instances: int) -> None:
        """Count one image: the mask IoU of each pair, and how many true instances there are."""
        self._ious.extend(ious)
        self._instances += instances

    def points(self) -> tuple[RecallAtIoU, ...]:
        """Return the curve so far; it begins at the least IoU of a match."""
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
    """Probabilities of soft masks against the truth below them (Fig. 6c).

    Of matched pairs, the true mask is cut by the predicted box and resized to the soft mask's grid,
    as the targets of a mask head are; each cell of all soft masks counts alike.
    """

    def __init__(self) -> None:
        self._cells = np.zeros(LEVELS, np.int64)
        self._true = np.zeros(LEVELS, np.int64)

    def add(self, soft_masks: np.ndarray, boxes: np.ndarray, true: CroppedMasks) -> None:
        """Count the pairs of one image.

        Args:
            soft_masks: uint8 (R, S, S), value / 255 is the probability.
            boxes: predicted boxes, xyxy in image pixels, float32 (R, 4).
            true: the R masks that they match, in the same order.
        """
        (truth,) = multires_mask_targets(
            true, torch.from_numpy(boxes), torch.arange(len(boxes)), soft_masks.shape[-1:]
        )
        covered = truth.numpy().astype(bool)
        self._cells += np.bincount(soft_masks.ravel(), minlength=LEVELS)
        self._true += np.bincount(soft_masks[covered], minlength=LEVELS)

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """Return the reliability diagram so far."""
        probabilities = np.arange(LEVELS) / (LEVELS - 1)
        places = np.minimum((probabilities * PROBABILITY_BINS).astype(int), PROBABILITY_BINS - 1)
        cells, sums, true = (
            np.bincount(places, weights, PROBABILITY_BINS)
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
        """Return the share of cells at or above each threshold v / 255, beside the truth's."""
        total = int(self._cells.sum())
        above = _from_above(self._cells)
        return tuple(
            ForegroundAtThreshold(
                level / (LEVELS - 1),
                float(above[level] / total) if total else None,
                float(self._true.sum() / total) if total else None,
            )
            for level in range(LEVELS)
        )


def _from_above(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.cumsum(np.asarray(counts)[::-1])[::-1]
