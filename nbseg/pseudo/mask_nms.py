"""One object, one pseudo-label: suppression by mask overlap across classes."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from nbseg.ops import paste_rle
from nbseg.pseudo.predictions import ImagePredictions


def mask_nms(image: ImagePredictions, iou_threshold: float) -> npt.NDArray[Any]:
    """Choose the predictions of an image that no better one of any class covers.

    A detector's own NMS works by class, so an object whose class is uncertain leaves it several
    times. As predictions that is harmless; as labels it would teach the student that the same
    pixels are two objects of different classes. Masks tell such pairs from objects that merely have
    overlapping boxes, a rider and a bicycle.

    Args:
        image: raw predictions.
        iou_threshold: of the masks at probability 0.5.

    Returns:
        bool, shape (N,): True where every prediction that is kept and has a higher score (of equal
        ones, an earlier place) overlaps by less than the threshold.
    """
    keep = np.zeros(len(image.scores), bool)
    if not len(keep):
        return keep
    rles = paste_rle(image.soft_masks, image.boxes, image.height, image.width, 0.5)
    overlaps = coco_mask.iou(rles, rles, [0] * len(rles)) >= iou_threshold
    for index in np.argsort(-image.scores, kind="stable"):
        keep[index] = not overlaps[index, keep].any()
    return keep
