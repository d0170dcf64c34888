"""Instances drawn by hand, as COCO annotations."""

import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 130, 170

CLASSES = ("cat", "dog", "cow")


CATEGORIES = [{"id": 30, "name": "cat"}, {"id": 4, "name": "dog"}, {"id": 12, "name": "cow"}]


def encode(bitmap):
    return coco_mask.encode(np.asfortranarray(bitmap.astype(np.uint8)))


def ellipse(x, y, w, h, rng=None):
    """The bitmap of an ellipse, with a rough edge if there is a generator."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    radius = np.hypot((columns - x - w / 2) / (w / 2), (rows - y - h / 2) / (h / 2))
    if rng is not None:
        radius += rng.normal(0, 0.05, radius.shape)
    return radius < 1


def tight_box(bitmap):
    rows, columns = np.flatnonzero(bitmap.any(1)), np.flatnonzero(bitmap.any(0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]
