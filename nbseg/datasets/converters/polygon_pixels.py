"""Draw polygons into masks by two rules: along the edges or through the centers of pixels."""

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from nbseg.coco_masks import to_rle

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


def draw_edges(points: Points, height: int, width: int) -> tuple[Mask, Mask]:
    """Return the mask of a polygon along pixel edges, twice; (H, W), bool."""
    mask = coco_mask.decode(to_rle([points.ravel().tolist()], height, width)).astype(bool)
    return mask, mask.copy()


def draw_centers(points: Points, height: int, width: int) -> tuple[Mask, Mask]:
    """Return the mask of a polygon through pixel centers, with and without its border pixels.

    The border pixels of a hole belong to the object.
    """
    corners = [np.round(points).astype(np.int32)]
    filled, border = np.zeros((2, height, width), np.uint8)
    cv2.fillPoly(filled, corners, 1)
    cv2.polylines(border, corners, isClosed=True, color=1)
    return filled > 0, (filled > 0) & (border == 0)
