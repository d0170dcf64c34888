"""Choose the scales of an RPN's anchors to fit the objects of a data set."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

STRIDES = (4, 8, 16, 32)
RATIOS = (0.5, 1.0, 2.0)  # height / width
CANDIDATES = (1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0, 11.3, 16.0)
# A third scale makes an RPN slower, so it must raise the mean IoU by this much.
WORTHWHILE = 0.02


def best_ious(boxes: npt.NDArray[Any], scales: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return, for each scale, the IoU of each box with its best anchor of this scale.

    The anchors are those of MMDetection's ``AnchorGenerator`` with the strides 4, 8, 16 and 32 and
    the ratios 0.5, 1 and 2. The anchors of a stride are centered at multiples of the stride. Their
    area is (stride * scale) ** 2.

    Args:
        boxes: x, y, width, height in pixels of the resized images, shape (N, 4).
        scales: K anchor scales.

    Returns:
        The IoUs, float64, shape (N, K): one row per box, and one column per scale.
    """
    sides = boxes[:, 2:]
    centers = boxes[:, :2] + sides / 2
    best = np.zeros((len(boxes), len(scales)))
    for stride in STRIDES:
        # Distance from the center of the nearest anchor.
        offsets = abs((centers + stride / 2) % stride - stride / 2)
        for column, scale in enumerate(scales):
            for ratio in RATIOS:
                anchor = stride * scale * np.array([ratio**-0.5, ratio**0.5])
                low = np.maximum(-sides / 2, offsets - anchor / 2)
                high = np.minimum(sides / 2, offsets + anchor / 2)
                common = (high - low).clip(0).prod(axis=1)
                ious = common / (sides.prod(axis=1) + anchor.prod() - common)
                best[:, column] = np.maximum(best[:, column], ious)
    return best


def coverage(boxes: npt.NDArray[Any], scales: Sequence[float]) -> tuple[float, float]:
    """Return two numbers that say how well the anchors of some scales fit boxes.

    The first number is the mean IoU of a box with its best anchor. The second number is the share
    of boxes (0 to 1) for which this IoU is at least 0.5. The strides and ratios of the anchors are
    those of :func:`best_ious`.

    Args:
        boxes: x, y, width, height in pixels of the resized images, shape (N, 4); N is at least 1.
        scales: anchor scales.
    """
    best = best_ious(boxes, scales).max(axis=1)
    return float(best.mean()), float((best >= 0.5).mean())


def fit_anchor_scales(boxes: npt.NDArray[Any]) -> list[float]:
    """Return the two or three anchor scales that fit the boxes best, in increasing order.

    The function compares all pairs and triples of nine scales: 1, 1.4, 2, 2.8, and so on to 16. The
    best pair or triple has the highest mean IoU of a box with its best anchor. The best triple is
    returned only if its mean IoU exceeds that of the best pair by at least 0.02; otherwise, the
    best pair is returned. Clustering the box sizes would not work, because each scale gives anchors
    of four sizes, one for each stride.

    Args:
        boxes: x, y, width, height in pixels of the resized images, shape (N, 4); N is at least 1.
    """
    ious = best_ious(boxes, CANDIDATES)

    def mean_iou(columns: tuple[int, ...]) -> float:
        return float(ious[:, columns].max(axis=1).mean())

    # Of equally good scales, the first and thus smallest ones are taken.
    pair = max(combinations(range(len(CANDIDATES)), 2), key=mean_iou)
    triple = max(combinations(range(len(CANDIDATES)), 3), key=mean_iou)
    chosen = triple if mean_iou(triple) >= mean_iou(pair) + WORTHWHILE else pair
    return [CANDIDATES[column] for column in chosen]
