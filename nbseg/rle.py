"""Encode masks in COCO's compressed run-length encoding, using only numpy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def encode_rle(mask: npt.NDArray[Any]) -> dict[str, Any]:
    """Encode a binary mask (H, W) as COCO's compressed RLE, with ``counts`` as a str for json.

    ``counts`` equals the result of ``pycocotools.mask.encode``.
    """
    return encode_crop(mask, 0, 0, *mask.shape)


def encode_crop(
    crop: npt.NDArray[Any], top: int, left: int, height: int, width: int
) -> dict[str, Any]:
    """Encode the mask of an image in which all pixels outside a crop are background.

    The result equals :func:`encode_rle` of the full-size mask. The full-size mask is never made, so
    the image may be large.

    Args:
        crop: binary mask (h, w), which must lie inside the image.
        top, left: row and column of the crop's first pixel in the image.
        height, width: size of the image in pixels.
    """
    padded = np.pad(np.asarray(crop, dtype=bool).astype(np.int8), ((1, 1), (0, 0)))
    column, row = np.nonzero(np.diff(padded, axis=0).T)
    # A pixel's place in column-major order. The places where runs begin and end alternate.
    borders = (left + column.astype(np.int64)) * height + top + row
    # A run that reaches the last row continues in the first row of the next column.
    joined = np.flatnonzero(borders[1:] == borders[:-1])
    borders = np.delete(borders, np.concatenate([joined, joined + 1]))
    runs = np.diff(borders, prepend=0, append=height * width).tolist()
    if len(runs) > 1 and runs[-1] == 0:
        runs.pop()  # the image's last pixel is foreground
    return {"size": [height, width], "counts": _compress(runs)}


def _compress(runs: Sequence[int]) -> str:
    """Return run lengths as the string ``counts`` of COCO's compressed RLE.

    The runs follow the pixels in column-major order, and the first run is background. From the
    fourth run on, the string stores the difference between a run and the run two places before it.
    Each number is split into groups of 5 bits, lowest bits first. Each group becomes one character:
    the flag 0x20 is set if another group of the same number follows, and 48 is added to make the
    character printable.
    """
    characters = []
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            # The decoder extends the sign of the last group (its bit 0x10): stop only if this
            # gives back the value.
            more = value != (-1 if group & 0x10 else 0)
            characters.append(chr(48 + (group | 0x20 if more else group)))
    return "".join(characters)
