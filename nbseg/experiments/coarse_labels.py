"""Coarse labels: polygons of few corners inside the objects, as Cityscapes' gtCoarse are drawn."""

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from nbseg.files import write_json

MARGIN = 1  # pixels that the polygons stay inside an object
TOLERANCE = 3.0  # pixels by which their sides may leave out an outline's detail


def coarse_polygon(mask: np.ndarray) -> np.ndarray | None:
    """Return a coarse polygon of a mask's largest part.

    Args:
        mask: shape (H, W), uint8.

    Returns:
        Corners (N, 2) as x, y in pixels, N >= 3; None if the object is too small for one.
    """
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=MARGIN)
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    corners = cv2.approxPolyDP(max(outlines, key=cv2.contourArea), TOLERANCE, closed=True)[:, 0]
    return corners if len(corners) >= 3 and cv2.contourArea(corners) >= 1 else None


def write_coarse_labels(annotations: str | Path, out: str | Path) -> None:
    """Write a COCO json of run lengths again as coarse polygons, without too small objects."""
    content = json.loads(Path(annotations).read_text(encoding="utf-8"))
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
    write_json(out, {**content, "annotations": kept})
