"""Count what a person changed when correcting the pseudo-labels of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

# A corrected object can be paired with a pseudo-label if their masks have at least this IoU.
SAME = 0.5


@dataclass(frozen=True)
class Changes:
    """Counts what a person changed in the pseudo-labels of one or several images.

    An object is an instance in the corrected labels. :func:`find_changes` pairs objects with
    pseudo-labels.

    Attributes:
        unchanged: number of objects with the same class and exactly the same mask as their
            pseudo-label.
        changed: number of objects with another class or another mask than their pseudo-label.
        new: number of objects without a pseudo-label.
        deleted: number of pseudo-labels without an object.
    """

    unchanged: int = 0
    changed: int = 0
    new: int = 0
    deleted: int = 0

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(
            self.unchanged + other.unchanged,
            self.changed + other.changed,
            self.new + other.new,
            self.deleted + other.deleted,
        )


def find_changes(
    before: Sequence[tuple[str, dict[str, Any]]], after: Sequence[tuple[str, dict[str, Any]]]
) -> Changes:
    """Count the changes between the pseudo-labels of an image and its corrected labels.

    Each pseudo-label is paired with at most one object of the corrected labels, and each object
    with at most one pseudo-label. The pair with the highest mask IoU is formed first. If IoUs are
    equal, pairs of the same class come first. Pairs with an IoU below 0.5 are not formed.

    Args:
        before: class name and mask (compressed RLE) of each pseudo-label.
        after: class name and mask (compressed RLE) of each object in the corrected labels.
    """
    pairs = []
    if before and after:
        masks = [[rle for _, rle in objects] for objects in (before, after)]
        ious = np.asarray(coco_mask.iou(*masks, [0] * len(after)))
        free = [set(range(len(before))), set(range(len(after)))]
        same = np.array([[old == new for new, _ in after] for old, _ in before])
        pairs_found = np.argwhere(ious >= SAME)
        order = np.lexsort((~same[ious >= SAME], -ious[ious >= SAME]))
        for old, new in pairs_found[order].tolist():
            if old in free[0] and new in free[1]:
                free[0].remove(old)
                free[1].remove(new)
                pairs.append((before[old][0] == after[new][0], ious[old, new]))
    unchanged = sum(bool(same and iou == 1) for same, iou in pairs)
    return Changes(
        unchanged, len(pairs) - unchanged, len(after) - len(pairs), len(before) - len(pairs)
    )
