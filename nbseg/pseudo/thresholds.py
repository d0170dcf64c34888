"""Choose score and pixel thresholds by the labeled set (Noisy Boundaries paper, section 4.1).

With these thresholds, unlabeled images have on average as many pseudo-labels as labeled images have
instances, and the share of foreground inside the boxes is the same in both sets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from nbseg.coco_masks import to_rle
from nbseg.coco_values import reason_left_out

LEVELS = 256  # number of values of a stored soft mask
# Values of box_threshold that match thresholds to the labeled set: "match" gives each class its own
# threshold, and "match_total" gives all classes the same threshold.
MATCHED = ("match", "match_total")


def instances_per_image(truth: COCO, category_ids: Sequence[int]) -> npt.NDArray[Any]:
    """Return, for each class, the mean number of instances per labeled image.

    Instances that training leaves out, such as crowds, do not count (see
    ``nbseg.coco_values.reason_left_out``).

    Args:
        truth: labeled set; images without instances count, too.
        category_ids: category ids of the labels 0, 1, ...

    Returns:
        float64, shape (C,).
    """
    label_of = {category: label for label, category in enumerate(category_ids)}
    counts = np.zeros(len(category_ids))
    for annotation in truth.anns.values():
        if annotation["category_id"] in label_of and not reason_left_out(annotation):
            counts[label_of[annotation["category_id"]]] += 1
    return counts / max(len(truth.imgs), 1)


def foreground_fraction(truth: COCO, category_ids: Sequence[int]) -> float:
    """Return the share of foreground pixels among all pixels inside the labeled boxes.

    Crowds, ignored instances and instances without a mask do not count, because training leaves
    them out (``nbseg.coco_values.reason_left_out``).

    Args:
        truth: labeled set.
        category_ids: categories that count.

    Raises:
        ValueError: no labeled box has an area above 0.
    """
    wanted = set(category_ids)
    foreground = inside = 0.0
    for annotation in truth.anns.values():
        if annotation["category_id"] not in wanted or reason_left_out(annotation):
            continue
        image = truth.imgs[annotation["image_id"]]
        x, y, w, h = annotation["bbox"]
        left, top = max(x, 0.0), max(y, 0.0)
        right, bottom = min(x + w, image["width"]), min(y + h, image["height"])
        rle = to_rle(annotation["segmentation"], image["height"], image["width"])
        foreground += float(coco_mask.area(rle))
        inside += max(right - left, 0.0) * max(bottom - top, 0.0)
    if inside == 0:
        raise ValueError(
            "no labeled box has an area above 0, so there is no foreground fraction to match; set "
            "label.pixel_threshold to a number"
        )
    return min(foreground / inside, 1.0)


def fixed_box_thresholds(
    box_threshold: str | float | Mapping[str, float], classes: Sequence[str]
) -> npt.NDArray[Any] | None:
    """Return the user's score threshold of each class, or None if nbseg chooses the thresholds.

    Args:
        box_threshold: one score for all classes, or one score per class name. With ``"match"`` or
            ``"match_total"``, nbseg chooses the thresholds.
        classes: class names, in the order of the labels.

    Returns:
        float64, shape (C,); None for ``"match"`` and ``"match_total"``.

    Raises:
        ValueError: a threshold is not a number, a class has no threshold, or a class is unknown.
    """
    if isinstance(box_threshold, str) and box_threshold in MATCHED:
        return None
    given: Mapping[str, Any] = (
        box_threshold
        if isinstance(box_threshold, Mapping)
        else dict.fromkeys(classes, box_threshold)
    )
    missing, unknown = sorted(set(classes) - set(given)), sorted(set(given) - set(classes))
    if missing or unknown:
        found = [f"it has no score for {missing}"] if missing else []
        found += [f"it has scores for the unknown classes {unknown}"] if unknown else []
        raise ValueError(
            f"label.box_threshold must have one score for each of the classes {list(classes)}, but "
            f"{'; '.join(found)}"
        )
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            place = f" for the class {name!r}" if given is box_threshold else ""
            raise ValueError(
                'label.box_threshold must be "match", "match_total", one score for all classes, or '
                f"a dict with one score per class name; found {value!r}{place}"
            )
    return np.array([float(given[name]) for name in classes])


def match_box_thresholds(
    scores: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    num_images: int,
    per_image: npt.NDArray[Any],
    floor: float = 0.1,
) -> npt.NDArray[Any]:
    """Choose score thresholds that keep as many boxes per image as labeled images have instances.

    The threshold of class c keeps the n boxes of this class with the highest scores in the whole
    set. The number n is ``per_image[c] * num_images``, rounded to an integer. If fewer than n boxes
    reach ``floor``, fewer boxes are kept. More boxes are kept only if several boxes have exactly
    the threshold's score.

    Args:
        scores: scores of all predictions, shape (N,).
        labels: labels of all predictions, shape (N,).
        num_images: number of unlabeled images, including those without predictions.
        per_image: labeled instances of each class per labeled image, shape (C,).
        floor: lowest score of a kept box.

    Returns:
        float64, shape (C,). Keep a box if ``score >= threshold``; ``inf`` keeps no box of a class.
    """
    # Compare scores with the floor in float64, as `Candidates.above` does.
    scores = scores.astype(np.float64)
    thresholds = np.full(len(per_image), np.inf)
    for label, mean in enumerate(per_image):
        wanted = int(np.floor(mean * num_images + 0.5))
        if wanted == 0:
            continue
        candidates = scores[(labels == label) & (scores >= floor)]
        if len(candidates) <= wanted:
            thresholds[label] = floor
        else:
            thresholds[label] = np.partition(candidates, -wanted)[-wanted]
    return thresholds


def soft_mask_histogram(soft_masks: npt.NDArray[Any], boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the number of image pixels that each of the 256 values of soft masks covers.

    A soft mask divides its box into S * S cells. Each cell counts as 1 / (S * S) of the box's area.

    Args:
        soft_masks: value of each cell (255 times the mask probability), uint8, shape (N, S, S).
        boxes: xyxy in image pixels, shape (N, 4).

    Returns:
        float64, shape (256,); entry v is the number of pixels with the value v.
    """
    histogram = np.zeros(LEVELS)
    if len(soft_masks) == 0:
        return histogram
    cells = soft_masks.shape[1] * soft_masks.shape[2]
    area = (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)
    weights = np.repeat(area.astype(np.float64) / cells, cells)
    return np.bincount(soft_masks.reshape(-1), weights=weights, minlength=LEVELS)


def foreground_at_threshold(histogram: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return, for each pixel threshold, the fraction of the boxes' pixels that are foreground.

    Args:
        histogram: number of pixels of each soft-mask value, shape (256,).

    Returns:
        float64, shape (256,). Entry v is the fraction at the pixel threshold v / 255: a pixel is
        foreground if its probability is at least v / 255.

    Raises:
        ValueError: the histogram counts no pixels.
    """
    total = histogram.sum()
    if total <= 0:
        raise ValueError(
            "all boxes of the pseudo-labels have an area of 0; train the teacher longer, or lower "
            "label.floor or label.box_threshold"
        )
    fractions: npt.NDArray[Any] = histogram[::-1].cumsum()[::-1] / total
    return fractions


def match_pixel_threshold(foreground: npt.NDArray[Any], fraction: float) -> float:
    """Return the pixel threshold whose foreground fraction is closest to ``fraction``.

    Args:
        foreground: foreground fraction at each pixel threshold, shape (256,); the result of
            :func:`foreground_at_threshold`.
        fraction: wanted foreground fraction; the result of :func:`foreground_fraction`.

    Returns:
        One of 1/255, 2/255 ... 255/255. A pixel is foreground if its probability is at least this
        threshold.
    """
    value = 1 + int(np.argmin(np.abs(foreground[1:] - fraction)))
    return value / (LEVELS - 1)
