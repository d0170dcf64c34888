"""From the prediction store to ``pseudo_labels.json``."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import MMLogger
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from nbseg.files import write_json
from nbseg.ops import paste_rle
from nbseg.pseudo.mask_nms import mask_nms
from nbseg.pseudo.predictions import ImagePredictions, PredictionStore
from nbseg.pseudo.thresholds import (
    foreground_fraction,
    instances_per_image,
    match_box_thresholds,
    match_pixel_threshold,
    soft_mask_histogram,
)


def make_pseudo_labels(
    store: PredictionStore,
    labelled_json: str | Path,
    classes: Sequence[str],
    out: str | Path,
    box_threshold: str | float | dict[str, float] = "match",
    pixel_threshold: str | float = "match",
    floor: float = 0.1,
    mask_nms_iou: float | None = 0.5,
) -> dict[str, Any]:
    """Turn raw predictions into pseudo-labels whose distribution is the labelled set's.

    Args:
        store: raw predictions on the unlabelled images.
        labelled_json: COCO json of the labelled images; gives the distribution and the categories.
        classes: class names, in the order of the labels.
        out: COCO json to write, with RLE masks and scores; it appears when it is whole.
        box_threshold: ``"match"`` (per class, by rank), one score for all classes, or one per class
            name.
        pixel_threshold: ``"match"``, or a probability.
        floor: with ``"match"``, the lowest score that may become a pseudo-label.
        mask_nms_iou: of predictions whose masks overlap by this IoU, whatever their classes, only
            the most confident may become a pseudo-label (``mask_nms``); None keeps all.

    Returns:
        The ``info`` of the json: thresholds, targets and counts.

    Raises:
        ValueError: no pseudo-label remains, or the classes are not those of the labelled json.
    """
    logger = MMLogger.get_current_instance()
    truth = load_coco(labelled_json)
    categories = category_ids(truth, classes, labelled_json)
    candidates: list[np.ndarray] = []  # of each image, which predictions may become labels
    scores: list[np.ndarray] = [np.zeros(0, np.float32)]
    labels: list[np.ndarray] = [np.zeros(0, np.int64)]
    for image in store:
        candidate = np.ones(len(image.scores), bool)
        if mask_nms_iou is not None:
            candidate = mask_nms(image, mask_nms_iou)
        candidates.append(candidate)
        scores.append(image.scores[candidate])
        labels.append(image.labels[candidate])
    num_images = len(candidates)
    all_scores, all_labels = np.concatenate(scores), np.concatenate(labels)
    per_image = instances_per_image(truth, categories)
    for name, mean in zip(classes, per_image, strict=True):
        if mean == 0:
            logger.warning(
                f"class {name!r} has no labelled instance: none of its predictions is kept"
            )

    if box_threshold == "match":
        thresholds = match_box_thresholds(all_scores, all_labels, num_images, per_image, floor)
    elif isinstance(box_threshold, dict):
        missing = sorted(set(classes) - set(box_threshold))
        if missing:
            raise ValueError(f"box_threshold has no score for the classes {missing}")
        thresholds = np.array([float(box_threshold[name]) for name in classes])
    else:
        thresholds = np.full(len(classes), float(box_threshold))

    kept = int((all_scores >= thresholds[all_labels]).sum())
    if kept == 0:
        raise ValueError(
            f"no pseudo-label remains of {len(all_scores)} predictions on {num_images} images "
            f"(best score {all_scores.max(initial=0):.3f}); train the teacher longer, or lower "
            "labels.floor or labels.box_threshold"
        )

    fraction = foreground_fraction(truth, categories)
    if pixel_threshold == "match":
        histogram = np.zeros(256)
        for image in _kept(store, candidates, thresholds):
            histogram += soft_mask_histogram(image.soft_masks, image.boxes)
        pixel = match_pixel_threshold(histogram, fraction)
    else:
        pixel = float(pixel_threshold)

    images, annotations = _annotations(_kept(store, candidates, thresholds), pixel, categories)
    if not annotations:
        raise ValueError(
            f"all {kept} pseudo-labels are empty masks at the pixel threshold {pixel:.3f}; lower "
            "labels.pixel_threshold"
        )
    count = np.bincount(
        [categories.index(a["category_id"]) for a in annotations], minlength=len(classes)
    )
    info = {
        "description": "pseudo-labels made by nbseg",
        "pixel_threshold": pixel,
        "labelled_foreground_fraction": fraction,
        "classes": {
            name: {
                "box_threshold": float(thresholds[i]) if np.isfinite(thresholds[i]) else None,
                "labelled_per_image": float(per_image[i]),
                "pseudo_per_image": float(count[i] / num_images),
            }
            for i, name in enumerate(classes)
        },
    }
    labelled_mean, pseudo_mean = float(per_image.sum()), len(annotations) / num_images
    logger.info(
        f"pseudo-labels: {len(annotations)} instances on {num_images} images "
        f"({pseudo_mean:.2f} an image, labelled {labelled_mean:.2f}), pixel threshold {pixel:.3f}"
    )
    if abs(pseudo_mean - labelled_mean) > 0.2 * labelled_mean:
        logger.warning(
            f"there are {pseudo_mean:.2f} pseudo-labels an image but {labelled_mean:.2f} labelled "
            "instances: the unlabelled images differ from the labelled ones, or the teacher is weak"
        )
    write_json(
        out,
        {
            "info": info,
            "images": images,
            "annotations": annotations,
            "categories": [truth.cats[category] for category in categories],
        },
    )
    return info


def _kept(
    store: PredictionStore, candidates: list[np.ndarray], thresholds: np.ndarray
) -> Iterator[ImagePredictions]:
    """Yield each image with what becomes its pseudo-labels."""
    for image, candidate in zip(store, candidates, strict=True):
        yield image.select(candidate & (image.scores >= thresholds[image.labels]))


def _annotations(
    predictions: Iterable[ImagePredictions], pixel: float, category_ids: list[int]
) -> tuple[list[dict], list[dict]]:
    """Return the COCO images and annotations; empty masks are dropped."""
    images: list[dict] = []
    annotations: list[dict] = []
    for image in predictions:
        images.append(
            {
                "id": image.image_id,
                "file_name": image.file_name,
                "height": image.height,
                "width": image.width,
            }
        )
        rles = paste_rle(image.soft_masks, image.boxes, image.height, image.width, pixel)
        for box, score, label, rle in zip(
            image.boxes.tolist(),
            image.scores.tolist(),
            image.labels.tolist(),
            rles,
            strict=True,
        ):
            area = int(coco_mask.area(rle))
            if area == 0:
                continue
            x1, y1, x2, y2 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.image_id,
                    "category_id": category_ids[label],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": area,
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return images, annotations


def load_coco(path: str | Path) -> COCO:
    """Load a COCO json without pycocotools' prints."""
    coco = COCO()
    with Path(path).open() as file:
        coco.dataset = json.load(file)
    # createIndex prints; the tables it makes are these.
    coco.imgs = {image["id"]: image for image in coco.dataset["images"]}
    coco.anns = {annotation["id"]: annotation for annotation in coco.dataset["annotations"]}
    coco.cats = {category["id"]: category for category in coco.dataset["categories"]}
    return coco


def category_ids(truth: COCO, classes: Sequence[str], path: str | Path) -> list[int]:
    """Return the category id of each label.

    MMDetection's ``CocoDataset`` numbers labels in the order of the json, whatever the order of
    ``metainfo.classes``; names and labels agree only where the two orders do.
    """
    ids = [category for category, entry in truth.cats.items() if entry["name"] in set(classes)]
    names = [truth.cats[category]["name"] for category in ids]
    if names != list(classes):
        raise ValueError(
            f"metainfo.classes is {list(classes)}, but {path} has the categories "
            f"{[entry['name'] for entry in truth.cats.values()]}; name them in its order"
        )
    return ids
