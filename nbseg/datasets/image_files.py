"""Image files below a folder, and their sizes without decoding them."""

import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_EXIF_ORIENTATION = 0x0112
_EXIF_QUARTER_TURNS = (5, 6, 7, 8)


def image_names(folder: Path) -> list[str]:
    """Paths of the images below a folder, relative to it, sorted; nothing that is hidden."""
    names = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        names += [
            (Path(parent) / name).relative_to(folder).as_posix()
            for name in files
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    return sorted(names)


def image_size(path: Path) -> tuple[int, int] | None:
    """Height and width of an image as OpenCV loads it; None if it cannot be read.

    Only the header is decoded, unless Pillow does not know the format or a camera was held
    upright: which formats' Exif orientation OpenCV respects depends on its version.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            # The override of PNG images would decode all pixels to find a trailing chunk.
            exif = Image.Image.getexif(image)
            if exif.get(_EXIF_ORIENTATION) not in _EXIF_QUARTER_TURNS:
                return height, width
    except (UnidentifiedImageError, Image.DecompressionBombError):
        pass
    except (OSError, SyntaxError, ValueError):
        return None
    # As MMDetection loads it; cv2.imread itself fails on some turned images.
    encoded = np.fromfile(path, dtype=np.uint8)
    pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    return None if pixels is None else pixels.shape[:2]
