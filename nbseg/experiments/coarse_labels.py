"""Makes labels as coarse as Cityscapes' gtCoarse.

Each polygon has few corners and lies roughly inside its object.
"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from nbseg.coco import read_coco, write_coco

MARGIN = 1  # number of pixels by which a mask is shrunk before its outline is traced
TOLERANCE = 3.0  # largest distance of a polygon from the shrunken outline, in pixels


def coarse_polygon(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32] | None:
    """Return a polygon with few corners that roughly follows the largest part of a mask.

    The mask is first shrunk by one pixel. The polygon approximates the outline of the shrunken
    mask. The polygon may cross this outline where the outline is concave.

    Args:
        mask: 0 outside the object, shape (H, W), uint8.

    Returns:
        Corners, shape (N, 2), int32, x and y in pixels, N >= 3. None if the polygon would have an
        area of less than one square pixel.
    """
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=MARGIN)
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    outline = max(outlines, key=cv2.contourArea)
    corners = cv2.approxPolyDP(outline, TOLERANCE, closed=True)[:, 0].astype(np.int32)
    return corners if len(corners) >= 3 and cv2.contourArea(corners) >= 1 else None


def write_coarse_labels(annotations: str | Path, out: str | Path) -> None:
    """Write a copy of a COCO json in which coarse polygons replace the masks.

    Boxes and areas in the copy are those of the polygons. The copy leaves out objects for which
    :func:`coarse_polygon` returns None.

    Args:
        annotations: COCO json whose masks are compressed RLEs.
        out: COCO json to write.
    """
    content = read_coco(annotations)
    kept = []
    for annotation in content["annotations"]:
        polygon = coarse_polygon(coco_mask.decode(annotation["segmentation"]))
        if polygon is None:
            continue
        left, top = polygon.min(axis=0).tolist()
        right, bottom = polygon.max(axis=0).tolist()
        kept.append(
            {
                **annotation,
                "segmentation": [polygon.ravel().tolist()],
                "bbox": [left, top, right - left, bottom - top],
                "area": float(cv2.contourArea(polygon)),
            }
        )
    write_coco(out, {**content, "annotations": kept}.items())
