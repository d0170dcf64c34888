"""Turn the stored raw predictions of a teacher into a COCO json of pseudo-labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mmengine.logging import MMLogger
from pycocotools import mask as coco_mask

from nbseg.coco import category_ids, load_coco, write_coco
from nbseg.ops import paste_rle
from nbseg.pseudo.predictions import ImagePredictions, PredictionStore
from nbseg.pseudo.selection import (
    Candidates,
    choose_box_thresholds,
    find_candidates,
    scores_and_labels,
    select_predictions,
    total_foreground,
    with_progress,
)
from nbseg.pseudo.thresholds import (
    fixed_box_thresholds,
    foreground_fraction,
    instances_per_image,
    match_pixel_threshold,
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
    keep_best: bool = False,
) -> dict[str, Any]:
    """Choose pseudo-labels from raw predictions, and write them to a COCO json.

    By default, the thresholds are chosen so that pseudo-labels and labeled objects agree in two
    numbers: how many there are per image, and which share of the pixels in their boxes is
    foreground, that is, belongs to a mask.

    Args:
        store: raw predictions on the unlabeled images.
        labeled_json: COCO json of the labeled images, which defines the statistics to match and the
            categories.
        classes: class names in the order of the predicted labels 0, 1, ...
        out: COCO json to write, with RLE masks and scores; the file appears when it is complete.
        box_threshold: lowest score of a pseudo-label: one score for all classes, one score per
            class name, ``"match"`` or ``"match_total"``. ``"match"`` chooses a threshold for each
            class. With this threshold, an unlabeled image has on average as many pseudo-labels of
            the class as a labeled image has instances. ``"match_total"`` chooses one threshold for
            all classes by the number of instances of all classes (Data Distillation).
        pixel_threshold: lowest probability of a foreground pixel: a number or ``"match"``. With the
            number that ``"match"`` chooses, the share of foreground in the pseudo-labels' boxes is
            closest to the share in the labeled boxes.
        floor: lower bound of the box thresholds that ``"match"`` and ``"match_total"`` choose.
        mask_nms_iou: of two predictions whose masks have this IoU or more, at most one is kept,
            even if their classes differ. None keeps all predictions.
        keep_best: whether an image keeps its prediction with the highest score if no prediction
            reaches the threshold of its class (STAC).

    Returns:
        The ``info`` of the json, with these keys:

        - ``description``: a fixed string
        - ``pixel_threshold``: the pixel threshold in use
        - ``labeled_foreground_fraction``: share of foreground inside the labeled boxes; None if the
          argument ``pixel_threshold`` is a number
        - ``foreground_at_threshold``: list of 256 numbers; entry v is the share of foreground
          inside the boxes of the pseudo-labels at the pixel threshold v / 255
        - ``left_out``: file names of the unlabeled images that could not be read
        - ``classes``: a dictionary for each class name, with the keys below

        The dictionary of a class has these keys:

        - ``box_threshold``: the score threshold in use; None if the class has too few labeled
          instances for a single pseudo-label
        - ``labeled_per_image``: mean number of instances per labeled image
        - ``pseudo_per_image``: mean number of pseudo-labels per unlabeled image
        - ``score_histogram``: number of predictions in each of 100 bins of scores from 0 to 1,
          without predictions whose score is too low for any class or that ``mask_nms_iou`` removes

    Annotations are written one by one. Memory holds the scores of all predictions, but the masks of
    only ``PredictionStore.PARTS_IN_MEMORY`` files of the store.

    Raises:
        ValueError: no pseudo-label remains, ``box_threshold`` is invalid, there is no labeled box
            to match the pixel threshold to, or ``classes`` differ from the classes of the labeled
            json or of the store.
    """
    truth = load_coco(labeled_json)
    categories = category_ids(truth.dataset["categories"], classes, labeled_json)
    predicted = store.classes()
    if predicted not in ([], list(classes)):
        raise ValueError(
            f"{store.folder} has predictions of the classes {predicted}, but the classes are now "
            f"{list(classes)}; predict again (tools/train.py CONFIG --redo predict)"
        )
    per_image = instances_per_image(truth, categories)
    fixed = fixed_box_thresholds(box_threshold, classes)
    fraction = foreground_fraction(truth, categories) if pixel_threshold == "match" else None

    lowest = floor if fixed is None else float(fixed.min())
    if keep_best:
        lowest = 0.0
    candidates = [
        find_candidates(image, lowest, mask_nms_iou)
        for image in with_progress(store, "removing overlapping masks")
    ]
    together = box_threshold == "match_total"
    if fixed is None and not together:
        _warn_of_unlabeled_classes(classes, per_image)
    thresholds = choose_box_thresholds(candidates, fixed, per_image, floor, together, keep_best)
    foreground = total_foreground(
        select_predictions(store, candidates, thresholds, "measuring the foreground", keep_best)
    )
    if fraction is None:
        pixel = float(pixel_threshold)
    else:
        pixel = match_pixel_threshold(foreground, fraction)
    info: dict[str, Any] = {
        "description": "pseudo-labels made by nbseg",
        "pixel_threshold": pixel,
        "labeled_foreground_fraction": fraction,
        "foreground_at_threshold": foreground.tolist(),
        "left_out": store.left_out(),
        "classes": _class_info(candidates, classes, thresholds, per_image),
    }
    annotations = (
        annotation
        for image in select_predictions(
            store, candidates, thresholds, "writing pseudo-labels", keep_best
        )
        for annotation in _annotations(image, pixel, categories)
    )
    images = [image.description for image in candidates]
    selected = sum(len(image.above(thresholds, keep_best)) for image in candidates)
    _write(out, images, [truth.cats[c] for c in categories], annotations, selected, info)
    return info


def _class_info(
    candidates: Sequence[Candidates],
    classes: Sequence[str],
    thresholds: npt.NDArray[np.float64],
    per_image: npt.NDArray[np.float64],
) -> dict[str, dict[str, Any]]:
    scores, labels = scores_and_labels(candidates)
    return {
        name: {
            "box_threshold": float(thresholds[i]) if np.isfinite(thresholds[i]) else None,
            "labeled_per_image": float(per_image[i]),
            "pseudo_per_image": 0.0,  # counted while the annotations are written
            "score_histogram": np.histogram(scores[labels == i], 100, (0, 1))[0].tolist(),
        }
        for i, name in enumerate(classes)
    }


def _write(
    out: str | Path,
    images: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    annotations: Iterable[dict[str, Any]],
    selected: int,
    info: dict[str, Any],
) -> None:
    """Write the json, and set each class's ``pseudo_per_image`` in ``info``."""
    counts: Counter[int] = Counter()

    def numbered() -> Iterator[dict[str, Any]]:
        for number, annotation in enumerate(annotations, start=1):
            counts[annotation["category_id"]] += 1
            yield {"id": number, **annotation}

    def tables() -> Iterator[tuple[str, Any]]:
        yield "images", images
        yield "categories", categories
        yield "annotations", numbered()
        if not counts:
            raise ValueError(
                f"the masks of all {selected} pseudo-labels are empty at the pixel threshold "
                f"{info['pixel_threshold']:.3f}; set label.pixel_threshold to a lower number"
            )
        for category in categories:
            per_image = counts[category["id"]] / len(images)
            info["classes"][category["name"]]["pseudo_per_image"] = per_image
        yield "info", info

    write_coco(out, tables())
    _log_totals(info, counts.total(), len(images))


def _warn_of_unlabeled_classes(classes: Sequence[str], per_image: npt.NDArray[np.float64]) -> None:
    for name, mean in zip(classes, per_image, strict=True):
        if mean == 0:
            MMLogger.get_current_instance().warning(
                f"class {name!r} has no labeled instance, so none of its predictions is kept; "
                "label an image that shows the class"
            )


def _log_totals(info: dict[str, Any], instances: int, images: int) -> None:
    logger = MMLogger.get_current_instance()
    labeled = sum(values["labeled_per_image"] for values in info["classes"].values())
    pseudo = instances / images
    logger.info(
        f"pseudo-labels: {instances} instances on {images} images ({pseudo:.2f} per image; the "
        f"labeled images have {labeled:.2f}), pixel threshold {info['pixel_threshold']:.3f}"
    )
    if abs(pseudo - labeled) > 0.2 * labeled:
        logger.warning(
            f"there are {pseudo:.2f} pseudo-labels per unlabeled image but {labeled:.2f} instances "
            "per labeled image. Possible reasons: the unlabeled images differ from the labeled "
            "ones; the teacher is weak; label.box_threshold or label.floor is badly chosen"
        )


def _annotations(
    image: ImagePredictions, pixel_threshold: float, category_ids: list[int]
) -> Iterator[dict[str, Any]]:
    """Yield a COCO annotation without an id for each mask that is not empty."""
    rles = paste_rle(image.soft_masks, image.boxes, image.height, image.width, pixel_threshold)
    for box, score, label, rle in zip(
        image.boxes.tolist(), image.scores.tolist(), image.labels.tolist(), rles, strict=True
    ):
        # Measure one mask at a time: pycocotools fails on a list of more than 255 masks.
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
