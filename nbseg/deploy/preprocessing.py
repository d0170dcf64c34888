"""Prepare images for an exported model as MMDetection's test pipeline does, without PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from nbseg.image_options import Image

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


@dataclass(frozen=True)
class ResizeRule:
    """Resizes images with the same result as MMDetection's transform ``Resize``.

    Attributes:
        scale: two sizes in pixels. With ``keep_ratio``, they are upper limits for the long and the
            short side of the resized image, in any order, and the image is made as large as the
            limits allow. Without ``keep_ratio``, they are the new width and height. None uses
            ``scale_factor``.
        scale_factor: factors for width and height, used if ``scale`` is None.
        keep_ratio: whether to keep the aspect ratio.
        interpolation: a key of ``INTERPOLATIONS``.
    """

    scale: tuple[int, int] | None = None
    scale_factor: tuple[float, float] = (1.0, 1.0)
    keep_ratio: bool = True
    interpolation: str = "bilinear"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width in pixels to which an image of the given size is resized."""
        scale = self.scale
        if scale is None:
            scale = _round(width * self.scale_factor[0]), _round(height * self.scale_factor[1])
        if not self.keep_ratio:
            return scale[1], scale[0]
        factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
        return _round(height * factor), _round(width * factor)

    def __call__(self, image: Image) -> Image:
        """Return the resized image.

        Args:
            image: (H, W, C) uint8.

        Raises:
            ValueError: a side would become less than one pixel.
        """
        height, width = self.size(*image.shape[:2])
        if height < 1 or width < 1:
            raise ValueError(
                f"an image of {image.shape[1]}x{image.shape[0]} pixels would be resized to "
                f"{width}x{height}, but both sides need at least 1 pixel; crop or pad the image"
            )
        resized = cv2.resize(
            image, (width, height), interpolation=INTERPOLATIONS[self.interpolation]
        )
        return np.asarray(resized, np.uint8)


def _round(value: float) -> int:
    return int(value + 0.5)


def as_batch(images: Sequence[Image]) -> Image:
    """Stack images (H, W, C) of the same size into an exported model's input (B, C, H, W)."""
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


def check_image(image: object, channels: int = 3) -> Image:
    """Check that an image is a uint8 array of shape (H, W, C), and return the image unchanged.

    Args:
        image: the image.
        channels: the number of channels C that the model takes.

    Raises:
        TypeError: the image is not an array of uint8.
        ValueError: the array does not have the shape (H, W, C), or has no pixels.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = f"an object of type {type(image).__name__}"
        if isinstance(image, np.ndarray):
            found = f"an array of {image.dtype}"
        raise TypeError(
            f"an image must be a uint8 array (H, W, 3) in BGR order, found {found}; convert the "
            "values to uint8 from 0 to 255, or read the file with nbseg.images.read_image"
        )
    if image.ndim != 3 or image.shape[2] != channels or 0 in image.shape:
        found_channels = 1 if image.ndim == 2 else image.shape[-1] if image.ndim == 3 else 0
        conversion = (
            {1: "cv2.COLOR_GRAY2BGR", 4: "cv2.COLOR_BGRA2BGR"}.get(found_channels)
            if channels == 3
            else None
        )
        hint = (
            f"convert the image with cv2.cvtColor(image, {conversion})"
            if conversion
            else "pass an array of this shape"
        )
        raise ValueError(
            f"an image must have shape (H, W, {channels}) and at least one pixel, found "
            f"{image.shape}; {hint}"
        )
    return image
