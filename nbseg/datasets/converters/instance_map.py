"""Encode the instances of one image, given a map that holds each pixel's instance number."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask


def encode_instances(
    ids: npt.NDArray[Any], wanted: Callable[[int], bool]
) -> dict[int, dict[str, Any]]:
    """Encode each instance in a map of instance numbers as a compressed COCO RLE.

    One pass over the map finds the runs of all instances. ``pycocotools.mask.encode`` would give
    the same bytes, but it needs a full-size mask per instance and takes ten times as long.

    Args:
        ids: instance number of each pixel, shape (H, W), an integer dtype.
        wanted: function that returns whether to encode the instance with a given number.

    Returns:
        A dictionary from each encoded number, in ascending order, to the COCO annotation's
        ``segmentation`` (with ``counts`` as str), ``bbox`` (x, y, w, h) and ``area``.
    """
    height, width = ids.shape
    # Runs go down the columns. cv2.transpose is several times faster than a transposed numpy copy.
    flat = cv2.transpose(ids).ravel()
    starts = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], starts])
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    numbers, firsts = np.unique(values[order], return_index=True)
    found = {}
    for number, runs in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
        if not wanted(number):
            continue
        borders = np.stack([starts[runs], ends[runs]], axis=1).ravel()
        counts = np.diff(borders, prepend=0).tolist()
        if borders[-1] < flat.size:
            counts.append(int(flat.size - borders[-1]))
        rle = {"size": [height, width], "counts": counts}
        found[number] = annotation_of(coco_mask.frPyObjects(rle, height, width))
    return found


def annotation_of(rle: dict[str, Any]) -> dict[str, Any]:
    """Return the ``segmentation``, ``bbox`` and ``area`` of a COCO annotation.

    Args:
        rle: a compressed RLE.
    """
    counts = rle["counts"]
    return {
        "segmentation": {
            "size": [int(side) for side in rle["size"]],
            "counts": counts.decode() if isinstance(counts, bytes) else counts,
        },
        "bbox": coco_mask.toBbox(rle).tolist(),
        "area": int(coco_mask.area(rle)),
    }
