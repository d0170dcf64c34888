"""Suppress predictions by mask overlap across classes, so that an object has one pseudo-label."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from nbseg.ops import paste_rle
from nbseg.pseudo.predictions import ImagePredictions


def mask_nms(image: ImagePredictions, iou_threshold: float) -> npt.NDArray[Any]:
    """Return which predictions stay if each mask suppresses overlapping masks with lower scores.

    A detector's NMS runs per class, so an object that is predicted as two classes is kept twice.
    As labels, these duplicates would teach the student that the same pixels are two objects of
    different classes. The overlap of the masks decides, not that of the boxes: a rider and a
    bicycle have overlapping boxes, but are two objects.

    Args:
        image: raw predictions.
        iou_threshold: of two masks with this IoU or more, at most one is kept. The IoU is that of
            the pixels with a probability of 0.5 or more.

    Returns:
        bool, shape (N,): True for a prediction whose IoU with every kept prediction of a higher
        score is below the threshold. Of two equal scores, the first counts as higher.
    """
    keep = np.zeros(len(image.scores), bool)
    if not len(keep):
        return keep
    rles = paste_rle(image.soft_masks, image.boxes, image.height, image.width, 0.5)
    overlaps = coco_mask.iou(rles, rles, [0] * len(rles)) >= iou_threshold
    for index in np.argsort(-image.scores, kind="stable"):
        keep[index] = not overlaps[index, keep].any()
    return keep
