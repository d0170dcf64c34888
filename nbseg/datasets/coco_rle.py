"""Encode masks in COCO's compressed run-length encoding, using only numpy."""

from typing import Any

import numpy as np
import numpy.typing as npt


def encode_rle(mask: npt.NDArray[Any]) -> dict[str, Any]:
    """Encode a binary mask (H, W) as COCO's compressed RLE, with ``counts`` as a str for json.

    ``counts`` equals the result of ``pycocotools.mask.encode``. The string holds the run lengths in
    column-major order, background first. From the fourth run on, the string stores the difference
    between a run and the run two places before it. Each number is split into groups of 5 bits,
    lowest bits first. Each group becomes one character: the flag 0x20 is set if another group of
    the same number follows, and 48 is added to make the character printable.
    """
    height, width = mask.shape
    pixels = np.asarray(mask, dtype=bool).ravel(order="F")
    borders = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(borders, prepend=0, append=pixels.size).tolist()
    if pixels[0]:
        runs.insert(0, 0)

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
    return {"size": [height, width], "counts": "".join(characters)}
