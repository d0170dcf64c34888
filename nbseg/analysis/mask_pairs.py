"""Predicted masks beside the true masks that they find, in one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from nbseg.analysis.matching import match_instances
from nbseg.coco import by_category, to_rle

IOU_THRESHOLD = 0.5


@dataclass(frozen=True)
class MaskPair:
    """A prediction and the true instance it has.

    Attributes:
        found: the prediction's annotation.
        wanted: the true instance's.
        predicted: mask of the prediction, compressed RLE.
        true: mask of the true instance, compressed RLE.
        iou: of both masks.
    """

    found: dict[str, Any]
    wanted: dict[str, Any]
    predicted: dict[str, Any]
    true: dict[str, Any]
    iou: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The true instance's, xyxy in image pixels."""
        x, y, width, height = (float(v) for v in self.wanted["bbox"])
        return x, y, x + width, y + height


@dataclass(frozen=True)
class Matches:
    """What matching leaves: pairs, and what is without a partner.

    Predictions on a crowd, and crowds, are in none of the three.
    """

    pairs: list[MaskPair]
    unmatched_found: list[dict[str, Any]]
    unmatched_wanted: list[dict[str, Any]]


def match_class(
    found: Sequence[dict[str, Any]],
    wanted: Sequence[dict[str, Any]],
    height: int,
    width: int,
    thresholds: Sequence[float] = (IOU_THRESHOLD,),
) -> list[Matches]:
    """Match the predictions of one image and class to its true instances by mask IoU.

    Args:
        found: COCO annotations (RLE or polygons); those of higher ``score`` choose first.
        wanted: COCO annotations; with ``iscrowd`` they count as in COCO's evaluation.
        height: height of the image.
        width: width of the image.
        thresholds: least IoU of a match.

    Returns:
        What matches at each threshold.
    """
    found = sorted(found, key=lambda annotation: -annotation.get("score", 1.0))
    found_rles, wanted_rles = (
        [to_rle(annotation["segmentation"], height, width) for annotation in annotations]
        for annotations in (found, wanted)
    )
    crowd = np.array([bool(a.get("iscrowd", 0)) for a in wanted], bool)
    overlaps = np.zeros((len(found), len(wanted)))
    if found and wanted:
        overlaps = coco_mask.iou(found_rles, wanted_rles, crowd.astype(np.uint8).tolist())
    results = []
    for threshold in thresholds:
        matches = match_instances(overlaps, crowd, threshold).tolist()
        right = {i: t for i, t in enumerate(matches) if t >= 0 and not crowd[t]}
        has_partner = set(right.values())
        results.append(
            Matches(
                [
                    MaskPair(found[i], wanted[t], found_rles[i], wanted_rles[t], overlaps[i, t])
                    for i, t in right.items()
                ],
                [annotation for annotation, t in zip(found, matches, strict=True) if t < 0],
                [a for t, a in enumerate(wanted) if not crowd[t] and t not in has_partner],
            )
        )
    return results


def match_image(
    found: Sequence[dict[str, Any]],
    wanted: Sequence[dict[str, Any]],
    height: int,
    width: int,
    threshold: float = IOU_THRESHOLD,
) -> Matches:
    """Match the predictions of one image to its true instances, class by class.

    Arguments are as in ``match_class``.
    """
    found_of, wanted_of = by_category(found), by_category(wanted)
    total = Matches([], [], [])
    # In a fixed order, so that the same input gives the same output.
    for category in sorted({*found_of, *wanted_of}):
        (own,) = match_class(found_of[category], wanted_of[category], height, width, [threshold])
        total.pairs.extend(own.pairs)
        total.unmatched_found.extend(own.unmatched_found)
        total.unmatched_wanted.extend(own.unmatched_wanted)
    return total
