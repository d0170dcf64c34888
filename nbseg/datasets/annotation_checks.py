"""Check single annotations of a COCO json: boxes, polygons and RLE masks."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg._native import crops_from_rle
from nbseg.coco_masks import to_rle
from nbseg.coco_values import has_broken_polygon, is_number, polygon_area

# Largest distance in pixels between a box and its mask: COCO's boxes enclose polygons, not pixels.
TOLERANCE = 2.0


def annotation_problem(annotation: dict[str, Any], height: int, width: int) -> str | None:
    """Return the kind of an annotation's first problem, or None if there is no problem.

    Args:
        annotation: an annotation after :func:`nbseg.coco_values.normalize`; it needs a ``bbox``,
            but no ``segmentation``.
        height, width: size of its image in pixels.

    Returns:
        A phrase in the plural, such as "boxes less than a pixel wide or high".
    """
    try:
        x, y, w, h = (float(value) for value in annotation["bbox"])
    except (TypeError, ValueError, OverflowError):
        return "boxes that are not four numbers"
    # Check first for problems that stop a training: only the first problem is reported.
    if has_broken_polygon(annotation):
        return "polygons that are not flat lists of x, y pairs within 2**20 pixels"
    mask = annotation.get("segmentation")
    crop = None
    if mask and not isinstance(mask, list):
        crop = _crop(mask, height, width)
        if crop is None:
            return "RLE masks that are invalid or not of the image's size"
    box = np.array([x, y, x + w, y + h])
    limits = np.array([0, 0, width, height])
    if not np.isfinite(box).all() or w <= 0 or h <= 0:
        return "boxes without area or with non-finite values"
    # MMDetection's data set drops boxes below one pixel and fails on annotations without an area.
    if w < 1 or h < 1:
        return "boxes less than a pixel wide or high"
    area: Any = annotation.get("area")
    if not is_number(area) or area <= 0:
        return "annotations without a positive 'area'"
    if (box[:2] < -TOLERANCE).any() or (box[2:] > limits[2:] + TOLERANCE).any():
        return f"boxes that extend more than {TOLERANCE:g} pixels beyond the image"
    if not mask:
        return None
    if crop is None:
        if any(len(polygon) < 6 or polygon_area(polygon) == 0 for polygon in mask):
            return "polygons with fewer than three points or without area"
        points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in mask])
        # COCO's boxes enclose the part of an object inside the image.
        tight = np.concatenate([points.min(axis=0), points.max(axis=0)])
        tight = np.clip(tight, 0, np.tile(limits[2:], 2))
    else:
        if not crop[2:].all():
            return "empty masks"
        tight = np.concatenate([crop[:2], crop[:2] + crop[2:]])
    if (abs(box - tight) > TOLERANCE).any():
        return f"boxes that differ by more than {TOLERANCE:g} pixels from their masks' tight boxes"
    return None


def _crop(rle: dict[str, Any], height: int, width: int) -> npt.NDArray[Any] | None:
    """Return the tight box (x, y, w, h) of an RLE mask.

    The result is None if the mask is invalid or its size is not (height, width).
    """
    try:
        counts = to_rle(rle, height, width)["counts"]
        if list(rle["size"]) != [height, width]:
            return None
        return np.asarray(crops_from_rle([counts], height, width)[2][0])
    except ValueError:
        return None
