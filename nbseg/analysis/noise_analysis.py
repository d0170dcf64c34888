"""How noisy pseudo-labels are, measured against the true annotations that were hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from rich.console import Console
from rich.progress import track

from nbseg.analysis.mask_pairs import MaskPair, match_class
from nbseg.analysis.matching import Agreement
from nbseg.analysis.noise_curves import (
    AccuracyAtDistance,
    AccuracyByDistance,
    IoUAtSize,
    IoUBySize,
)
from nbseg.coco import by_category
from nbseg.structures import CroppedMasks

IOU_THRESHOLDS = (0.5, 0.75)


@dataclass(frozen=True)
class ImageAgreement:
    """One image at mask IoU 0.5.

    ``mean_iou`` is that of the matched pairs, None without any. ``quality`` is panoptic quality
    (Kirillov et al., 2019), F1 times that mean; None where there is nothing to find and nothing was
    found.
    """

    image_id: int
    agreement: Agreement
    mean_iou: float | None
    quality: float | None


@dataclass(frozen=True)
class NoiseAnalysis:
    """Predictions against the truth; ``dataclasses.asdict`` makes it json.

    Attributes:
        images: those compared.
        mean_iou: of the pairs matched at mask IoU 0.5, at image resolution; None without any.
        total: by mask IoU threshold ("0.5", "0.75"), all classes together.
        classes: by mask IoU threshold, then by class name.
        accuracy_by_distance: the paper's Fig. 3a.
        iou_by_size: the paper's Fig. 3b.
        per_image: in the order of the predictions' json.
    """

    images: int
    mean_iou: float | None
    total: dict[str, Agreement]
    classes: dict[str, dict[str, Agreement]]
    accuracy_by_distance: tuple[AccuracyAtDistance, ...]
    iou_by_size: tuple[IoUAtSize, ...]
    per_image: tuple[ImageAgreement, ...]


def analyze_noise(predicted: COCO, truth: COCO) -> NoiseAnalysis:
    """Compare predictions with true annotations, image by image; shows its progress on stderr.

    Images are matched by id, and those without truth are left out; so are true instances of
    categories that the predictions do not know. Crowds count as in COCO's evaluation, but no
    prediction is cut off by rank.

    Args:
        predicted: indexed COCO annotations (RLE or polygons) with ``score``.
        truth: likewise, without scores.
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
        found, wanted = (by_category(coco.imgToAnns[image]) for coco in (predicted, truth))
        size = truth.imgs[image]["height"], truth.imgs[image]["width"]
        for index, category in enumerate(categories):
            if not found[category] and not wanted[category]:
                continue
            results = match_class(found[category], wanted[category], *size, IOU_THRESHOLDS)
            for t, result in enumerate(results):
                unmatched = len(result.unmatched_found), len(result.unmatched_wanted)
                counts[t, index] += [len(result.pairs), *unmatched]
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
        by_distance.add(coco_mask.decode(pair.predicted), coco_mask.decode(pair.true), pair.box)
    image_size = pairs[0].true["size"]
    by_size.add(
        CroppedMasks.from_segmentations([pair.predicted for pair in pairs], *image_size),
        CroppedMasks.from_segmentations([pair.true for pair in pairs], *image_size),
        torch.tensor([pair.box for pair in pairs], dtype=torch.float32),
    )


def _image_agreement(image_id: int, counts: np.ndarray, ious: list[float]) -> ImageAgreement:
    agreement = Agreement.of(*counts)
    mean_iou = float(np.mean(ious)) if ious else None
    quality = None if agreement.f1 is None else agreement.f1 * (mean_iou or 0.0)
    return ImageAgreement(image_id, agreement, mean_iou, quality)
