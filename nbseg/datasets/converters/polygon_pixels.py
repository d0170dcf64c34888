"""Draw polygons as masks; their outlines run along the edges or through the centers of pixels."""

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from nbseg.coco_masks import to_rle

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


def draw_edges(points: Points, height: int, width: int) -> tuple[Mask, Mask]:
    """Return two equal masks of a polygon whose outline runs along pixel edges.

    Args:
        points: x and y of each point in pixels, shape (N, 2).
        height, width: size of the masks in pixels.

    Returns:
        Two masks (H, W), bool: one with and one without the border pixels, as from
        :func:`draw_centers`. They are equal, because no pixel lies on an outline along pixel edges.
    """
    mask = coco_mask.decode(to_rle([points.ravel().tolist()], height, width)).astype(bool)
    return mask, mask.copy()


def draw_centers(points: Points, height: int, width: int) -> tuple[Mask, Mask]:
    """Return two masks of a polygon whose outline runs through the centers of its border pixels.

    Args:
        points: x and y of each point in pixels, shape (N, 2). They are rounded to whole numbers.
        height, width: size of the masks in pixels.

    Returns:
        The mask with the border pixels and the mask without them, both (H, W), bool. To cut out a
        hole, use the mask without them, because the border pixels of a hole belong to the object.
    """
    corners = [np.round(points).astype(np.int32)]
    filled, border = np.zeros((2, height, width), np.uint8)
    cv2.fillPoly(filled, corners, 1)
    cv2.polylines(border, corners, isClosed=True, color=1)
    return filled > 0, (filled > 0) & (border == 0)
