"""Measure the errors of pseudo-labels by comparing them with the true annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from rich.console import Console
from rich.progress import track

from nbseg.analysis.mask_pairs import MaskPair, match_class, stack_pairs
from nbseg.analysis.matching import Agreement
from nbseg.analysis.noise_curves import (
    AccuracyAtDistance,
    AccuracyByDistance,
    IoUAtSize,
    IoUBySize,
)
from nbseg.coco import by_category

IOU_THRESHOLDS = (0.5, 0.75)


@dataclass(frozen=True)
class ImageAgreement:
    """Holds how well predictions agree with the truth on one image.

    A prediction and a true instance match at a mask IoU of at least 0.5. ``agreement`` has the
    precision, recall and F1 of the predictions. ``mean_iou`` is the mean mask IoU of the matched
    pairs, or None if there are no pairs.

    ``quality`` is the panoptic quality (Kirillov et al., 2019), which is F1 times mean IoU.
    ``quality`` is None if the image has neither predictions nor true instances.
    """

    image_id: int
    agreement: Agreement
    mean_iou: float | None
    quality: float | None


@dataclass(frozen=True)
class NoiseAnalysis:
    """Holds a comparison of predictions with the truth.

    The result of ``dataclasses.asdict`` can be written as json.

    Attributes:
        images: number of images compared.
        mean_iou: mean mask IoU, at image resolution, of the matched pairs, which have an IoU of at
            least 0.5; None if there are no pairs.
        total: precision, recall and F1 of all classes together. The keys "0.5" and "0.75" are the
            smallest mask IoU of a match.
        classes: precision, recall and F1 of each class. The outer keys are those of ``total``, and
            the inner keys are class names.
        accuracy_by_distance: pixel accuracy by distance to the true boundary (Noisy Boundaries,
            Fig. 3a).
        iou_by_size: mask IoU and boundary IoU by mask size (Noisy Boundaries, Fig. 3b).
        per_image: agreement on each image, in the order of the predictions' json.
    """

    images: int
    mean_iou: float | None
    total: dict[str, Agreement]
    classes: dict[str, dict[str, Agreement]]
    accuracy_by_distance: tuple[AccuracyAtDistance, ...]
    iou_by_size: tuple[IoUAtSize, ...]
    per_image: tuple[ImageAgreement, ...]


def analyze_noise(predicted: COCO, truth: COCO) -> NoiseAnalysis:
    """Compare predictions with true annotations; the progress is shown on stderr.

    Images are matched by id. Images that ``truth`` does not list are left out. True instances are
    left out if ``predicted`` does not list their category.

    Crowds are handled as in COCO's evaluation: a prediction that matches a crowd is neither right
    nor wrong. Unlike in COCO's evaluation, all predictions count, not only the best 100 per image
    and class.

    Args:
        predicted: predictions as an indexed COCO json (RLE or polygons) with a ``score`` each.
        truth: true annotations as an indexed COCO json (RLE or polygons).

    Returns:
        The agreement at the mask IoUs 0.5 and 0.75, and the curves of mask quality.
    """
    categories = list(predicted.cats)
    counts = np.zeros((len(IOU_THRESHOLDS), len(categories), 3), np.int64)
    by_size, by_distance = IoUBySize(), AccuracyByDistance()
    ious: list[float] = []
    per_image = []
    images = [image for image in predicted.imgs if image in truth.imgs]
    for image in track(images, "comparing with the truth", console=Console(stderr=True)):
        before = counts[0].sum(axis=0)
        pairs: list[MaskPair] = []
        predictions_of, truth_of = (
            by_category(coco.imgToAnns[image]) for coco in (predicted, truth)
        )
        size = truth.imgs[image]["height"], truth.imgs[image]["width"]
        for index, category in enumerate(categories):
            predictions, true_instances = predictions_of[category], truth_of[category]
            if not predictions and not true_instances:
                continue
            results = match_class(predictions, true_instances, *size, IOU_THRESHOLDS)
            for t, matches in enumerate(results):
                wrong = len(matches.false_positives), len(matches.false_negatives)
                counts[t, index] += [len(matches.pairs), *wrong]
            pairs += results[0].pairs
        _add_to_curves(pairs, by_size, by_distance)
        image_ious = [pair.iou for pair in pairs]
        per_image.append(_image_agreement(image, counts[0].sum(axis=0) - before, image_ious))
        ious += image_ious

    names = [predicted.cats[category]["name"] for category in categories]
    keys = [str(threshold) for threshold in IOU_THRESHOLDS]
    return NoiseAnalysis(
        images=len(images),
        mean_iou=float(np.mean(ious)) if ious else None,
        total={key: Agreement.of(*counts[t].sum(axis=0)) for t, key in enumerate(keys)},
        classes={
            key: {name: Agreement.of(*counts[t, i]) for i, name in enumerate(names)}
            for t, key in enumerate(keys)
        },
        accuracy_by_distance=by_distance.points(),
        iou_by_size=by_size.points(),
        per_image=tuple(per_image),
    )


def _add_to_curves(
    pairs: Sequence[MaskPair], by_size: IoUBySize, by_distance: AccuracyByDistance
) -> None:
    if not pairs:
        return
    for pair in pairs:
        predicted, true = coco_mask.decode(pair.predicted_rle), coco_mask.decode(pair.true_rle)
        by_distance.add(predicted, true, pair.true_box)
    by_size.add(*stack_pairs(pairs))


def _image_agreement(
    image_id: int, counts: npt.NDArray[np.int64], ious: list[float]
) -> ImageAgreement:
    agreement = Agreement.of(*counts)
    mean_iou = float(np.mean(ious)) if ious else None
    quality = None if agreement.f1 is None else agreement.f1 * (mean_iou or 0.0)
    return ImageAgreement(image_id, agreement, mean_iou, quality)
