"""Match predicted masks to true masks in one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from nbseg.analysis.matching import match_instances
from nbseg.coco import by_category
from nbseg.coco_masks import to_rle
from nbseg.ops import multires_mask_targets
from nbseg.structures import CroppedMasks

IOU_THRESHOLD = 0.5


@dataclass(frozen=True)
class MaskPair:
    """Holds a prediction and the true instance that matches the prediction.

    Attributes:
        prediction: COCO annotation of the prediction.
        truth: COCO annotation of the true instance.
        predicted_rle: mask of the prediction as a compressed RLE.
        true_rle: mask of the true instance as a compressed RLE.
        iou: IoU of the two masks.
    """

    prediction: dict[str, Any]
    truth: dict[str, Any]
    predicted_rle: dict[str, Any]
    true_rle: dict[str, Any]
    iou: float

    @property
    def true_box(self) -> tuple[float, float, float, float]:
        """Return the true instance's box, xyxy in image pixels."""
        x, y, width, height = (float(v) for v in self.truth["bbox"])
        return x, y, x + width, y + height


class SoftPairs(NamedTuple):
    """Holds the soft masks of one image that match a true instance, and the true masks.

    A soft mask is a grid of foreground probabilities over the predicted box.

    Attributes:
        soft_masks: soft masks, shape (R, S, S); a value divided by 255 is the probability.
        boxes: predicted boxes, xyxy in image pixels, shape (R, 4).
        true: true masks, 0 and 1, shape (R, S, S). Like the training targets of a mask head, they
            are cropped to the predicted boxes and resized to the grid of the soft masks.
    """

    soft_masks: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    true: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Matches:
    """Holds the result of matching predictions to true instances.

    A crowd (``iscrowd``) is never a false negative. A prediction that matches a crowd is in none of
    the lists.

    Attributes:
        pairs: the matched predictions and true instances.
        false_positives: COCO annotations of the predictions that match no true instance.
        false_negatives: COCO annotations of the true instances that no prediction matches.
    """

    pairs: list[MaskPair]
    false_positives: list[dict[str, Any]]
    false_negatives: list[dict[str, Any]]


def stack_pairs(pairs: Sequence[MaskPair]) -> tuple[CroppedMasks, CroppedMasks, Tensor]:
    """Return the predicted masks, the true masks and the true boxes of matched pairs.

    Args:
        pairs: R >= 1 pairs of one image.

    Returns:
        Three values in the order of ``pairs``: the R predicted masks, the R true masks, and the
        boxes of the true instances, xyxy in image pixels, float32, shape (R, 4).
    """
    height, width = pairs[0].true_rle["size"]
    return (
        CroppedMasks.from_segmentations([pair.predicted_rle for pair in pairs], height, width),
        CroppedMasks.from_segmentations([pair.true_rle for pair in pairs], height, width),
        torch.tensor([pair.true_box for pair in pairs], dtype=torch.float32),
    )


def soft_pairs(
    soft_masks: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32], true: CroppedMasks
) -> SoftPairs:
    """Return soft masks together with the true masks on the same grid.

    The true masks are cropped to the predicted boxes and resized to S x S cells.

    Args:
        soft_masks: soft masks of R matched predictions, shape (R, S, S); a value divided by 255 is
            the probability.
        boxes: predicted boxes, xyxy in image pixels, shape (R, 4).
        true: the R true masks that match the predictions, in the same order.
    """
    (targets,) = multires_mask_targets(
        true, torch.from_numpy(boxes), torch.arange(len(boxes)), soft_masks.shape[-1:]
    )
    return SoftPairs(soft_masks, boxes, targets.numpy().astype(np.uint8))


def match_class(
    predictions: Sequence[dict[str, Any]],
    truth: Sequence[dict[str, Any]],
    height: int,
    width: int,
    thresholds: Sequence[float] = (IOU_THRESHOLD,),
) -> list[Matches]:
    """Match the predictions of one class in one image to the true instances by mask IoU.

    Args:
        predictions: COCO annotations (RLE or polygons). They are matched in the order of descending
            ``score``; a missing score counts as 1.
        truth: COCO annotations. Crowds (``iscrowd``) are handled as in COCO's evaluation.
        height: height of the image in pixels.
        width: width of the image in pixels.
        thresholds: smallest mask IoUs of a match; the matching is done once per threshold.

    Returns:
        One result per threshold, in the order of ``thresholds``.
    """
    predictions = sorted(predictions, key=lambda annotation: -annotation.get("score", 1.0))
    predicted_rles, true_rles = (
        [to_rle(annotation["segmentation"], height, width) for annotation in annotations]
        for annotations in (predictions, truth)
    )
    crowd = np.array([bool(a.get("iscrowd", 0)) for a in truth], bool)
    overlaps = np.zeros((len(predictions), len(truth)))
    if predictions and truth:
        overlaps = coco_mask.iou(predicted_rles, true_rles, crowd.astype(np.uint8).tolist())
    results = []
    for threshold in thresholds:
        matches = match_instances(overlaps, crowd, threshold).tolist()
        true_positives = {p: t for p, t in enumerate(matches) if t >= 0 and not crowd[t]}
        detected = set(true_positives.values())
        results.append(
            Matches(
                [
                    MaskPair(
                        predictions[p], truth[t], predicted_rles[p], true_rles[t], overlaps[p, t]
                    )
                    for p, t in true_positives.items()
                ],
                [annotation for annotation, t in zip(predictions, matches, strict=True) if t < 0],
                [a for t, a in enumerate(truth) if not crowd[t] and t not in detected],
            )
        )
    return results


def match_image(
    predictions: Sequence[dict[str, Any]],
    truth: Sequence[dict[str, Any]],
    height: int,
    width: int,
    threshold: float = IOU_THRESHOLD,
) -> Matches:
    """Match the predictions of one image to its true instances of the same class by mask IoU.

    Args:
        predictions: COCO annotations of any classes (RLE or polygons). They are matched in the
            order of descending ``score``; a missing score counts as 1.
        truth: COCO annotations with the category ids of ``predictions``. Crowds (``iscrowd``) are
            handled as in COCO's evaluation.
        height: height of the image in pixels.
        width: width of the image in pixels.
        threshold: smallest mask IoU of a match.

    Returns:
        The result of all classes together, by ascending category id.
    """
    predictions_of, truth_of = by_category(predictions), by_category(truth)
    total = Matches([], [], [])
    # Sort the categories, so that the same input gives the same output.
    for category in sorted({*predictions_of, *truth_of}):
        (matches,) = match_class(
            predictions_of[category], truth_of[category], height, width, [threshold]
        )
        total.pairs.extend(matches.pairs)
        total.false_positives.extend(matches.false_positives)
        total.false_negatives.extend(matches.false_negatives)
    return total
