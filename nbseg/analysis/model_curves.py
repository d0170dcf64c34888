"""Compute curves that show how well the masks of a model agree with the truth.

The curves are the share of wrong pixels by distance to the true contour, the share of true
instances found by required mask IoU, and the share of true foreground by predicted probability.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from nbseg.analysis.mask_pairs import SoftPairs
from nbseg.structures import signed_distance

FARTHEST = 10  # width of the error curve on either side of the true contour, in pixels
IOU_STEPS = tuple(i / 100 for i in range(50, 101))
PROBABILITY_BINS = 20
LEVELS = 256  # number of values that a soft mask's cell can have


@dataclass(frozen=True)
class ErrorAtDistance:
    """Holds the share of wrong pixels among the pixels at similar distances to the true contour.

    Distances are in pixels, and negative inside the object.

    Attributes:
        low: smallest distance that counts.
        high: upper limit of the distance; a pixel at exactly this distance does not count.
        pixels: number of pixels with low <= distance < high.
        error: share of these pixels at which the predicted mask differs from the true mask; None if
            ``pixels`` is 0.
    """

    low: int
    high: int
    pixels: int
    error: float | None


@dataclass(frozen=True)
class RecallAtIoU:
    """Holds the share of true instances that are found with a mask IoU of at least ``mask_iou``.

    ``recall`` is this share, and ``instances`` is the number of all true instances. ``recall`` is
    None if ``instances`` is 0.
    """

    mask_iou: float
    instances: int
    recall: float | None


@dataclass(frozen=True)
class ReliabilityBin:
    """Holds the predicted and the true share of foreground among cells of similar probability.

    The cells are those of soft masks, which are grids of foreground probabilities.

    Attributes:
        low: smallest probability that counts.
        high: upper limit of the probability. A cell with exactly this probability counts only if
            ``high`` is 1.
        cells: number of cells in the bin from ``low`` to ``high``.
        probability: mean probability of these cells; None if ``cells`` is 0.
        foreground: share of these cells that are foreground in the true masks; None if ``cells`` is
            0.
    """

    low: float
    high: float
    cells: int
    probability: float | None
    foreground: float | None


@dataclass(frozen=True)
class ForegroundAtThreshold:
    """Holds the predicted and the true share of foreground in the predicted boxes.

    ``foreground`` is the share of soft-mask cells whose probability is at least ``threshold``.
    ``true_foreground`` is the share of cells that are foreground in the true masks; this share does
    not depend on the threshold. Both are None if there are no cells.
    """

    threshold: float
    foreground: float | None
    true_foreground: float | None


class ErrorByDistance:
    """Computes the share of wrong pixels by distance to the true contour.

    A pixel is wrong if the predicted mask differs from the true mask. Masks are compared at image
    resolution. In each matched pair of masks, the pixels within ``farthest`` pixels of the true
    contour count. All pixels of all pairs have equal weight.

    Distances are negative inside the object. The contour runs between pixels, so the pixels next to
    the contour have the distance -0.5 or 0.5. The image's edge is not part of the contour.

    Args:
        farthest: largest distance from the contour at which a pixel counts, in pixels.
    """

    def __init__(self, farthest: int = FARTHEST) -> None:
        self.farthest = farthest
        self._pixels = np.zeros(2 * farthest, np.int64)
        self._wrong = np.zeros(2 * farthest, np.int64)

    def add(self, predicted: npt.NDArray[np.uint8], true: npt.NDArray[np.uint8]) -> None:
        """Add the pixels of one matched pair to the curve; nothing if the true mask is empty.

        Args:
            predicted: predicted mask, uint8 of 0 and 1, shape (H, W).
            true: true mask that matches the prediction, same dtype and shape.
        """
        x, y, width, height = cv2.boundingRect(true)
        if not width:
            return
        # Crop one pixel more than ``farthest``, so that the crop contains the whole contour.
        margin = self.farthest + 1
        crop = np.s_[
            max(y - margin, 0) : y + height + margin, max(x - margin, 0) : x + width + margin
        ]
        true, wrong = np.ascontiguousarray(true[crop]), (predicted != true)[crop]
        # The distance is infinite if the object fills the whole image.
        signed = signed_distance(true).clip(-margin, margin)
        bins = np.floor(signed).astype(np.int64) + self.farthest
        near = (bins >= 0) & (bins < len(self._pixels))
        self._pixels += np.bincount(bins[near], minlength=len(self._pixels))
        self._wrong += np.bincount(bins[near & wrong], minlength=len(self._pixels))

    def error_within(self, distance: int) -> float | None:
        """Return the share of wrong pixels among the pixels near the true contours.

        Args:
            distance: largest distance of these pixels from the contour, on both sides; a whole
                number of pixels from 1 to ``farthest``.

        Returns:
            The share of wrong pixels, from 0 to 1; None if there are no such pixels.
        """
        near = np.s_[self.farthest - distance : self.farthest + distance]
        pixels = self._pixels[near].sum()
        return float(self._wrong[near].sum() / pixels) if pixels else None

    def points(self) -> tuple[ErrorAtDistance, ...]:
        """Return the curve of the pairs added so far.

        Returns:
            One point per bin of one pixel, from inside the objects to outside.
        """
        return tuple(
            ErrorAtDistance(low, low + 1, int(n), float(wrong / n) if n else None)
            for low, n, wrong in zip(
                range(-self.farthest, self.farthest), self._pixels, self._wrong, strict=True
            )
        )


class RecallByIoU:
    """Computes the share of true instances that are found, for each required mask IoU.

    An instance is found if its matched prediction has at least the required mask IoU.
    """

    def __init__(self) -> None:
        self._instances = 0
        self._ious: list[float] = []

    def add(self, ious: Iterable[float], instances: int) -> None:
        """Add one image to the curve.

        Args:
            ious: mask IoU of each matched pair of the image.
            instances: number of true instances in the image, matched or not.
        """
        self._ious.extend(ious)
        self._instances += instances

    def points(self) -> tuple[RecallAtIoU, ...]:
        """Return the curve of the images added so far, for the mask IoUs 0.5, 0.51 ... 1."""
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
    """Compares the probabilities of soft masks with the share of true foreground.

    A soft mask is a grid of foreground probabilities over the predicted box. All cells of all soft
    masks count with equal weight.
    """

    def __init__(self) -> None:
        self._cells = np.zeros(LEVELS, np.int64)
        self._true = np.zeros(LEVELS, np.int64)

    def add(self, pairs: SoftPairs) -> None:
        """Add the soft masks of one image to the comparison."""
        soft_masks, foreground = pairs.soft_masks, pairs.true.astype(bool)
        self._cells += np.bincount(soft_masks.ravel(), minlength=LEVELS)
        self._true += np.bincount(soft_masks[foreground], minlength=LEVELS)

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """Return the reliability diagram of the soft masks added so far.

        Returns:
            One point for each of 20 equal bins of probability from 0 to 1.
        """
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
        """Return the predicted and the true share of foreground at each probability threshold.

        Returns:
            One point for each of the 256 thresholds 0/255, 1/255 ... 255/255.
        """
        total = int(self._cells.sum())
        above = np.cumsum(self._cells[::-1])[::-1]  # number of cells at each level or above
        return tuple(
            ForegroundAtThreshold(
                level / (LEVELS - 1),
                float(above[level] / total) if total else None,
                float(self._true.sum() / total) if total else None,
            )
            for level in range(LEVELS)
        )
