"""Boundary IoU and boundary AP as published (Cheng et al., CVPR 2021, arXiv 2103.16562)."""

import math
from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from pycocotools import mask as coco_mask

from nbseg.structures import CroppedMasks

KERNEL = np.ones((3, 3), np.uint8)


class BoundaryEvaluation(COCOeval_faster):
    """COCO's evaluation with min(mask IoU, Boundary IoU) in the place of IoU.

    The library's own ``boundary`` mode rounds half a pixel of dilation down, where the published
    code rounds it to even, and erodes wrongly in images not higher than twice the dilation. Here
    the boundaries are made by ``boundary_rles``; everything else is the library's. Towards a crowd
    mask IoU counts, as published.

    Args:
        truth: ground truth with masks.
        predictions: what ``truth.loadRes`` gives.
        dilation_ratio: the dilation as a fraction of the image diagonal.
        **kwargs: of ``COCOeval_faster``.
    """

    def __init__(self, truth: COCO, predictions: COCO, dilation_ratio: float, **kwargs) -> None:
        super().__init__(truth, predictions, "boundary", **kwargs)
        self.boundary_dilation_ratio = dilation_ratio

    def _prepare(self) -> None:
        def places(coco: COCO) -> set[tuple[int, int]]:
            return {(a["image_id"], a["category_id"]) for a in coco.anns.values()}

        # An IoU is asked for where an image has both truth and predictions of a class: of most
        # predictions of many classes, none.
        compared = places(self.cocoGt) & places(self.cocoDt)
        for coco in (self.cocoGt, self.cocoDt):
            by_image: dict[int, list[dict]] = defaultdict(list)
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
        # computeIoU reads "boundary"; only the library's own making of it is left out.
        self.params.compute_boundary = False
        super()._prepare()
        self.params.compute_boundary = True


def boundary_width(height: int, width: int, dilation_ratio: float = 0.02) -> int:
    """Return the dilation d in pixels: a fraction of the diagonal, at least 1; a half goes to even.

    The ratio is 0.02 for COCO and 0.005 for Cityscapes.
    """
    return max(1, round(dilation_ratio * math.sqrt(height**2 + width**2)))


def check_dilation_ratio(dilation_ratio: float) -> None:
    """Refuse with a ValueError what is no fraction of an image's diagonal."""
    if not 0 < dilation_ratio < 1:
        raise ValueError(
            "boundary_dilation_ratio must be between 0 and 1 (0.02 for COCO, 0.005 for "
            f"Cityscapes), found {dilation_ratio}"
        )


def boundary_rles(
    segmentations: Sequence[dict | list], height: int, width: int, dilation_ratio: float
) -> list[dict]:
    """Return the boundary regions of one image's masks.

    A mask's boundary is the mask without its erosion by d iterations of a 3 x 3 kernel; beyond the
    image is background. It is made within the mask's tight box, outside of which is nothing.

    Args:
        segmentations: run-length encodings or polygons of COCO annotations.
        height: height of the image.
        width: width of the image.
        dilation_ratio: see ``boundary_width``.

    Returns:
        Compressed COCO run-length encodings, ``counts`` as bytes.

    Raises:
        ValueError: a run-length encoding of another size.
    """
    masks = CroppedMasks.from_segmentations(segmentations, height, width)
    dilation = boundary_width(height, width, dilation_ratio)
    return [
        _encode(boundary_of_crop(crop, dilation), x, y, height, width)
        for crop, (x, y) in masks.iterate_crops()
    ]


def boundary_of_crop(crop: np.ndarray, dilation: int) -> np.ndarray:
    """Return the boundary of a mask that is 0 all around this crop; (h, w), uint8 of 0 and 1."""
    if min(crop.shape) <= 2 * dilation:
        return crop  # nothing is left of it by the erosion
    padded = np.pad(crop, 1)
    return crop - cv2.erode(padded, KERNEL, iterations=dilation)[1:-1, 1:-1]


def _encode(crop: np.ndarray, x: int, y: int, height: int, width: int) -> dict:
    """The run-length encoding of the image that has this crop at (x, y) and is 0 elsewhere."""
    rows = crop.shape[0]
    # One more row of background, so that a run ends where its column does.
    columns = np.pad(crop, ((0, 1), (0, 0))).ravel(order="F")
    changes = np.flatnonzero(np.diff(columns, prepend=0))
    column, row = np.divmod(changes, rows + 1)
    changes = (x + column) * height + y + row
    # In a crop of the image's height, a run that goes on in the next column has ended in vain.
    vain = np.flatnonzero(np.diff(changes) == 0)
    changes = np.delete(changes, np.concatenate([vain, vain + 1]))
    size = height * width
    counts = np.diff(changes[changes < size], prepend=0, append=size)
    runs = {"size": [height, width], "counts": counts.tolist()}
    return coco_mask.frPyObjects(runs, height, width)
