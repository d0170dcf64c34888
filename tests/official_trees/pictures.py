"""Rectangles, their colors, and image files."""

from pathlib import Path

import cv2
import numpy as np


def rectangle(rng, size):
    """x0, y0, x1, y1, at least a quarter of the image's sides long."""
    height, width = size
    w = int(rng.integers(width // 8, width // 3))
    h = int(rng.integers(height // 4, height // 2))
    x = int(rng.integers(0, width - w))
    y = int(rng.integers(0, height - h))
    return x, y, x + w, y + h


def color(index):
    return cv2.cvtColor(np.uint8([[[index * 37 % 180, 255, 255]]]), cv2.COLOR_HSV2BGR)[0, 0]


def write_image(path: Path, colors, rng):
    noise = rng.integers(0, 60, colors.shape, dtype=np.uint8)
    pixels = np.where(colors.any(axis=2, keepdims=True), colors, noise)
    write_png(path, pixels)


def write_png(path: Path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
