"""Convert bitmaps to the bit-packed crops of ``CroppedMasks``, and segmentations to RLEs."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.coco_masks import FARTHEST, to_rle


def pack_bitmaps(
    bitmaps: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Pack full-size masks, shape (G, H, W), bool or integer.

    Returns:
        ``bits`` (B,) uint8, ``starts`` (G,) int64 and ``crops`` (G, 4) int32 of ``CroppedMasks``.
    """
    boxes = [tight_box(bitmap) for bitmap in bitmaps]
    bits, starts = pack_crops(
        bitmap[y0:y1, x0:x1] != 0 for bitmap, (x0, y0, x1, y1) in zip(bitmaps, boxes, strict=True)
    )
    crops = [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes]
    return bits, starts, np.array(crops, np.int32).reshape(-1, 4)


def pack_crops(
    crops: Iterable[npt.NDArray[Any]],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return ``bits`` (B,) uint8 and ``starts`` (G,) int64 of crops (h, w), bool or 0 and 1."""
    packed = [np.packbits(crop, axis=1, bitorder="little").ravel() for crop in crops]
    ends = np.cumsum([0] + [part.size for part in packed], dtype=np.int64)
    return np.concatenate([np.zeros(0, np.uint8), *packed]), ends[:-1]


def tight_box(bitmap: npt.NDArray[Any]) -> tuple[int, int, int, int]:
    """Return the box (x0, y0, x1, y1) of the foreground; x1 and y1 are exclusive.

    The box is (0, 0, 0, 0) if there is no foreground.
    """
    rows = np.flatnonzero(bitmap.any(axis=1))
    if rows.size == 0:
        return 0, 0, 0, 0
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(bitmap[y0:y1].any(axis=0))
    return int(columns[0]), y0, int(columns[-1]) + 1, y1


def compressed_counts(segmentation: Any, height: int, width: int) -> str | bytes:
    """Return the compressed run-length counts of a COCO annotation's segmentation.

    Args:
        segmentation: polygons or an RLE, as in ``CroppedMasks.from_segmentations``.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Raises:
        ValueError: the size of an RLE is not [height, width], uncompressed counts do not add up to
            height * width, or a coordinate of a polygon is not a number from -2**20 to 2**20.
    """
    if isinstance(segmentation, dict):
        size: Any = segmentation.get("size")
        counts: Any = segmentation.get("counts")
        if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
            raise ValueError(
                f"an RLE mask must have the image's size [height, width] = [{height}, {width}], "
                f"found the size {size}"
            )
        if isinstance(counts, list):
            counts = to_rle(segmentation, height, width)["counts"]
        compressed: str | bytes = counts
        return compressed
    from pycocotools import mask as mask_utils

    polygons = [np.asarray(polygon, np.float64).ravel() for polygon in segmentation]
    if not polygons:
        return bytes(to_rle([], height, width)["counts"])
    points = np.concatenate(polygons)
    far = points[~(np.abs(points) <= FARTHEST)]  # NaN included
    if far.size:
        raise ValueError(
            f"the coordinates of polygons must lie between -{FARTHEST} and {FARTHEST} pixels, "
            f"found {far[0]}"
        )
    encoded = mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))
    return bytes(encoded["counts"])
