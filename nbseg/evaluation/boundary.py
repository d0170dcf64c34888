"""Compute boundary IoU and boundary AP (Cheng et al., CVPR 2021, arXiv 2103.16562)."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from nbseg._native import boundary_rle
from nbseg.structures.mask_conversions import compressed_counts

Mask = npt.NDArray[np.uint8]
RLE = dict[str, Any]

KERNEL = np.ones((3, 3), np.uint8)


class BoundaryEvaluation(COCOeval_faster):
    """Runs COCO's evaluation with min(mask IoU, boundary IoU) in place of the mask IoU.

    The function ``boundary_rles`` computes the boundaries, and faster-coco-eval does the rest. The
    ``boundary`` mode of faster-coco-eval is not used to compute boundaries, because it has two
    faults:

    - It rounds halves down, so a boundary width of 3.5 pixels becomes 3. The code of Cheng et al.
      (CVPR 2021) rounds halves to the even integer, so the same width becomes 4.
    - It erodes incorrectly if the image's height is at most twice the boundary width.

    Crowds are compared by mask IoU alone, as in the code of Cheng et al.

    Args:
        truth: ground truth with masks.
        predictions: result of ``truth.loadRes``.
        dilation_ratio: boundary width as a fraction of the image diagonal.
        **kwargs: arguments of ``COCOeval_faster``.
    """

    def __init__(
        self, truth: COCO, predictions: COCO, dilation_ratio: float, **kwargs: Any
    ) -> None:
        super().__init__(truth, predictions, "boundary", **kwargs)
        self.boundary_dilation_ratio = dilation_ratio

    def _prepare(self) -> None:
        def images_and_classes(coco: COCO) -> set[tuple[int, int]]:
            return {(a["image_id"], a["category_id"]) for a in coco.anns.values()}

        # Predictions are only compared with true instances of the same class in the same image. If
        # there are many classes, most predictions have no such instance. Skip their boundaries.
        compared = images_and_classes(self.cocoGt) & images_and_classes(self.cocoDt)
        for coco in (self.cocoGt, self.cocoDt):
            by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
            for annotation in coco.anns.values():
                if (annotation["image_id"], annotation["category_id"]) in compared:
                    by_image[annotation["image_id"]].append(annotation)
            for image_id, annotations in by_image.items():
                image = self.cocoGt.imgs[image_id]
                rles = boundary_rles(
                    [annotation["segmentation"] for annotation in annotations],
                    image["height"],
                    image["width"],
                    self.boundary_dilation_ratio,
                )
                for annotation, rle in zip(annotations, rles, strict=True):
                    annotation["boundary"] = rle
        # computeIoU reads annotation["boundary"]. Stop the library from overwriting it.
        self.params.compute_boundary = False
        super()._prepare()
        self.params.compute_boundary = True


def boundary_width(height: int, width: int, dilation_ratio: float = 0.02) -> int:
    """Return the boundary width in pixels: ``dilation_ratio`` times the image diagonal, rounded.

    The width is at least 1. A value halfway between two integers is rounded to the even integer.
    The published ratios are 0.02 for COCO and 0.005 for Cityscapes.
    """
    return max(1, round(dilation_ratio * math.sqrt(height**2 + width**2)))


def check_dilation_ratio(dilation_ratio: float) -> None:
    """Raise a ValueError unless 0 < ``dilation_ratio`` < 1."""
    if not 0 < dilation_ratio < 1:
        raise ValueError(
            "boundary_dilation_ratio must be greater than 0 and less than 1 (0.02 for COCO, 0.005 "
            f"for Cityscapes), found {dilation_ratio}"
        )


def boundary_rles(
    segmentations: Sequence[dict[str, Any] | list[Any]],
    height: int,
    width: int,
    dilation_ratio: float,
) -> list[RLE]:
    """Return the boundary regions of one image's masks.

    Each mask is eroded ``boundary_width(height, width, dilation_ratio)`` times with a 3 x 3 kernel.
    The boundary consists of the pixels that the erosion removes. Everything outside the image is
    background.

    Args:
        segmentations: RLEs or polygons of COCO annotations.
        height: height of the image in pixels.
        width: width of the image in pixels.
        dilation_ratio: boundary width as a fraction of the image diagonal.

    Returns:
        One compressed RLE per mask, in the order of the masks; ``counts`` is bytes.

    Raises:
        ValueError: an RLE is invalid, or its size is not (height, width).
    """
    counts = [compressed_counts(each, height, width) for each in segmentations]
    dilation = boundary_width(height, width, dilation_ratio)
    return [
        {"size": [height, width], "counts": found}
        for found in boundary_rle(counts, height, width, dilation)
    ]


def boundary_of_crop(crop: Mask, dilation: int) -> Mask:
    """Return the boundary of a mask that is given as a crop.

    The boundary consists of the pixels that an erosion by ``dilation`` pixels removes.

    Args:
        crop: part of the mask that contains the whole foreground, uint8 of 0 and 1, shape (h, w).
        dilation: boundary width in pixels.

    Returns:
        The boundary in the same crop, uint8 of 0 and 1, shape (h, w).
    """
    if min(crop.shape) <= 2 * dilation:
        return crop  # the erosion removes the whole mask
    padded = np.pad(crop, 1)
    eroded = np.asarray(cv2.erode(padded, KERNEL, iterations=dilation), np.uint8)
    return crop - eroded[1:-1, 1:-1]
