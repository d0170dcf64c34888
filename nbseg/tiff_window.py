"""Decode a part of a TIFF page without decoding the other parts."""

from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.tiles import Window


def page_window(page: Any, window: Window) -> npt.NDArray[Any]:
    """Decode only the tiles or strips of a page that a window touches.

    Args:
        page: a page of tifffile with the axes YX, YXS or SYX.
        window: top, bottom, left and right in pixels; bottom and right are exclusive.

    Returns:
        The values in the window, with the axes of the page. Tiles that the file leaves out are 0.
    """
    key = page.keyframe
    top, bottom, left, right = window
    rows = key.tilelength if key.is_tiled else min(key.rowsperstrip, key.imagelength)
    columns = key.tilewidth if key.is_tiled else key.imagewidth
    down, across = ceil(key.imagelength / rows), ceil(key.imagewidth / columns)
    separate, contiguous = key.shaped[0], key.shaped[4]
    result = np.zeros((separate, bottom - top, right - left, contiguous), key.dtype)
    for sample in range(separate):
        for row in range(top // rows, ceil(bottom / rows)):
            for column in range(left // columns, ceil(right / columns)):
                segment = _segment(page, (sample * down + row) * across + column)
                if segment is None:
                    continue
                y, x = row * rows, column * columns
                y0, y1 = max(top, y), min(bottom, y + segment.shape[0])
                x0, x1 = max(left, x), min(right, x + segment.shape[1])
                result[sample, y0 - top : y1 - top, x0 - left : x1 - left] = segment[
                    y0 - y : y1 - y, x0 - x : x1 - x
                ]
    if key.axes == "YX":
        return result[0, ..., 0]
    return result[0] if key.axes == "YXS" else result[..., 0]


def _segment(page: Any, index: int) -> npt.NDArray[Any] | None:
    """Return a tile or strip as (H, W, samples) without padding; None if the file lacks it."""
    key, file = page.keyframe, page.parent.filehandle
    count = page.databytecounts[index]
    if not count:
        return None
    file.seek(page.dataoffsets[index])
    decoded = key.decode(
        file.read(count), index, jpegtables=page.jpegtables, jpegheader=key.jpegheader
    )
    values, _, (_, height, width, _) = decoded
    if values is None:
        return None
    segment: npt.NDArray[Any] = values[0, :height, :width]
    return segment
