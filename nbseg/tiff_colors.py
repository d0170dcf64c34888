"""Convert the color spaces and the orientations of TIFFs."""

import cv2
import numpy as np

from nbseg.image_options import Image


def as_bgr(image: Image) -> Image:
    """Convert an image with one channel (gray) or three channels (RGB) to BGR.

    An image with another number of channels is returned as it is.

    Args:
        image: (H, W, C) uint8.
    """
    if image.shape[2] not in (1, 3):
        return np.ascontiguousarray(image)
    conversion = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
    return np.asarray(cv2.cvtColor(image, conversion), np.uint8)


def from_cmyk(cmyk: Image) -> Image:
    """Convert CMY or CMYK, (H, W, 3 or 4), to BGR, (H, W, 3), with the formula of libtiff."""
    light = 255 - cmyk.astype(np.int32)
    black = light[..., 3:4] if cmyk.shape[2] == 4 else 255
    return (light[..., 2::-1] * black // 255).astype(np.uint8)


def turned(image: Image, orientation: int) -> Image:
    """Turn an image upright.

    Args:
        image: the image as stored, (H, W, C).
        orientation: 1 to 8, as in TIFF and Exif; from 5 on, height and width are swapped.
    """
    if orientation in (3, 4, 6, 7):
        image = image[::-1]
    if orientation in (2, 3, 7, 8):
        image = image[:, ::-1]
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    return np.ascontiguousarray(image)
