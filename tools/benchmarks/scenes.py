"""Make objects of street scenes as polygons, run lengths, bitmaps and proposals."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Polygon = list[float]


def outlines(rng: np.random.Generator, count: int, height: int, width: int) -> list[list[Polygon]]:
    """Return random star-shaped objects with 30 corners, each as a list of one polygon.

    A polygon is a flat list x0, y0, x1, y1, … in pixels, as in COCO. Its width and height are
    log-uniform, from 5% to 50% of the width and height of the image.
    """
    image = np.array([width, height])
    polygons = []
    for _ in range(count):
        half = np.exp(rng.uniform(np.log(0.05), np.log(0.5), 2)) * image / 2
        center = half + rng.random(2) * (image - 2 * half)
        angle = np.sort(rng.random(30)) * 2 * np.pi
        radius = rng.uniform(0.6, 1, (30, 1))
        corners = center + half * radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        polygons.append([corners.ravel().tolist()])
    return polygons


def run_lengths(polygons: list[list[Polygon]], height: int, width: int) -> list[dict[str, Any]]:
    from pycocotools import mask as mask_utils

    return [mask_utils.merge(mask_utils.frPyObjects(parts, height, width)) for parts in polygons]


def bitmaps_of(polygons: list[list[Polygon]], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return bitmaps of G polygons, (G, H, W) uint8, filled with NumPy by the even-odd rule."""
    bitmaps = np.zeros((len(polygons), height, width + 1), np.uint8)
    rows = np.arange(height)[:, None] + 0.5
    for bitmap, (polygon,) in zip(bitmaps, polygons, strict=True):
        x, y = np.reshape(polygon, (-1, 2)).T
        dx, dy = np.roll(x, -1) - x, np.roll(y, -1) - y
        row, edge = np.nonzero((y <= rows) != (y + dy <= rows))
        column = x[edge] + (rows[row, 0] - y[edge]) * (dx[edge] / dy[edge])
        np.bitwise_xor.at(bitmap, (row, np.rint(column).clip(0, width).astype(int)), 1)
    return np.bitwise_xor.accumulate(bitmaps, axis=2)[:, :, :-1]


def boxes_of(polygons: list[list[Polygon]]) -> npt.NDArray[np.float32]:
    """Return the bounding boxes of G polygons, x0, y0, x1, y1, shape (G, 4), float32."""
    corners = np.array(polygons).reshape(len(polygons), -1, 2)
    return np.asarray(np.hstack([corners.min(axis=1), corners.max(axis=1)]), np.float32)


def positive_proposals(
    rng: np.random.Generator, boxes: npt.NDArray[np.float32], count: int, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Return R random boxes near objects, shape (R, 4), and the objects' indices, shape (R,).

    Args:
        rng: source of the random numbers.
        boxes: boxes of the objects, x0, y0, x1, y1, shape (G, 4).
        count: the number of boxes R.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    gt_inds = rng.integers(len(boxes), size=count)
    sizes = np.tile(boxes[gt_inds, 2:] - boxes[gt_inds, :2], 2)
    moved = boxes[gt_inds] + rng.uniform(-0.05, 0.05, (count, 4)) * sizes
    inside = moved.clip(0, [width, height, width, height])
    return torch.from_numpy(inside.astype(np.float32)), torch.from_numpy(gt_inds)
