"""Find annotations that are valid, but that their labeling tool may have meant differently."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from nbseg.coco_masks import is_polygon, to_rle
from nbseg.coco_values import is_box
from nbseg.image_names import spread

# A hint on the whole json needs at least this share of suspicious objects.
MOST = 0.8
# Such a hint also needs at least this number of objects: with fewer, the share can be chance.
FEWEST = 10
# Largest number of annotations that are examined, evenly spread over the json.
LOOKED_AT = 5000


def annotation_hints(annotations: Sequence[dict[str, Any]]) -> list[str]:
    """Return hints on annotations that are valid, but may not have the masks that were meant.

    A hint can say that polygons end a pixel before their boxes end, that masks fill their whole
    boxes, or that a polygon lies inside another polygon. At most 5000 annotations are examined,
    evenly spread over the json.

    Args:
        annotations: annotations of a COCO json, whose values
            :func:`nbseg.coco_values.normalize` has converted to numbers. Malformed annotations are
            ignored.

    Returns:
        At most three texts. Each says what was found and how to repair it.
    """
    looked = "examined " if len(annotations) > LOOKED_AT else ""
    annotations = spread(annotations, LOOKED_AT)
    polygons = [a for a in annotations if _polygons(a) and is_box(a.get("bbox"))]
    hints = []
    centers = sum(map(_ends_a_pixel_early, polygons))
    if len(polygons) >= FEWEST and centers >= MOST * len(polygons):
        hints.append(
            f"{centers} of {len(polygons)} {looked}objects with polygons end exactly one pixel "
            "before the right and the lower edge of their boxes. If the polygons run through the "
            "centers of the border pixels, their masks lose a row and a column of pixels; fix this "
            "with tools/prepare_data.py import --pixel-centers"
        )
    masks = [a for a in annotations if a.get("segmentation") and is_box(a.get("bbox"))]
    full = sum(map(_fills_its_box, masks))
    if len(masks) >= FEWEST and full >= MOST * len(masks):
        hints.append(
            f"{full} of {len(masks)} {looked}masks fill their whole boxes. If the objects are not "
            "rectangular, the json has boxes in place of masks: export the masks again"
        )
    nested = [a for a in polygons if _has_polygon_inside(_polygons(a))]
    if nested:
        hints.append(
            f"objects with a polygon inside another polygon: {len(nested)} of {len(polygons)} "
            f"{looked}objects with polygons, the first: annotation {nested[0].get('id')}. COCO "
            "counts the inner polygon as a part of the object; if the inner polygon is a hole, run "
            "tools/prepare_data.py import --holes"
        )
    return hints


def _polygons(annotation: dict[str, Any]) -> list[list[float]]:
    segmentation = annotation.get("segmentation")
    if not isinstance(segmentation, list):
        return []
    return [polygon for polygon in segmentation if is_polygon(polygon)]


def _ends_a_pixel_early(annotation: dict[str, Any]) -> bool:
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in _polygons(annotation)])
    x, y, width, height = annotation["bbox"]
    whole = (points == np.round(points)).all()
    low = (points.min(axis=0) == (x, y)).all()
    high = (points.max(axis=0) == (x + width - 1, y + height - 1)).all()
    return bool(whole and low and high)


def _fills_its_box(annotation: dict[str, Any]) -> bool:
    x, y, width, height = annotation["bbox"]
    polygons = _polygons(annotation)
    if polygons:
        corners = {(x, y), (x + width, y), (x, y + height), (x + width, y + height)}
        points = {tuple(point) for point in np.reshape(polygons[0], (-1, 2)).tolist()}
        return len(polygons) == 1 and points == corners
    try:
        rle = to_rle(annotation["segmentation"], 0, 0)
    except ValueError:
        return False
    from pycocotools import mask as coco_mask

    return bool(coco_mask.area(rle) == width * height)


def _has_polygon_inside(polygons: list[list[float]]) -> bool:
    outlines = [np.reshape(polygon, (-1, 2)).astype(np.float32) for polygon in polygons]
    low = np.array([outline.min(axis=0) for outline in outlines])
    high = np.array([outline.max(axis=0) for outline in outlines])
    # A polygon can lie inside another polygon only if its box lies inside the other polygon's box.
    inside = (low[:, None] > low).all(axis=2) & (high[:, None] < high).all(axis=2)
    return any(
        all(cv2.pointPolygonTest(outlines[outer], point, False) > 0 for point in points)
        for inner, outer in np.argwhere(inside)
        for points in (outlines[inner].tolist(),)
    )
