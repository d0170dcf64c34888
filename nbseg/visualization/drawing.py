"""Draw masks, names and captions on BGR pictures with NumPy and OpenCV alone."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

CAPTION_HEIGHT = 18
GRAY = 32  # gray level of caption bars and of gaps between pictures
# JPEG stores color at half the resolution by default, which washes out thin colored outlines.
JPEG_OPTIONS = (
    *(cv2.IMWRITE_JPEG_QUALITY, 80),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)


def draw_mask(
    canvas: Picture,
    mask: Picture,
    color: Picture,
    opacity: float,
    thickness: int = 1,
    corner: tuple[int, int] = (0, 0),
) -> None:
    """Tint a mask on the canvas and draw its outline, in place.

    Args:
        canvas: BGR, uint8, shape (H, W, 3).
        mask: 1 inside the object and 0 outside, uint8, shape (h, w). The mask may be smaller than
            the canvas.
        color: BGR, uint8, shape (3,).
        opacity: opacity of the tint, 0 to 1; 0 draws the outline alone.
        thickness: thickness of the outline in pixels.
        corner: x and y of the canvas pixel where the mask's upper left pixel is drawn.
    """
    x, y = corner
    if opacity:
        window = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
        inside = mask > 0
        window[inside] = ((1 - opacity) * window[inside] + opacity * color).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=corner)
    cv2.drawContours(canvas, outlines, -1, color.tolist(), thickness)


def draw_text(canvas: Picture, text: str, corner: tuple[int, int], scale: float) -> None:
    """Write white text with a black border on the canvas, in place.

    ``corner`` is the position (x, y) of the text's lower left corner in pixels. ``scale`` is the
    ``fontScale`` of OpenCV's ``putText``.
    """
    text = _ascii(text)
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(
            canvas, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA
        )


def _ascii(text: str) -> str:
    """Replace each non-ASCII character with ``?``: some of these characters crash OpenCV."""
    return text.encode("ascii", "replace").decode()


def display_size(width: int, height: int, longest_side: int) -> tuple[int, int]:
    """Return the width and height at which to show an image, in pixels.

    The longest side of a larger image is reduced to ``longest_side``. A smaller image is enlarged
    by the largest whole-number factor with which its longest side stays within ``longest_side``.
    """
    scale = longest_side / max(width, height)
    if scale >= 1:
        scale = int(scale)
    return max(1, round(scale * width)), max(1, round(scale * height))


def resized(pixels: Picture, size: tuple[int, int]) -> Picture:
    """Resize a picture to ``size`` (width, height); enlarging repeats pixels and blurs none."""
    smaller = size[0] < pixels.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)


def captioned(pixels: Picture, caption: str) -> Picture:
    """Put a bar with a caption above a BGR picture."""
    bar = np.full((CAPTION_HEIGHT, pixels.shape[1], 3), GRAY, np.uint8)
    caption = _ascii(caption)
    cv2.putText(bar, caption, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3, 1, cv2.LINE_AA)
    return np.vstack([bar, pixels])


def side_by_side(pictures: Sequence[Picture], gap: int = 0) -> Picture:
    """Join pictures of the same height into a row, with gray gaps of ``gap`` pixels."""
    tiles = [pictures[0]]
    for picture in pictures[1:]:
        tiles += [np.full((len(picture), gap, 3), GRAY, np.uint8), picture]
    return np.hstack(tiles)


def encode_jpeg(pixels: Picture) -> bytes:
    """Encode a BGR picture as JPEG."""
    _, encoded = cv2.imencode(".jpg", pixels, JPEG_OPTIONS)
    return encoded.tobytes()
