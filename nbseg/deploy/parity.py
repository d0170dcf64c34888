"""Match the detections of two models one to one, to check that the models predict the same."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from nbseg.deploy.detections import Detections

# Masks of at most this many pixels are not compared: one pixel changes the IoU of a small mask by
# too much.
MASK_AREA = 32**2


@dataclass(frozen=True)
class Tolerance:
    """Defines how much two detections may differ and still count as the same.

    Attributes:
        box_iou: the IoU of the boxes must be above this.
        score: the difference of the scores must be below this.
        mask_iou: the IoU of the masks must be above this.
    """

    box_iou: float
    score: float
    mask_iou: float


# ROUNDING is for two float32 models; REDUCED_PRECISION is for a float16 or int8 model.
ROUNDING = Tolerance(box_iou=0.99, score=1e-3, mask_iou=0.98)
REDUCED_PRECISION = Tolerance(box_iou=0.8, score=0.1, mask_iou=0.8)


@dataclass(frozen=True)
class Parity:
    """Counts how many detections of two models match.

    Attributes:
        matched: number of detections that match a detection of the other model. A matching pair
            counts as two detections.
        total: number of detections of both models together.
    """

    matched: int = 0
    total: int = 0

    def __add__(self, other: "Parity") -> "Parity":
        return Parity(self.matched + other.matched, self.total + other.total)

    def __str__(self) -> str:
        share = 100 * self.matched / self.total if self.total else 100.0
        return f"{self.matched} of {self.total} detections ({share:.2f} %) match"


def parity(
    expected: Detections,
    found: Detections,
    min_score: float = 0.05,
    tolerance: Tolerance = ROUNDING,
) -> Parity:
    """Match the detections that two models return for one image.

    Two detections match if they have the same label, and if their boxes, scores and masks agree
    within ``tolerance``. The masks are not compared if the mask in ``expected`` has at most
    ``MASK_AREA`` (1024) pixels.

    Args:
        expected: detections of one model.
        found: detections of the other model.
        min_score: detections count only if their score exceeds this.
        tolerance: how much matching detections may differ.

    Returns:
        The number of detections that match, and the number of all detections that count.
    """
    overlaps = _box_ious(expected.boxes, found.boxes)
    overlaps *= expected.labels[:, None] == found.labels
    overlaps *= np.abs(expected.scores[:, None] - found.scores) < tolerance.score
    counted, candidates = expected.scores > min_score, found.scores > min_score
    overlaps *= candidates
    matches = 0
    for index in np.flatnonzero(counted):
        for best in np.argsort(-overlaps[index], kind="stable"):
            if overlaps[index, best] <= tolerance.box_iou:
                break
            if _same_mask(expected.rles[index], found.rles[best], tolerance.mask_iou):
                matches += 1
                overlaps[:, best] = 0
                break
    return Parity(2 * matches, int(counted.sum() + candidates.sum()))


def _same_mask(expected: dict[str, object], found: dict[str, object], least_iou: float) -> bool:
    if expected == found or coco_mask.area(expected) <= MASK_AREA:
        return True
    return bool(coco_mask.iou([expected], [found], [0])[0, 0] > least_iou)


def _box_ious(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the IoU (N, M) of each pair of a box in ``a`` (N, 4) and a box in ``b`` (M, 4)."""
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    sides = [np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]) for boxes in (a, b)]
    first, second = (np.ascontiguousarray(side, np.float64) for side in sides)
    return np.asarray(coco_mask.iou(first, second, [0] * len(b)))
