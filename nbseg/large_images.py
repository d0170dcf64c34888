"""Open images that may be too large for the memory."""

from pathlib import Path
from typing import Any

import numpy as np

from nbseg.image_options import DEFAULTS, Image, ImageOptions
from nbseg.images import is_tiff, named, read_image
from nbseg.tiff import TiffFile

# TIFFs with at least this number of pixels are read window by window.
LARGE = 2**26


class LargeImage:
    """Reads parts of a TIFF on the disk; the syntax is that of slices of an array.

    ``image[top:bottom, left:right]`` returns the same part of the image as the same slice of
    :func:`nbseg.images.read_image`'s result. Only the tiles or strips that the slice touches are
    decoded. Read slices only if ``is_windowed`` is True.

    Args:
        path: the file.
        options: the channels, the plane and the range of values to read.

    Attributes:
        shape: height, width and number of channels of the image.
        dtype: uint8.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file cannot be decoded or needs other options; the message names the file.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: str | Path, options: ImageOptions = DEFAULTS) -> None:
        self._path = path
        with named(path):
            self._file = TiffFile(path, options)
            self.shape: tuple[int, int, int] = (*self._file.picture.size, options.channels)

    @property
    def is_windowed(self) -> bool:
        """Whether slices can be read without decoding the whole image."""
        return self._file.values.are_windowed

    def __getitem__(self, part: tuple[slice, slice]) -> Image:
        """Return a part of the image, (h, w, C) uint8, in BGR order if C is 3.

        Args:
            part: slices of rows and columns, with steps of 1.

        Raises:
            ValueError: the part cannot be decoded.
        """
        rows, columns = (p.indices(side) for p, side in zip(part, self.shape[:2], strict=True))
        with named(self._path), self._file.errors():
            return self._file.read((*rows[:2], *columns[:2]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_image(path: str | Path, options: ImageOptions = DEFAULTS) -> Any:
    """Return an image as an array, or as a :class:`LargeImage` if the array would be large.

    The function raises the same errors as :func:`nbseg.images.read_image`.

    Returns:
        A ``LargeImage`` if the file is a TIFF of at least 2**26 pixels, of which parts can be
        decoded alone. Otherwise, the array of ``read_image``.
    """
    if is_tiff(path):
        image = LargeImage(path, options)
        if image.shape[0] * image.shape[1] >= LARGE and image.is_windowed:
            return image
        image.close()
    return read_image(path, options=options)
