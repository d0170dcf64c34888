"""Match predictions to true instances, and compute precision and recall from the matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Agreement:
    """Holds how well predictions agree with true instances at one IoU threshold.

    ``f1`` is 2 TP / (2 TP + FP + FN). Precision, recall or F1 is None if the denominator is 0.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None

    @classmethod
    def of(cls, true_positives: int, false_positives: int, false_negatives: int) -> Agreement:
        """Compute precision, recall and F1 from the three counts."""
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

    Predictions are matched in the order of the rows of ``ious``. Each prediction takes the instance
    with the highest IoU among the instances that are not crowds and that no earlier prediction
    took. If all these IoUs are below the threshold, the prediction is matched to the crowd with the
    highest value in ``ious``, if this value reaches the threshold. A crowd may match any number of
    predictions. Predictions that match a crowd are neither true nor false positives.

    Args:
        ious: IoU of each prediction (sorted by descending score) with each true instance, shape
            (P, T). For a crowd, the value is the intersection divided by the prediction's area.
        crowd: which true instances are crowds, bool, shape (T,).
        threshold: smallest IoU of a match.

    Returns:
        The index of the true instance that each prediction matches, or -1; int64, shape (P,).
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
