"""Find and decode image files, with NumPy and OpenCV alone; no other module decodes pictures."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")

_EXIF_ORIENTATION = 0x0112
_EXIF_QUARTER_TURNS = (5, 6, 7, 8)


def image_names(folder: Path) -> list[str]:
    """Return the paths of the images below a folder, relative to it and sorted.

    Hidden files and folders are left out.
    """
    names = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        names += [
            (Path(parent) / name).relative_to(folder).as_posix()
            for name in files
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
        ]
    return sorted(names)


def image_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of an image as :func:`read_image` decodes it; None if it cannot.

    Pillow reads the header alone, except where Pillow does not know the format or the Exif
    orientation turns the photo on its side: which formats' orientation OpenCV respects depends on
    OpenCV's version.
    """
    # Pillow is not among the packages that an exported model needs.
    from PIL import Image as PillowImage
    from PIL import UnidentifiedImageError

    try:
        with PillowImage.open(path) as image:
            width, height = image.size
            # The override of PNG images would decode all pixels to find a trailing chunk.
            exif = PillowImage.Image.getexif(image)
            if exif.get(_EXIF_ORIENTATION) not in _EXIF_QUARTER_TURNS:
                return height, width
    except (UnidentifiedImageError, PillowImage.DecompressionBombError):
        pass
    except (OSError, SyntaxError, ValueError):
        return None
    pixels = _decode(path, cv2.IMREAD_COLOR)
    return None if pixels is None else (pixels.shape[0], pixels.shape[1])


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> Image:
    """Read an image file as MMDetection's pipelines do: (H, W, 3) uint8 in the order BGR.

    OpenCV converts gray, transparent, 16-bit and CMYK files and applies an Exif orientation. Of a
    truncated file, the part that can be decoded is returned.

    Args:
        path: the image file.
        size: height and width that the image must have, in pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: OpenCV cannot decode the file, or the image has another size.
    """
    pixels = _decode(path, cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path} cannot be read as an image; replace or remove it")
    if size is not None and pixels.shape[:2] != size:
        raise ValueError(
            f"{path} is {pixels.shape[1]} x {pixels.shape[0]} pixels, but {size[1]} x {size[0]} "
            "are wanted; give the folder of the images that the annotations are of"
        )
    return np.asarray(pixels, np.uint8)


def read_label_image(path: str | Path) -> npt.NDArray[Any]:
    """Read an image whose pixels are ids, every bit as stored: (H, W), or (H, W, C) as BGR(A).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: OpenCV cannot decode the file.
    """
    ids = _decode(path, cv2.IMREAD_UNCHANGED)
    if ids is None:
        raise ValueError(f"{path} cannot be read as an image; unpack the archive again")
    return ids


def _decode(path: str | Path, flags: int) -> npt.NDArray[Any] | None:
    # MMDetection decodes from memory, too; cv2.imread fails on some turned photos.
    encoded = np.fromfile(path, np.uint8)
    if not encoded.size:
        return None
    return cv2.imdecode(encoded, flags)
