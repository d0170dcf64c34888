"""Check single annotations of a COCO json: boxes, polygons and RLE masks."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg._native import crops_from_rle
from nbseg.coco_masks import to_rle
from nbseg.coco_values import has_broken_polygon, is_number, polygon_area

# A box may differ from its mask's tight box, or extend beyond the image, by up to this number of
# pixels: COCO's boxes enclose the points of polygons, not whole pixels.
TOLERANCE = 2.0
# If most objects of a json have the problem CORNERS or the problem APART, training goes wrong
# without an error. A single object may have the problem CORNERS by chance, if its box is loose and
# near the top left corner of the image.
CORNERS = "boxes that are given as two corners (x0, y0, x1, y1) instead of x, y, width, height"
OVERLAP = 0.1
# MMDetection's data set fails on such annotations; nbseg computes the area.
NO_AREA = "annotations without an 'area'"
APART = f"boxes whose IoU with the tight boxes of their masks is less than {OVERLAP}"


def annotation_problem(annotation: dict[str, Any], height: int, width: int) -> str | None:
    """Return the first problem of an annotation, or None if there is no problem.

    Args:
        annotation: an annotation of a COCO json, whose values
            :func:`nbseg.coco_values.normalize` has converted to numbers. The key ``bbox`` is
            required; ``segmentation`` is optional.
        height, width: size of the image in pixels.

    Returns:
        The kind of the problem in the plural, such as "boxes less than a pixel wide or high".
    """
    try:
        x, y, w, h = (float(value) for value in annotation["bbox"])
    except (TypeError, ValueError, OverflowError):
        return "boxes that are not four numbers"
    # Check first for problems that stop a training: only the first problem is reported.
    if has_broken_polygon(annotation):
        return "polygons that are not flat lists of x, y pairs with values from -2**20 to 2**20"
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
    # MMDetection's data set drops boxes below one pixel.
    if w < 1 or h < 1:
        return "boxes less than a pixel wide or high"
    area: Any = annotation.get("area")
    if area is not None and (not is_number(area) or area <= 0):
        return "annotations without a positive 'area'"
    tight = _tight_box(mask, crop, width, height) if mask else None
    fits = tight is not None and (abs(box - tight) <= TOLERANCE).all()
    if tight is not None and not fits and (abs([x, y, w, h] - tight) <= TOLERANCE).all():
        return CORNERS
    if (box[:2] < -TOLERANCE).any() or (box[2:] > limits[2:] + TOLERANCE).any():
        return f"boxes that extend more than {TOLERANCE:g} pixels beyond the image"
    if not mask or fits:
        return NO_AREA if area is None else None
    if tight is None:
        few = "polygons with fewer than three points or without area"
        return few if crop is None else "empty masks"
    if _iou(box, tight) < OVERLAP:
        return APART
    return (
        f"boxes with an edge more than {TOLERANCE:g} pixels away from the same edge of their "
        "masks' tight boxes"
    )


def _tight_box(mask: Any, crop: Any, width: int, height: int) -> npt.NDArray[Any] | None:
    """Return the corners (x0, y0, x1, y1) of the tight box of a mask, in pixels.

    The result is None if an RLE mask is empty, or if a polygon has fewer than three points or no
    area.

    Args:
        mask: list of polygons; ignored if ``crop`` is not None.
        crop: tight box (x, y, w, h) of an RLE mask in pixels; None if the mask is a list of
            polygons.
        width, height: size of the image in pixels.
    """
    if crop is not None:
        return np.concatenate([crop[:2], crop[:2] + crop[2:]]) if crop[2:].all() else None
    if any(len(polygon) < 6 or polygon_area(polygon) == 0 for polygon in mask):
        return None
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in mask])
    # COCO's boxes enclose the part of an object inside the image.
    corners = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return np.asarray(np.clip(corners, 0, [width, height] * 2))


def _iou(box: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    common = np.prod(np.maximum(sides, 0))
    return float(common / (np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - common))


def _crop(rle: dict[str, Any], height: int, width: int) -> npt.NDArray[Any] | None:
    """Return the tight box (x, y, w, h) of an RLE mask, in pixels.

    The result is None if the RLE is invalid, or if its size is not (height, width).
    """
    try:
        counts = to_rle(rle, height, width)["counts"]
        if list(rle["size"]) != [height, width]:
            return None
        return np.asarray(crops_from_rle([counts], height, width)[2][0])
    except ValueError:
        return None
