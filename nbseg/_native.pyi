"""Declare the types of nbseg._native, the compiled functions that need NumPy only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

def paste_rle(
    probs: npt.ArrayLike,
    boxes: npt.ArrayLike,
    height: int,
    width: int,
    threshold: float = 0.5,
    *,
    num_threads: int = 0,
) -> list[dict[str, Any]]:
    """Paste soft masks into an image and encode them as COCO run lengths.

    The bytes equal those of MMDetection's mask paste on the CPU (bilinear,
    ``align_corners=False``, each mask in the window of its box), ``>= threshold`` and
    ``pycocotools.mask.encode``, but no mask of the image's size is created. Equal bytes need the
    same rounding as torch: like torch, the function uses fused multiply-adds if the CPU has AVX2
    and FMA, unless the environment variable ``ATEN_CPU_CAPABILITY`` was ``default`` at the first
    call.

    Args:
        probs: (N, S, S) probabilities, float32 in [0, 1], or uint8 where v means v / 255. Arrays,
            or tensors in CPU memory.
        boxes: (N, 4) float32, x0, y0, x1, y1 in image pixels; they may reach outside the image.
        height, width: image size in pixels.
        threshold: lowest interpolated probability of a foreground pixel. Both numbers are compared
            as float32.
        num_threads: number of threads; 0 chooses it from the number of CPUs and the boxes' sizes.

    Returns:
        One ``{"size": [height, width], "counts": bytes}`` per instance. A box wholly outside the
        image gives an empty mask. A box of zero width or height gives the same strip of at most
        three pixels as in MMDetection.

    Raises:
        TypeError: probs are not float32 or uint8, or boxes are not float32.
        ValueError: probs or boxes have a wrong shape, height or width is negative, the image has
            2**32 pixels or more, threshold is NaN, num_threads is negative, a box contains NaN or
            is inverted by more than a pixel or two (a box inverted by less is pasted as in
            MMDetection), or a probability is outside [0, 1] by more than 0.001.
    """

def crops_from_rle(
    counts: Sequence[str | bytes], height: int, width: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Unpack COCO's compressed run lengths to bit-packed crops.

    No mask of the image's size is made. The layout is that of ``nbseg.structures.CroppedMasks``.

    Args:
        counts: the compressed counts of G instances, str or bytes.
        height, width: image size in pixels.

    Returns:
        bits (B,) uint8, starts (G,) int64 and crops (G, 4) int32.

    Raises:
        ValueError: an entry of counts does not hold the run lengths of height * width pixels,
            height or width is negative, or the image has 2**32 pixels or more.
    """

def select_pixels(
    bits: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    crops: npt.NDArray[np.int32],
    height: int,
    width: int,
    rows: npt.NDArray[np.int32],
    columns: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Select rows and columns of masks, as nearest resizing, flips, crops and padding do.

    Pixel (i, j) of the new image is the old image's pixel (rows[i], columns[j]), or background
    where either index is -1.

    Args:
        bits, starts, crops: (B,) uint8, (G,) int64 and (G, 4) int32, laid out as in
            ``nbseg.structures.CroppedMasks``.
        height, width: size of the old image in pixels.
        rows: (H,) int32, in [-1, height).
        columns: (W,) int32, in [-1, width).

    Returns:
        bits (B',) uint8, starts (G,) int64 and crops (G, 4) int32 of the new, tight masks.

    Raises:
        TypeError: an array's dtype does not convert safely to the one named above.
        ValueError: an index or a crop lies outside the image, or a shape is wrong.
    """

def torch_uses_fma() -> bool:
    """Return whether paste_rle uses fused multiply-adds, as torch's AVX2 and AVX512 kernels do."""
