"""COCO's compressed run-length encoding, in numpy."""

from typing import Any

import numpy as np
import numpy.typing as npt


def encode_rle(mask: npt.NDArray[Any]) -> dict[str, Any]:
    """Encode a binary mask (H, W) as COCO's compressed RLE, with ``counts`` as a str for json.

    The string is the one that ``pycocotools.mask.encode`` gives: run lengths in column-major
    order, background first; from the fourth on, each as its difference to the run two before;
    little-endian groups of 5 bits, bit 6 set where more follow, plus 48 to be printable.
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
            # Decoding extends the sign from bit 5, so stop only where that restores the value.
            more = value != (-1 if group & 0x10 else 0)
            characters.append(chr(48 + (group | 0x20 if more else group)))
    return {"size": [height, width], "counts": "".join(characters)}
