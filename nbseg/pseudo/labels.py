"""From the prediction store to ``pseudo_labels.json``."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import MMLogger
from pycocotools import mask as coco_mask
from rich.console import Console
from rich.progress import track

from nbseg.coco import category_ids, load_coco
from nbseg.files import replacing
from nbseg.ops import paste_rle
from nbseg.pseudo.mask_nms import mask_nms
from nbseg.pseudo.predictions import ImagePredictions, PredictionStore
from nbseg.pseudo.thresholds import (
    fixed_box_thresholds,
    foreground_at_threshold,
    foreground_fraction,
    instances_per_image,
    match_box_thresholds,
    match_pixel_threshold,
    soft_mask_histogram,
)


def make_pseudo_labels(
    store: PredictionStore,
    labeled_json: str | Path,
    classes: Sequence[str],
    out: str | Path,
    box_threshold: str | float | dict[str, float] = "match",
    pixel_threshold: str | float = "match",
    floor: float = 0.1,
    mask_nms_iou: float | None = 0.5,
) -> dict[str, Any]:
    """Turn raw predictions into pseudo-labels whose distribution is the labeled set's.

    Args:
        store: raw predictions on the unlabeled images.
        labeled_json: COCO json of the labeled images; gives the distribution and the categories.
        classes: class names, in the order of the labels.
        out: COCO json to write, with RLE masks and scores; it appears when it is whole.
        box_threshold: ``"match"`` (per class, by rank), one score for all classes, or one per class
            name.
        pixel_threshold: ``"match"``, or a probability.
        floor: with ``"match"``, the lowest score that may become a pseudo-label.
        mask_nms_iou: of predictions whose masks overlap by this IoU, whatever their classes, only
            the most confident may become a pseudo-label (``mask_nms``); None keeps all.

    Returns:
        The ``info`` of the json: thresholds, targets and counts, and what they were chosen from:
        ``foreground_at_threshold``, by pixel threshold v / 255, and the classes'
        ``score_histogram`` of 100 bins from 0 to 1. ``labeled_foreground_fraction`` is None where
        the pixel threshold is fixed.

    The json is written annotation by annotation, so memory is bounded by the scores, not the masks.

    Raises:
        ValueError: no pseudo-label remains, or the classes are not those of the labeled json or of
            the store.
    """
    logger = MMLogger.get_current_instance()
    truth = load_coco(labeled_json)
    categories = category_ids(truth, classes, labeled_json)
    predicted = store.classes()
    if predicted not in ([], list(classes)):
        raise ValueError(
            f"{store.folder} has predictions of {predicted}, but the classes are "
            f"{list(classes)}; predict again (--redo pseudo)"
        )
    per_image = instances_per_image(truth, categories)
    fixed = fixed_box_thresholds(box_threshold, classes)
    for name, mean in zip(classes, per_image, strict=True):
        if mean == 0 and fixed is None:
            logger.warning(
                f"class {name!r} has no labeled instance: none of its predictions is kept"
            )
    fraction = foreground_fraction(truth, categories) if pixel_threshold == "match" else None

    lowest = floor if fixed is None else fixed.min()
    candidates, num_predictions, best_score = [], 0, 0.0
    for image in _progress(store, "overlapping masks"):
        candidates.append(_candidates(image, lowest, mask_nms_iou))
        num_predictions += len(image.scores)
        best_score = max(best_score, float(image.scores.max(initial=0)))
    scores = np.concatenate([np.zeros(0, np.float32), *(image.scores for image in candidates)])
    labels = np.concatenate([np.zeros(0, np.int64), *(image.labels for image in candidates)])
    thresholds = fixed
    if thresholds is None:
        thresholds = match_box_thresholds(scores, labels, len(candidates), per_image, floor)
    kept = int((scores >= thresholds[labels]).sum())
    if kept == 0:
        raise ValueError(
            f"no pseudo-label remains of {num_predictions} predictions on {len(candidates)} images "
            f"(best score {best_score:.3f}); train the teacher longer, or lower labels.floor or "
            "labels.box_threshold"
        )

    def pseudo_labeled(activity: str) -> Iterator[ImagePredictions]:
        for image, chosen in zip(_progress(store, activity), candidates, strict=True):
            yield image.select(chosen.indices[chosen.scores >= thresholds[chosen.labels]])

    foreground = foreground_at_threshold(
        sum(
            soft_mask_histogram(image.soft_masks, image.boxes)
            for image in pseudo_labeled("pixel threshold")
        )
    )
    pixel = pixel_threshold
    if fraction is not None:
        pixel = match_pixel_threshold(foreground, fraction)
    info: dict[str, Any] = {
        "description": "pseudo-labels made by nbseg",
        "pixel_threshold": float(pixel),
        "labeled_foreground_fraction": fraction,
        "foreground_at_threshold": foreground.tolist(),
        "classes": {
            name: {
                "box_threshold": float(thresholds[i]) if np.isfinite(thresholds[i]) else None,
                "labeled_per_image": float(per_image[i]),
                "pseudo_per_image": 0.0,
                "score_histogram": np.histogram(scores[labels == i], 100, (0, 1))[0].tolist(),
            }
            for i, name in enumerate(classes)
        },
    }
    annotations = (
        annotation
        for image in pseudo_labeled("pseudo-labels")
        for annotation in _annotations(image, float(pixel), categories)
    )
    count = np.zeros(len(classes), int)
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'{{"images": {json.dumps([image.description for image in candidates])},\n')
        file.write(f'"categories": {json.dumps([truth.cats[c] for c in categories])},\n')
        file.write('"annotations": [')
        for index, annotation in enumerate(annotations):
            file.write((",\n" if index else "\n") + json.dumps({"id": index + 1, **annotation}))
            count[categories.index(annotation["category_id"])] += 1
        if not count.any():
            raise ValueError(
                f"all {kept} pseudo-labels are empty masks at the pixel threshold {pixel:.3f}; "
                "lower labels.pixel_threshold"
            )
        for name, mean in zip(classes, count / len(candidates), strict=True):
            info["classes"][name]["pseudo_per_image"] = float(mean)
        file.write(f'\n],\n"info": {json.dumps(info)}}}\n')

    labeled_mean, pseudo_mean = float(per_image.sum()), float(count.sum() / len(candidates))
    logger.info(
        f"pseudo-labels: {count.sum()} instances on {len(candidates)} images "
        f"({pseudo_mean:.2f} an image, labeled {labeled_mean:.2f}), pixel threshold {pixel:.3f}"
    )
    if abs(pseudo_mean - labeled_mean) > 0.2 * labeled_mean:
        logger.warning(
            f"there are {pseudo_mean:.2f} pseudo-labels an image but {labeled_mean:.2f} labeled "
            "instances: the unlabeled images differ from the labeled ones, or the teacher is weak"
        )
    return info


class _Candidates(NamedTuple):
    """The predictions of one image that may become pseudo-labels, without their soft masks."""

    description: dict[str, Any]  # of the image, as COCO has it
    indices: np.ndarray  # (N,) int64, among the image's predictions
    scores: np.ndarray  # (N,) float32
    labels: np.ndarray  # (N,) int64


def _candidates(
    image: ImagePredictions, lowest_score: float, mask_nms_iou: float | None
) -> _Candidates:
    # In this order: what overlaps a prediction and is less confident cannot suppress it.
    indices = np.flatnonzero(image.scores >= lowest_score)
    if mask_nms_iou is not None:
        indices = indices[mask_nms(image.select(indices), mask_nms_iou)]
    description = {
        "id": image.image_id,
        "file_name": image.file_name,
        "height": image.height,
        "width": image.width,
    }
    return _Candidates(description, indices, image.scores[indices], image.labels[indices])


def _progress(store: PredictionStore, activity: str) -> Iterable[ImagePredictions]:
    console = Console(stderr=True)
    return track(store, activity, total=len(store), transient=True, console=console)


def _annotations(
    image: ImagePredictions, pixel_threshold: float, category_ids: list[int]
) -> Iterator[dict[str, Any]]:
    """Yield the COCO annotation, yet without an id, of each mask that is not empty."""
    rles = paste_rle(image.soft_masks, image.boxes, image.height, image.width, pixel_threshold)
    for box, score, label, rle in zip(
        image.boxes.tolist(), image.scores.tolist(), image.labels.tolist(), rles, strict=True
    ):
        # One by one: pycocotools fails on a list of more than 255.
        area = int(coco_mask.area(rle))
        if area == 0:
            continue
        x1, y1, x2, y2 = box
        yield {
            "image_id": image.image_id,
            "category_id": category_ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
            "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
            "iscrowd": 0,
            "score": score,
        }
