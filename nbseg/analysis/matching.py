"""Match predictions to true instances, and compute precision and recall from the matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Agreement:
    """Agreement of predictions with true instances at one IoU threshold.

    A ratio whose denominator is 0 is None.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None

    @classmethod
    def of(cls, true_positives: int, false_positives: int, false_negatives: int) -> Agreement:
        """Compute the ratios of three counts."""
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

    In the order of the rows, each prediction takes the free instance of highest IoU. A prediction
    that finds no free instance is matched to a crowd if one overlaps it enough; any number of
    predictions may be matched to one crowd.

    Args:
        ious: IoU of each prediction, by descending score, with each true instance; with a crowd,
            intersection over the prediction's area. Shape (P, T).
        crowd: which true instances are crowds, bool, shape (T,).
        threshold: IoU that a match needs at least.

    Returns:
        The index of each prediction's true instance, -1 without one; int64, shape (P,). Predictions
        on a crowd count neither as true nor as false positives.
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
