"""Check the segmentations of COCO annotations (polygons or run lengths), and encode them as RLE."""

from math import isfinite
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg._native import crops_from_rle

# pycocotools walks along a polygon's edges and runs out of memory if a point is far away.
FARTHEST = 2**20


def is_polygon(polygon: Any) -> bool:
    """Tell whether a value is a list [x0, y0, x1, y1, ...] of at least three points.

    Each coordinate must be a number from -2**20 to 2**20.
    """
    return is_list_of_pairs(polygon) and len(polygon) >= 6


def is_list_of_pairs(polygon: Any) -> bool:
    """Tell whether a value is a flat list x0, y0, x1, y1, … of numbers from -2**20 to 2**20."""
    if not isinstance(polygon, list) or len(polygon) % 2:
        return False
    try:
        # A NaN among the numbers makes their sum NaN, but not always their minimum.
        total, low, high = sum(polygon), min(polygon, default=0), max(polygon, default=0)
        return isfinite(total) and low >= -FARTHEST and high <= FARTHEST
    except (TypeError, OverflowError):
        return False


def to_rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Convert polygons or an uncompressed RLE to a compressed RLE.

    A valid compressed RLE is returned unchanged.

    Polygons of fewer than three points are left out. If no polygon remains, the mask is empty. An
    RLE keeps its ``size``, even if this size differs from the image's size.

    Args:
        segmentation: value of the key ``segmentation`` in an annotation; None is an empty mask.
        height, width: size of the image in pixels.

    Raises:
        ValueError: the segmentation is neither a list of polygons nor a valid RLE. The message is a
            phrase, such as "found 'x'", which the caller puts into a sentence.
    """
    from pycocotools import mask as coco_mask

    if isinstance(segmentation, dict):
        return _compressed(segmentation)
    if not isinstance(segmentation, list | tuple | None):
        raise ValueError(f"found {repr(segmentation)[:40]}")
    for polygon in segmentation or ():
        if not is_list_of_pairs(polygon):
            raise ValueError(
                f"found the polygon {polygon!s:.40}, expected a flat list x0, y0, x1, y1, … of "
                "numbers from -2**20 to 2**20"
            )
    polygons = [polygon for polygon in segmentation or () if len(polygon) >= 6]
    if polygons:
        return dict(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    empty = {"size": [height, width], "counts": [height * width]}
    return dict(coco_mask.frPyObjects(empty, height, width))


def decode_crop(rle: dict[str, Any]) -> tuple[npt.NDArray[np.bool_], tuple[int, int, int, int]]:
    """Decode a mask inside its bounding box; no full-size mask is created.

    Args:
        rle: a compressed RLE.

    Returns:
        The pair (crop, place). The crop is the mask inside its bounding box, shape (h, w), bool. An
        empty mask has a crop of 0 x 0 pixels. The place is the box (top, bottom, left, right) in
        pixels of the image; bottom and right are exclusive.

    Raises:
        ValueError: the counts do not hold the run lengths of an image of the RLE's ``size``.
    """
    bits, _, ((x, y, w, h),) = crops_from_rle([rle["counts"]], *rle["size"])
    packed = bits.reshape(int(h), (int(w) + 7) // 8)
    mask = np.unpackbits(packed, axis=1, count=int(w), bitorder="little").astype(bool)
    return mask, (int(y), int(y + h), int(x), int(x + w))


def require_size(
    rle: dict[str, Any], annotation: dict[str, Any], image: dict[str, Any], source: object = None
) -> None:
    """Refuse an RLE that has another size than its image.

    Args:
        rle: the RLE.
        annotation: the mask's annotation, whose id the message names.
        image: the image's entry in a COCO json.
        source: path of the json, with which the message begins; None leaves the path out.

    Raises:
        ValueError: the sizes differ.
    """
    height, width = image["height"], image["width"]
    if list(rle["size"]) != [height, width]:
        raise ValueError(
            f"{source}: "
            * (source is not None)
            + f"the mask of annotation {annotation.get('id')} is for an image of "
            f"{rle['size'][1]} x {rle['size'][0]} pixels, but {image['file_name']} has "
            f"{width} x {height}; export the labels again"
        )


def _compressed(rle: dict[str, Any]) -> dict[str, Any]:
    counts: Any = rle.get("counts")
    try:
        height, width = map(index, rle.get("size", ()))
        # pycocotools reads beyond the end of counts that are cut off.
        crops_from_rle([] if isinstance(counts, list) else [counts], height, width)
        if not isinstance(counts, list):
            return rle
        runs = list(map(index, counts))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"found an RLE with the size {repr(rle.get('size'))[:40]} that cannot be decoded"
        ) from error
    if min(runs, default=0) < 0:
        raise ValueError("found an RLE with a negative run length")
    if sum(runs) != height * width:
        raise ValueError(
            f"found an RLE whose runs add up to {sum(runs)} pixels, but whose size {rle['size']} "
            f"has {height * width} pixels"
        )
    from pycocotools import mask as coco_mask

    encoded = {"size": [height, width], "counts": runs}
    return dict(coco_mask.frPyObjects(encoded, height, width))
