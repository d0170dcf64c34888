"""Compute the curves of Fig. 6 of the Noisy Boundaries paper (arXiv 2203.13427).

Fig. 6 shows the boundary-preserving map, which is the magnitude of the Laplacian of a soft mask. A
soft mask is a grid of foreground probabilities over the predicted box.

The paper does not say to which boundary it measures the distance in Fig. 6b. This module measures
the distance to the boundary of the predicted mask, which is the contour at the probability 0.5.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from operator import attrgetter

import cv2
import numpy as np
import numpy.typing as npt

from nbseg.analysis.mask_pairs import SoftPairs
from nbseg.structures import signed_distance

FARTHEST = 10  # largest distance to the boundary, in cells
MAP_BINS = tuple(i / 10 for i in range(16))  # lower edges; the last bin has all larger values
EXAMPLES = 4
# The kernel gives 9 * (p - mean of p over the 3 x 3 cells around p), where p is a probability.
LAPLACIAN = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)


@dataclass(frozen=True)
class MapAtDistance:
    """Holds the mean boundary-preserving map of soft-mask cells at similar distances.

    The map is the magnitude of a soft mask's Laplacian. The distance of a cell is measured to the
    boundary of the predicted mask.

    Attributes:
        low: smallest distance that counts, in cells.
        high: upper limit of the distance, in cells; a cell at exactly this distance does not count.
        cells: number of soft-mask cells with low <= distance < high.
        value: mean of the boundary-preserving map over these cells, from 0 to 8; None if ``cells``
            is 0.
    """

    low: int
    high: int
    cells: int
    value: float | None


@dataclass(frozen=True)
class AccuracyAtMap:
    """Holds the accuracy of soft-mask cells with similar values of the boundary-preserving map.

    The map is the magnitude of a soft mask's Laplacian.

    Attributes:
        low: smallest value of the map that counts.
        high: upper limit of the values. A cell with exactly this value does not count, except in
            the last bin. There, ``high`` is 8, the largest possible value.
        cells: number of soft-mask cells in the bin from ``low`` to ``high``.
        accuracy: share of these cells at which the soft mask, thresholded at 0.5, equals the true
            mask; None if ``cells`` is 0.
    """

    low: float
    high: float
    cells: int
    accuracy: float | None


@dataclass(frozen=True)
class Example:
    """Holds a soft mask, its boundary-preserving map and its true mask.

    Attributes:
        area: area of the predicted box in square pixels of the image.
        soft_mask: foreground probabilities, shape (S, S).
        map: boundary-preserving map, values from 0 to 8, shape (S, S).
        true: true mask, cropped to the predicted box and resized to the grid of the soft mask; 0
            and 1, shape (S, S).
    """

    area: float
    soft_mask: npt.NDArray[np.float32]
    map: npt.NDArray[np.float32]
    true: npt.NDArray[np.uint8]


def laplacian_map(soft_mask: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the boundary-preserving map of a soft mask: the magnitude of its Laplacian.

    The weights in ``BoundaryPreservingLoss`` are this map, scaled to a given mean. Here, the map is
    not scaled. Before the Laplacian is computed, the soft mask is padded by repeating the cells at
    its edge.

    Args:
        soft_mask: probabilities, float32, shape (S, S).

    Returns:
        The map, float32, shape (S, S), values from 0 to 8.
    """
    signed = cv2.filter2D(soft_mask, -1, LAPLACIAN, borderType=cv2.BORDER_REPLICATE)
    return np.abs(np.asarray(signed, np.float32))


class MapCurves:
    """Measures the boundary-preserving map of soft masks that match a true instance.

    The map is the magnitude of a soft mask's Laplacian (see ``laplacian_map``). All cells of all
    soft masks count with equal weight.

    Attributes:
        examples: the four soft masks with the largest predicted boxes, the largest first, each
            with its map and its true mask (Fig. 6a of the Noisy Boundaries paper).
    """

    def __init__(self) -> None:
        self._cells_at_distance = np.zeros(FARTHEST, np.int64)
        self._map_at_distance = np.zeros(FARTHEST)
        self._cells_at_map = np.zeros(len(MAP_BINS), np.int64)
        self._right_at_map = np.zeros(len(MAP_BINS), np.int64)
        self.examples: list[Example] = []

    def add(self, pairs: SoftPairs) -> None:
        """Add the soft masks of one image, with their true masks, to the curves and examples."""
        areas = np.prod(pairs.boxes[:, 2:] - pairs.boxes[:, :2], axis=1)
        for i, area in enumerate(areas.tolist()):
            soft = pairs.soft_masks[i].astype(np.float32) / 255
            example = Example(area, soft, laplacian_map(soft), pairs.true[i])
            self._count(example)
            found = [*self.examples, example]
            self.examples = heapq.nlargest(EXAMPLES, found, key=attrgetter("area"))

    def _count(self, example: Example) -> None:
        predicted = (example.soft_mask >= 0.5).astype(np.uint8)
        # The distance is infinite if a mask has no boundary.
        distance = np.abs(signed_distance(predicted)).ravel().clip(max=FARTHEST)
        near = distance < FARTHEST
        bins, values = distance[near].astype(int), example.map.ravel()
        self._cells_at_distance += np.bincount(bins, minlength=FARTHEST)
        self._map_at_distance += np.bincount(bins, values[near], minlength=FARTHEST)
        bins = np.searchsorted(MAP_BINS, values, side="right") - 1
        right = (predicted == example.true).ravel()
        self._cells_at_map += np.bincount(bins, minlength=len(MAP_BINS))
        self._right_at_map += np.bincount(bins[right], minlength=len(MAP_BINS))

    def map_by_distance(self) -> tuple[MapAtDistance, ...]:
        """Return the mean map by distance to the predicted boundary (Noisy Boundaries, Fig. 6b).

        Returns:
            One point per bin of one cell, by ascending distance, for the soft masks added so far.
        """
        return tuple(
            MapAtDistance(low, low + 1, int(n), float(total / n) if n else None)
            for low, n, total in zip(
                range(FARTHEST), self._cells_at_distance, self._map_at_distance, strict=True
            )
        )

    def accuracy_by_map(self) -> tuple[AccuracyAtMap, ...]:
        """Return the accuracy of cells by the value of their map (Noisy Boundaries, Fig. 6c).

        Returns:
            One point per bin of 0.1, by ascending value, for the soft masks added so far. The last
            bin has all values from 1.5 to 8.
        """
        return tuple(
            AccuracyAtMap(low, high, int(n), float(right / n) if n else None)
            for low, high, n, right in zip(
                MAP_BINS,
                (*MAP_BINS[1:], 8.0),
                self._cells_at_map,
                self._right_at_map,
                strict=True,
            )
        )
