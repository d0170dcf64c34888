"""Which prediction finds which true instance, and the precision and recall that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """Predictions against true instances at one IoU threshold; a ratio of nothing is None."""

    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None

    @classmethod
    def of(cls, true_positives: int, false_positives: int, false_negatives: int) -> Agreement:
        """Compute the ratios of three counts."""
        found, invented, missed = int(true_positives), int(false_positives), int(false_negatives)
        return cls(
            found,
            invented,
            missed,
            found / (found + invented) if found + invented else None,
            found / (found + missed) if found + missed else None,
            2 * found / (2 * found + invented + missed) if found + invented + missed else None,
        )


def match_instances(ious: np.ndarray, crowd: np.ndarray, threshold: float) -> np.ndarray:
    """Match predictions to true instances of one image and class, as COCO's evaluation does.

    In the order of the rows each prediction takes the free instance of highest IoU. One that is
    left without falls on a crowd where it can; a crowd is never used up.

    Args:
        ious: IoU of each prediction, by descending score, with each true instance; with a crowd,
            intersection over the prediction's area. Shape (P, T).
        crowd: which true instances are crowds, bool, shape (T,).
        threshold: least IoU of a match.

    Returns:
        The true instance that each prediction has, -1 where none; int64, shape (P,). Predictions on
        a crowd are neither right nor wrong.
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
