"""Declare the functions of nbseg._native, a compiled module that needs NumPy but not torch."""

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
    """Paste soft masks into an image and encode them as COCO RLEs.

    No full-size mask is created. The result is byte for byte that of three steps:

    1. MMDetection's mask paste on a CPU (bilinear, ``align_corners=False``);
    2. the comparison ``>= threshold``;
    3. ``pycocotools.mask.encode``.

    To round like torch, the function uses fused multiply-adds if the CPU has AVX2 and FMA. The
    environment variable ``ATEN_CPU_CAPABILITY=default`` turns them off, as in torch. The variable
    is read at the first call.

    Args:
        probs: probabilities, shape (N, S, S), an array or a CPU tensor. Values are float32 in
            [0, 1], or uint8, where v means v / 255.
        boxes: boxes (x0, y0, x1, y1) in image pixels, shape (N, 4), float32, an array or a CPU
            tensor. A box may extend beyond the image.
        height, width: image size in pixels.
        threshold: lowest interpolated probability of a foreground pixel. The comparison is made in
            float32.
        num_threads: number of threads; 0 chooses a number that suits the CPUs and the boxes.

    Returns:
        One ``{"size": [height, width], "counts": bytes}`` per instance. A box outside the image
        gives an empty mask. A box of zero width or height gives a strip that is at most three
        pixels wide, as in MMDetection.

    Raises:
        TypeError: probs are not float32 or uint8, or boxes are not float32.
        ValueError: probs or boxes have a wrong shape, height or width is negative, the image has
            2**32 pixels or more, threshold is NaN, num_threads is negative, a box contains NaN or
            is inverted (``x1 < x0`` or ``y1 < y0``), or a probability is outside [0, 1] by more
            than 0.001. One exception is as in MMDetection: an inverted side is accepted if it
            covers a pixel after it is rounded outwards, extended by one pixel at both ends, and
            clipped to the image.
    """

def crops_from_rle(
    counts: Sequence[str | bytes], height: int, width: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Convert compressed COCO RLEs to bit-packed crops, without full-size masks.

    The layout of the crops is that of ``nbseg.structures.CroppedMasks``.

    Args:
        counts: the compressed ``counts`` of G RLEs, str or bytes.
        height, width: image size in pixels.

    Returns:
        The arrays bits (B,) uint8, starts (G,) int64 and crops (G, 4) int32.

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
    """Make the masks of a new image from rows and columns of an old image.

    Pixel (i, j) of the new image is pixel (rows[i], columns[j]) of the old image. If either index
    is -1, the pixel is background. Flips, crops, padding and nearest-neighbor resizing can be
    written in this form.

    Args:
        bits, starts, crops: (B,) uint8, (G,) int64 and (G, 4) int32, laid out as in
            ``nbseg.structures.CroppedMasks``.
        height, width: size of the old image in pixels.
        rows: row indices, shape (H,), int32 in [-1, height); H is the height of the new image.
        columns: column indices, shape (W,), int32 in [-1, width); W is the width of the new image.

    Returns:
        The arrays bits (B',) uint8, starts (G,) int64 and crops (G, 4) int32 of the new masks. The
        new crops are tight.

    Raises:
        TypeError: an array has a dtype that does not convert safely to the dtype named above.
        ValueError: an index or a crop lies outside the old image, or an array has a wrong shape.
    """

def boundary_rle(
    counts: Sequence[str | bytes], height: int, width: int, dilation: int
) -> list[bytes]:
    """Find the boundary regions of masks, without full-size masks.

    The boundary of a mask consists of the pixels that ``dilation`` erosions with a 3 x 3 kernel
    remove (Cheng et al., CVPR 2021). Everything outside the image is background.

    Args:
        counts: the compressed ``counts`` of COCO RLEs, str or bytes.
        height, width: image size in pixels.
        dilation: width of the boundary in pixels, at least 1.

    Returns:
        The compressed ``counts`` of each boundary as bytes, in the order of the masks.

    Raises:
        ValueError: an entry of counts does not hold the run lengths of height * width pixels,
            height or width is negative, the image has 2**32 pixels or more, or dilation is less
            than 1. A dilation above 16383 is refused, too, if the bounding box of a mask has at
            least ``2 * dilation + 1`` rows and columns.
    """

def torch_uses_fma() -> bool:
    """Return whether paste_rle uses fused multiply-adds, as torch's AVX2 and AVX512 kernels do."""
