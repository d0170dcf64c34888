"""Match predictions to true instances, and compute precision and recall from the matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Agreement:
    """Holds the precision, recall and F1 of predictions at one IoU threshold.

    Precision is TP / (TP + FP), recall is TP / (TP + FN), and F1 is 2 TP / (2 TP + FP + FN). Each
    of them is None if its denominator is 0.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None

    @classmethod
    def of(cls, true_positives: int, false_positives: int, false_negatives: int) -> Agreement:
        """Return the given counts with the precision, recall and F1 computed from them."""
        tp, fp, fn = int(true_positives), int(false_positives), int(false_negatives)
        return cls(
            tp,
            fp,
            fn,
            precision=tp / (tp + fp) if tp + fp else None,
            recall=tp / (tp + fn) if tp + fn else None,
            f1=2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
        )


def match_instances(
    ious: npt.NDArray[np.float64], crowd: npt.NDArray[np.bool_], threshold: float
) -> npt.NDArray[np.int64]:
    """Match predictions to true instances of one image and class, as COCO's evaluation does.

    The predictions are matched one after the other, in the order of the rows of ``ious``:

    1. A prediction takes the true instance with the highest IoU. Crowds and instances that an
       earlier prediction took are left out. The IoU must be at least ``threshold``.
    2. If there is no such instance, the prediction is matched to the crowd with the highest value
       in ``ious``. This value must be at least ``threshold``.
    3. If there is no such crowd either, the prediction has no match.

    Any number of predictions can match the same crowd. They are neither true nor false positives.

    Args:
        ious: IoU of each prediction (sorted by descending score) with each true instance, shape
            (P, T). For a crowd, the value is the intersection divided by the prediction's area.
        crowd: whether each true instance is a crowd, shape (T,).
        threshold: smallest IoU of a match.

    Returns:
        The index of the true instance that each prediction matches, or -1 if it has no match;
        int64, shape (P,).
    """
    matches = np.full(len(ious), -1, np.int64)
    free = ~crowd
    for prediction, row in enumerate(ious):
        for candidates in (free, crowd):
            allowed = np.flatnonzero(candidates & (row >= threshold))
            if len(allowed):
                best = allowed[np.argmax(row[allowed])]
                matches[prediction] = best
                free[best] = False
                break
    return matches
