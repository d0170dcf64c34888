"""Divide an image into overlapping tiles."""

from collections.abc import Iterator
from itertools import product

import numpy as np

# Top, bottom, left and right; bottom and right are exclusive.
Window = tuple[int, int, int, int]


def tile_windows(height: int, width: int, tile: int, overlap: int) -> Iterator[Window]:
    """Yield the tiles of an image, row by row; all have the same size and are evenly spread.

    A tile is a window (top, bottom, left, right) in pixels; bottom and right are exclusive.

    Args:
        height, width: size of the image in pixels.
        tile: height and width of a tile in pixels. If the image is lower or narrower, the tiles
            are only as high or as wide as the image.
        overlap: smallest number of pixels that neighboring tiles share, 0 to half of ``tile``.

    Raises:
        ValueError: ``tile`` is less than 32, or ``overlap`` is out of range.
    """
    if tile < 32 or not 0 <= overlap <= tile // 2:
        raise ValueError(
            "the side of a tile must be at least 32 pixels, and the overlap must be 0 to "
            f"{max(tile, 0) // 2} pixels (half a side); found a side of {tile} and an overlap of "
            f"{overlap}"
        )
    starts = []
    for side in (height, width):
        count = max(1, -(-(side - overlap) // (tile - overlap)))
        starts.append(np.linspace(0, max(0, side - tile), count).astype(int).tolist())
    for top, left in product(*starts):
        yield top, min(top + tile, height), left, min(left + tile, width)


def intersection(a: Window, b: Window) -> Window | None:
    """Return the window of the pixels that two windows have in common; None if there are none."""
    top, bottom = max(a[0], b[0]), min(a[1], b[1])
    left, right = max(a[2], b[2]), min(a[3], b[3])
    return (top, bottom, left, right) if top < bottom and left < right else None
