"""Swap the rows and columns of an image, for images without an upright position."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import autocast_box_type
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from nbseg.registry import TRANSFORMS
from nbseg.structures import CroppedMasks

SWAP = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], np.float32)


@TRANSFORMS.register_module()
class RandomTranspose(BaseTransform):
    """Swap rows and columns of an image at random, and x and y of its boxes and masks.

    A transposition followed by a flip is a rotation by 90 degrees. Use ``prob=0.5`` after
    ``RandomFlip(prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])``. Then each of the
    eight flips and rotations of a square is equally likely. Pixels are never interpolated, and box
    coordinates are never rounded. MMDetection has no transform that transposes an image: the
    direction 'diagonal' of ``RandomFlip`` flips both axes.

    The transform changes ``img``, ``img_shape``, ``gt_bboxes``, ``gt_masks``, ``gt_seg_map`` and
    ``homography_matrix``. The masks may be nbseg's ``CroppedMasks``, or MMDetection's
    ``BitmapMasks`` or ``PolygonMasks``. The random number comes from numpy's global generator,
    which nbseg seeds for each sample. With ``prob=0``, no random number is drawn.

    Args:
        prob: probability that an image is transposed.

    Raises:
        ValueError: ``prob`` is not in [0, 1].
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"RandomTranspose: prob must be between 0 and 1, found {prob}")
        self.prob = prob

    @autocast_box_type()
    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if self.prob == 0 or np.random.random() >= self.prob:
            return results
        for key in ("img", "gt_seg_map"):
            if results.get(key) is not None:
                results[key] = np.ascontiguousarray(results[key].swapaxes(0, 1))
        results["img_shape"] = results["img"].shape[:2]
        if results.get("gt_bboxes") is not None:
            results["gt_bboxes"].project_(SWAP)
        if results.get("gt_masks") is not None:
            results["gt_masks"] = _transposed(results["gt_masks"])
        before = results.get("homography_matrix")
        results["homography_matrix"] = SWAP if before is None else SWAP @ before
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob})"


def _transposed(masks: Any) -> Any:
    if isinstance(masks, CroppedMasks):
        return masks.transpose()
    if isinstance(masks, PolygonMasks):
        polygons = [
            [polygon.reshape(-1, 2)[:, ::-1].reshape(-1) for polygon in polygons]
            for polygons in masks.masks
        ]
        return PolygonMasks(polygons, masks.width, masks.height)
    return BitmapMasks(masks.masks.transpose(0, 2, 1).copy(), masks.width, masks.height)
